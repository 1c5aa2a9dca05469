"""G5: how many calls a failing upstream gets, over outages and over any graph of fallbacks.

The pipeline runs as it is, on an event loop whose time is virtual and books that are in memory.
"""

import asyncio
import logging
import selectors
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from tests.pipeline.rig import asking

from pointsman.assembly import build_routing
from pointsman.clock import Clock
from pointsman.config import Settings, TierSettings
from pointsman.config.settings import ProviderSettings, RoutingSettings
from pointsman.core import errors
from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event, Finished, Started, TextDelta
from pointsman.core.types import Request, Step
from pointsman.policies import SignalSettings
from pointsman.router import Pipeline
from pointsman.routing import Stores
from soak import Figure

GRAPHS = 10_000
OUTAGE_S = 120.0
PER_S = 50
BURST = 1_000
CALLS_SHARE_MAX = 1.2
ATTEMPTS_MAX, TRIES_MAX = 4, 2
REFUSAL_MS_MAX = 10.0
SUCCESS_MIN, WASTED_MAX, RECOVERY_S_MAX = 0.999, 0.05, 2.0
# Seconds up and down: dead, slow, quick, mostly up.
FLAPPING = ((0.0, 1.0), (30.0, 30.0), (7.0, 5.0), (20.0, 2.0))
_ENDS_S = 1_000.0
ERRORS: tuple[Callable[[], UpstreamError], ...] = (
    lambda: errors.UpstreamUnavailable("down"),
    lambda: errors.UpstreamUnavailable("down", retry_after_s=3.0),
    lambda: errors.UpstreamConnect("refused"),
    lambda: errors.UpstreamReset("gone"),
    lambda: errors.UpstreamTimeout("late"),
    lambda: errors.UpstreamBadResponse("odd"),
    lambda: errors.UpstreamRateLimited("slow down"),
    lambda: errors.UpstreamRateLimited("slow down", retry_after_s=2.0),
    lambda: errors.UpstreamAuth("no"),
    lambda: errors.UpstreamModelMissing("no"),
    lambda: errors.ContextLengthExceeded("long", status=400, body=b"{}"),
    lambda: errors.UpstreamRejected("bad", status=422, body=b"{}"),
)
OUTAGES: dict[str, tuple[Callable[[], UpstreamError], float]] = {
    "refused": (ERRORS[2], 0.001),
    "503": (ERRORS[0], 0.05),
    "503 with Retry-After": (ERRORS[1], 0.05),
    "429 without": (ERRORS[6], 0.05),
    "reset after 2 s": (ERRORS[3], 2.0),
    "timeout after 60 s": (ERRORS[4], 60.0),
}


def measure(scale: float = 1.0, *, seed: int = 0) -> list[Figure]:
    """Return the most calls per request and dead target, and what random graphs came to."""
    logging.getLogger("pointsman").setLevel(logging.ERROR)  # each breaker that opens is told
    share, worst = 0.0, ""
    refusals_ms: list[float] = []
    for name in OUTAGES:
        for targets in (1, 2, 3):
            outage = run_virtual(partial(total_outage, name, targets, scale, Random(seed)))
            refusals_ms += outage.refusals_ms
            if outage.share > share:
                share, worst = outage.share, f"{name}, {targets} targets"
    graphs = max(100, round(GRAPHS * scale))
    ended, attempts, tries = run_virtual(partial(random_graphs, graphs, Random(seed)))
    success, wasted, recovery_s = 1.0, 0.0, 0.0
    for up_s, down_s in FLAPPING:
        flapped = run_virtual(partial(flapping, up_s, down_s, scale, Random(seed)))
        success, wasted = min(success, flapped[0]), max(wasted, flapped[1])
    for targets in (1, 3):
        recovery_s = max(recovery_s, run_virtual(partial(recovery, targets, Random(seed))))
    p99_ms = sorted(refusals_ms)[int(0.99 * len(refusals_ms))] if refusals_ms else 0.0
    return [
        Figure(
            "G5", "calls per request to a dead target, total outage", f"<= {CALLS_SHARE_MAX}",
            f"{share:.2f} at most ({worst})", share <= CALLS_SHARE_MAX,
        ),
        Figure(
            "G5", f"{graphs:,} random fallback graphs: attempts, tries per target",
            f"<= {ATTEMPTS_MAX}, <= {TRIES_MAX}, all end",
            f"{attempts}, {tries} at most; {ended:,} ended",
            attempts <= ATTEMPTS_MAX and tries <= TRIES_MAX and ended == graphs,
        ),
        Figure(
            "row 27", "a request refused while all rest, p99", f"<= {REFUSAL_MS_MAX:g} ms",
            f"{p99_ms:.2f} ms", p99_ms <= REFUSAL_MS_MAX,
        ),
        Figure(
            "row 3, 28", "success beside one healthy target; wasted attempts, flapping",
            f">= {SUCCESS_MIN:.1%}; <= {WASTED_MAX:.0%}",
            f"{success:.2%}; {wasted:.2%}", success >= SUCCESS_MIN and wasted <= WASTED_MAX,
        ),
        Figure(
            "row 27", "from a total outage's end to the first answer", f"<= {RECOVERY_S_MAX:g} s",
            f"{recovery_s:.2f} s", recovery_s <= RECOVERY_S_MAX,
        ),
    ]  # fmt: skip


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: where nothing can run, its time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self._loop.now_s += timeout
        return super().select(0)


