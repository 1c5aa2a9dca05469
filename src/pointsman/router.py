"""Router: the one pipeline. The server, the library, the demo and the comparison all call it.

Read `open` from top to bottom: that is the way of a request.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Self

import msgspec

from pointsman.access.rates import TokenRates
from pointsman.attempt import Desk, Job, Observer, priced_as_stated
from pointsman.audit import Auditor, encode_reading
from pointsman.budgets import Meter, Purse
from pointsman.budgets.webhook import Webhook
from pointsman.cache.entry import KeptAnswer
from pointsman.clock import Clock
from pointsman.content_copy import copy_of
from pointsman.core.budgets import Budget
from pointsman.core.cache_key import AnswerKeys
from pointsman.core.conversation import Standing
from pointsman.core.decision import downgraded, resolve
from pointsman.core.errors import (
    BudgetExceeded,
    LedgerUnavailable,
    NotCached,
    QuotaExceeded,
    UpstreamError,
)
from pointsman.core.events import Event, Finished, More, Sink, UsageReport
from pointsman.core.health import Health
from pointsman.core.plan import as_held, first_step
from pointsman.core.types import CacheTier, Caller, Decision, Request
from pointsman.core.usage import Usage
from pointsman.core.wire import Codec
from pointsman.deciding import Decided, Decider
from pointsman.explanation import Explanation, explain
from pointsman.flights import Flights
from pointsman.gate import Committed, Gate, HedgePurse, Hedging, PlanRun
from pointsman.joint import Joint
from pointsman.kept_answers import KeptAnswers
from pointsman.ledger import AUDIT, BOOKED, Intent, Settlement
from pointsman.providers import Counting, Provider
from pointsman.recording import Recording, free, replay
from pointsman.routing import Routing, Stores
from pointsman.stream import AnswerStream, Hit, Opening, told_of

log = logging.getLogger("pointsman")


class Count(msgspec.Struct, frozen=True):
    """How many tokens a request's input has."""

    tokens: int
    is_estimated: bool


