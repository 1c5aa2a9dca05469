"""Contents: a `Prompt`'s messages as this dialect's turns."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.gemini.media import guessed_type
from pointsman.core.wire.gemini.signatures import PLACEHOLDER
from pointsman.core.wire.gemini.thinking import version_of
from pointsman.core.wire.prompt import Call, Media, Message, Part, Prompt, Result, Text, Thinking

_Members = dict[str, object]

# Source: ai.google.dev/gemini-api/docs/function-calling, "Multimodal function responses" (read
# 2026-11-23): from Gemini 3 on, with these types.
_IN_RESULTS = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
_USUAL_TYPES = {"image": "image/png", "audio": "audio/wav"}


class ContentWriter:
    """Writes contents; `dropped` gathers what they do not carry.

    Google wants the results of all calls of a turn together and right after it. So of all that
    stands between two turns of the model the results make one content, and the rest another after
    it. Gemini 3 gives its calls ids and wants them back; before, results meet calls by name and
    order, and no id is sent. Gemini 3 also refuses the first call of a turn that has no signature:
    one that another model made gets Google's placeholder.

    Source: ai.google.dev/gemini-api/docs/function-calling and .../thought-signatures (read
    2026-11-23).
    """

    def __init__(self, prompt: Prompt, model: str) -> None:
        self.dropped: list[str] = []
        self._prompt = prompt
        self._is_3 = version_of(model) >= (3, 0)

    def write(self, messages: Sequence[Message]) -> list[_Members]:
        """Return the contents. Raises RequestError for what no part of this dialect can hold."""
        if any(message.role == "system" for message in messages):
            self.dropped.append("system_role")
        contents: list[_Members] = []
        for is_model, run in groupby(messages, lambda one: one.role == "assistant"):
            parts = [part for message in run for part in message.parts]
            written = [self._model(parts)] if is_model else self._user(parts)
            role = "model" if is_model else "user"
            contents += ({"role": role, "parts": part} for part in written if part)
        return contents

    def _model(self, parts: Iterable[Part]) -> list[_Members]:
        written: list[_Members] = []
        has_called = False
        for part in parts:
            match part:
                case Call():
                    self._note_mark(part)
                    written.append(self._call(part, is_first=not has_called))
                    has_called = True
                case Thinking(text=text, signature=signature, is_redacted=is_redacted):
                    thought: _Members = (
                        {"text": text} if is_redacted else {"text": text} | {"thought": True}
                    )
                    written.append(thought | ({"thoughtSignature": signature} if signature else {}))
                case _:
                    written.append(self._plain(part))
        return written

    def _user(self, parts: Sequence[Part]) -> Iterator[list[_Members]]:
        shown: list[_Members] = []
        yield [self._result(part, shown) for part in parts if isinstance(part, Result)]
        yield shown + [self._plain(part) for part in parts if not isinstance(part, Result)]

    def _plain(self, part: Part) -> _Members:
        match part:
            case Text(text=text):
                self._note_mark(part)
                return {"text": text}
            case Media():
                self._note_mark(part)
                return self._media(part)
            case _:
                kind = type(part).__name__.lower()
                raise RequestError(f"a message holds a {kind} which its role cannot have said")

    def _call(self, call: Call, *, is_first: bool) -> _Members:
        function: _Members = {"id": call.id} if self._is_3 else {}
        function |= {"name": call.name, "args": _arguments(call)}
        part: _Members = {"functionCall": function}
        if call.signature:
            part["thoughtSignature"] = call.signature
        elif is_first and self._is_3:
            part["thoughtSignature"] = PLACEHOLDER
        return part

    def _result(self, result: Result, shown: list[_Members]) -> _Members:
        """Return a result; media that cannot stand in it go to `shown`, and its text says so."""
        self._note_mark(result)
        name = result.name or self._prompt.tool_name(result.call_id)
        if not name:
            raise RequestError(
                f"a tool's result answers the call {result.call_id!r}, which no message before it "
                "made; send the call too, for Gemini needs the tool's name"
            )
        texts: list[str] = []
        media: list[_Members] = []
        for part in result.parts:
            self._note_mark(part)
            if isinstance(part, Text):
                texts.append(part.text)
            elif self._is_3 and part.data and part.media_type in _IN_RESULTS:
                media.append(self._media(part))
            else:
                label = f"{part.kind} {len(shown) // 2 + 1} of the tools' results"
                texts.append(f"[{label}: in the next message]")
                shown += ({"text": f"[{label}, call {result.call_id}]"}, self._media(part))
        response: _Members = {"error" if result.is_error else "output": "\n".join(texts)}
        function: _Members = {"id": result.call_id} if self._is_3 else {}
        function |= {"name": name, "response": response}
        if media:
            function["parts"] = media
        return {"functionResponse": function}

    def _media(self, media: Media) -> _Members:
        """Return a part; only Google's own tools would read a file's name.

        Source: ai.google.dev/gemini-api/docs/file-input-methods for URLs (read 2026-11-23), and
        `Blob.display_name` in google-genai 3.4's types.
        """
        if media.name:
            self.dropped.append("file_name")
        if media.detail not in ("", "auto"):
            self.dropped.append("image_detail")
        if media.file_id:
            raise RequestError(
                f"{media.kind} {media.file_id}: only the provider that keeps this file can read "
                "it; send the data itself"
            )
        if media.url:
            kind = media.media_type or guessed_type(media.url)
            file: _Members = {"mimeType": kind} if kind else {}
            return {"fileData": file | {"fileUri": media.url}}
        kind = media.media_type or guessed_type(media.name) or _USUAL_TYPES.get(media.kind, "")
        if not kind:
            raise RequestError(
                f"file {media.name!r}: Gemini needs its media type, and neither the request nor "
                "its name says it; send a data URL with one"
            )
        return {"inlineData": {"mimeType": kind, "data": media.data}}

    def _note_mark(self, part: Text | Media | Call | Result) -> None:
        if part.mark is not None:
            self.dropped.append("cache_control")


def _arguments(call: Call) -> object:
    """Return arguments as an object. Raises RequestError where they are none."""
    try:
        msgspec.json.decode(call.arguments or "{}", type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise RequestError(
            f"the arguments of the call {call.id!r} of {call.name} are no JSON object, and Gemini "
            f"takes nothing else: {error}"
        ) from error
    return msgspec.Raw((call.arguments or "{}").encode())
