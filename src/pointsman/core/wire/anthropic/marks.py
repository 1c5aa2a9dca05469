"""Marks: where the prompt cache shall keep what comes before.

Source: platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-23): at most four
`cache_control` marks to a request; tools come before the system prompt, that before the messages.
"""

from collections.abc import Iterator

from pointsman.core.wire.prompt import CacheMark

_NAME = "cache_control"
_MARKS_MAX = 4


def with_mark(block: dict[str, object], mark: CacheMark | None) -> dict[str, object]:
    """Return the block with its mark."""
    if mark is not None:
        lasting = {"ttl": mark.ttl} if mark.ttl != "5m" else {}
        block[_NAME] = {"type": "ephemeral", **lasting}
    return block


def limit_marks(body: dict[str, object], dropped: list[str]) -> None:
    """Take away all marks but the last four, which reach furthest."""
    marked = [
        block
        for name in ("tools", "system", "messages")
        for block in _blocks(body.get(name))
        if _NAME in block
    ]
    for block in marked[:-_MARKS_MAX]:
        del block[_NAME]
        dropped.append(_NAME)


def _blocks(node: object) -> Iterator[dict[str, object]]:
    """Yield the blocks in a list, those inside of one before it."""
    for block in node if isinstance(node, list) else ():
        yield from _blocks(block.get("content"))
        yield block
