"""Walk: the steps of one plan, tried until a draft passes the gate."""

from collections.abc import Callable, Mapping, Set
from random import Random

import msgspec

from pointsman.attempt import Attempt, Desk, Job
from pointsman.budgets import Purse
from pointsman.core.errors import (
    AllTargetsFailed,
    AttemptReport,
    BudgetExceeded,
    GatewayError,
    LedgerUnavailable,
    RequestError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from pointsman.core.plan import (
    TRIES_PER_TARGET_MAX,
    Affordable,
    bounded,
    step_worst_case_nanousd,
)
from pointsman.core.types import Plan, Step
from pointsman.gate.draft import Checks, Committed, HeldDraft, reports
from pointsman.gate.hedge import Hedging, Race
from pointsman.providers import Provider
from pointsman.validators import Ask

# Source: FAULTS, "Retry" and rows 1 and 2.
RETRY_AFTER_WAIT_S_MAX = 60.0
JITTER_S = 0.25
EMPTY_RETRY_AFTER_S = 1.0


def _unrivalled(_draft: HeldDraft) -> bool:
    """Return that a draft may pass: there is no other."""
    return True


class Gate(msgspec.Struct, frozen=True):
    """What all plans of a routing are walked with.

    `hedging`: when a second call may start beside a slow one, None for never.
    """

    desk: Desk
    providers: Mapping[str, Provider]
    checks: Checks
    rng: Random
    hedging: Hedging | None = None


class PlanRun:
    """Walks one plan for one request.

    `purse`: holds what the plan may cost at most, None without budgets. Raises BudgetExceeded where
    nobody knows that. `on_whole`: see `Committed`.
    """

    _spare: HeldDraft | None = None
    _failures: tuple[UpstreamError, ...] = ()
    _barred: Set[str] = frozenset()
    _mute: Set[str] = frozenset()  # dialects that cannot say the request

    def __init__(
        self,
        plan: Plan,
        job: Job,
        gate: Gate,
        *,
        purse: Purse | None = None,
        on_whole: Callable[[Committed], None],
    ) -> None:
        self._plan = plan if purse is None else bounded(plan)
        self._purse = purse
        self._job = job
        self._gate = gate
        self._desk = gate.desk
        self._on_whole = on_whole
        response_format = job.request.response_format
        self._ask = Ask(
            features=job.features, decision=job.decision, response_format=response_format
        )
        self._attempts: list[Attempt] = []

    async def commit(self) -> Committed:
        """Return the first draft that passes; the spare one where the plan is spent.

        Raises the GatewayError that the failures amount to, with the attempts made.
        """
        try:
            try:
                draft = await self._passed() or self._spare
            except GatewayError:
                if self._spare is None:
                    raise
                draft = self._spare
            if draft is None:
                raise self._exhausted()
        except BaseException:  # whatever ends it, nothing more is tried
            if self._purse is not None:
                self._purse.release()
            raise
        return Committed(draft, self._attempts, self._purse, self._on_whole)

    async def _passed(self) -> HeldDraft | None:
        """Return the first draft that passes, None where the plan, or its time, is spent.

        Raises the GatewayError after which nothing more may be tried.
        """
        index, is_retry = 0, False
        while index < len(self._plan.steps) and len(self._attempts) < self._plan.attempts_max:
            step, now_s = self._plan.steps[index], self._desk.clock.monotonic_s()
            if now_s >= self._job.deadline_s:
                break
            if not self._may_call(step, now_s, is_retry=is_retry):
                index, is_retry = index + 1, False
                continue
            try:
                if self._gate.hedging is None or is_retry:
                    draft = await self._draft(step, index, is_retry=is_retry)
                else:
                    draft = await self._fastest(step, index, self._gate.hedging)
            except UpstreamError as error:
                index, is_retry = await self._after(error, index)
                continue
            except BudgetExceeded:
                raise
            except RequestError as error:
                index, is_retry = self._in_another_dialect(index, error), False
                continue
            if draft.verdict.is_accepted or not self._plan.steps[index].is_gated:
                return draft
            await self._set_aside(draft)
            index, is_retry = self._next_tier(index), False
        return None

    def _may_call(self, step: Step, now_s: float, *, is_retry: bool = False) -> bool:
        """Return whether the step may be tried now: others may have failed since it was planned."""
        name, health = step.deployment.id, self._desk.health
        may_begin = health.is_last_resort if self._plan.is_last_resort else health.is_ready
        if not self._attempts and not self._barred:
            return may_begin(name, now_s)
        return (
            name not in self._barred
            and step.deployment.dialect not in self._mute
            and self._tries(name) < TRIES_PER_TARGET_MAX
            and may_begin(name, now_s)
            and (not is_retry or health.may_retry(name))
        )

    def _tries(self, name: str) -> int:
        return sum(attempt.step.deployment.id == name for attempt in self._attempts)

    async def _fastest(self, step: Step, index: int, hedging: Hedging) -> HeldDraft:
        """Return a step's draft, or that of a second call where the first is slow to begin.

        Raises GatewayError, all attempts booked.
        """
        if self._partner(index) is None:
            return await self._draft(step, index)
        async with Race() as race:
            race.enter(self._draft(step, index, claim=race.claim))
            is_over = await race.is_over_within(hedging.settings.after_s, self._desk.clock)
            if not is_over and self._attempts[-1].is_silent:
                partner, now_s = self._partner(index), self._desk.clock.monotonic_s()
                steps = self._plan.steps
                if partner is not None and hedging.may_take(
                    step_worst_case_nanousd(steps[partner], self._job.features), now_s
                ):
                    race.enter(self._beside(partner, race))
            return await race.result()

    async def _beside(self, index: int, race: Race) -> HeldDraft:
        """Make a second call. Raises GatewayError; then its deployment is not tried again."""
        step = self._plan.steps[index]
        try:
            return await self._draft(step, index, claim=race.claim)
        except GatewayError:
            self._barred |= {step.deployment.id}
            raise

    def _partner(self, index: int) -> int | None:
        """Return the next step of the same tier that may be called now, None for none."""
        steps = self._plan.steps
        if len(self._attempts) >= self._plan.attempts_max:
            return None
        now_s = self._desk.clock.monotonic_s()
        for later in range(index + 1, self._next_tier(index)):
            is_other = steps[later].deployment.id != steps[index].deployment.id
            if is_other and self._may_call(steps[later], now_s):
                return later
        return None

    async def _draft(
        self,
        step: Step,
        index: int,
        *,
        is_retry: bool = False,
        claim: Callable[[HeldDraft], bool] = _unrivalled,
    ) -> HeldDraft:
        """Make one attempt and hold its draft. Raises GatewayError, the attempt booked.

        The first holds as much of the plan as the budgets have room for; the rest leaves the plan.
        """
        purse, attempts = self._purse, self._attempts
        number = len(attempts) + 1
        attempt = Attempt(self._job, step, number, self._desk, is_retry=is_retry, purse=purse)
        attempts.append(attempt)
        draft = HeldDraft(attempt, self._ask, self._gate.checks, claim)
        try:
            with attempt.deadline:
                provider = self._gate.providers[step.deployment.provider]
                if purse is None or purse.is_taken:
                    await attempt.begin(provider)
                else:
                    purse.amounts = amounts = Affordable(self._plan, index)
                    await attempt.begin(provider)
                    plan = amounts.part(purse.held_nanousd)
                    if plan is not self._plan:
                        self._plan, step = plan, plan.steps[index]
                await draft.hold(is_gated=step.is_gated, chars_max=self._hold_chars())
        except TimeoutError as timeout:
            error = UpstreamTimeout("the request's total time is over")
            await self._give_up(draft, error)
            raise error from timeout
        except (LedgerUnavailable, BudgetExceeded) as error:  # there was no call
            attempts.remove(attempt)
            error.attempts = self._reports()
            raise
        except GatewayError as error:
            await self._give_up(draft, error)
            error.attempts = self._reports()
            raise
        except BaseException:  # a cancelled caller too ends the call it has begun
            await draft.aclose()
            raise
        return draft

    async def _give_up(self, draft: HeldDraft, error: GatewayError) -> None:
        draft.attempt.fail(error)
        draft.attempt.note_failure(error)  # before the wait: nobody may come in between
        await draft.aclose()
        if isinstance(error, UpstreamError):
            self._failures += (error,)

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
        self._barred |= {name}
        return index + 1, False

    def _in_another_dialect(self, index: int, error: RequestError) -> int:
        """Return the next step in a dialect that has not failed to say the request.

        Nobody was called, so its row is voided. Raises the error where there is no such step.
        """
        self._mute |= {self._plan.steps[index].deployment.dialect}
        for later, step in enumerate(self._plan.steps[index + 1 :], start=index + 1):
            if step.deployment.dialect not in self._mute:
                return later
        raise error

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
        jitter_s = self._gate.rng.uniform(0, JITTER_S)
        rest_s = self._desk.health.rest_left_s(name, self._desk.clock.monotonic_s())
        if rest_s > (error.retry_after_s or 0) + jitter_s:
            return None  # its breaker has opened: no use in waiting here
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
                self._barred |= {step.deployment.id}
            elif step.deployment.id not in self._barred | {failed.deployment.id}:
                left += 1
        self._barred |= {failed.deployment.id}
        return left

    async def _set_aside(self, draft: HeldDraft) -> None:
        """Keep a whole rejected draft as the spare, book one that still runs, and stop both."""
        draft.attempt.note_success()
        if draft.is_whole:
            self._spare = draft
        await draft.let_go()

    def _next_tier(self, index: int) -> int:
        steps = self._plan.steps
        own = steps[index].tier
        return next((i for i in range(index, len(steps)) if steps[i].tier != own), len(steps))

    def _hold_chars(self) -> int | None:
        """Return how much of a draft may be held, None for all of it."""
        request = self._job.request
        if not request.is_stream or request.response_format or self._job.decision.must_verify:
            return None
        return self._gate.checks.hold_chars

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
        return reports(self._attempts)
