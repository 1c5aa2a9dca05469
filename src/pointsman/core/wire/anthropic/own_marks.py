"""Own marks: where we have the prompt cache keep a prefix that the client has not marked.

At the last tool, at the system prompt's end and at the end of the history that will come again as
it is. That ends with the results that tools gave, where the last user's message brings any: they
come back in each call of the loop. Else with what was said before that message, of which nobody
knows whether it comes again: clients put there what holds for one turn only, and a prompt of
examples is followed by another question each time. The fourth and last stands where the request
before had its mark: by itself the API looks for what it has no further than 20 blocks back, and one
turn may have more.

Source: platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-23).
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from pointsman.core.wire.anthropic.models import cached_tokens_min
from pointsman.core.wire.splice import splice

_FIELD = "cache_control"
_MARK = b'{"type":"ephemeral"}'
_QUOTED = b'"cache_control"'
# So few that what is long enough is seldom taken for too short. The API passes over a mark on a
# prefix that is too short, so one too many costs nothing.
_BYTES_PER_TOKEN_MIN = 3
_ROLES = frozenset({"user", "assistant"})
_MARKABLE = frozenset({"text", "image", "document", "tool_use", "tool_result"})


class _Tool(msgspec.Struct):
    defer_loading: bool | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str = "-"  # of what is no text


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Body(msgspec.Struct):
    tools: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)
_tool = msgspec.json.Decoder(_Tool)
_block = msgspec.json.Decoder(_Block)
_message = msgspec.json.Decoder(_Message)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


def with_own_marks(body: bytes, model: str) -> bytes:
    """Return a body with marks of ours, and every other byte as it is; a text becomes one block.

    One that has a mark is returned as it is, as is one that the upstream will refuse. No mark goes
    on a prefix that is surely shorter than the model keeps.
    """
    bytes_min = cached_tokens_min(model) * _BYTES_PER_TOKEN_MIN
    if len(body) < bytes_min or _QUOTED in body:
        return body
    try:
        found = _body.decode(body)
        return splice(body, dict(_marked(found, bytes_min)))
    except msgspec.DecodeError:  # the upstream says better what is wrong with it
        return body


def _marked(body: _Body, bytes_min: int) -> Iterator[tuple[str, bytes]]:
    """Yield the members that get a mark, in the order in which they make up the prompt."""
    tools, system, messages = bytes(body.tools), bytes(body.system), bytes(body.messages)
    if len(tools) >= bytes_min and (marked := _marked_last(tools, _is_loaded)):
        yield "tools", marked
    length = len(tools) + len(system)
    if length >= bytes_min and (marked := _marked_content(system, _is_markable)):
        yield "system", marked
    if length + len(messages) >= bytes_min and (
        marked := _marked_history(messages, bytes_min - length)
    ):
        yield "messages", marked


def _marked_history(messages: bytes, bytes_min: int) -> bytes | None:
    """Return the messages with marks, None where nothing in them is worth one."""
    raws = _list.decode(messages)
    asked = _last(raws, "user", before=len(raws))
    asked_before = _last(raws, "user", before=_last(raws, "assistant", before=asked))
    marked = {
        at: splice(bytes(raws[at]), {"content": content})
        for last in (asked, asked_before)
        for at, content in _stable(raws, last)
        if sum(map(len, map(bytes, raws[: at + 1]))) >= bytes_min
    }
    return _replaced(messages, raws, marked) if marked else None


def _last(raws: list[msgspec.Raw], role: str, *, before: int) -> int:
    """Return where the last message of a role is before another, -1 where none is."""
    at = before - 1
    while at >= 0 and _message.decode(raws[at]).role != role:
        at -= 1
    return at


def _stable(raws: list[msgspec.Raw], asked: int) -> Iterator[tuple[int, bytes]]:
    """Yield where the history ends that comes again, and the content there with its mark.

    `asked`: where the user's message is that came last, -1 for none.
    """
    fits: Callable[[bytes], bool] = _is_result
    for at in range(asked, -1, -1):
        message = _message.decode(raws[at])
        if message.role in _ROLES and (content := _marked_content(bytes(message.content), fits)):
            yield at, content
            return
        fits = _is_markable


def _marked_content(content: bytes, fits: Callable[[bytes], bool]) -> bytes | None:
    """Return a content with a mark at the last block that fits, None where none does."""
    if content.startswith(b"["):
        return _marked_last(content, fits)
    block = b'{"type":"text","text":' + content + b"}"
    is_said = content.startswith(b'"') and _text.decode(content).strip()
    return b"[" + splice(block, {_FIELD: _MARK}) + b"]" if is_said and fits(block) else None


def _marked_last(items: bytes, fits: Callable[[bytes], bool]) -> bytes | None:
    """Return a list with a mark at its last object that fits, None where none does."""
    raws = _list.decode(items) if items.startswith(b"[") else []
    for at in range(len(raws) - 1, -1, -1):
        raw = bytes(raws[at])
        if fits(raw):
            return _replaced(items, raws, {at: splice(raw, {_FIELD: _MARK})})
    return None


def _replaced(items: bytes, raws: list[msgspec.Raw], new: Mapping[int, bytes]) -> bytes:
    """Return a list with some other items, and the bytes between the items as they are."""
    parts: list[bytes] = []
    start = end = len(items)
    for at in range(len(raws) - 1, min(new) - 1, -1):
        start = items.rindex(raws[at], 0, start)  # no byte between two items could end one
        if at in new:
            parts += (items[start + len(bytes(raws[at])) : end], new[at])
            end = start
    return b"".join((items[:end], *reversed(parts)))


def _is_loaded(tool: bytes) -> bool:
    """Return whether a tool stands in the prompt from the beginning, as a marked one must."""
    return not _tool.decode(tool).defer_loading


def _is_markable(block: bytes) -> bool:
    read = _block.decode(block)
    return read.type in _MARKABLE and bool(read.text.strip())


def _is_result(block: bytes) -> bool:
    return _block.decode(block).type == "tool_result"
