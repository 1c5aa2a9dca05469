"""How far the estimate of tokens errs, measured against real tokenizers.

`pytest -s tests/core/test_token_estimate.py` prints the figures.
"""

import http.client
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from math import log
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pointsman.core.features import estimate_input_tokens, estimate_tokens
from pointsman.core.types import Need, Request, Turn
from pointsman.demo.models import LocalModel, LocalModels

ROOT = Path(__file__).parents[2]
LANGUAGES = Path(__file__).with_name("languages.toml")
PIECE_CHARS = 4_000
PIECES_MAX = 40
# Estimate by count: of all texts of a kind together, and of a single one. What docs/http.md says.
KIND_BOUNDS, PIECE_BOUNDS = (0.75, 1.25), (0.6, 1.45)
# SmolLM2's tokenizer knows English alone: it takes several tokens where others take one.
ENGLISH_ALONE = "smollm2"


def pieces(files: Iterator[Path]) -> list[str]:
    """Return pieces of files, long enough to say something."""
    texts = (file.read_text("utf-8") for file in files)
    cut = (text[at : at + PIECE_CHARS] for text in texts for at in range(0, len(text), PIECE_CHARS))
    return list(islice((piece for piece in cut if len(piece) > PIECE_CHARS // 2), PIECES_MAX))


def tool_definitions(prose: str) -> str:
    """Return ten tools as an agent defines them, described in sentences of our documents."""
    sentences = [line for line in prose.splitlines() if 60 < len(line) < 300]
    tools = []
    for number in range(10):
        told = sentences[number * 5 : number * 5 + 5]
        fields = ("file_path", "pattern", "limit", "timeout_ms")
        properties = {
            name: {"type": "string", "description": text}
            for name, text in zip(fields, told[1:], strict=True)
        }
        schema = {"type": "object", "properties": properties, "required": ["file_path"]}
        function = {"name": f"read_file_{number}", "description": told[0], "parameters": schema}
        tools.append({"type": "function", "function": function})
    return json.dumps(tools)


@pytest.fixture(scope="module")
def sample() -> Mapping[str, list[str]]:
    documents = sorted((ROOT / "docs").glob("*.md"))
    prose = "\n".join(file.read_text("utf-8") for file in documents)
    replies = (f.read_text("utf-8") for f in sorted((ROOT / "tests/golden").rglob("*.json")))
    return {
        "prose": pieces(iter([ROOT / "README.md", *documents])),
        "code": pieces(iter(sorted((ROOT / "src").rglob("*.py"))[::5])),
        "JSON": list(islice((text for text in replies if len(text) > 600), PIECES_MAX)),
        "tools": [tool_definitions(prose)],
        "languages": list(tomllib.loads(LANGUAGES.read_text("utf-8")).values()),
    }


def counted(model: LocalModel, text: str) -> int:
    """Return a text's tokens as the model's own tokenizer counts them."""
    server = urlsplit(model.base_url).netloc
    with closing(http.client.HTTPConnection(server, timeout=60)) as connection:
        body = json.dumps({"content": text, "add_special": False})
        connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            return len(json.load(response)["tokens"])


@pytest.mark.parametrize("kind", ["prose", "code", "JSON", "tools", "languages"])
@pytest.mark.parametrize("name", ["gemma", "smollm2"])
def test_the_estimate_errs_no_more_than_is_said(
    local_models: LocalModels, sample: Mapping[str, list[str]], name: str, kind: str
):
    texts = sample[kind]
    assert texts
    tokens = [counted(local_models[name], text) for text in texts]  # type: ignore[index]
    estimates = [estimate_tokens(text) for text in texts]
    ratios = [estimate / count for estimate, count in zip(estimates, tokens, strict=True)]
    ratio = sum(estimates) / sum(tokens)
    plain = sum(len(text.encode()) for text in texts) / 4 / sum(tokens)
    print(  # noqa: T201
        f"\n{name:8}{kind:10}{len(texts):3} texts, estimate/count {ratio:.2f}, "
        f"{min(ratios):.2f} to {max(ratios):.2f}; bytes/4 {plain:.2f}"
    )
    assert max(ratios) <= PIECE_BOUNDS[1]
    if kind == "languages" and name == ENGLISH_ALONE:
        return
    assert min(ratios) >= PIECE_BOUNDS[0]
    assert KIND_BOUNDS[0] <= ratio <= KIND_BOUNDS[1]
    assert abs(log(ratio)) < abs(log(plain)) + 0.05, "four bytes a token would do as well"


def test_a_request_is_the_sum_of_its_parts():
    request = Request(dialect="openai-chat", body=b"", model="m", system="s" * 100)
    base = estimate_input_tokens(request)
    grown = {
        "turns": ((Turn(role="user", text="t" * 400),), 90 + 4),
        "image_count": (2, 2 * 765),
        "tools_bytes": (3_700, 1_000),
        "calls_bytes": (3_700, 1_000),
        "file_bytes": (5_000, 100),
        "given_tokens": (77, 77),
    }
    for name, (value, more) in grown.items():
        fields = {"dialect": "openai-chat", "body": b"", "model": "m", "system": "s" * 100}
        left = estimate_input_tokens(Request(**{**fields, name: value})) - base  # type: ignore[arg-type]
        assert left == pytest.approx(more, abs=2), name


def test_what_a_request_needs_and_how_its_body_is_written_are_not_counted():
    plain = Request(dialect="openai-chat", body=b"{}", model="m", system="hello")
    needy = Request(
        dialect="anthropic", body=b"x" * 9_999, model="m", system="hello", needs=frozenset(Need)
    )
    assert estimate_input_tokens(plain) == estimate_input_tokens(needy)
