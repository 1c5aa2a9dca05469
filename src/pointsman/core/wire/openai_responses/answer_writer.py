"""Answer writer: events as the objects of this dialect's stream, and as the whole response."""

from collections.abc import Iterable, Iterator

from pointsman.core.errors import GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.types import Request
from pointsman.core.usage import Usage
from pointsman.core.wire.openai_chat.errors import error_object
from pointsman.core.wire.openai_responses.blocks import (
    Block,
    CallBlock,
    MessageBlock,
    ReasoningBlock,
)
from pointsman.core.wire.openai_responses.items import origins
from pointsman.core.wire.openai_responses.response import (
    Object,
    plain_id,
    repeated,
    usage_object,
)

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# The closed list of codes that a failed response may have (openai-python 3.54, ResponseError).
_FAILED_RATE, _FAILED_REQUEST, _FAILED = "rate_limit_exceeded", "invalid_prompt", "server_error"


class AnswerWriter:
    """Turns events into the objects of this dialect's stream, and into the whole response."""

    def __init__(self, request: Request, model: str) -> None:
        self._repeated = repeated(request)
        self._origins = origins(request.body)
        self._model = model
        self._plain_id = plain_id(None)
        self._created = 0
        self._number = 0
        self._blocks: list[Block] = []
        self._open: MessageBlock | ReasoningBlock | None = None
        self._calls: dict[int, CallBlock] = {}
        self._usage: Usage | None = None
        self._is_refused = False
        self._has_begun = False
        self._status: Object = {"status": "in_progress"}

    def begin(self, started: Started) -> None:
        """Take the answer's id and time."""
        self._plain_id = plain_id(started)
        self._created = started.created
        self._has_begun = True

    def count_from(self, number: int) -> None:
        """Go on with a stream whose next `sequence_number` is this one."""
        self._number = number

    def add(self, event: Event) -> Iterator[Object]:
        """Yield the objects for one event, maybe none."""
        match event:
            case Started():
                yield from self._start(event)
            case TextDelta(choice=0):
                if event.text or event.logprobs:
                    self._is_refused = self._is_refused or event.is_refusal
                    if not isinstance(self._open, MessageBlock):
                        yield from self._begin(MessageBlock(self._plain_id, len(self._blocks)))
                    assert isinstance(self._open, MessageBlock)
                    yield from self._numbered(self._open.add(event))
            case ReasoningDelta(choice=0):
                yield from self._reason(event)
            case ToolCallDelta(choice=0):
                yield from self._call(event)
            case UsageReport(usage=usage):
                self._usage = usage
            case Finished(reason=reason):
                yield from self._end(reason)
            case _:
                pass

    def fail(self, error: GatewayError, request_id: str) -> Iterator[Object]:
        """Yield the error event and the failed response."""
        if not self._has_begun:
            yield from self._start(Started(id="", created=0, model="", dialect="", is_stream=True))
        told = error_object(error, request_id)
        event: Object = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "error": told,
        }
        yield from self._numbered([event])
        self._status = {
            "status": "failed",
            "error": {"code": _failed_code(error), "message": error.message},
        }
        yield from self._numbered([{"type": "response.failed", "response": self.response()}])

    def response(self) -> Object:
        """Return the response as far as it has come; items that have ended are in it."""
        usage = usage_object(self._usage or Usage())
        is_open = self._status["status"] == "in_progress"
        return {
            "id": f"resp_{self._plain_id}",
            "object": "response",
            "created_at": self._created,
            "model": self._model,
            "error": None,
            "incomplete_details": None,
            **self._repeated,
            **self._status,
            "output": [] if is_open else [block.item() for block in self._blocks],
            "usage": None if is_open else usage,
        }

    def _start(self, started: Started) -> Iterator[Object]:
        self.begin(started)
        for kind in ("response.created", "response.in_progress"):
            yield from self._numbered([{"type": kind, "response": self.response()}])

    def _begin(self, block: Block) -> Iterator[Object]:
        """Open a block; text and reasoning end what was open of them, calls go on to the end.

        Calls may come in turns, a piece of one, then of another.
        """
        yield from self._close_open("completed")
        self._blocks.append(block)
        if not isinstance(block, CallBlock):
            self._open = block
        yield from self._numbered(block.open())

    def _reason(self, event: ReasoningDelta) -> Iterator[Object]:
        if not event.text and not event.signature:
            return
        if not isinstance(self._open, ReasoningBlock):
            yield from self._begin(ReasoningBlock(self._plain_id, len(self._blocks)))
        assert isinstance(self._open, ReasoningBlock)
        yield from self._numbered(self._open.add(event))
        if event.signature:
            yield from self._close_open("completed")

    def _call(self, event: ToolCallDelta) -> Iterator[Object]:
        block = self._calls.get(event.index)
        if block is None:
            block = CallBlock(self._plain_id, len(self._blocks), event, self._origins)
            self._calls[event.index] = block
            yield from self._begin(block)
        yield from self._numbered(block.add(event))

    def _end(self, reason: str) -> Iterator[Object]:
        cut = _INCOMPLETE.get(reason)
        if reason == "refusal" and not self._is_refused:
            cut = "content_filter"  # stopped from outside, without a word
        status = "incomplete" if cut else "completed"
        yield from self._close_open(status)
        for block in self._calls.values():
            yield from self._numbered(block.close(status))
        self._status = {"status": status}
        if cut:
            self._status["incomplete_details"] = {"reason": cut}
        yield from self._numbered([{"type": f"response.{status}", "response": self.response()}])

    def _close_open(self, status: str) -> Iterator[Object]:
        if self._open is not None:
            yield from self._numbered(self._open.close(status))
            self._open = None

    def _numbered(self, objects: Iterable[Object]) -> Iterator[Object]:
        for told in objects:
            yield {**told, "sequence_number": self._number}
            self._number += 1


def _failed_code(error: GatewayError) -> str:
    if error.code == "context_length_exceeded":
        return error.code  # Codex and others act on it, though the list has it not
    if error.http_status == 429:
        return _FAILED_RATE
    return _FAILED_REQUEST if 400 <= error.http_status < 500 else _FAILED
