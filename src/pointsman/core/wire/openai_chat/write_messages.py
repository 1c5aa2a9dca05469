"""Messages as a chat body has them, written from a `Prompt`'s."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from pointsman.core.errors import RequestError
from pointsman.core.wire.openai_chat.media import write_media
from pointsman.core.wire.openai_chat.read_messages import ERROR_MARK
from pointsman.core.wire.prompt import Call, Media, Message, Part, Result, Text, Thinking

Content = list[Mapping[str, object]]


class MessageWriter:
    """Writes messages; `dropped` gathers what they do not carry.

    The API wants each call's result right after the message with the calls, in messages that hold
    text alone. So of all that stands between two messages of the assistant the results come first,
    and their images and files follow in a user's message, which the results' texts point to. In a
    message of the assistant all text comes before all calls.
    """

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def write(self, messages: Sequence[Message]) -> list[Mapping[str, object]]:
        """Return the messages. Raises RequestError for what no message here can hold."""
        return [
            written
            for is_assistant, run in groupby(messages, lambda one: one.role == "assistant")
            for written in (map(self._assistant, run) if is_assistant else self._others(run))
        ]

    def _others(self, run: Iterable[Message]) -> Iterator[Mapping[str, object]]:
        messages = tuple(run)
        shown: Content = []
        for message in messages:
            for part in message.parts:
                if isinstance(part, Result):
                    yield self._result(part, shown)
        if shown:
            yield {"role": "user", "content": shown}
        for message in messages:
            parts = tuple(part for part in message.parts if not isinstance(part, Result))
            if parts or not message.parts:
                yield {"role": message.role, "content": self._content(parts, message.role)}

    def _result(self, result: Result, shown: Content) -> Mapping[str, object]:
        """Return a result as a message of its own; what is no text goes to `shown`."""
        self._note_mark(result)
        texts: list[str] = []
        for part in result.parts:
            if isinstance(part, Text):
                self._note_mark(part)
                texts.append(part.text)
                continue
            self._note_mark(part)
            label = f"{part.kind} {len(shown) // 2 + 1} of the tools' results"
            texts.append(f"[{label}: in the next message]")
            shown += (_text(f"[{label}, call {result.call_id}]"), write_media(part))
        if result.is_error:
            texts[:1] = [ERROR_MARK + (texts[0] if texts else "")]
        content = texts[0] if len(texts) == 1 else [_text(text) for text in texts]
        return {"role": "tool", "tool_call_id": result.call_id, "content": content or ""}

    def _assistant(self, message: Message) -> Mapping[str, object]:
        texts: list[Part] = []
        refusals: list[str] = []
        calls: list[Mapping[str, object]] = []
        for part in message.parts:
            match part:
                case Text(text=text, is_refusal=True):
                    refusals.append(text)
                case Call():
                    self._note_mark(part)
                    calls.append(_call(part))
                case Thinking():
                    self.dropped.append("reasoning")
                case _:
                    texts.append(part)
        content = self._content(texts, "assistant")
        written: dict[str, object] = {"role": "assistant", "content": content}
        if refusals:
            written["refusal"] = "".join(refusals)
        if calls:
            written["tool_calls"] = calls
        if not content and (calls or refusals):
            written["content"] = None
        return written

    def _content(self, parts: Sequence[Part], role: str) -> str | Content:
        """Return one text as it is, anything else as a list of parts."""
        content: Content = []
        for part in parts:
            match part:
                case Text(text=text):
                    self._note_mark(part)
                    content.append(_text(text))
                case Media() if role == "user":
                    self._note_mark(part)
                    content.append(write_media(part))
                case _:
                    kind = part.kind if isinstance(part, Media) else type(part).__name__.lower()
                    raise RequestError(
                        f"a message of the role {role} holds a part ({kind}) that chat completions "
                        "take in no such message"
                    )
        if len(content) == 1 and "text" in content[0]:
            return str(content[0]["text"])
        return content or ""

    def _note_mark(self, part: Text | Media | Call | Result) -> None:
        if part.mark is not None:
            self.dropped.append("cache_control")


def _text(text: str) -> Mapping[str, object]:
    return {"type": "text", "text": text}


def _call(call: Call) -> Mapping[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
