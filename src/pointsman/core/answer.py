"""Answer: put a stream's events together again. This is all that "non-streaming" means."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.types import ToolCall
from pointsman.core.usage import NOT_SAID, Service, Usage


class AnswerBuilder:
    """Gathers the events of an answer's first choice; the others stay in their frames.

    `chars` counts what has come so far: text, reasoning and tool-call arguments. `usage` is None
    until the upstream reports it, `finish_reason` until the end. `signatures` are all that the
    answer has been sealed with. `service`: what the upstream has said of its price.
    `reported_chars`: how much had come when the upstream last reported its usage.
    """

    __slots__ = (
        "_calls", "_reasoning", "_text", "chars", "finish_reason", "reported_chars", "service",
        "signatures", "started", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.started: Started | None = None
        self.usage: Usage | None = None
        self.service: Service = NOT_SAID
        self.finish_reason: str | None = None
        self.chars = 0
        self.reported_chars = 0
        self.signatures: list[str] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _OpenCall] = {}

    def add(self, event: Event) -> None:
        """Take the next event."""
        self.take((event,))

    def take(self, events: Sequence[Event]) -> None:
        """Take the next events, all that came at once."""
        for event in events:
            if isinstance(event, TextDelta):  # nearly all are
                text = event.text
                self.chars += len(text)
                if not event.choice:
                    self._text.append(text)
            elif isinstance(event, ReasoningDelta):
                self._add_reasoning(event)
            elif isinstance(event, ToolCallDelta):
                self._add_call(event)
            elif isinstance(event, UsageReport):
                self.usage = event.usage
                if event.service is not NOT_SAID:
                    self.service = event.service.after(self.service)
                self.reported_chars = self.chars
            elif isinstance(event, Started):
                self.started = event
            elif isinstance(event, Finished):
                self.finish_reason = event.reason

    @property
    def text(self) -> str:
        """Return the text so far."""
        return _joined(self._text)

    @property
    def reasoning(self) -> str:
        """Return the reasoning so far."""
        return _joined(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls so far, in the order of their indices."""
        calls = self._calls
        return tuple(calls[index].so_far() for index in sorted(calls)) if calls else ()

    def _add_reasoning(self, delta: ReasoningDelta) -> None:
        self.chars += len(delta.text)
        if delta.signature:
            self.signatures.append(delta.signature)
        if delta.choice == 0:
            self._reasoning.append(delta.text)

    def _add_call(self, delta: ToolCallDelta) -> None:
        self.chars += len(delta.arguments) + len(delta.name)
        if delta.signature:
            self.signatures.append(delta.signature)
        if delta.choice != 0:
            return
        call = self._calls.setdefault(delta.index, _OpenCall())
        call.id = delta.id or call.id
        call.name = delta.name or call.name
        call.signature = delta.signature or call.signature
        call.arguments.append(delta.arguments)


@dataclass(slots=True)
class _OpenCall:
    """A tool call that may still grow."""

    id: str = ""
    name: str = ""
    signature: str = ""
    arguments: list[str] = field(default_factory=list)

    def so_far(self) -> ToolCall:
        """Return the call as it is by now."""
        return ToolCall(
            id=self.id,
            name=self.name,
            arguments=_joined(self.arguments),
            signature=self.signature,
        )


def _joined(pieces: list[str]) -> str:
    """Return the pieces as one, and keep that in their place: they are asked for more than once."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""
