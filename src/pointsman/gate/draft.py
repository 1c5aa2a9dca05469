"""Draft: held at the gate until it can be judged, and what comes of it once it has passed."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pointsman.attempt import Attempt
from pointsman.budgets import Purse
from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import AttemptReport, GatewayError
from pointsman.core.events import Event, Finished, Sink, UsageReport, has_content
from pointsman.core.types import Decision, ToolCall
from pointsman.core.usage import Usage
from pointsman.validators import ACCEPTED, Ask, Draft, Validator, Verdict, judge

# Parsing 2 kB of Python takes about 1.5 ms here, and longer work must not hold up the loop.
JUDGED_INLINE_CHARS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Checks:
    """What a gated draft must pass, and how much of a stream is held for it, in characters."""

    validators: tuple[Validator, ...]
    hold_chars: int


class HeldDraft:
    """A draft at the gate: the events held so far, and the rest to come.

    `claim` says whether it may pass, once it could: not where another draft already has. Then it
    `has_lost`.
    """

    is_whole = False
    has_lost = False
    verdict = ACCEPTED
    _is_held_given = False

    def __init__(
        self, attempt: Attempt, ask: Ask, checks: Checks, claim: "Callable[[HeldDraft], bool]"
    ) -> None:
        self.attempt = attempt
        self.held: list[Event] = []
        self._claim = claim
        self._ask = ask
        self._checks = checks

    async def hold(self, *, is_gated: bool, chars_max: int | None) -> None:
        """Hold events until the gate can tell, and settle a whole draft by its verdict.

        An ungated draft is held until its first content; a gated one until its end, or until
        `chars_max` characters where that is not None.
        """
        attempt = self.attempt
        while True:
            batch = await attempt.more()
            if isinstance(batch[-1], Finished):
                await self._settle(is_gated=is_gated)
            self.held += batch
            if self.is_whole:
                return
            if not is_gated and has_content(batch):
                self.has_lost = not self._claim(self)
                return
            if chars_max is not None and attempt.builder.chars >= max(1, chars_max):
                self.verdict = await self._judge()
                self.has_lost = self.verdict.is_accepted and not self._claim(self)
                return

    async def more(self, sink: Sink | None = None) -> Sequence[Event]:
        """Return what was held, then what comes after the gate, settled before its end.

        Nothing after that. With a sink, what comes before the end may go there; () where it has had
        enough. Raises GatewayError.
        """
        if not self._is_held_given:
            self._is_held_given = True
            return self.held
        if self.is_whole:
            return ()
        batch = await self.attempt.more(sink)
        if batch and isinstance(batch[-1], Finished):
            await self._settle(is_gated=False)
        return batch

    async def aclose(self) -> None:
        """Stop the upstream if it still runs."""
        await self.attempt.aclose()

    async def let_go(self) -> None:
        """Stop a draft that does not go out, and book it as rejected where it was."""
        if not self.verdict.is_accepted and not self.is_whole:
            self.attempt.reject(self.verdict.validator)
        await self.aclose()

    async def _settle(self, *, is_gated: bool) -> None:
        """Judge the whole draft, which keeps a bad one out of the cache, and book its end."""
        self.is_whole = True
        self.verdict = verdict = await self._judge()
        if is_gated and verdict.reason:
            await self.attempt.settle("rejected", verdict.validator)
        elif self._claim(self):
            await self.attempt.settle("answered")
        else:
            self.has_lost = True
            await self.attempt.settle("cancelled")

    async def _judge(self) -> Verdict:
        """Return the verdict on what has come; a long draft is judged off the event loop."""
        builder, validators = self.attempt.builder, self._checks.validators
        if builder.chars > JUDGED_INLINE_CHARS_MAX:
            return await asyncio.to_thread(judge, validators, draft_of(builder), self._ask)
        return judge(validators, draft_of(builder), self._ask)


class Committed:
    """A draft that has passed. `more` of it goes to the client; close it when done.

    `on_whole` is told, once, when the answer has ended whole and is booked. `on_closed` is told and
    `purse` emptied when it is closed, perhaps more than once.
    """

    on_closed: Callable[[], None] | None = None

    def __init__(
        self,
        draft: HeldDraft,
        attempts: Sequence[Attempt],
        purse: Purse | None,
        on_whole: "Callable[[Committed], None]",
    ) -> None:
        self.step = draft.attempt.step
        self._draft = draft
        self._attempt = draft.attempt
        self._attempts = attempts
        self._purse = purse
        self._on_whole = on_whole

    @property
    def attempts(self) -> int:
        """Return how many upstream calls were made."""
        return sum(attempt.was_called for attempt in self._attempts)

    @property
    def detours(self) -> tuple[str, ...]:
        """Return what became of the attempts before the draft's own, in words."""
        if len(self._attempts) == 1:
            return ()
        before = (attempt for attempt in self._attempts if attempt is not self._attempt)
        return tuple(
            f"{a.step.deployment.id} {a.outcome}" + (f" ({a.error})" if a.error else "")
            for a in before
            if a.was_called
        )

    @property
    def decision(self) -> Decision:
        """Return the decision that was carried out: a budget's end may have changed the first."""
        return self._attempt.decision

    @property
    def is_empty(self) -> bool:
        """Return whether the whole answer is already known to have no content."""
        return self._draft.is_whole and not self._attempt.builder.chars

    @property
    def is_accepted(self) -> bool:
        """Return whether no validator objects to what has come so far."""
        return self._draft.verdict.is_accepted

    @property
    def answer(self) -> Draft:
        """Return what has come so far."""
        return draft_of(self._attempt.builder)

    @property
    def finish_reason(self) -> str | None:
        """Return how the answer ended, None while it has not."""
        return self._attempt.builder.finish_reason

    @property
    def dropped(self) -> tuple[str, ...]:
        """Return what of the request did not reach the upstream, as the answer's opening has it."""
        started = self._attempt.builder.started
        return () if started is None else started.dropped

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls so far."""
        return self._attempt.builder.tool_calls

    @property
    def signatures(self) -> tuple[str, ...]:
        """Return what the answer has been sealed with so far."""
        return tuple(self._attempt.builder.signatures)

    @property
    def usage(self) -> Usage:
        """Return the tokens reported so far."""
        return self._attempt.builder.usage or Usage()

    def cost_nanousd(self) -> int | None:
        """Return what all attempts together cost, None where that is not known."""
        if len(self._attempts) == 1:
            return self._attempt.charged_nanousd
        return total_nanousd(attempt.charged_nanousd for attempt in self._attempts)

    async def more(self, sink: Sink | None = None) -> Sequence[Event]:
        """Return what comes next of the answer, nothing after its end.

        With a sink, what comes before the end may go there; () where it has had enough. Raises
        GatewayError where it breaks off; never retried.
        """
        try:
            batch = await self._draft.more(sink and partial(self._pass_on, sink))
        except GatewayError as error:
            self._attempt.fail(error)
            self._attempt.note_failure(error)
            error.attempts = reports(self._attempts)
            raise
        if batch and isinstance(batch[-1], Finished):
            self._attempt.note_success()
            self._on_whole(self)
        return self._priced(batch)

    def _pass_on(self, sink: Sink, batch: Sequence[Event]) -> bool:
        return sink(self._priced(batch) if UsageReport in map(type, batch) else batch)

    async def aclose(self) -> None:
        """Stop the upstream if it still runs, and give back what is still held."""
        try:
            await self._attempt.aclose()
        finally:
            if self._purse is not None:
                self._purse.release()
            if self.on_closed is not None:
                self.on_closed()

    def _priced(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Return the events, their reports of usage with what the request has cost."""
        return [self._with_cost(it) if isinstance(it, UsageReport) else it for it in batch]

    def _with_cost(self, report: UsageReport) -> UsageReport:
        if len(self._attempts) == 1:
            return self._attempt.price_report(report, 0)
        others = (it.charged_nanousd for it in self._attempts if it is not self._attempt)
        return self._attempt.price_report(report, total_nanousd(others))


def total_nanousd(costs: Iterable[int | None]) -> int | None:
    """Return a sum of costs, None where one of them is not known."""
    total = 0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


def draft_of(builder: AnswerBuilder) -> Draft:
    """Return what has come so far as a check sees it."""
    return Draft(
        text=builder.text,
        reasoning=builder.reasoning,
        tool_calls=builder.tool_calls,
        finish_reason=builder.finish_reason,
    )


def reports(attempts: Iterable[Attempt]) -> tuple[AttemptReport, ...]:
    """Return attempts as errors tell them."""
    return tuple(
        AttemptReport(
            deployment=attempt.step.deployment.id,
            outcome=attempt.error or attempt.outcome,
            latency_ms=attempt.latency_ms,
        )
        for attempt in attempts
        if attempt.was_called
    )
