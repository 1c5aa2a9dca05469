"""Gate: walk a plan's steps until a draft passes, then let it out.

Before the gate nothing has reached the client and everything may be tried again; after it, nothing.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from random import Random

from pointsman.attempt import Attempt, Desk, Job
from pointsman.core.errors import (
    AllTargetsFailed,
    AttemptReport,
    GatewayError,
    LedgerUnavailable,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from pointsman.core.events import Event, Finished, UsageReport, is_content
from pointsman.core.types import Plan, Step, ToolCall
from pointsman.providers import Provider
from pointsman.validators import ACCEPTED, Ask, Draft, Validator, Verdict, judge

# Source: FAULTS, "Retry" and rows 1 and 2.
TRIES_PER_TARGET_MAX = 2
RETRY_AFTER_WAIT_S_MAX = 60.0
JITTER_S = 0.25
EMPTY_RETRY_AFTER_S = 1.0
# Parsing 2 kB of Python takes about 1.5 ms here, and longer work must not hold up the loop.
JUDGED_INLINE_CHARS_MAX = 2_000

log = logging.getLogger("pointsman")


@dataclass(frozen=True, slots=True)
class Checks:
    """What a gated draft must pass, and how much of a stream is held for it, in characters."""

    validators: tuple[Validator, ...]
    hold_chars: int


class HeldDraft:
    """A draft at the gate: the events held so far, and the rest to come."""

    def __init__(self, attempt: Attempt, ask: Ask, checks: Checks) -> None:
        self.attempt = attempt
        self.held: list[Event] = []
        self.is_whole = False
        self.verdict = ACCEPTED
        self._ask = ask
        self._checks = checks
        self._events = attempt.events()

    async def hold(self, *, is_gated: bool, chars_max: int | None) -> None:
        """Hold events until the gate can tell, and settle a whole draft by its verdict.

        An ungated draft is held until its first content; a gated one until its end, or until
        `chars_max` characters where that is not None.
        """
        async for event in self._events:
            if isinstance(event, Finished):
                await self._settle(is_gated=is_gated)
            self.held.append(event)
            if self.is_whole or (not is_gated and is_content(event)):
                return
            if chars_max is not None and self.attempt.builder.chars >= max(1, chars_max):
                self.verdict = await self._judge()
                return

    async def events(self) -> AsyncGenerator[Event]:
        """Yield what was held, then what comes after the gate, settled before its end."""
        for event in self.held:
            yield event
        if self.is_whole:
            return
        async for event in self._events:
            if isinstance(event, Finished):
                await self._settle(is_gated=False)
            yield event

    async def aclose(self) -> None:
        """Stop the upstream if it still runs."""
        await self._events.aclose()
        await self.attempt.aclose()

    async def _settle(self, *, is_gated: bool) -> None:
        """Judge the whole draft, which keeps a bad one out of the cache, and book its end."""
        self.is_whole = True
        self.verdict = await self._judge()
        if is_gated and not self.verdict.is_accepted:
            await self.attempt.settle("rejected", self.verdict.validator)
        else:
            await self.attempt.settle("answered")

    async def _judge(self) -> Verdict:
        """Return the verdict on what has come; a long draft is judged off the event loop."""
        builder = self.attempt.builder
        draft = Draft(
            text=builder.text,
            reasoning=builder.reasoning,
            tool_calls=builder.tool_calls,
            finish_reason=builder.finish_reason,
        )
        validators, ask = self._checks.validators, self._ask
        if builder.chars > JUDGED_INLINE_CHARS_MAX:
            return await asyncio.to_thread(judge, validators, draft, ask)
        return judge(validators, draft, ask)


class Committed:
    """A draft that has passed. Its `events` go to the client; close it when done."""

    def __init__(self, draft: HeldDraft, attempts: list[Attempt], desk: Desk) -> None:
        self._draft = draft
        self._attempts = attempts
        self._desk = desk
        self.step = draft.attempt.step

    @property
    def attempts(self) -> int:
        """Return how many upstream calls were made."""
        return len(self._attempts)

    @property
    def is_empty(self) -> bool:
        """Return whether the whole answer is already known to have no content."""
        return self._draft.is_whole and not self._draft.attempt.builder.chars

    @property
    def is_accepted(self) -> bool:
        """Return whether no validator objects to what has come so far."""
        return self._draft.verdict.is_accepted

    @property
    def finish_reason(self) -> str | None:
        """Return how the answer ended, None while it has not."""
        return self._draft.attempt.builder.finish_reason

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls so far."""
        return self._draft.attempt.builder.tool_calls

    def cost_nanousd(self) -> int | None:
        """Return what all attempts together cost, None where that is not known."""
        costs = [attempt.charged_nanousd for attempt in self._attempts]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    async def events(self) -> AsyncGenerator[Event]:
        """Yield the answer. Raises GatewayError where it breaks off; never retried."""
        attempt, desk = self._draft.attempt, self._desk
        try:
            async with aclosing(self._draft.events()) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        name, now_s = self.step.deployment.id, desk.clock.monotonic_s()
                        desk.health.note_success(name, now_s)
                    yield self._priced(event)
        except GatewayError as error:
            attempt.fail(error)
            note_failure(desk, attempt, error)
            error.attempts = tuple(report(attempt) for attempt in self._attempts)
            raise
        finally:
            await self._draft.aclose()

    async def aclose(self) -> None:
        """Stop the upstream if it still runs."""
        await self._draft.aclose()

    def _priced(self, event: Event) -> Event:
        if not isinstance(event, UsageReport):
            return event
        attempt = self._draft.attempt
        others = [other.charged_nanousd for other in self._attempts if other is not attempt]
        spent = None if None in others else sum(cost for cost in others if cost is not None)
        return attempt.price_report(event, spent)


