"""Router: the one pipeline. The server, the library, the demo and the comparison all call it.

Read `open` from top to bottom: that is the way of a request.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Self

import msgspec

from pointsman.attempt import Desk, Job, Observer, PriceOf
from pointsman.cache import Cache
from pointsman.cache.entry import Entry, decode_entry, encode_entry
from pointsman.clock import Clock
from pointsman.core.cache_key import answer_key
from pointsman.core.decision import Policy, decide, resolve
from pointsman.core.events import Event, Finished, ToolCallDelta, UsageReport
from pointsman.core.features import extract
from pointsman.core.health import Health
from pointsman.core.plan import build_plan
from pointsman.core.types import CacheOutcome, Decision, Features, Plan, Request, Snapshot
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS
from pointsman.explanation import Explanation, explain
from pointsman.gate import Checks, Committed, PlanRun
from pointsman.ledger import Intent, Ledger, Settlement
from pointsman.providers import Provider
from pointsman.recording import Flight, Recording, free, replay
from pointsman.stream import AnswerStream
from pointsman.tool_loops import ToolLoops

log = logging.getLogger("pointsman")

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Routing:
    """What a reload replaces, all at once: the tiers, and how they are chosen and called."""

    snapshot: Snapshot
    aliases: tuple[str, ...]
    policy: Policy
    providers: Mapping[str, Provider]
    checks: Checks
    may_escalate: bool
    price_of: PriceOf
    total_s: float


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a reload: the ledger, and the cache, None where it is switched off.

    `entry_bytes_max`: a larger answer is not kept.
    """

    ledger: Ledger
    cache: Cache | None
    entry_bytes_max: int


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
    ) -> None:
        self.routing = routing
        self.stores = stores
        self.observers: list[Observer] = []
        self.health = Health()
        self._clock = clock
        self._rng = rng
        self._new_id = new_id
        self._loops = ToolLoops()
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired: set[Provider] = set()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[AnswerStream]:
        """Open an answer: entered once a draft has passed its gate, or a recording was found.

        Leaving early cancels the upstream call, unless others read the same answer. Raises
        GatewayError; after entering, the events raise it.
        """
        request = self._identified(request)
        features = extract(request)
        decision = self._decide(request, features)
        job = Job(request, features, decision, self._deadline_s(), self._booked_as(request))
        if job.cache == "off":
            async with self._called(job) as stream:
                yield stream
            return
        key = self._key(job)
        entry = self._found(key) if request.caller.cache == "on" else None
        if entry is not None:
            yield await self._replayed(job, entry)
            return
        async with self._joined(key, job) as stream:
            yield stream

    def decide(self, request: Request) -> Decision:
        """Return the decision for a request, calling nobody. Raises RequestError."""
        return self._decide(request, extract(request))

    def explain(self, request: Request) -> Explanation:
        """Return the decision and what each tier would cost. Raises RequestError."""
        features = extract(request)
        return explain(self._decide(request, features), features, self.routing.snapshot)

    def model_names(self) -> tuple[tuple[str, str], ...]:
        """Return every name a client may ask for, each with whose it is."""
        snapshot = self.routing.snapshot
        ours = [(name, "pointsman") for name in (*self.routing.aliases, *snapshot.names)]
        tiers = (deployment for tier in snapshot.tiers for deployment in tier.deployments)
        models = {d.id: d.provider for d in (*tiers, *snapshot.others)}
        return (*(entry for entry in ours if entry[0] != "*"), *models.items())

    async def feedback(self, request_id: str, score: float, *, tenant: str = "") -> bool:
        """Keep a score (0..1) for a request; False when the tenant has no such request."""
        return await self.stores.ledger.book_feedback(
            request_id, tenant, score, self._clock.wall_ns()
        )

    def swap(self, routing: Routing) -> None:
        """Take new tiers and policy at once; what is under way ends with the old ones."""
        self._retired.update(self.routing.providers.values())
        self.routing = routing

    async def aclose(self) -> None:
        """Stop what runs, write what is pending, and let go of connections and files."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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

    def _identified(self, request: Request) -> Request:
        if request.caller.request_id:
            return request
        caller = msgspec.structs.replace(request.caller, request_id=self._new_id())
        return msgspec.structs.replace(request, caller=caller)

    def _decide(self, request: Request, features: Features) -> Decision:
        routing = self.routing
        return decide(
            features,
            resolve(request.model, routing.snapshot, routing.aliases),
            routing.snapshot,
            routing.policy,
            tier_pin=request.caller.tier,
            stay_on=self._loops.began_by(request),
        )

    def _deadline_s(self) -> float:
        return self._clock.monotonic_s() + self.routing.total_s

    def _booked_as(self, request: Request) -> CacheOutcome:
        is_off = self.stores.cache is None or request.caller.cache == "off"
        return "off" if is_off else "miss"

    # One upstream answer, for one reader or for all who ask the same at once.

    @asynccontextmanager
    async def _called(self, job: Job) -> AsyncIterator[AnswerStream]:
        committed = await self._commit(job)
        try:
            async with aclosing(self._watched(job, committed, committed.events())) as events:
                yield self._stream(job, committed, events, is_hit=False)
        finally:
            await committed.aclose()  # for a caller who has not read a single event

    @asynccontextmanager
    async def _joined(self, key: bytes, job: Job) -> AsyncIterator[AnswerStream]:
        flight = self._flights.get(key)
        is_leader = flight is None or not flight.is_open
        if flight is None or is_leader:
            flight = self._flights[key] = Flight()
            self._start(flight, key, job)
        flight.readers += 1
        try:
            committed = await flight.committed()
            events = self._watched(job, committed, flight.recording.read())
            if not is_leader:
                events = self._followed(job, committed, events)
            async with aclosing(events):
                yield self._stream(job, committed, events, is_hit=not is_leader)
        finally:
            flight.leave()

    def _start(self, flight: Flight, key: bytes, job: Job) -> None:
        def land(committed: Committed, recording: Recording) -> None:
            self._store(key, job, committed, recording)

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a shared answer failed in the router", exc_info=error)

        task = flight.start(lambda: self._commit(job), land)
        self._tasks.add(task)
        task.add_done_callback(forget)

    async def _commit(self, job: Job) -> Committed:
        """Return the draft that passes its gate, of the plan for the job's decision."""
        routing = self.routing
        desk = Desk(self.stores.ledger, self._clock, self.health, routing.price_of, self._observe)
        run = PlanRun(
            self._plan(job),
            job,
            desk,
            providers=routing.providers,
            checks=routing.checks,
            rng=self._rng,
        )
        return await run.commit()

    def _plan(self, job: Job) -> Plan:
        """Return the plan of what is ready; where all rest, of what is due for a probe."""
        routing, now_s = self.routing, self._clock.monotonic_s()

        def planned(is_ready: Callable[[str, float], bool]) -> Plan:
            return build_plan(
                job.decision,
                job.features,
                routing.snapshot,
                is_ready=lambda name: is_ready(name, now_s),
                may_escalate=routing.may_escalate,
            )

        plan = planned(self.health.is_ready)
        return plan if plan.steps else planned(self.health.is_due_for_probe)

    def _observe(self, intent: Intent, settlement: Settlement) -> None:
        for observer in self.observers:
            observer(intent, settlement)

    # The cache.

    def _key(self, job: Job) -> bytes:
        shape = CODECS[job.request.dialect].shape(job.request)
        return answer_key(job.request, job.decision, self.routing.snapshot, shape=shape)

    def _found(self, key: bytes) -> Entry | None:
        assert self.stores.cache is not None, "asked only where there is a cache"
        value = self.stores.cache.get(key, now_s=self._clock.wall_ns() / _NS_PER_S)
        return decode_entry(value) if value is not None else None

    def _store(self, key: bytes, job: Job, committed: Committed, recording: Recording) -> None:
        """Keep a whole, accepted answer of the deployment that was meant to give it."""
        cache = self.stores.cache
        meant = job.decision.deployments[0]
        if committed.step.tier != job.decision.tier:
            meant = self.routing.snapshot.tier(committed.step.tier).deployments[0].id
        has_calls = any(isinstance(event, ToolCallDelta) for event in recording.events)
        if (
            cache is None
            or committed.finish_reason != "stop"
            or committed.is_empty
            or has_calls
            or not committed.is_accepted
            or committed.step.deployment.id != meant
            or recording.size_bytes > self.stores.entry_bytes_max
        ):
            return
        now_s = self._clock.wall_ns() / _NS_PER_S
        entry = Entry(
            events=tuple(recording.events),
            tier=committed.step.tier,
            deployment=committed.step.deployment.id,
            policy=job.decision.policy,
            reason=job.decision.reason,
            created_at_s=now_s,
            request_id=job.request.caller.request_id,
        )
        cache.put(key, encode_entry(entry), now_s=now_s)

    async def _replayed(self, job: Job, entry: Entry) -> AnswerStream:
        usages = (e.usage for e in reversed(entry.events) if isinstance(e, UsageReport))
        usage = next(usages, Usage())
        await self._book_hit(job, entry.tier, entry.deployment, usage)
        return AnswerStream(
            replay(entry.events),
            decision=job.decision,
            request_id=job.request.caller.request_id,
            tier=entry.tier,
            model=entry.deployment,
            attempts=0,
            cache="hit",
            is_empty=False,
            cost=lambda: 0,
        )

    async def _followed(
        self, job: Job, committed: Committed, source: AsyncGenerator[Event]
    ) -> AsyncGenerator[Event]:
        """Yield another's answer, booked as a hit before its end."""
        usage, step = Usage(), committed.step
        async with aclosing(source):
            async for event in source:
                if isinstance(event, UsageReport):
                    usage = event.usage
                if isinstance(event, Finished):
                    await self._book_hit(job, step.tier, step.deployment.id, usage)
                yield free(event)

    async def _book_hit(self, job: Job, tier: str, deployment: str, usage: Usage) -> None:
        intent = job.intent(
            attempt=1, at_ns=self._clock.wall_ns(), tier=tier, deployment=deployment
        )
        settlement = Settlement(
            state="settled", outcome="hit", usage=usage, cost_nanousd=0, cache="hit"
        )
        await self.stores.ledger.book_hit(intent, settlement)
        self._observe(intent, settlement)

    async def _watched(
        self, job: Job, committed: Committed, source: AsyncGenerator[Event]
    ) -> AsyncGenerator[Event]:
        """Yield an answer; remember who made its tool calls, before their results can come back."""
        async with aclosing(source):
            async for event in source:
                if isinstance(event, Finished) and committed.tool_calls:
                    self._loops.remember(
                        job.request, committed.tool_calls, committed.step.deployment.id
                    )
                yield event

    def _stream(
        self, job: Job, committed: Committed, events: AsyncIterator[Event], *, is_hit: bool
    ) -> AnswerStream:
        return AnswerStream(
            events,
            decision=job.decision,
            request_id=job.request.caller.request_id,
            tier=committed.step.tier,
            model=committed.step.deployment.id,
            attempts=0 if is_hit else committed.attempts,
            cache="hit" if is_hit else job.cache,
            is_empty=committed.is_empty,
            cost=(lambda: 0) if is_hit else committed.cost_nanousd,
        )
