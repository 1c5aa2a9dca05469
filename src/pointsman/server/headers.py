"""Headers: what a reply's header may hold, whatever a prompt, a model or a client is called."""

from collections.abc import Sequence
from functools import lru_cache

from pointsman.server.exchange import Headers

_CHARS_MAX = 300
_NAMES_CHARS_MAX = 2_000


def printable(text: str, chars_max: int = _CHARS_MAX) -> str:
    """Return text that a header may hold: ASCII, on one line, not too long."""
    text = text[:chars_max]
    if text.isascii() and text.isprintable():
        return text
    plain = text.encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in plain)


@lru_cache(maxsize=256)
def printable_name(name: str) -> str:
    """Return a name of the configuration as a header may hold it; there are not many."""
    return printable(name)


def name_list(names: Sequence[str]) -> str:
    """Return names joined by commas; those for which there is no room are counted."""
    shown: list[str] = []
    chars = 0
    for name in names:
        chars += len(name) + 1
        if chars > _NAMES_CHARS_MAX:
            return ",".join((*shown, f"and {len(names) - len(shown)} more"))
        shown.append(printable(name.replace(",", " ")))
    return ",".join(shown)


def id_headers(dialect: str, request_id: str) -> Headers:
    """Return the headers that carry a request's id: ours, and the one that Anthropic's SDK reads.

    Source: anthropic 2.12, `_exceptions.py` and `_response.py`, read 2026-11-23; OpenAI's SDK
    reads ours.
    """
    ours = ("x-request-id", request_id)
    return (ours, ("request-id", request_id)) if dialect == "anthropic" else (ours,)
