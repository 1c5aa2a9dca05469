"""Messages of a chat body, read in full for another dialect."""

from collections.abc import Iterator, Mapping

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.fields import Fields, Refused
from pointsman.core.wire.openai_chat.media import IMAGE_PARTS, read_audio, read_file, read_image
from pointsman.core.wire.prompt import (
    CacheMark,
    Call,
    Media,
    Message,
    Part,
    Result,
    Role,
    Text,
    Thinking,
)

# How a tool's failure is said, where the dialect has no flag for it; read back as the flag.
ERROR_MARK = "[tool error]\n"

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class MessageReader:
    """Reads the messages in order. `refused` gathers what may not be dropped, with the reason.

    Calls of the deprecated kind have no ids: they get them here, counted through, and the results
    that follow are taken to be theirs.
    """

    def __init__(self, refused: Refused) -> None:
        self._refused = refused
        self._functions = 0

    def read(self, messages: Iterator[Fields]) -> tuple[Message, ...]:
        """Return the messages; tools' results that follow each other are one user's message."""
        found: list[Message] = []
        for fields in messages:
            role = fields.needed_text("role")
            if role in ("tool", "function"):
                result = self._result(fields, role)
                if found and found[-1].parts and isinstance(found[-1].parts[-1], Result):
                    found[-1] = Message("user", (*found[-1].parts, result))
                else:
                    found.append(Message("user", (result,)))
            elif role in _ROLES:
                found.append(Message(_ROLES[role], tuple(self._parts(fields, role))))
            else:
                raise RequestError(
                    f"{fields.at('role')} is {role!r}; it must be system, developer, user, "
                    "assistant or tool",
                    param=fields.at("role"),
                )
            fields.close()
        return tuple(found)

    def _parts(self, fields: Fields, role: str) -> Iterator[Part]:
        if role != "assistant":
            yield from self._content(fields)
            return
        reasoning = fields.text("reasoning_content"), fields.text("reasoning")
        if any(reasoning):
            yield Thinking(text=reasoning[0] or reasoning[1])
        yield from self._content(fields)
        if refusal := fields.text("refusal"):
            yield Text(text=refusal, is_refusal=True)
        if fields.value("audio") is not None:
            self._refuse(
                fields.at("audio"), "only the provider keeps that sound; send what it said as text"
            )
        for call in fields.children("tool_calls"):
            yield _call(call)
            call.close()
        if (function := fields.child("function_call")) is not None:
            self._functions += 1
            yield _function(function, f"function_{self._functions}")

    def _content(self, fields: Fields) -> "Iterator[Text | Media | Thinking]":
        content = fields.value("content")
        if isinstance(content, str):
            if content:
                yield Text(text=content, mark=read_mark(fields))
            return
        if content is not None and not isinstance(content, list):
            path = fields.at("content")
            raise RequestError(f"{path} must be a text or a list of parts", param=path)
        for number, part in enumerate(content or ()):
            if isinstance(part, str):
                yield Text(text=part)
                continue
            one = Fields(part, f"{fields.at('content')}[{number}]", fields.unread)
            yield from self._part(one)
            one.close()

    def _part(self, part: Fields) -> "Iterator[Text | Media | Thinking]":
        kind, mark = part.text("type"), read_mark(part)
        match kind:
            case "text" | "input_text" | "output_text" | "":
                yield Text(text=part.text("text"), mark=mark)
            case "refusal":
                yield Text(text=part.text("refusal"), is_refusal=True, mark=mark)
            case "thinking":  # Mistral's reasoning models
                yield Thinking(text="".join(part.each("thinking", _thought)))
            case "input_audio":
                yield read_audio(part, mark)
            case "file":
                media = read_file(part, mark)
                if media.file_id:
                    self._refuse(
                        part.at("file.file_id"), "only the provider that keeps it can read it"
                    )
                yield media
            case _ if kind in IMAGE_PARTS and part.has("image_url"):
                yield read_image(part, mark)
            case _:
                self._refuse(part.path, f"a part of type {kind!r} has no counterpart elsewhere")
                part.drain()

    def _result(self, fields: Fields, role: str) -> Result:
        if role == "function":
            name, call_id = fields.text("name"), f"function_{max(1, self._functions)}"
        else:
            name, call_id = fields.text("name"), fields.needed_text("tool_call_id")
        parts = tuple(part for part in self._content(fields) if not isinstance(part, Thinking))
        first = parts[0] if parts else None
        is_error = isinstance(first, Text) and first.text.startswith(ERROR_MARK)
        if is_error and isinstance(first, Text):
            text = first.text.removeprefix(ERROR_MARK)
            rest = (msgspec.structs.replace(first, text=text),) if text else ()
            parts = (*rest, *parts[1:])
        return Result(call_id=call_id, parts=parts, name=name, is_error=is_error)

    def _refuse(self, path: str, reason: str) -> None:
        self._refused.append((path, reason))


def _thought(fields: Fields) -> str:
    fields.value("type")
    return fields.text("text")


def _call(fields: Fields) -> Call:
    """Return a call; one of a custom tool has its free text as the argument `input`."""
    kind, made, mark = fields.text("type"), fields.text("id"), read_mark(fields)
    fields.value("index")
    if kind == "custom":
        custom = fields.child("custom") or Fields({}, fields.at("custom"), fields.unread)
        arguments = msgspec.json.encode({"input": custom.text("input")}).decode()
        call = Call(id=made, name=custom.needed_text("name"), arguments=arguments, mark=mark)
        custom.close()
        return call
    function = fields.child("function") or Fields({}, fields.at("function"), fields.unread)
    return msgspec.structs.replace(_function(function, made), mark=mark)


def _function(fields: Fields, made: str) -> Call:
    call = Call(id=made, name=fields.needed_text("name"), arguments=fields.text("arguments"))
    fields.close()
    return call


def read_mark(fields: Fields) -> CacheMark | None:
    """Return the cache mark of a part or a tool.

    OpenAI's own, `prompt_cache_breakpoint`, keeps for 30 minutes or 12 hours: more than the five
    minutes that are the other choice, so both are read as an hour, and 12 hours are told of.
    `cache_control` is Anthropic's, which OpenRouter and others take in this dialect.

    Source: openai-python 3.54, ChatCompletionContentPartTextParam; openrouter.ai, "Prompt
    Caching" (read 2026-11-23).
    """
    own, other = fields.child("prompt_cache_breakpoint"), fields.child("cache_control")
    if own is not None:
        own.value("mode")
        if own.text("ttl") not in ("", "30m"):
            own.tell("ttl")
        own.close()
        return CacheMark(ttl="1h")
    if other is None:
        return None
    other.value("type")
    is_long = other.text("ttl") == "1h"
    other.close()
    return CacheMark(ttl="1h" if is_long else "5m")
