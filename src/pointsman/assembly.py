"""Assembly: builds a pipeline from settings. The only place that knows all the parts."""

import logging
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from time import time_ns

import msgspec

from pointsman.audit import Auditing, build_judge
from pointsman.budgets import Budgets
from pointsman.cache import build_cache
from pointsman.catalog import model_rows
from pointsman.clock import Clock, SystemClock
from pointsman.config import ModelSettings, Settings, TierBounds
from pointsman.core.errors import ConfigError
from pointsman.core.prices import Price
from pointsman.core.secret import Variables
from pointsman.core.types import Deployment, Snapshot, Step, Tier
from pointsman.deployments import (
    price_book,
    resolve_deployment,
    resolve_embedders,
    resolve_tiers,
)
from pointsman.gate import Checks
from pointsman.joint import Joint
from pointsman.ledger.contents import KeepsContents
from pointsman.ledger.opening import open_ledger
from pointsman.ledger.outcomes import KeepsOutcomes
from pointsman.policies import Policy, PolicySettings
from pointsman.policies.registry import build_policy
from pointsman.providers import Provider, build_installed
from pointsman.providers.clients import open_transport
from pointsman.providers.http import HttpProvider
from pointsman.providers.http1.proxies import read_proxies
from pointsman.router import Pipeline
from pointsman.routing import Routing, Stores
from pointsman.scorer.model import shipped
from pointsman.scorer.tuning import Tuning, decode_tuning
from pointsman.validators import Validator, build_validators

_DEFAULT_TIER = "mid"
_ID_BYTES = 8
_TICK_BITS, _TICKS_MAX = 24, 0xFFFFFFFF
_REGIME_CHARS = 16

log = logging.getLogger("pointsman")


def build_pipeline(
    settings: Settings,
    env: Mapping[str, str],
    *,
    clock: Clock | None = None,
    providers: Mapping[str, Provider] | None = None,
    seed: int | None = None,
    joint: Joint | None = None,
) -> Pipeline:
    """Return a pipeline of checked settings; `env` holds the providers' keys.

    `providers` stand in for the HTTP ones of the same names. `joint`: what it shares with other
    workers. Raises ConfigError.
    """
    clock = clock or SystemClock()
    routing = build_routing(settings, env, clock=clock, providers=providers)
    if joint is None or joint.is_first:
        _warn_of_unknown_prices(routing.snapshot.tiers)
    stores = _stores(settings, clock, joint)
    return Pipeline(
        routing, stores, clock=clock, rng=Random(seed), new_id=new_request_id, joint=joint
    )


def _stores(settings: Settings, clock: Clock, joint: Joint | None) -> Stores:
    """Return what outlives a reload, opened. Raises ConfigError."""
    stated, cache = settings.ledger, settings.cache
    ledger = open_ledger(stated.url, durability=stated.durability)
    if stated.store_content and not isinstance(ledger, KeepsContents):
        raise ConfigError("ledger.store_content: this ledger keeps no texts; take the key out")
    contents = (
        ledger.contents(clock.wall_ns, days=stated.content_days)
        if stated.store_content and isinstance(ledger, KeepsContents)
        else None
    )
    return Stores(
        ledger=ledger,
        cache=build_cache(cache, joint.memory if joint else None),
        caching=cache,
        has_readings=stated.store_readings,
        outcomes=ledger.outcomes(clock.wall_ns) if isinstance(ledger, KeepsOutcomes) else None,
        contents=contents,
    )


def build_routing(
    settings: Settings,
    env: Mapping[str, str],
    *,
    clock: Clock,
    providers: Mapping[str, Provider] | None = None,
) -> Routing:
    """Return what a reload replaces. Raises ConfigError."""
    prices = price_book(settings)

    def now() -> datetime:
        return datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)

    def price_of(step: Step) -> Price | None:
        known = step.deployment.price
        if known is not None and known.is_stated:  # it holds at every hour
            return known
        return prices.price(step.deployment.provider, step.deployment.model, now())

    tiers = resolve_tiers(settings, prices=prices, at=now())
    others = _others(settings, tiers, at=now())
    snapshot = Snapshot(tiers=tiers, default_tier=_default_tier(settings), others=others)
    bounds = settings.routing.bounds.items()
    names = {d.provider for tier in tiers for d in tier.deployments} | {d.provider for d in others}
    embedders = resolve_embedders(settings, names, prices=prices, at=now())
    names |= {d.provider for tier in embedders for d in tier.deployments}
    validators = build_validators(settings.validation)
    return Routing(
        snapshot=snapshot,
        aliases=tuple(settings.routing.aliases),
        policy=build_policy(settings.routing.policy, policy_settings(settings)),
        providers={**_providers(names, settings, env), **(providers or {})},
        checks=Checks(
            validators=validators,
            hold_chars=settings.validation.stream_hold_chars,
        ),
        may_escalate=settings.validation.escalate,
        price_of=price_of,
        total_s=settings.timeouts.total_s,
        hedging=settings.hedging,
        audit=_auditing(settings, validators, tiers),
        bounded={tenant: _bounded(snapshot, stated) for tenant, stated in bounds},
        budgets=Budgets.of(settings.budgets, env),
        embedders=Snapshot(tiers=embedders, default_tier=embedders[0].name if embedders else ""),
    )


