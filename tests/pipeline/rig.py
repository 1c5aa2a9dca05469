"""What the pipeline's tests share: a clock that never waits, a provider that stops, a pipeline."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from pointsman.asking import build_request
from pointsman.assembly import build_pipeline
from pointsman.config import ModelSettings, Settings, TierSettings
from pointsman.config.settings import PriceSettings, ProviderSettings, RoutingSettings
from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event, Finished, UsageReport, is_content
from pointsman.core.types import Answer, Request, Step
from pointsman.ledger import LedgerSettings, Row
from pointsman.policies import SignalSettings
from pointsman.providers import Provider
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.router import Pipeline

Script: TypeAlias = Mapping[str, Sequence[Scripted | str]]

# USD per million tokens, so that 10 tokens in and 5 out cost 20_000 nano-USD of "weak".
PRICES = {
    "p/weak": PriceSettings(input=1, output=2),
    "p/weak-2": PriceSettings(input=1, output=2),
    "p/mid": PriceSettings(input=2, output=4),
    "p/strong": PriceSettings(input=10, output=20),
    "p/strong-2": PriceSettings(input=10, output=20),
}
WEAK_NANOUSD, MID_NANOUSD, STRONG_NANOUSD = 20_000, 40_000, 200_000
THREE_TIERS = (
    TierSettings("weak", ("p/weak", "p/weak-2")),
    TierSettings("mid", ("p/mid",)),
    TierSettings("strong", ("p/strong", "p/strong-2")),
)
TWO_TIERS = (TierSettings("weak", ("p/weak",)), TierSettings("strong", ("p/strong",)))
ONE_TIER = (TierSettings("weak", ("p/weak", "p/weak-2")),)


class FakeClock:
    """A clock that a wait moves at once. `slept` lists the waits."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        return int((1_800_000_000 + self.now_s) * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


class StoppingProvider(FakeProvider):
    """Follows its script, but waits before event number `stops_at` until told to `go_on`."""

    def __init__(self, script: Script, stops_at: int) -> None:
        super().__init__(script)
        self.stops_at = stops_at
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        events = super().call(request, step)
        number = 0
        self.open_calls += 1
        try:
            async for event in events:
                if number == self.stops_at:
                    self.reached.set()
                    await self.go_on.wait()
                number += 1
                yield event
        finally:
            self.open_calls -= 1
            await events.aclose()


@dataclass
class Rig:
    """A pipeline with what a test wants to look at."""

    pipeline: Pipeline
    clock: FakeClock
    fake: FakeProvider
    url: str

    def rows(self, request_id: str = "") -> list[Row]:
        rows = self.pipeline.stores.ledger.rows()
        return [row for row in rows if request_id in ("", row.intent.request_id)]

    def booked(self, request_id: str = "") -> list[tuple[str, str, str, str]]:
        """Return (deployment, state, outcome, error) of each attempt, oldest first."""
        return [
            (row.intent.deployment, end.state, end.outcome, end.error)
            for row in self.rows(request_id)
            for end in (row.settlement,)
        ]

    async def settled(self) -> None:
        """Wait until what was queued for the ledger is in it."""
        ledger = self.pipeline.stores.ledger
        await ledger.book_feedback("nobody", "", 0.0, 0)

    def fail(self, deployment: str, error: UpstreamError) -> None:
        """Have a call of the deployment fail, as far as its health is told."""
        health = self.pipeline.health
        call = health.begin(deployment, self.clock.now_s, is_retry=False)
        health.end(call)
        health.note_failure(call, error, self.clock.now_s)

    async def ask(self, request: Request) -> Answer:
        async with self.pipeline.open(request) as stream:
            return await stream.collect()


@asynccontextmanager
async def rig(
    tmp_path: Path,
    provider: FakeProvider | Script | None,
    *,
    tiers: Sequence[TierSettings] = THREE_TIERS,
    default: str = "weak",
    policy: str = "signals",
    base_url: str = "http://unused.invalid/v1",
    prices: Mapping[str, PriceSettings] = PRICES,
    env: Mapping[str, str] | None = None,
    **sections: Any,
) -> AsyncIterator[Rig]:
    """Yield a pipeline with a ledger in `tmp_path`; `provider` None calls `base_url`."""
    fake = provider if isinstance(provider, FakeProvider) else FakeProvider(provider or {})
    clock = FakeClock()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = Settings(
        providers={"p": ProviderSettings(base_url=base_url, dialect="openai-chat", api_key_env="")},
        tiers=tuple(tiers),
        routing=RoutingSettings(policy=policy, signals=SignalSettings(default=default)),
        ledger=LedgerSettings(url=url),
        prices=prices,
        **sections,
    )
    stand_ins: dict[str, Provider] = {} if provider is None else {"p": fake}
    pipeline = build_pipeline(settings, env or {}, clock=clock, providers=stand_ins, seed=1)
    async with pipeline:
        yield Rig(pipeline, clock, fake, url)


def asking(
    text: str = "Say hello.",
    *,
    stream: bool = True,
    request_id: str = "",
    tenant: str = "",
    **more: Any,
) -> Request:
    """Return a request; `more` is what `asking.Asking` takes."""
    request = build_request(text, {"stream": stream, "cache": "off", **more})  # type: ignore[typeddict-item]
    caller = msgspec.structs.replace(request.caller, request_id=request_id, tenant=tenant)
    return msgspec.structs.replace(request, caller=caller)


@dataclass
class Outcome:
    """What a client got: an answer's events, or an error, or events and then an error."""

    events: list[Event] = field(default_factory=list)
    error: GatewayError | None = None
    attempts: int = 0
    tier: str = ""
    cache: str = ""

    @property
    def text(self) -> str:
        return "".join(getattr(event, "text", "") for event in self.events)

    @property
    def is_whole(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], Finished)

    @property
    def cost_nanousd(self) -> int | None:
        reports = [event for event in self.events if isinstance(event, UsageReport)]
        return reports[-1].cost_nanousd if reports else None


async def outcome(
    pipeline: Pipeline, request: Request, *, on_content: asyncio.Event | None = None
) -> Outcome:
    """Ask and keep all that comes; `on_content` is set when the first content has."""
    got = Outcome()
    try:
        async with pipeline.open(request) as stream:
            got.attempts, got.tier, got.cache = stream.attempts, stream.tier, stream.cache
            async for event in stream:
                got.events.append(event)
                if on_content is not None and is_content(event):
                    on_content.set()
    except GatewayError as error:
        got.error = error
    return got


async def until(claim: Callable[[], object]) -> None:
    """Let other tasks run until the claim holds."""
    async with asyncio.timeout(20):
        while True:
            if claim():
                return
            await asyncio.sleep(0)


async def passes(turns: int = 50) -> None:
    """Let other tasks run for a while, as counted in turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


def models(*names: str, **more: Any) -> tuple[ModelSettings, ...]:
    return tuple(ModelSettings(name, **more) for name in names)
