"""Writing messages: the system prompt, the messages, and the blocks in them."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TypedDict

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.anthropic.marks import with_mark
from pointsman.core.wire.prompt import (
    Call,
    Media,
    Message,
    Part,
    Result,
    Role,
    Text,
    Thinking,
)

Block = dict[str, object]


class Said(TypedDict):
    """One message."""

    role: Role
    content: list[Block]


_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
# How the data of each begins, in base64.
_STARTS: Mapping[str, str] = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
# The API wants the user to speak first.
_OPENING = "(The assistant opens the conversation.)"


def write_messages(
    messages: Sequence[Message], dropped: list[str]
) -> tuple[list[Block], list[Said]]:
    """Return the system prompt, empty for none, and the messages.

    - System messages at the start are the system prompt; where nothing else is said they are the
      user's. Later ones are put into the user's message beside them, between <system> tags, for
      most models take none there; the role is then named as dropped.
    - Messages of one role in a row become one. Tools' results come first in a user's message.
    - Text of white space alone is left out, and so is what it ends the last of an assistant's
      texts with: the API refuses both.
    - Thinking without a signature is left out: nobody can read it.
    - Where the assistant speaks first, a user's line is put before it.

    Raises RequestError for what no block can say.
    """
    leading = list(takewhile(lambda message: message.role == "system", messages))
    rest = messages[len(leading) :]
    if not rest:
        leading, rest = [], [Message("user", message.parts) for message in leading]
    turns = _turns(rest, dropped)
    if not turns:
        raise RequestError("messages say nothing; send some text", param="messages")
    if turns[0][0] == "assistant":
        turns.insert(0, ("user", [Text(text=_OPENING)]))
    said: list[Said] = [
        {"role": role, "content": [_block(part, role, dropped) for part in parts]}
        for role, parts in turns
    ]
    return _system(leading), said


def _system(messages: Iterable[Message]) -> list[Block]:
    blocks: list[Block] = []
    for message in messages:
        for part in filter(_says_something, message.parts):
            if not isinstance(part, Text):
                raise RequestError("a system message can have text alone", param="messages")
            blocks.append(with_mark({"type": "text", "text": part.text}, part.mark))
    return blocks


def _turns(messages: Iterable[Message], dropped: list[str]) -> list[tuple[Role, list[Part]]]:
    """Return roles and parts, users' and assistants' by turns."""
    turns: list[tuple[Role, list[Part]]] = []
    for message in messages:
        role: Role = "assistant" if message.role == "assistant" else "user"
        parts = list(filter(_says_something, message.parts))
        if message.role == "system" and parts:
            parts = list(_folded(parts))
            dropped.append("system_role")
        if parts and turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((role, parts))
    for role, parts in turns:
        if role == "user":
            parts.sort(key=lambda part: not isinstance(part, Result))
    if turns and turns[-1][0] == "assistant":
        last = turns[-1][1][-1]
        if isinstance(last, Text):
            turns[-1][1][-1] = msgspec.structs.replace(last, text=last.text.rstrip())
    return turns


def _folded(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Text):
            yield msgspec.structs.replace(part, text=f"<system>\n{part.text}\n</system>")
        else:
            yield part


def _says_something(part: Part) -> bool:
    match part:
        case Text(text=text):
            return bool(text.strip())
        case Thinking(signature=signature):
            return bool(signature)
        case _:
            return True


def _block(part: Part, role: Role, dropped: list[str]) -> Block:
    match part:
        case Text(text=text, mark=mark):
            return with_mark({"type": "text", "text": text}, mark)
        case Media() if role == "assistant":
            raise RequestError(
                f"an assistant's message has an {part.kind}, which users alone may send here",
                param="messages",
            )
        case Media():
            return _media(part, dropped)
        case Thinking(is_redacted=True, signature=signature):
            return {"type": "redacted_thinking", "data": signature}
        case Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case Call():
            return _call(part)
        case Result():
            return _result(part, dropped)


def _call(call: Call) -> Block:
    block: Block = {"type": "tool_use", "id": call.id, "name": call.name}
    return with_mark({**block, "input": call_input(call.arguments)}, call.mark)


def call_input(arguments: str) -> msgspec.Raw | Mapping[str, object]:
    """Return a call's arguments as the object that they must be here.

    None at all are an empty object. What is no object, or no JSON, stands in one under the name
    "arguments".
    """
    if not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {"arguments": arguments}
    return msgspec.Raw(arguments.encode()) if isinstance(value, dict) else {"arguments": value}


def _result(result: Result, dropped: list[str]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": result.call_id}
    parts = [part for part in result.parts if _says_something(part)]
    if parts:
        block["content"] = [_block(part, "user", dropped) for part in parts]
    if result.is_error:
        block["is_error"] = True
    return with_mark(block, result.mark)


def _media(media: Media, dropped: list[str]) -> Block:
    if media.detail:
        dropped.append("image_detail")
    if media.file_id:
        raise RequestError(
            f"{media.kind} {media.file_id}: only the provider that keeps this file can read it; "
            "send the data itself",
            param="messages",
        )
    if media.kind == "image":
        return with_mark({"type": "image", "source": _image_source(media)}, media.mark)
    if media.kind == "audio":
        raise RequestError("this dialect takes no sound; send its words", param="messages")
    block: Block = {"type": "document", "source": _file_source(media)}
    return with_mark(block | ({"title": media.name} if media.name else {}), media.mark)


def _image_source(media: Media) -> Mapping[str, object]:
    if media.url:
        return {"type": "url", "url": media.url}
    media_type = media.media_type or _guessed(media.data)
    if media_type not in _IMAGE_TYPES:
        raise RequestError(
            f"an image is of type {media_type!r}; this dialect takes PNG, JPEG, GIF and WebP",
            param="messages",
        )
    return {"type": "base64", "media_type": media_type, "data": media.data}


def _file_source(media: Media) -> Mapping[str, object]:
    """Return a PDF as it is, and a text as its words; by a URL the API reads PDFs alone."""
    media_type = (media.media_type or _guessed(media.data)).partition(";")[0].strip()
    if media.url and media_type in ("", "application/pdf"):
        return {"type": "url", "url": media.url}
    if media.data and media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": media.data}
    if media.data and (media_type.startswith("text/") or media_type == "application/json"):
        try:
            text = base64.b64decode(media.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise RequestError(
                f"a file of type {media_type} is no UTF-8 text in base64: {error}", param="messages"
            ) from error
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise RequestError(
        f"a file is of type {media_type!r}; this dialect takes PDF, and text with its data",
        param="messages",
    )


def _guessed(data: str) -> str:
    found = (kind for start, kind in _STARTS.items() if data.startswith(start))
    return next(found, "")