def policy_settings(settings: Settings) -> PolicySettings:
    """Return what policies are given of the configuration. Raises ConfigError."""
    routing = settings.routing
    return PolicySettings(
        signals=routing.signals,
        goal=routing.goal,
        quality_floor=routing.quality_floor,
        quality_usd=routing.quality_usd,
        tuning=read_tuning(routing.scorer),
    )


def read_tuning(path: str) -> Tuning | None:
    """Return what `pointsman train` installed, None where nothing is. Raises ConfigError."""
    if not path:
        return None
    remedy = "take it away to use the scorer of the package; `pointsman train` makes a new one"
    try:
        tuning = decode_tuning(Path(path).read_bytes())
        tuning.build_scorer()  # damaged weights are to stop the start, not a request
        return tuning
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f'routing.scorer "{path}": cannot be read: {reason}; {remedy}') from error
    except ValueError as error:
        raise ConfigError(f'routing.scorer "{path}": {error}; {remedy}') from error


def _auditing(
    settings: Settings, validators: tuple[Validator, ...], tiers: tuple[Tier, ...]
) -> Auditing:
    """Return what audits go by. Raises ConfigError."""
    given, spec = policy_settings(settings), settings.routing.policy
    # All that a threshold rests on. Rules stand above it: what they decide is not audited.
    scorer = shipped().version if spec == "learned" else ""
    rests_on = (spec, scorer, given.quality_floor, given.goal, given.tuning, _models(tiers))

    def policy_after(steps: Mapping[str, int]) -> Policy:
        return build_policy(spec, msgspec.structs.replace(given, steps=steps))

    return Auditing(
        settings=settings.audit,
        judge=build_judge(settings.audit.judge, validators, [tier.name for tier in tiers]),
        floor=given.quality_floor,
        regime=sha256(msgspec.json.encode(rests_on)).hexdigest()[:_REGIME_CHARS],
        policy_after=policy_after,
        steps={},
    )


def _models(tiers: tuple[Tier, ...]) -> list[tuple[str, ...]]:
    return [(tier.name, *(deployment.id for deployment in tier.deployments)) for tier in tiers]


def new_request_id() -> str:
    """Return an id that nobody can guess or has had before.

    It begins with the time, in steps of 2**24 ns, so that what is booked together stands together
    in the ledger's indexes: in a long ledger each row would else change two pages of its own. The
    steps begin anew every 2.3 years, which costs nothing.
    """
    tick = time_ns() >> _TICK_BITS & _TICKS_MAX
    return f"req_{tick:08x}{secrets.token_hex(_ID_BYTES)}"


def _providers(
    names: Iterable[str], settings: Settings, env: Mapping[str, str]
) -> dict[str, Provider]:
    """Return who calls each provider: one pool of connections for all over HTTP."""
    key_of = Variables(env)
    http = HttpProvider(
        timeouts=settings.timeouts,
        key_of=key_of,
        transport=open_transport(
            settings.upstream.http_client,
            connect_s=settings.timeouts.connect_s,
            proxies=read_proxies(env),
        ),
    )
    kinds = {name: stated.kind for name, stated in settings.providers.items() if stated.kind}
    return {
        name: build_installed(kinds[name], settings.timeouts, key_of) if name in kinds else http
        for name in names
    }


def _warn_of_unknown_prices(tiers: tuple[Tier, ...]) -> None:
    unpriced = {d.id for tier in tiers for d in tier.deployments if d.price is None}
    for name in sorted(unpriced):
        log.warning(
            'no price is known for %s: its cost is booked as unknown; add [prices."%s"]', name, name
        )


def _bounded(snapshot: Snapshot, bounds: TierBounds) -> Snapshot:
    """Return the tiers within the bounds; the default one, where it is out, gives way to the next.

    Models of no tier are out of all bounds.
    """
    names = snapshot.names
    first = names.index(bounds.tier_min) if bounds.tier_min else 0
    last = names.index(bounds.tier_max) if bounds.tier_max else len(names) - 1
    wanted = min(max(names.index(snapshot.default_tier), first), last)
    return Snapshot(tiers=snapshot.tiers[first : last + 1], default_tier=names[wanted])


def _default_tier(settings: Settings) -> str:
    """Return the tier of a request on which no signal fires: as set, else "mid", else the middle.

    Of an even number of tiers the stronger middle one: better a little too good than too bad.
    """
    names = [tier.name for tier in settings.tiers]
    stated = settings.routing.signals.default
    if stated in names:
        return stated
    return _DEFAULT_TIER if _DEFAULT_TIER in names else names[len(names) // 2]


def _others(settings: Settings, tiers: tuple[Tier, ...], *, at: datetime) -> tuple[Deployment, ...]:
    """Return the catalogue's models of the configured providers that stand in no tier."""
    prices = price_book(settings)
    used = {deployment.provider for tier in tiers for deployment in tier.deployments}
    known = {deployment.id for tier in tiers for deployment in tier.deployments}
    return tuple(
        resolve_deployment(ModelSettings(name), settings, prices=prices, at=at)
        for name in model_rows()
        if name.partition("/")[0] in used | set(settings.providers) and name not in known
    )
