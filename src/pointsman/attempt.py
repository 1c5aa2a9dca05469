"""Attempt: one upstream call, booked: an intent before it, one end after it, whatever happens."""

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from pointsman.budgets import Meter, Purse
from pointsman.clock import Clock
from pointsman.core.answer import AnswerBuilder
from pointsman.core.conversation import Standing
from pointsman.core.errors import (
    BudgetExceeded,
    GatewayError,
    LedgerUnavailable,
    RequestError,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
)
from pointsman.core.events import Event, Finished, Sink, UsageReport, has_content
from pointsman.core.features import estimate_tokens
from pointsman.core.health import Health
from pointsman.core.plan import step_worst_case_nanousd
from pointsman.core.prices import Price, cost_nanousd
from pointsman.core.secret import unsaid
from pointsman.core.types import CacheOutcome, Decision, Features, Request, Snapshot, Step
from pointsman.core.usage import Usage
from pointsman.core.wire.premium import Premium, at_stated_price
from pointsman.deadline import Deadline
from pointsman.ledger import Intent, Ledger, Outcome, Settlement, State
from pointsman.providers import Call, Provider, call_of

log = logging.getLogger("pointsman")

PriceOf = Callable[[Step], Price | None]
Observer = Callable[[Intent, Settlement], None]


class Desk(msgspec.Struct, frozen=True):
    """What booking an attempt takes: ledger, clock, health, budgets, prices, and who looks on."""

    ledger: Ledger
    clock: Clock
    health: Health
    meter: Meter
    price_of: PriceOf
    observer: Observer


class Job(msgspec.Struct, frozen=True):
    """One request on its way: what was asked, read and decided, and when it must be over.

    `cache` is how its attempts are booked: a miss, or with the cache off. `offered`: what there is
    for it to use. `standing`: the conversation that it goes on with, as it was found; `said`: what
    has been said in it, see `Conversations.said`.
    """

    request: Request
    features: Features
    decision: Decision
    deadline_s: float
    cache: CacheOutcome
    offered: Snapshot
    standing: Standing | None = None
    said: Sequence[int] = ()

    def intent(
        self,
        *,
        attempt: int,
        at_ns: int,
        tier: str,
        deployment: str,
        price_version: str = "",
        worst_case_nanousd: int | None = None,
    ) -> Intent:
        """Return what the ledger keeps of the request itself."""
        request, decision = self.request, self.decision
        caller = request.caller
        return Intent(
            request_id=caller.request_id,
            attempt=attempt,
            at_ns=at_ns,
            tenant=caller.tenant,
            key=caller.tenant,
            tags=json.dumps(dict(caller.tags)) if caller.tags else "{}",
            alias=request.model,
            tier=tier,
            deployment=deployment,
            policy=decision.policy,
            reason=decision.reason,
            price_version=price_version,
            worst_case_nanousd=worst_case_nanousd,
            is_stream=request.is_stream,
            tier_calls_max=caller.grant.tier_calls_per_day.get(tier),
        )


def priced_as_stated(job: Job) -> Job:
    """Return the job without what would make its answer dearer than a budget's hold reckons."""
    request = at_stated_price(job.request)
    return job if request is job.request else msgspec.structs.replace(job, request=request)


