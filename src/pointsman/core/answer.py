"""Answer: put a stream's events together again. This is all that "non-streaming" means."""

from dataclasses import dataclass, field

from pointsman.core.events import (
    Event,
    Finished,
    Note,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.types import ToolCall
from pointsman.core.usage import NOT_SAID, Service, Usage


@dataclass(slots=True)
class AnswerBuilder:
    """Gathers the events of an answer's first choice; the others stay in their frames.

    `chars` counts what has come so far: text, reasoning and tool-call arguments. `usage` is None
    until the upstream reports it, `finish_reason` until the end. `signatures` are all that the
    answer has been sealed with. `service`: what the upstream has said of its price.
    """

    started: Started | None = None
    usage: Usage | None = None
    service: Service = NOT_SAID
    finish_reason: str | None = None
    chars: int = 0
    signatures: list[str] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: dict[int, "_OpenCall"] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case TextDelta(text=text, choice=choice):
                self.chars += len(text)
                if choice == 0:
                    self._text.append(text)
            case ReasoningDelta():
                self._add_reasoning(event)
            case ToolCallDelta():
                self._add_call(event)
            case UsageReport(usage=usage, service=service):
                self.usage, self.service = usage, service.after(self.service)
            case Started():
                self.started = event
            case Finished(reason=reason):
                self.finish_reason = reason
            case Note():
                pass

    @property
    def text(self) -> str:
        """Return the text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """Return the reasoning so far."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls so far, in the order of their indices."""
        calls = (self._calls[index] for index in sorted(self._calls))
        return tuple(
            ToolCall(
                id=call.id,
                name=call.name,
                arguments="".join(call.arguments),
                signature=call.signature,
            )
            for call in calls
        )

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
