"""Blocks: the output items of an answer as they grow, each with the events that announce it."""

from collections.abc import Iterator, Mapping

from pointsman.core.events import ReasoningDelta, TextDelta, ToolCallDelta
from pointsman.core.wire.openai_responses.items import Origin, encrypted_of, unwrapped
from pointsman.core.wire.openai_responses.response import Object, prob_object

_DELTA_OF_CALL = "response.function_call_arguments"
_DELTA_OF_CUSTOM = "response.custom_tool_call_input"


class MessageBlock:
    """A message, in which text and refusals are parts of their own."""

    def __init__(self, plain_id: str, place: int) -> None:
        self.id = f"msg_{plain_id}_{place}"
        self._at: Object = {"item_id": self.id, "output_index": place}
        self._place = place
        self._content: list[Object] = []
        self._texts: list[str] = []
        self._is_open = False

    def open(self) -> Iterator[Object]:
        """Yield the event that announces the item."""
        yield _added(self._place, self._item("in_progress"))

    def add(self, delta: TextDelta) -> Iterator[Object]:
        """Yield the events of a piece of text."""
        kind = "refusal" if delta.is_refusal else "output_text"
        if not self._is_open or self._content[-1]["type"] != kind:
            yield from self._close_part()
            yield from self._open_part(kind)
        self._texts.append(delta.text)
        event = self._part_event(f"response.{kind}.delta") | {"delta": delta.text}
        if not delta.is_refusal:
            logprobs = [prob_object(prob) for prob in delta.logprobs]
            event["logprobs"] = logprobs
            kept = self._content[-1]["logprobs"]
            assert isinstance(kept, list)
            kept += logprobs
        yield event

    def close(self, status: str) -> Iterator[Object]:
        """Yield the events that end the item."""
        yield from self._close_part()
        yield _done(self._place, self._item(status))

    def item(self) -> Object:
        """Return the whole item."""
        return self._last

    def _item(self, status: str) -> Object:
        self._last: Object = {
            "id": self.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": list(self._content),
        }
        return self._last

    def _open_part(self, kind: str) -> Iterator[Object]:
        self._is_open = True
        self._texts = []
        if kind == "refusal":
            part: Object = {"type": kind, "refusal": ""}
        else:
            part = {"type": kind, "text": "", "annotations": [], "logprobs": []}
        self._content.append(part)
        yield self._part_event("response.content_part.added") | {
            "part": {**part, **({"logprobs": []} if kind == "output_text" else {})}
        }

    def _close_part(self) -> Iterator[Object]:
        if not self._is_open:
            return
        self._is_open = False
        part, whole = self._content[-1], "".join(self._texts)
        if part["type"] == "refusal":
            part["refusal"] = whole
            yield self._part_event("response.refusal.done") | {"refusal": whole}
        else:
            part["text"] = whole
            yield self._part_event("response.output_text.done") | {
                "text": whole,
                "logprobs": part["logprobs"],
            }
        yield self._part_event("response.content_part.done") | {"part": part}

    def _part_event(self, kind: str) -> Object:
        return {"type": kind, **self._at, "content_index": len(self._content) - 1}


class ReasoningBlock:
    """A block of reasoning: its text is shown as a summary of one part."""

    def __init__(self, plain_id: str, place: int) -> None:
        self.id = f"rs_{plain_id}_{place}"
        self._at: Object = {"item_id": self.id, "output_index": place, "summary_index": 0}
        self._place = place
        self._texts: list[str] = []
        self._sealed = ""

    def open(self) -> Iterator[Object]:
        """Yield the event that announces the item."""
        yield _added(self._place, self._item([]))

    def add(self, delta: ReasoningDelta) -> Iterator[Object]:
        """Yield the events of a piece of reasoning; its seal comes with the item's end."""
        if delta.text:
            if not self._texts:
                yield self._event("part.added") | {"part": _summary("")}
            self._texts.append(delta.text)
            yield self._event("text.delta") | {"delta": delta.text}
        self._sealed = encrypted_of(delta.signature, is_redacted=delta.is_redacted)

    def close(self, status: str) -> Iterator[Object]:
        """Yield the events that end the item."""
        del status  # what is sealed is whole
        summary: list[Object] = []
        if self._texts:
            whole = "".join(self._texts)
            summary = [_summary(whole)]
            yield self._event("text.done") | {"text": whole}
            yield self._event("part.done") | {"part": summary[0]}
        yield _done(self._place, self._item(summary))

    def item(self) -> Object:
        """Return the whole item."""
        return self._last

    def _item(self, summary: list[Object]) -> Object:
        self._last: Object = {"id": self.id, "type": "reasoning", "summary": summary}
        if self._sealed:
            self._last["encrypted_content"] = self._sealed
        return self._last

    def _event(self, kind: str) -> Object:
        return {"type": f"response.reasoning_summary_{kind}", **self._at}


class CallBlock:
    """A call of a function, or of a custom tool, whose input is told at its end.

    A custom tool's input stands inside JSON until then, and a model may have written anything.
    """

    def __init__(
        self, plain_id: str, place: int, delta: ToolCallDelta, origins: Mapping[str, Origin]
    ) -> None:
        origin = origins.get(delta.name) or Origin(delta.name)
        self._is_custom = origin.is_custom
        self.id = f"{'ctc' if self._is_custom else 'fc'}_{plain_id}_{place}"
        self._place = place
        self._at: Object = {"item_id": self.id, "output_index": place}
        self._pieces: list[str] = []
        self._head: Object = {
            "id": self.id,
            "type": "custom_tool_call" if self._is_custom else "function_call",
            # Some upstreams give their calls no id.
            "call_id": delta.id or f"call_{plain_id}_{place}",
            "name": origin.name,
        }
        if origin.namespace:
            self._head["namespace"] = origin.namespace

    def open(self) -> Iterator[Object]:
        """Yield the event that announces the item."""
        yield _added(self._place, self._item("", "in_progress"))

    def add(self, delta: ToolCallDelta) -> Iterator[Object]:
        """Yield the events of a piece of the arguments."""
        if not delta.arguments:
            return
        self._pieces.append(delta.arguments)
        if not self._is_custom:
            yield {"type": f"{_DELTA_OF_CALL}.delta", **self._at, "delta": delta.arguments}

    def close(self, status: str) -> Iterator[Object]:
        """Yield the events that end the item."""
        whole = "".join(self._pieces)
        if self._is_custom:
            whole = unwrapped(whole)
            if whole:
                yield {"type": f"{_DELTA_OF_CUSTOM}.delta", **self._at, "delta": whole}
            yield {"type": f"{_DELTA_OF_CUSTOM}.done", **self._at, "input": whole}
        else:
            name = self._head["name"]
            done = {"name": name, "arguments": whole}
            yield {"type": f"{_DELTA_OF_CALL}.done", **self._at, **done}
        yield _done(self._place, self._item(whole, status))

    def item(self) -> Object:
        """Return the whole item."""
        return self._last

    def _item(self, whole: str, status: str) -> Object:
        written = "input" if self._is_custom else "arguments"
        self._last: Object = {**self._head, written: whole, "status": status}
        return self._last


Block = MessageBlock | ReasoningBlock | CallBlock


def _added(place: int, item: Object) -> Object:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def _done(place: int, item: Object) -> Object:
    return {"type": "response.output_item.done", "output_index": place, "item": item}


def _summary(text: str) -> Object:
    return {"type": "summary_text", "text": text}