class Pipeline:
    """Sends each request to the cheapest tier that will answer it well, and books it.

    A pipeline belongs to one event loop. Close it, or use it as an async context manager.
    """

    def __init__(
        self,
        routing: Routing,
        stores: Stores,
        *,
        clock: Clock,
        rng: Random,
        new_id: Callable[[], str],
        joint: Joint | None = None,
    ) -> None:
        self.stores = stores
        self.observers: list[Observer] = []
        self.health = Health(rng.random)
        self._tokens = TokenRates(joint.tokens if joint else None)
        self._hedges = HedgePurse()
        self._clock = clock
        self._rng = rng
        self._new_id = new_id
        self._decider = Decider(clock)
        self._flights = Flights()
        self.kept = (
            None if stores.cache is None else KeptAnswers.of(stores.cache, stores.caching, clock)
        )
        self._retired: set[Provider] = set()
        self.meter = Meter(Webhook(clock), joint.told if joint else None)
        workers = joint.workers if joint else 1
        self.audits = Auditor(stores.ledger, clock, rng, self._step, workers=workers)
        self.routing = self._adopted(routing)
        self._gate: tuple[Routing, Gate] | None = None  # of the latest routing

    def open(self, request: Request) -> Opening:
        """Open an answer: entered once a draft has passed its gate, or a recording was found.

        Leaving early cancels the upstream call, unless others read the same answer. Raises
        GatewayError; after entering, the events raise it.
        """
        opened = self._opened if self.stores.contents is None else self._copied
        return Opening(partial(opened, self._identified(request)))

    async def _copied(self, request: Request) -> AnswerStream:
        """Return what `_opened` does; once it is closed, a copy is kept."""
        assert self.stores.contents is not None, "open has looked"
        return copy_of(await self._opened(request), request, self.stores.contents)

    def read(self, codec: Codec, body: bytes, caller: Caller) -> Request:
        """Return the request of a body, decoded once where it comes again. Raises RequestError."""
        return self._decider.repeats.read(codec, body, caller)

    async def _opened(self, request: Request) -> AnswerStream:
        """Return an open answer, to be closed."""
        is_kept = self.kept is not None and request.caller.cache != "off"
        routing, decided = await self._decided(request, is_kept=is_kept)
        job = Job(
            decided.request,
            decided.features,
            decided.decision,
            self._clock.monotonic_s() + routing.total_s,
            "miss" if is_kept else "off",
            decided.offered,
            decided.standing,
            decided.said,
        )
        if self.stores.has_readings:
            reading = encode_reading(decided.features)
            self.stores.ledger.keep_reading(request.caller.request_id, reading)
        kept, keys = self.kept, decided.keys
        if kept is not None and keys is not None:
            hit = kept.find(keys, request.caller, decided.repeat, model=request.model)
            if hit is not None and (answer := hit.kept) is not None:
                entry = answer.entry
                if routing.may_serve(job.offered, entry.tier, entry.deployment):
                    return await self._replayed(job, hit, answer)
        if not request.caller.terms.may_call:
            raise NotCached(
                "no kept answer fits, and Cache-Control is only-if-cached; leave it out"
            )
        if kept is None or keys is None:
            return await self._called(job, routing)
        return await self._joined(keys, job, routing, kept)

    def decide(self, request: Request) -> Decision:
        """Return the decision for a request, calling nobody. Raises RequestError."""
        return self._decider.decide(request, self.routing).decision

    def explain(self, request: Request, standing: Standing | None = None) -> Explanation:
        """Return the decision and what each tier would cost. Raises RequestError.

        `standing`: a conversation that it is to go on with, whatever is known of it here.
        """
        decided = self._decider.decide(request, self.routing, standing=standing)
        return explain(decided.decision, decided.features, decided.offered, self.routing.policy)

    async def count(self, request: Request) -> Count:
        """Return the tokens of a request's input for the model that would answer it.

        Exact where its provider counts them, and can be reached. Raises RequestError.
        """
        routing, decided = await self._decided(self._identified(request), is_kept=False)
        step = first_step(decided.decision, decided.offered)
        provider = routing.providers[step.deployment.provider]
        if isinstance(provider, Counting):
            try:
                counted = await provider.count(decided.request, step)
            except UpstreamError as error:
                log.warning("%s does not count: %s", step.deployment.id, error.code)
                counted = None
            if counted is not None:
                return Count(counted, is_estimated=False)
        return Count(decided.features.input_tokens, is_estimated=True)

    def model_names(self) -> tuple[tuple[str, str], ...]:
        """Return every name a client may ask for, each with whose it is."""
        return self.routing.model_names()

    async def feedback(self, request_id: str, score: float, *, tenant: str = "") -> bool:
        """Keep a score (0..1) for a request; False when the tenant has no such request."""
        return await self.stores.ledger.book_feedback(
            request_id, tenant, score, self._clock.wall_ns()
        )

    def swap(self, routing: Routing) -> None:
        """Take new tiers and policy at once; what is under way ends with the old ones."""
        self._retired.update(self.routing.providers.values())
        self.routing = self._adopted(routing)
        self._decider.repeats.clear()

    async def aclose(self) -> None:
        """Stop what runs, write what is pending, and let go of connections and files."""
        await self._flights.aclose()
        await self.audits.aclose()
        await self.meter.aclose()
        for provider in {*self._retired, *self.routing.providers.values()}:
            await provider.close()
        if self.stores.cache is not None:
            self.stores.cache.close()
        await self.stores.ledger.close()

    async def __aenter__(self) -> Self:
        """Return the pipeline."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    def _adopted(self, routing: Routing) -> Routing:
        """Return the routing with what audits have found of it so far, its budgets metered."""
        self.meter.adopt(routing.budgets)
        if routing.budgets.stated:
            try:
                self.meter.read(self.stores.ledger.budgets())
            except LedgerUnavailable as error:  # the first hold will tell
                log.error("budgets: what is spent cannot be read yet: %s", error.message)
        return routing.stepped(self.audits.adopt(routing.audit))

    def _step(self, steps: Mapping[str, int]) -> None:
        self.routing = self.routing.stepped(steps)

    def _identified(self, request: Request) -> Request:
        if request.caller.request_id:
            return request
        caller = msgspec.structs.replace(request.caller, request_id=self._new_id())
        return msgspec.structs.replace(request, caller=caller)

    async def _decided(self, request: Request, *, is_kept: bool) -> tuple[Routing, Decided]:
        """Return what there is to know before the first call. `is_kept`: see `Decider.decide`.

        The routing goes along: a reload while the request is under way changes nothing for it.
        """
        routing = self.routing
        decided = await self._decider.decided(request, routing, is_kept=is_kept)
        if routing is not self.routing:  # swapped meanwhile
            return await self._decided(request, is_kept=is_kept)
        return routing, decided

    # One upstream answer, for one reader or for all who ask the same at once.

    async def _called(self, job: Job, routing: Routing) -> AnswerStream:
        committed = await self._commit(job, routing)
        return self._stream(job, committed, committed.more, hit=None, close=committed.aclose)

    async def _joined(
        self, keys: AnswerKeys, job: Job, routing: Routing, kept: KeptAnswers
    ) -> AnswerStream:
        def land(committed: Committed, recording: Recording) -> None:
            if committed.decision.tier != job.decision.tier:
                return  # a budget's end gave less than was decided
            kept.keep(keys, job, committed, recording)

        # A budget of the first reader's may deny or downgrade it, which is no other's business.
        caller = job.request.caller
        shared = (kept.flight_key(keys, caller), routing.budgets.of_caller(caller))
        flight, committed, is_leader = await self._flights.board(
            shared, lambda: self._commit(job, routing), land, asked=keys.exact
        )
        more, hit = flight.recording.reader(), None
        if not is_leader:
            hit = Hit("exact" if flight.asked == keys.exact else "normalised")
            more = self._followed(job, committed, more, hit.tier)
        return self._stream(job, committed, more, hit=hit, close=flight.leave)

    def _commit(self, job: Job, routing: Routing) -> Awaitable[Committed]:
        """Return the draft that passes its gate, its call metered where its key's tokens are."""
        is_metered = job.request.caller.grant.tokens_per_minute is not None
        return self._metered(job, routing) if is_metered else self._passed(job, routing)

    async def _metered(self, job: Job, routing: Routing) -> Committed:
        """Return what `_passed` does, with what it may take held from its key's tokens a minute.

        Raises RateLimited where there are not enough left.
        """
        caller = job.request.caller
        self._tokens.hold(
            *(caller.request_id, caller.tenant, caller.grant),
            routing.tokens_max(job),
            self._clock.monotonic_s(),
            input_tokens=job.features.input_tokens,
        )

        def release() -> None:
            now_s = self._clock.monotonic_s()
            self._tokens.release(caller.request_id, caller.tenant, now_s)

        try:
            committed = await self._passed(job, routing)
        except BaseException:  # nothing is under way any more
            release()
            raise
        committed.on_closed = release
        return committed

    async def _passed(self, job: Job, routing: Routing) -> Committed:
        """Return the draft that passes its gate, of the plan for the job's decision.

        Or for the cheapest tier's, where a budget nears its end or has no room and the
        configuration says so, or where the key's calls of the tier are used up.
        """
        budgets = routing.budgets.of_caller(job.request.caller)
        if budgets and routing.budgets.near_end != "deny":
            near = self.meter.nearest(budgets, self._clock.wall_ns())
            if near is not None:
                job = _downgraded(job, routing, f"the budget {near.scope} is nearly spent") or job
        while True:  # twice at most: there is nothing cheaper than the cheapest
            try:
                return await self._run(job, routing, budgets).commit()
            except (BudgetExceeded, QuotaExceeded) as error:
                job = _cheaper(job, routing, error)

    def _run(self, job: Job, routing: Routing, budgets: tuple[Budget, ...]) -> PlanRun:
        plan, purse = routing.plan(job, self.health, self._clock.monotonic_s()), None
        if budgets:
            job = priced_as_stated(job)
            plan = as_held(plan, job.features, routing.price_of)
            purse = Purse(self.stores.ledger, budgets, self.meter)
        if self._gate is None or self._gate[0] is not routing:
            self._gate = routing, self._gate_of(routing)
        _, gate = self._gate
        on_whole = partial(self.audits.consider, job, routing, gate.desk)
        return PlanRun(plan, job, gate, purse=purse, on_whole=on_whole)

    def _gate_of(self, routing: Routing) -> Gate:
        ledger, price_of = self.stores.ledger, routing.price_of
        hedging = Hedging(routing.hedging, self._hedges) if routing.hedging.after_s else None
        desk = Desk(ledger, self._clock, self.health, self.meter, price_of, self._observe)
        return Gate(desk, routing.providers, routing.checks, self._rng, hedging)

    def _observe(self, intent: Intent, settlement: Settlement) -> None:
        if self._tokens.has_any and intent.policy != AUDIT:  # that is ours, not the key's
            usage = settlement.usage
            tokens = usage.input_tokens + usage.output_tokens
            is_unknown = settlement.state == "unknown"
            self._tokens.note(intent.request_id, intent.tenant, None if is_unknown else tokens)
        if settlement.cost_nanousd:
            self._hedges.note_spent(settlement.cost_nanousd, self._clock.monotonic_s())
        for observer in self.observers:
            observer(intent, settlement)

    # Answers that call nobody, booked as hits.

    async def _replayed(self, job: Job, hit: Hit, answer: KeptAnswer) -> AnswerStream:
        entry = answer.entry
        await self._book_hit(job, entry.tier, entry.deployment, answer.usage, hit.tier)
        self._decider.pass_on(job)
        return AnswerStream(
            replay(answer.events),
            decision=job.decision,
            request_id=job.request.caller.request_id,
            tier=entry.tier,
            model=entry.deployment,
            attempts=0,
            cache="hit",
            is_empty=False,
            cost=lambda: 0,
            detours=told_of(hit),
            dropped=answer.dropped,
            hit=hit,
        )

    def _followed(self, job: Job, committed: Committed, more: More, cache_tier: CacheTier) -> More:
        """Return what gives another's answer, booked as a hit before its end."""
        usage, step = Usage(), committed.step

        async def followed(_: Sink | None) -> Sequence[Event]:
            nonlocal usage
            batch = await more(None)
            for event in batch:
                if isinstance(event, UsageReport):
                    usage = event.usage
                elif isinstance(event, Finished):
                    place = (step.tier, step.deployment.id)
                    await self._book_hit(job, *place, usage, cache_tier)
            return [free(event) for event in batch]

        return followed

    async def _book_hit(
        self, job: Job, tier: str, deployment: str, usage: Usage, cache_tier: CacheTier
    ) -> None:
        intent = job.intent(
            attempt=1, at_ns=self._clock.wall_ns(), tier=tier, deployment=deployment
        )
        settlement = Settlement(
            state="settled", outcome="hit", usage=usage, cost_nanousd=0, cache=BOOKED[cache_tier]
        )
        await self.stores.ledger.book_hit(intent, settlement)
        self._observe(intent, settlement)

    def _stream(
        self,
        job: Job,
        committed: Committed,
        more: More,
        *,
        hit: Hit | None,
        close: Callable[[], Awaitable[None]],
    ) -> AnswerStream:
        """Return the stream; at its end it is remembered where its conversation is now."""
        is_hit = hit is not None
        return AnswerStream(
            more,
            decision=job.decision if is_hit else committed.decision,
            request_id=job.request.caller.request_id,
            tier=committed.step.tier,
            model=committed.step.deployment.id,
            attempts=0 if is_hit else committed.attempts,
            cache="hit" if is_hit else job.cache,
            is_empty=committed.is_empty,
            cost=(lambda: 0) if is_hit else committed.cost_nanousd,
            detours=committed.detours,
            dropped=committed.dropped,
            hit=hit,
            on_whole=partial(self._decider.remember, job, committed),
            close=close,
        )


def _cheaper(job: Job, routing: Routing, error: BudgetExceeded | QuotaExceeded) -> Job:
    """Return the job for the cheapest tier, after what was decided may not be called.

    Raises the error where there is nothing cheaper, or something has been called.
    """
    is_quota = isinstance(error, QuotaExceeded)
    if error.attempts or not (is_quota or routing.budgets.near_end == "downgrade"):
        raise error
    why = "its key has no calls of a better one left today"
    cheaper = _downgraded(job, routing, why if is_quota else "more does not fit the budget")
    if cheaper is None or cheaper.decision.tier == job.decision.tier:
        raise error
    if not is_quota:
        log.info("%s: %s", job.request.caller.request_id, error.message)
    return cheaper


def _downgraded(job: Job, routing: Routing, why: str) -> Job | None:
    """Return the job decided for the cheapest tier, None where the client has named a place."""
    request, offered = job.request, job.offered
    if request.caller.tier:
        return None
    target = resolve(request.model, offered, routing.aliases_for(request, offered))
    decision = downgraded(job.decision, job.features, offered, target.tier_min, why=why)
    return None if decision is None else msgspec.structs.replace(job, decision=decision)
