"""Refit: make a body's history fit for another deployment, byte for byte but for what must go."""

from collections.abc import Callable, Iterator

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.anthropic.seals import signature_of
from pointsman.core.wire.splice import splice


class _Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    tool_use_id: str | None = None
    signature: str | None = None
    data: str | None = None


class _Message(msgspec.Struct):
    content: msgspec.Raw


_block = msgspec.json.Decoder(_Block)
_message = msgspec.json.Decoder(_Message)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def refit_body(body: bytes, keeps: Callable[[str], bool], call_id: Callable[[str], str]) -> bytes:
    """Return the body without thinking whose signature `keeps` does not know, its ids refitted.

    Thinking without a signature is nobody's and goes too. A message of which nothing else is left
    goes; the API takes messages of one role in a row as one. What is not changed keeps its bytes.

    Raises RequestError for a block that is not of its type.
    """
    old = [bytes(raw) for raw in _list.decode(_members.decode(body)["messages"])]
    new = [kept for raw in old if (kept := _refitted(raw, keeps, call_id)) is not None]
    return body if new == old else splice(body, {"messages": b"[" + b",".join(new) + b"]"})


def _refitted(
    message: bytes, keeps: Callable[[str], bool], call_id: Callable[[str], str]
) -> bytes | None:
    """Return one message, None where nothing is left of it."""
    content = bytes(_message.decode(message).content)
    if not content.startswith(b"["):
        return message
    old = [bytes(raw) for raw in _list.decode(content)]
    new = list(_blocks(old, keeps, call_id))
    if new == old:
        return message
    return splice(message, {"content": b"[" + b",".join(new) + b"]"}) if new else None


def _read_block(raw: bytes) -> _Block:
    try:
        return _block.decode(raw)
    except msgspec.ValidationError as error:
        raise RequestError(f"a block of messages[].content does not fit: {error}") from error


def _blocks(
    blocks: list[bytes], keeps: Callable[[str], bool], call_id: Callable[[str], str]
) -> Iterator[bytes]:
    for raw in blocks:
        block = _read_block(raw)
        match block.type:
            case "thinking" | "redacted_thinking":
                signature = (
                    block.signature if block.type == "thinking" else signature_of(block.data or "")
                )
                if signature and keeps(signature):
                    yield raw
            case "tool_use" if block.id and call_id(block.id) != block.id:
                yield splice(raw, {"id": msgspec.json.encode(call_id(block.id))})
            case "tool_result" if block.tool_use_id:
                made = call_id(block.tool_use_id)
                is_new = made != block.tool_use_id
                yield splice(raw, {"tool_use_id": msgspec.json.encode(made)}) if is_new else raw
            case _:
                yield raw
