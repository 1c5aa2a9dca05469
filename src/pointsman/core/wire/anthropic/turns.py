"""Turns: what routing reads in a body's messages, block by block."""

from collections.abc import Iterator, Sequence

import msgspec

from pointsman.core.types import Need, Turn
from pointsman.core.wire.anthropic.seals import signature_of

_OF_OWN_TOOLS = ("server_tool_use", "mcp_tool_use", "container_upload")
_END_OF_RESULT = "_tool_result"


class Source(msgspec.Struct):
    """Where a document or an image comes from."""

    type: str | None = None
    data: str | None = None
    content: "str | list[Block] | None" = None


class Block(msgspec.Struct):
    """A block of content, of any type."""

    type: str = ""
    text: str | None = None
    content: "str | list[Block] | Block | None" = None
    source: Source | str | None = None
    id: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    signature: str | None = None
    data: str | None = None
    citations: msgspec.Raw = msgspec.Raw()


class Said(msgspec.Struct):
    """One message."""

    role: str
    content: str | list[Block]


class Found:
    """What the messages' blocks have besides text."""

    def __init__(self) -> None:
        self.images = 0
        self.file_bytes = 0
        self.has_unsized = False
        self.calls_bytes = 0
        self.signatures: list[str] = []
        self.needs: set[Need] = set()


def turns_of(message: Said, found: Found) -> Iterator[Turn]:
    """Yield a message's turns: its words, then a turn for each tool's result it brings."""
    content = message.content
    if isinstance(content, str):
        if message.role != "system":
            yield Turn(role=message.role, text=content)
        return
    texts: list[str] = []
    results: list[Turn] = []
    calls: list[str] = []
    for block in content:
        kind = block.type
        if kind == "text":
            texts.append(block.text or "")
        elif kind == "tool_result":
            results.append(Turn(role="tool", text=_look_into(block.content, found)))
        elif kind == "tool_use":
            found.calls_bytes += len(bytes(block.input))
            calls += (block.id,) if block.id else ()
        else:
            texts += _look_at(block, found)
    if message.role == "system":
        return
    if texts or not results:
        yield Turn(role=message.role, text="\n".join(texts), tool_call_ids=tuple(calls))
    yield from results


def _look_into(content: "str | list[Block] | Block | None", found: Found) -> str:
    """Return the text of a result or a document's source, and note what else it has."""
    if isinstance(content, str):
        return content
    if content is None or isinstance(content, Block):
        found.has_unsized |= content is not None
        return ""
    return "\n".join(text for block in content for text in _look_at(block, found))


def _look_at(block: Block, found: Found) -> Sequence[str]:
    """Note what a block has that is no text of its own, and return the texts that it has."""
    match block.type:
        case "text":
            return (block.text or "",)
        case "thinking":
            found.signatures.append(block.signature or "")
        case "redacted_thinking":
            found.signatures.append(signature_of(block.data or ""))
        case "image":
            found.images += 1
            _note_file(block, found)
        case "document":
            return _look_at_document(block, found)
        case "search_result":
            return (_look_into(block.content, found),)
        case "compaction" if isinstance(block.content, str):
            return (block.content,)
        case kind if kind in _OF_OWN_TOOLS or kind.endswith(_END_OF_RESULT):
            found.needs.add(Need.HOSTED_TOOLS)
            found.has_unsized = True
            if kind == "container_upload":
                found.needs.add(Need.STORED_FILES)
        case "tool_reference":  # its definition is among the tools
            pass
        case _:
            found.has_unsized = True
    return ()


def _look_at_document(block: Block, found: Found) -> Sequence[str]:
    source = block.source if isinstance(block.source, Source) else Source()
    if source.type == "text":
        return (source.data or "",)
    if source.type == "content":
        return (_look_into(source.content, found),)
    found.needs.add(Need.FILES)
    found.has_unsized = True
    found.file_bytes += len(source.data or "") * 3 // 4
    _note_file(block, found)
    return ()


def _note_file(block: Block, found: Found) -> None:
    if isinstance(block.source, Source) and block.source.type == "file":
        found.needs.add(Need.STORED_FILES)


def text_of(content: str | list[Block]) -> str:
    """Return the text of content that is text alone, such as the system prompt."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if block.text is not None)