class PlanRun:
    """Walks one plan for one request."""

    def __init__(
        self,
        plan: Plan,
        job: Job,
        desk: Desk,
        *,
        providers: Mapping[str, Provider],
        checks: Checks,
        rng: Random,
    ) -> None:
        self._plan = plan
        self._job = job
        self._desk = desk
        self._providers = providers
        self._checks = checks
        self._rng = rng
        self._ask = Ask(
            features=job.features,
            decision=job.decision,
            response_format=job.request.response_format,
        )
        self._attempts: list[Attempt] = []
        self._failures: list[UpstreamError] = []
        self._barred: set[str] = set()
        self._spare: HeldDraft | None = None

    async def commit(self) -> Committed:
        """Return the first draft that passes; the spare one where the plan is spent.

        Raises the GatewayError that the failures amount to, with the attempts made.
        """
        try:
            draft = await self._passed()
        except GatewayError:
            if self._spare is None:
                raise
            draft = None
        draft = draft or self._spare
        if draft is None:
            raise self._exhausted()
        return Committed(draft, self._attempts, self._desk)

    async def _passed(self) -> HeldDraft | None:
        """Return the first draft that passes, None where the plan, or its time, is spent.

        Raises the GatewayError after which nothing more may be tried.
        """
        steps = self._plan.steps
        index, is_retry = 0, False
        while index < len(steps) and len(self._attempts) < self._plan.attempts_max:
            step = steps[index]
            if self._left_s() <= 0:
                break
            if not self._may_call(step, is_retry=is_retry):
                index, is_retry = index + 1, False
                continue
            try:
                draft = await self._draft(step, is_retry=is_retry)
            except UpstreamError as error:
                index, is_retry = await self._after(error, index)
                continue
            if not step.is_gated or draft.verdict.is_accepted:
                return draft
            await self._set_aside(draft)
            index, is_retry = self._next_tier(index), False
        return None

    def _may_call(self, step: Step, *, is_retry: bool) -> bool:
        """Return whether the step may be tried now: others may have failed since it was planned."""
        name, health = step.deployment.id, self._desk.health
        now_s = self._desk.clock.monotonic_s()
        return (
            name not in self._barred
            and self._tries(name) < TRIES_PER_TARGET_MAX
            and (health.is_ready(name, now_s) or health.is_due_for_probe(name, now_s))
            and (not is_retry or health.may_retry(name))
        )

    def _tries(self, name: str) -> int:
        return sum(attempt.step.deployment.id == name for attempt in self._attempts)

    async def _draft(self, step: Step, *, is_retry: bool) -> HeldDraft:
        """Make one attempt and hold its draft. Raises GatewayError, the attempt booked."""
        number = len(self._attempts) + 1
        attempt = Attempt(self._job, step, number, self._desk, is_retry=is_retry)
        self._attempts.append(attempt)
        draft = HeldDraft(attempt, self._ask, self._checks)
        try:
            async with asyncio.timeout(self._left_s()):
                await attempt.begin(self._providers[step.deployment.provider])
                await draft.hold(is_gated=step.is_gated, chars_max=self._hold_chars())
        except TimeoutError as timeout:
            error = UpstreamTimeout("the request's total time is over")
            await self._give_up(draft, error)
            raise error from timeout
        except LedgerUnavailable as error:  # there was no call
            self._attempts.remove(attempt)
            error.attempts = self._reports()
            raise
        except GatewayError as error:
            await self._give_up(draft, error)
            error.attempts = self._reports()
            raise
        except BaseException:
            await draft.aclose()
            raise
        return draft

    async def _give_up(self, draft: HeldDraft, error: GatewayError) -> None:
        draft.attempt.fail(error)
        await draft.aclose()
        note_failure(self._desk, draft.attempt, error)
        if isinstance(error, UpstreamError):
            self._failures.append(error)

    async def _after(self, error: UpstreamError, index: int) -> tuple[int, bool]:
        """Return the step to try next and whether that is a retry; waits where it has to.

        Raises the error where nothing may be tried.
        """
        step = self._plan.steps[index]
        name = step.deployment.id
        if error.remedy == "none" or (error.remedy == "larger" and self._bar_small(step) == 0):
            raise error
        wait_s = self._retry_wait_s(error, index)
        if wait_s is not None:
            await self._desk.clock.sleep(wait_s)
            return index, True
        self._barred.add(name)
        return index + 1, False

    def _retry_wait_s(self, error: UpstreamError, index: int) -> float | None:
        """Return how long to wait for a retry on the same deployment, None for no retry."""
        name = self._plan.steps[index].deployment.id
        if (
            error.remedy != "same"
            or self._tries(name) >= TRIES_PER_TARGET_MAX
            or len(self._attempts) >= self._plan.attempts_max
            or not self._desk.health.may_retry(name)
        ):
            return None
        jitter_s = self._rng.uniform(0, JITTER_S)
        if error.retry_after_s is None:
            return min(jitter_s, max(0.0, self._left_s()))
        others = {s.deployment.id for s in self._plan.steps[index + 1 :]} - self._barred - {name}
        longest = min(RETRY_AFTER_WAIT_S_MAX, self._left_s())
        may_wait = not others and error.retry_after_s <= longest
        return error.retry_after_s + jitter_s if may_wait else None

    def _bar_small(self, failed: Step) -> int:
        """Bar all whose window is no larger than the failed one's; return how many are left."""
        window = failed.deployment.capability.context_tokens
        left = 0
        for step in self._plan.steps:
            other = step.deployment.capability.context_tokens
            if window is not None and other is not None and other <= window:
                self._barred.add(step.deployment.id)
            elif step.deployment.id not in self._barred | {failed.deployment.id}:
                left += 1
        self._barred.add(failed.deployment.id)
        return left

    async def _set_aside(self, draft: HeldDraft) -> None:
        """Keep a whole rejected draft as the spare, book one that still runs, and stop both."""
        name = draft.attempt.step.deployment.id
        self._desk.health.note_success(name, self._desk.clock.monotonic_s())
        if draft.is_whole:
            self._spare = draft
        else:
            draft.attempt.reject(draft.verdict.validator)
        await draft.aclose()

    def _next_tier(self, index: int) -> int:
        steps = self._plan.steps
        own = steps[index].tier
        return next((i for i in range(index, len(steps)) if steps[i].tier != own), len(steps))

    def _hold_chars(self) -> int | None:
        """Return how much of a draft may be held, None for all of it."""
        must_verify = self._job.decision.must_verify or self._job.request.response_format
        is_stream = self._job.request.is_stream
        return None if must_verify or not is_stream else self._checks.hold_chars

    def _left_s(self) -> float:
        return self._job.deadline_s - self._desk.clock.monotonic_s()

    def _exhausted(self) -> GatewayError:
        """Return what the failures amount to: their common error, or that all failed."""
        kinds = {type(error) for error in self._failures}
        error: GatewayError
        if len(kinds) > 1:
            error = AllTargetsFailed(
                "every deployment failed: "
                + "; ".join(f"{r.deployment}: {r.outcome}" for r in self._reports())
            )
        elif kinds == {UpstreamRateLimited}:
            error = UpstreamRateLimited(self._failures[-1].message)  # with a wait of its own, below
        elif kinds:
            error = self._failures[-1]
        elif self._left_s() <= 0:
            error = UpstreamTimeout("the request's total time is over")
        else:
            error = self._all_resting()
        error.attempts = self._reports()
        if isinstance(error, AllTargetsFailed | UpstreamRateLimited):
            error.retry_after_s = self._shortest_rest_s()
        return error

    def _all_resting(self) -> GatewayError:
        names, now_s = self._names(), self._desk.clock.monotonic_s()
        told = f"every deployment is in cooldown: {', '.join(names)}"
        if names and all(self._desk.health.is_rate_limited(name, now_s) for name in names):
            return UpstreamRateLimited(told)
        return AllTargetsFailed(told)

    def _shortest_rest_s(self) -> float:
        names, now_s = self._names(), self._desk.clock.monotonic_s()
        return max(
            EMPTY_RETRY_AFTER_S,
            min((self._desk.health.rest_left_s(name, now_s) for name in names), default=0.0),
        )

    def _names(self) -> tuple[str, ...]:
        """Return the deployments of the plan, those that rested when it was made included."""
        steps = (step.deployment.id for step in self._plan.steps)
        return tuple(dict.fromkeys((*steps, *self._plan.resting)))

    def _reports(self) -> tuple[AttemptReport, ...]:
        return tuple(report(attempt) for attempt in self._attempts)


def report(attempt: Attempt) -> AttemptReport:
    """Return an attempt as errors tell it."""
    return AttemptReport(
        deployment=attempt.step.deployment.id,
        outcome=attempt.error or attempt.outcome,
        latency_ms=attempt.latency_ms,
    )


def note_failure(desk: Desk, attempt: Attempt, error: GatewayError) -> None:
    """Rest the deployment as an upstream's failure asks, and log it once when that begins."""
    name = attempt.step.deployment.id
    if not isinstance(error, UpstreamError):
        return
    if desk.health.note_failure(name, error, desk.clock.monotonic_s()):
        rest_s = desk.health.rest_left_s(name, desk.clock.monotonic_s())
        log.warning("%s rests for %.0f s: %s", name, rest_s, error.code)