class Attempt:
    """One call of one step, under way once it is made; whoever makes it closes it.

    `begin` books the intent; `settle`, `fail`, `reject` or at last `aclose` the end, once.

    `builder` gathers what has come. `charged_nanousd` is what it surely cost: 0 until it has ended
    and where nobody can say, None where it has no price. `deadline`: its request's, under which it
    is waited for until it has ended. `purse`: holds what its request may cost.
    """

    charged_nanousd: int | None = 0
    outcome: Outcome = "pending"
    error = ""
    _has_ended = False
    _latency_ms: int | None = None
    _first_content_s: float | None = None
    _upstream: Call | None = None

    def __init__(
        self,
        job: Job,
        step: Step,
        number: int,
        desk: Desk,
        *,
        is_retry: bool,
        purse: Purse | None = None,
    ) -> None:
        self.step = step
        self.number = number
        self.builder = AnswerBuilder()
        self._purse = purse
        self._job = job
        self._desk = desk
        self._price = price = desk.price_of(step)
        self._premium = Premium.of(job.request, step.deployment)
        self._began_s = began_s = desk.clock.monotonic_s()
        self.deadline = Deadline(job.deadline_s - began_s)
        self._intent = job.intent(
            attempt=number,
            at_ns=desk.clock.wall_ns(),
            tier=step.tier,
            deployment=step.deployment.id,
            price_version=price.version if price else "",
            worst_case_nanousd=step_worst_case_nanousd(step, job.features),
        )
        # Last: from here on it has to be ended, whatever happens.
        self._call = desk.health.begin(step.deployment.id, began_s, is_retry=is_retry)

    @property
    def decision(self) -> Decision:
        """Return what was decided for its request."""
        return self._job.decision

    @property
    def was_called(self) -> bool:
        """Return whether anybody was asked: not where it was stopped before its intent stood."""
        return self._upstream is not None

    @property
    def is_silent(self) -> bool:
        """Return whether it was called and no content has come."""
        return self._upstream is not None and self._first_content_s is None

    @property
    def latency_ms(self) -> int:
        """Return how long it took, or has taken so far."""
        if self._latency_ms is not None:
            return self._latency_ms
        return round((self._desk.clock.monotonic_s() - self._began_s) * 1000)

    async def begin(self, provider: Provider) -> None:
        """Book the intent durably; the call itself starts with the first event asked for.

        Raises LedgerUnavailable, and BudgetExceeded of a first attempt that a purse has no room
        for; then nothing may be called.
        """
        try:
            await (self._purse or self._desk.ledger).reserve(self._intent)
        except (LedgerUnavailable, BudgetExceeded):  # there is no row to end
            self._has_ended = True
            self.deadline.stop()
            self._desk.health.end(self._call)
            raise
        self._upstream = call_of(provider, self._job.request, self.step)

    async def more(self, sink: Sink | None = None) -> Sequence[Event]:
        """Return what comes next, all that came at once; the last one ends in `Finished`.

        With a sink, what comes before that may go there; () where the sink has had enough. Usage is
        estimated where the upstream reports none. Raises UpstreamError, also where the stream ends
        without its `Finished` and where it is silent at the request's deadline; GatewayError for
        what no provider should raise.
        """
        assert self._upstream is not None, "begin comes first"
        try:
            with self.deadline:
                batch = await self._upstream.more(sink and partial(self._pass_on, sink))
        except TimeoutError as error:
            raise UpstreamTimeout("the request's total time is over") from error
        except GatewayError:
            raise
        except Exception as error:  # a fault in our own code or a third party's provider
            name = self.step.deployment.id
            log.error("%s: the call failed in the router", name, exc_info=unsaid(error))
            raise GatewayError(
                f"{name}: an internal error ({type(error).__name__}); the log has more"
            ) from error
        if batch is None:
            raise UpstreamReset("the upstream's answer has no end")
        if not batch:
            return ()
        self._note_time(batch)
        return self._gathered(batch)

    def _pass_on(self, sink: Sink, batch: Sequence[Event]) -> bool:
        if self._first_content_s is None:  # else the deadline's own timer says when it is over
            self._note_time(batch)
        self.builder.take(batch)
        return sink(batch)

    def _gathered(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Take what came into the builder; return it, with a usage before its end."""
        builder, last = self.builder, batch[-1]
        builder.take(batch)
        if builder.usage is None and isinstance(last, Finished):
            estimated = UsageReport(self._estimated_usage())
            builder.add(estimated)
            return [*batch[:-1], estimated, last]
        return batch

    async def settle(self, outcome: Outcome, error: str = "") -> None:
        """Book the end of a whole answer, durably: before the client's last byte.

        A ledger that cannot write it now goes on trying, and the answer, which has been paid for,
        goes out (FAULTS, rows 21 and 22).
        """
        settlement = self._settlement("settled", outcome, self.builder.usage or Usage(), error)
        self._end(settlement)
        try:
            if self._purse is None or outcome == "rejected":
                await self._desk.ledger.settle(self._intent.request_id, self.number, settlement)
            else:  # no other attempt follows, so what is left of the hold is given back at once
                await self._purse.settle(self._intent, settlement)
        except LedgerUnavailable as refusal:
            log.error("%s/%d settles late: %s", self._intent.request_id, self.number, refusal)

    def fail(self, error: GatewayError) -> None:
        """Book a failure without waiting: nothing charged, charged perhaps, or charged in part.

        What the upstream's dialect cannot say (RequestError) was never sent.
        """
        may_have_billed = not isinstance(error, RequestError)
        if isinstance(error, UpstreamError):
            may_have_billed = error.may_have_billed
        self._close("failed", error.code, may_have_billed=may_have_billed)

    def note_success(self) -> None:
        """Tell the deployment's breaker that it has answered to the end, or would have."""
        self._desk.health.note_success(self._call, self._desk.clock.monotonic_s())

    def note_failure(self, error: GatewayError) -> None:
        """Rest the deployment as an upstream's failure asks, and log it once when that begins."""
        name, now_s = self.step.deployment.id, self._desk.clock.monotonic_s()
        if not isinstance(error, UpstreamError):
            return
        is_over = isinstance(error, UpstreamTimeout) and now_s >= self._job.deadline_s
        if is_over and self._first_content_s is not None:
            return  # it has answered all the while: a slow reader's time is over
        if self._desk.health.note_failure(self._call, error, now_s):
            rest_s = self._desk.health.rest_left_s(name, now_s)
            log.warning("%s rests for %.0f s: %s", name, rest_s, error.code)

    def reject(self, validator: str) -> None:
        """Book a draft rejected before its end, billed by estimate."""
        self._close("rejected", validator, may_have_billed=True)

    async def aclose(self) -> None:
        """Cancel the call if it still runs, and book it as such if nothing else has been booked."""
        self._close("cancelled", "", may_have_billed=True)
        if self._upstream is not None:
            await self._upstream.aclose()

    def price_report(self, report: UsageReport, spent_nanousd: int | None) -> UsageReport:
        """Return the report with what the request has cost, `spent_nanousd` on other attempts."""
        is_booked = self._has_ended and report.usage is self.builder.usage
        cost = self.charged_nanousd if is_booked else self._cost(report.usage)
        total = None if cost is None or spent_nanousd is None else cost + spent_nanousd
        return UsageReport(report.usage, report.frame, total, report.service)

    def _note_time(self, batch: Sequence[Event]) -> None:
        """Note when the first content came. Raises UpstreamTimeout past the request's deadline."""
        now_s = self._desk.clock.monotonic_s()
        if now_s > self._job.deadline_s:
            raise UpstreamTimeout("the request's total time is over")
        if self._first_content_s is None and has_content(batch):
            self._first_content_s = now_s
            self._desk.health.note_content(self._call)

    def _close(self, outcome: Outcome, error: str, *, may_have_billed: bool) -> None:
        """Queue the end: what has come billed by estimate, else unknown, else nothing.

        The first end stays: nothing is done where there is one.
        Nothing was called where it was cancelled while its intent was being written.
        Source: FAULTS, "Bill": E, P and Z.
        """
        if self._has_ended:
            return
        if self.builder.chars or self.builder.usage is not None:
            settlement = self._settlement("settled", outcome, self._usage_so_far(), error)
        elif may_have_billed and self._upstream is not None:
            settlement = self._settlement("unknown", outcome, Usage(), error)
        else:
            settlement = self._settlement("voided", outcome, Usage(), error)
        self._end(settlement)
        self._desk.ledger.close_attempt(self._intent.request_id, self.number, settlement)

    def _end(self, settlement: Settlement) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.deadline.stop()
        self.outcome = settlement.outcome
        self.error = settlement.error
        self._latency_ms = settlement.latency_ms
        if settlement.state == "settled":
            self.charged_nanousd = settlement.cost_nanousd
        self._desk.health.end(self._call)
        self._desk.observer(self._intent, settlement)

    def _settlement(self, state: State, outcome: Outcome, usage: Usage, error: str) -> Settlement:
        began_s, first_s = self._began_s, self._first_content_s
        cost = self._cost(usage) if state == "settled" else 0 if state == "voided" else None
        return Settlement(
            state=state,
            outcome=outcome,
            usage=usage,
            cost_nanousd=cost,
            latency_ms=self.latency_ms,
            ttft_ms=None if first_s is None else round((first_s - began_s) * 1000),
            error=error,
            cache=self._job.cache,
        )

    def _cost(self, usage: Usage) -> int | None:
        price, builder = self._price, self.builder
        if price is None:
            return None
        dropped = builder.started.dropped if builder.started else ()
        is_covered = self._premium.is_covered(price, builder.service, dropped)
        return cost_nanousd(usage, price) if is_covered else None

    def _usage_so_far(self) -> Usage:
        """Return what an answer without its end has taken.

        Anthropic reports one token of output before the first has come: a report that content has
        followed, or none has come before, is no more than the least.
        """
        estimated, reported = self._estimated_usage(), self.builder.usage
        if reported is None:
            return estimated
        if 0 < self.builder.chars == self.builder.reported_chars:
            return reported
        output_tokens = max(reported.output_tokens, estimated.output_tokens)
        return msgspec.structs.replace(reported, output_tokens=output_tokens, is_estimated=True)

    def _estimated_usage(self) -> Usage:
        builder = self.builder
        written = builder.text + builder.reasoning
        written += "".join(call.name + call.arguments for call in builder.tool_calls)
        return Usage(
            input_tokens=self._job.features.input_tokens,
            output_tokens=estimate_tokens(written),
            is_estimated=True,
        )