class VirtualClock:
    """The loop's time as the pipeline reads it."""

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ns(self) -> int:
        return int((1_800_000_000 + self.monotonic_s()) * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class NoBooks:
    """A ledger that keeps nothing."""

    async def reserve(self, intent: object, hold: object = None) -> None:
        del intent, hold

    async def settle(self, *_: object) -> None:
        """Do nothing."""

    def close_attempt(self, *_: object) -> None:
        """Do nothing."""

    def release(self, request_id: str) -> None:
        del request_id

    async def close(self) -> None:
        """Do nothing."""

    def audits(self, *_: object) -> tuple[()]:
        return ()


@dataclass(eq=False)
class Failing:
    """A provider that fails each call as `end` says, after `after_s`; None answers."""

    end: Callable[[str], tuple[UpstreamError | None, float]]
    calls: list[str] = field(default_factory=list)

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        del request
        self.calls.append(step.deployment.id)
        error, after_s = self.end(step.deployment.id)
        await asyncio.sleep(after_s)
        if error is not None:
            raise error
        yield Started(id="1", created=0, model="m", dialect="", is_stream=True)
        yield TextDelta("Hello there.")
        yield Finished("stop")

    async def close(self) -> None:
        """Do nothing."""


def pipeline_of(tiers: Sequence[TierSettings], provider: Failing, rng: Random) -> Pipeline:
    clock: Clock = VirtualClock()
    settings = Settings(
        providers={"p": ProviderSettings(base_url="http://unused.invalid/v1", api_key_env="")},
        tiers=tuple(tiers),
        routing=RoutingSettings(policy="signals", signals=SignalSettings(default=tiers[0].name)),
    )
    routing = build_routing(settings, {}, clock=clock, providers={"p": provider})
    stores = Stores(ledger=NoBooks(), cache=None)  # type: ignore[arg-type]
    ids = iter(range(10**9))
    return Pipeline(routing, stores, clock=clock, rng=rng, new_id=lambda: f"r{next(ids)}")


def run_virtual(work: Callable[[], Any]) -> Any:
    """Return what a coroutine comes to on a loop of virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


@dataclass(frozen=True, slots=True)
class Outage:
    """`share`: calls per request of the target that got most. `refusals_ms`: of real time."""

    share: float
    refusals_ms: list[float]


async def total_outage(name: str, targets: int, scale: float, rng: Random) -> Outage:
    """Return what all targets get while requests come steadily, and once all together."""
    make, after_s = OUTAGES[name]
    provider = Failing(lambda _: (make(), after_s))
    chain = TierSettings("t", tuple(f"p/{number}" for number in range(targets)))
    pipeline = pipeline_of([chain], provider, rng)
    refusals_ms: list[float] = []

    async def ask(number: int) -> None:
        await asyncio.sleep(number / PER_S)
        began, calls = time.perf_counter(), len(provider.calls)
        begun_s = asyncio.get_running_loop().time()
        await ended(pipeline, asking(stream=bool(number % 2)))
        if len(provider.calls) == calls and asyncio.get_running_loop().time() == begun_s:
            refusals_ms.append((time.perf_counter() - began) * 1000)

    steady = max(PER_S * 5, round(PER_S * OUTAGE_S * scale))
    burst = max(50, round(BURST * scale))
    await asyncio.gather(
        *(ask(number) for number in range(steady)), *(ask(0) for _ in range(burst))
    )
    await pipeline.aclose()
    return Outage(max(Counter(provider.calls).values()) / (steady + burst), refusals_ms)


async def flapping(up_s: float, down_s: float, scale: float, rng: Random) -> tuple[float, float]:
    """Return the shares of answered requests, and of failed attempts, beside one healthy target.

    The first target answers for `up_s`, fails for `down_s`, and so on.
    """
    loop = asyncio.get_running_loop()

    def end(target: str) -> tuple[UpstreamError | None, float]:
        is_down = target == "p/0" and loop.time() % (up_s + down_s) >= up_s
        return (ERRORS[0]() if is_down else None), 0.2

    provider = Failing(end)
    pipeline = pipeline_of([TierSettings("t", ("p/0", "p/1"))], provider, rng)

    async def ask(number: int) -> bool:
        await asyncio.sleep(number / PER_S)
        return await ended(pipeline, asking(stream=bool(number % 2)))

    requests = max(PER_S * 60, round(PER_S * OUTAGE_S * scale))
    answered = sum(await asyncio.gather(*(ask(number) for number in range(requests))))
    await pipeline.aclose()
    return answered / requests, (len(provider.calls) - answered) / len(provider.calls)


async def recovery(targets: int, rng: Random) -> float:
    """Return how long after a minute's total outage the first request is answered."""
    loop, outage_s = asyncio.get_running_loop(), 60.0

    def end(_: str) -> tuple[UpstreamError | None, float]:
        return (None if loop.time() >= outage_s else ERRORS[2]()), 0.05

    chain = TierSettings("t", tuple(f"p/{number}" for number in range(targets)))
    pipeline = pipeline_of([chain], Failing(end), rng)
    answered_s: list[float] = []

    async def ask(number: int) -> None:
        await asyncio.sleep(number / PER_S)
        if await ended(pipeline, asking()):
            answered_s.append(loop.time())

    await asyncio.gather(*(ask(number) for number in range(int(PER_S * (outage_s + 10)))))
    await pipeline.aclose()
    return min(answered_s, default=float("inf")) - outage_s


async def random_graphs(graphs: int, rng: Random) -> tuple[int, int, int]:
    """Return how many requests ended, the most attempts of one, and the most of one target."""
    ended_count = attempts = tries = 0
    for _ in range(graphs):
        names = [f"p/{number}" for number in range(rng.randint(1, 8))]
        tiers = [
            TierSettings(f"t{number}", tuple(rng.choices(names, k=rng.randint(1, 8))))
            for number in range(rng.randint(1, 5))
        ]
        failing = rng.choice((0.5, 0.9, 1.0))

        def end(_: str, failing: float = failing) -> tuple[UpstreamError | None, float]:
            error = rng.choice(ERRORS)() if rng.random() < failing else None
            return error, rng.choice((0.0, 0.01, 1.0))

        provider = Failing(end)
        pipeline = pipeline_of(tiers, provider, rng)
        for _ in range(3):  # the later ones find what the first have put to rest
            provider.calls.clear()
            async with asyncio.timeout(_ENDS_S):
                await ended(pipeline, asking(stream=rng.random() < 0.5))
            attempts = max(attempts, len(provider.calls))
            tries = max(tries, *Counter(provider.calls).values(), 0)
        ended_count += 1
        await pipeline.aclose()
    return ended_count, attempts, tries


async def ended(pipeline: Pipeline, request: Request) -> bool:
    """Ask, and read whatever comes; return whether it was a whole answer."""
    try:
        async with pipeline.open(request) as stream:
            async for _ in stream:
                pass
    except GatewayError:
        return False
    return True
