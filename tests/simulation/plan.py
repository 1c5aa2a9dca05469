"""Plan: what one world is like, drawn from its seed: tiers, faults, disk, budgets, clients."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import msgspec

from pointsman.budgets import BudgetSettings
from pointsman.budgets.settings import SpendSettings
from pointsman.cache import CacheSettings
from pointsman.config import ModelSettings, ProviderSettings, Settings, TierSettings
from pointsman.config.settings import PriceSettings, RoutingSettings
from pointsman.core.grants import EVERYTHING, Grant
from pointsman.gate import HedgingSettings
from pointsman.ledger import Durability
from pointsman.policies import SignalSettings
from pointsman.providers import Timeouts
from pointsman.validators import ValidationSettings

UPSTREAM_DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini")
CLIENT_DIALECTS = ("openai-chat", "openai-responses", "anthropic")
KEYS = {"alice": "pm-alice-key-of-the-simulation", "bob": "pm-bob-key-of-the-simulation"}
MAX_TOKENS = 400
_WORLD_S = 60.0
_LIVES = (0, 0, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment: its provider has it alone. `faulty`: the share of its calls with a fault."""

    name: str
    dialect: str
    address: tuple[str, int]
    faulty: float

    @property
    def deployment(self) -> str:
        return f"{self.name}/m"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of one client. Those of one `group` ask the same, and only they do.

    `leaves_after_s` and `leaves_after_parts`: when the client goes, None for never. `lag_s`: how
    long it takes for each part at most. `once`: its Idempotency-Key, "" for none; another group, or
    another key, may have chosen the same.
    """

    number: int
    group: int
    at_s: float
    dialect: str
    is_stream: bool
    model: str
    key: str
    cache: str = "off"
    leaves_after_s: float | None = None
    leaves_after_parts: int | None = None
    lag_s: float = 0.0
    once: str = ""


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """`latency_s`: of a commit, at most. `troubles`: (from, until, "full" or "busy")."""

    latency_s: float
    durability: Durability
    troubles: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole world. `ends`: when its processes end, and whether by a crash.

    `jumps`: by how much the wall clock jumps, and when. `is_lying`: the upstreams report more
    tokens than they may produce. `limits`: in nano-USD by scope and kind of window, as "all day".
    `reloads`: when the configuration is read anew, and what it is then.
    """

    targets: tuple[Target, ...]
    settings: Settings
    asks: tuple[Ask, ...]
    disk: DiskPlan
    ends: tuple[tuple[float, bool], ...]
    jumps: tuple[tuple[float, float], ...]
    wall_s: float
    is_lying: bool
    limits: Mapping[str, int]
    grants: Mapping[str, Grant]
    reloads: tuple[tuple[float, Settings], ...]

    def tier_of(self, deployment: str) -> str:
        """Return the tier that a deployment stands in."""
        return next(
            tier.name
            for tier in self.settings.tiers
            if deployment in [entry.model for entry in tier.entries]
        )


def draw(rng: Random) -> Plan:
    """Return a world."""
    bad = rng.choice((0.0, 0.2, 0.4, 0.8))
    targets = tuple(
        Target(
            f"u{n}",
            rng.choice(UPSTREAM_DIALECTS),
            (f"1.1.1.{n + 1}", 80),
            rng.choice((bad, bad, bad, 1.0)),
        )
        for n in range(rng.randint(2, 4))
    )
    budgets = _budgets(rng)
    cached = rng.random() < 0.4
    settings = _settings(targets, budgets, rng, cached=cached)
    asks = _asks(settings, rng, cached=cached)
    busy_s = tuple(ask.at_s for ask in asks)  # when there is something to break
    return Plan(
        targets=targets,
        settings=settings,
        asks=asks,
        disk=_disk(busy_s, rng),
        ends=tuple(
            sorted((_about(busy_s, rng), rng.random() < 0.7) for _ in range(rng.choice(_LIVES)))
        ),
        jumps=tuple(
            (_about(busy_s, rng), rng.choice((-3600.0, 3600.0)))
            for _ in range(rng.choice((0, 0, 1, 2)))
        ),
        # Some worlds pass midnight, and with it the end of a day or of a month.
        wall_s=rng.choice((1_795_000_000.0, 1_796_083_180.0, 1_795_996_790.0)),
        is_lying=rng.random() < 0.1,
        limits=_limits(budgets),
        grants={"alice": EVERYTHING, "bob": _grant(settings, rng)},
        reloads=tuple(
            (_about(busy_s, rng), _reloaded(settings, rng)) for _ in range(rng.choice((0, 0, 1)))
        ),
    )


def _about(busy_s: tuple[float, ...], rng: Random) -> float:
    """Return a time soon after a request has come."""
    return rng.choice(busy_s) + rng.expovariate(1.0)


