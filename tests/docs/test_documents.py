"""What the documents say is what the code does."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.cli import COMMANDS
from pointsman.core.errors import GatewayError
from pointsman.server.metrics import Metrics
from pointsman.server.routes import ROUTES

ROOT = Path(__file__).parents[2]
HTTP = ROOT / "docs" / "http.md"
BEGIN = "<!-- Generated from the error tree by tests/docs; do not edit by hand. -->\n"
END = "<!-- End of what is generated. -->\n"
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def error_classes(base: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    for child in base.__subclasses__():
        yield child
        yield from error_classes(child)


def error_table() -> str:
    """Return the table of every error, by status and code."""
    rows = sorted(
        {(kind.status, kind.code, (kind.__doc__ or "").splitlines()[0]) for kind in error_classes()}
    )
    lines = ["| status | code | means |", "|---|---|---|"]
    lines += [f"| {status} | `{code}` | {means} |" for status, code, means in rows]
    return "\n".join(lines)


def with_table(text: str) -> str:
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{error_table()}\n\n{END}{rest.partition(END)[2]}"


def test_every_error_stands_in_the_http_document():
    text = HTTP.read_text("utf-8")
    assert text == with_table(text), "run: .venv/bin/python -m tests.docs.test_documents"


def test_every_metric_stands_in_the_http_document():
    text = HTTP.read_text("utf-8")
    families = [family.name for family in Metrics().collect()]
    assert families
    assert [name for name in families if f"`{name}" not in text] == []


def test_every_route_stands_in_the_http_document():
    text = HTTP.read_text("utf-8")
    assert [path for path, route in ROUTES.items() if f"`{route.method} {path}`" not in text] == []


def test_every_response_header_that_the_server_sends_stands_in_the_http_document():
    text = HTTP.read_text("utf-8")
    sources = "".join(p.read_text("utf-8") for p in (ROOT / "src/pointsman/server").glob("*.py"))
    headers = set(re.findall(r'"(x-[a-z-]+)"', sources))
    assert len(headers) > 5
    assert [header for header in headers if header not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_a_document_names_exist(document):
    text = document.read_text("utf-8")
    named = set(re.findall(r"`pointsman ([a-z]+)", text))
    named |= set(re.findall(r"^(?:\$ |    )pointsman ([a-z]+)", text, re.MULTILINE))
    assert named - set(COMMANDS) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_links_to_exist(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


if __name__ == "__main__":
    HTTP.write_text(with_table(HTTP.read_text("utf-8")), "utf-8")
    sys.exit(0)
