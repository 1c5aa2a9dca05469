"""Contents: the turns of a body as a `Prompt`'s messages."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.fields import Fields, Refused
from pointsman.core.wire.gemini.media import guessed_type, is_stored, is_youtube
from pointsman.core.wire.gemini.signatures import read_signature
from pointsman.core.wire.prompt import Call, Media, Message, Part, Result, Text, Thinking

# What Google's own tools did in an earlier turn.
_HOSTED_PARTS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_OUTPUT, _ERROR = "output", "error"


def read_system(body: Fields) -> tuple[Message, ...]:
    """Return the system instruction as a message, none where there is none."""
    instruction = body.child("systemInstruction")
    if instruction is None:
        return ()
    instruction.value("role")
    texts = instruction.each("parts", lambda part: Text(text=part.text("text")))
    instruction.close()
    return (Message("system", texts),) if texts else ()


class ContentReader:
    """Reads the contents in order. `refused` gathers what may not be dropped, with the reason.

    A call without an id gets the number of its place in the conversation, which stays the same as
    that grows; a result without one answers the first call of its name that none has answered yet.
    The ids are such as every provider takes.
    """

    def __init__(self, refused: Refused) -> None:
        self._refused = refused
        self._call_count = 0
        self._open: list[Call] = []

    def read(self, contents: Iterable[Fields]) -> tuple[Message, ...]:
        """Return the messages. Raises RequestError for a part that is not of its type."""
        messages: list[Message] = []
        for content in contents:
            role = content.text("role")
            if role not in ("", "user", "model", "function"):
                path = content.at("role")
                raise RequestError(f"{path} is {role!r}; it must be user or model", param=path)
            parts = [part for fields in content.children("parts") for part in self._part(fields)]
            said = tuple(_sealed_together(parts))
            messages.append(Message("assistant" if role == "model" else "user", said))
            content.close()
        return tuple(messages)

    def _part(self, fields: Fields) -> Iterator[Part]:
        signature = read_signature(fields.text("thoughtSignature"))
        is_thought = fields.flag("thought")
        if (call := fields.child("functionCall")) is not None:
            yield self._call(call, signature)
        elif (result := fields.child("functionResponse")) is not None:
            yield self._result(result)
        elif (media := self._media(fields)) is not None:
            yield media
        elif name := next((name for name in _HOSTED_PARTS if fields.has(name)), ""):
            self._refuse(fields, name, "it is of a tool that runs at Google; leave such turns out")
            fields.drain()
        elif is_thought:
            yield Thinking(text=fields.text("text"), signature=signature)
        else:
            text = fields.text("text")
            if text or not signature:
                yield Text(text=text)
            if signature:
                yield Thinking(signature=signature, is_redacted=True)
        fields.close()

    def _call(self, call: Fields, signature: str) -> Call:
        self._call_count += 1
        made = call.text("id") or f"call{self._call_count:05d}"
        arguments = call.raw("args")
        read = Call(
            id=made,
            name=call.needed_text("name"),
            arguments="{}" if arguments is None else arguments.decode(),
            signature=signature,
        )
        self._open.append(read)
        call.close()
        return read

    def _result(self, result: Fields) -> Result:
        name, made = result.needed_text("name"), result.text("id")
        if not made:
            made = next((call.id for call in self._open if call.name == name), "")
        self._open = [call for call in self._open if call.id != made]
        text, is_error = _response_text(result.value("response"))
        media = result.each("parts", self._media)
        parts: tuple[Text | Media, ...] = (Text(text=text), *(one for one in media if one))
        result.close()
        return Result(call_id=made, parts=parts, name=name, is_error=is_error)

    def _media(self, fields: Fields) -> Media | None:
        if (blob := fields.child("inlineData")) is not None:
            kind, data = blob.text("mimeType"), blob.needed_text("data")
            media = Media(kind=_kind(kind), media_type=kind, data=data, name=_file_name(blob, kind))
            blob.close()
        elif (file := fields.child("fileData")) is not None:
            uri = file.needed_text("fileUri")
            kind = file.text("mimeType") or guessed_type(uri)
            media = Media(kind=_kind(kind), media_type=kind, url=uri, name=_file_name(file, kind))
            if is_stored(uri):
                self._refuse(fields, "fileData", "Google alone can read this file; send its data")
            elif is_youtube(uri):
                kind = "video/*"
            file.close()
        else:
            return None
        if kind.startswith("video/"):
            self._refuse(fields, "", "no other dialect takes video; send pictures of it")
        return media

    def _refuse(self, fields: Fields, name: str, reason: str) -> None:
        self._refused.append((fields.at(name) if name else fields.path, reason))


def _sealed_together(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts with thoughts that follow each other as one, up to the one with the seal."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Thinking) and not part.is_redacted:
            texts.append(part.text)
            if part.signature:
                yield msgspec.structs.replace(part, text="".join(texts))
                texts = []
            continue
        if texts:
            yield Thinking(text="".join(texts))
            texts = []
        yield part
    if texts:
        yield Thinking(text="".join(texts))


def _response_text(response: object) -> tuple[str, bool]:
    """Return what a tool gave back, and whether that is an error.

    Source: `FunctionResponse.response` in google-genai 3.4's types: `output` holds the output and
    `error` the error; where neither is there, the whole object is the output.
    """
    if isinstance(response, dict) and len(response) == 1:
        for name in (_OUTPUT, _ERROR):
            if name in response:
                said = response[name]
                text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
                return text, name == _ERROR
    return ("" if response is None else msgspec.json.encode(response).decode()), False


def _file_name(fields: Fields, media_type: str) -> str:
    """Return a file's name; images and sounds have none elsewhere, so that theirs stays unread."""
    return fields.text("displayName") if _kind(media_type) == "file" else ""


def _kind(media_type: str) -> Literal["image", "file", "audio"]:
    if media_type.startswith("image/"):
        return "image"
    return "audio" if media_type.startswith("audio/") else "file"