def _settings(
    targets: tuple[Target, ...], budgets: BudgetSettings, rng: Random, *, cached: bool
) -> Settings:
    tiers: list[list[ModelSettings]] = [[]]
    for target in targets:
        if tiers[-1] and len(tiers) < 3 and rng.random() < 0.5:
            tiers.append([])
        tiers[-1].append(ModelSettings(target.deployment, context_tokens=rng.choice((8000, None))))
    names = ("weak", "mid", "strong")[: len(tiers)]
    policy = rng.choice(("signals", "cascade", f"fixed:{rng.choice(names)}"))
    return Settings(
        providers={
            target.name: ProviderSettings(
                dialect=target.dialect, base_url=f"http://{target.name}.test/v1", api_key_env=""
            )
            for target in targets
        },
        tiers=tuple(
            TierSettings(name, tuple(models), max_tokens=MAX_TOKENS)
            for name, models in zip(names, tiers, strict=True)
        ),
        routing=RoutingSettings(policy=policy, signals=SignalSettings(default=names[0])),
        prices={
            target.deployment: PriceSettings(
                input=rng.choice((0.3, 1.0, 3.0)), output=rng.choice((0.7, 5.0, 20.0))
            )
            for target in targets
        },
        cache=CacheSettings(exact=cached),
        validation=ValidationSettings(escalate=rng.random() < 0.7),
        hedging=HedgingSettings(after_s=rng.choice((0.0, 0.0, 0.5)), spend_share=1.0),
        timeouts=Timeouts(
            connect_s=2.0,
            first_byte_s=rng.choice((3.0, 8.0)),
            reply_s=rng.choice((5.0, 15.0)),
            idle_s=rng.choice((2.0, 6.0)),
            total_s=rng.choice((8.0, 30.0)),
        ),
        budgets=budgets,
    )


def _budgets(rng: Random) -> BudgetSettings:
    if rng.random() < 0.4:
        return BudgetSettings()
    return BudgetSettings(
        daily_usd=rng.choice((None, 0.02, 0.1)),
        monthly_usd=rng.choice((None, 0.05)),
        keys={"alice": SpendSettings(daily_usd=rng.choice((0.01, 0.04)))},
        near_end=rng.choice(("deny", "downgrade")),
    )


def _grant(settings: Settings, rng: Random) -> Grant:
    """Return what one of the keys may do."""
    names = [tier.name for tier in settings.tiers]
    return Grant(
        tiers=tuple(rng.sample(names, rng.randint(1, len(names)))) if rng.random() < 0.4 else (),
        requests_per_minute=rng.choice((None, None, 4)),
        tokens_per_minute=rng.choice((None, None, 1_500)),
        concurrency=rng.choice((None, None, 2)),
        tier_calls_per_day={names[-1]: rng.randint(0, 2)} if rng.random() < 0.3 else {},
        day_nanousd=rng.choice((None, None, 20_000_000)),
    )


def _reloaded(settings: Settings, rng: Random) -> Settings:
    """Return the same tiers, chosen in another way."""
    policy = rng.choice(("signals", "cascade", f"fixed:{settings.tiers[-1].name}"))
    routing = msgspec.structs.replace(settings.routing, policy=policy)
    return msgspec.structs.replace(settings, routing=routing)


def _limits(budgets: BudgetSettings) -> dict[str, int]:
    """Return the limit in nano-USD of each (scope, kind of window), as "all day"."""
    alice = budgets.keys.get("alice", SpendSettings())
    stated = {
        "all day": budgets.daily_usd,
        "all month": budgets.monthly_usd,
        "key:alice day": alice.daily_usd,
        "key:alice month": alice.monthly_usd,
    }
    return {name: round(usd * 1e9) for name, usd in stated.items() if usd is not None}


def _disk(busy_s: tuple[float, ...], rng: Random) -> DiskPlan:
    troubles = [
        (begins := _about(busy_s, rng), begins + rng.choice((0.3, 1.5, 4.0, 20.0)), kind)
        for kind in rng.sample(("full", "busy"), rng.choice((0, 0, 0, 1, 2)))
    ]
    if rng.random() < 0.1:  # a lock that is held too long, and then no room
        begins = _about(busy_s, rng)
        troubles = [(begins, begins + 2.6, "busy"), (begins + 2.6, begins + 3.2, "full")]
    latency_s = rng.choice((0.0005, 0.005, 0.05))
    durability: Durability = "relaxed" if rng.random() < 0.3 else "strict"
    return DiskPlan(latency_s, durability, tuple(troubles))


def _asks(settings: Settings, rng: Random, *, cached: bool) -> tuple[Ask, ...]:
    names = ["auto"] * 4 + [tier.name for tier in settings.tiers]
    names += [entry.model for tier in settings.tiers for entry in tier.entries]
    crowd_s = rng.choice((0.05, 2.0, 10.0, _WORLD_S))  # within which all of them come
    asks: list[Ask] = []
    for group in range(rng.randint(4, 10)):
        goes = rng.random() < 0.35
        cache = rng.choice(("on", "off")) if cached else "off"
        first = Ask(
            number=len(asks),
            group=group,
            at_s=rng.uniform(0, crowd_s),
            dialect=rng.choice(CLIENT_DIALECTS),
            is_stream=rng.random() < 0.6,
            model=rng.choice(names),
            key=rng.choice(tuple(KEYS)),
            cache=cache,
            leaves_after_s=rng.expovariate(1.0) if goes and rng.random() < 0.7 else None,
            leaves_after_parts=rng.randint(1, 6) if goes else None,
            lag_s=rng.choice((0.0, 0.0, 0.0, 0.3, 3.0)),
            once=f"once-{rng.randrange(4)}" if rng.random() < 0.3 else "",
        )
        asks.append(first)
        if (first.once or cache == "on") and rng.random() < 0.6:
            asks += _again(first, len(asks), rng)
    return tuple(asks)


def _again(first: Ask, number: int, rng: Random) -> list[Ask]:
    """Return the same request once or twice more, at once or later."""
    gaps = (0.0, rng.uniform(0, 2), rng.uniform(0, 10), rng.uniform(0, 60))
    return [
        Ask(
            number=number + extra,
            group=first.group,
            at_s=first.at_s + rng.choice(gaps),
            dialect=first.dialect,
            is_stream=first.is_stream,
            model=first.model,
            key=first.key,
            cache=first.cache,
            once=first.once,
        )
        for extra in range(rng.randint(1, 2))
    ]
