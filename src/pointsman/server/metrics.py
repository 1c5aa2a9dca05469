"""Metrics: what Prometheus scrapes. Every figure is a sum over the ledger's own bookings.

The library that writes them loads with the first scrape: most of it serves what we have ourselves.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from pointsman.audit import Standing
from pointsman.ledger import AUDIT, BOOKED, CacheBooked, Intent, Outcome, Settlement

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_NANOUSD_PER_USD = 1e9
_PLACE = ("tier", "model")
_TIERS: Mapping[str, str] = {booked: tier for tier, booked in BOOKED.items()}

Labels: TypeAlias = tuple[str, ...]


class _Kind(NamedTuple):
    """What attempts have in common that are counted together."""

    tier: str
    model: str
    outcome: Outcome
    is_cost_known: bool
    is_audit: bool
    cache: CacheBooked


class _Tally(msgspec.Struct):
    """What the attempts of one kind come to; of hits no more than their count and cost.

    `began_s`: when the first one ended, in seconds since 1970. `slow`: how many took how long, by
    `_LATENCY_BUCKETS_S`.
    """

    began_s: float
    slow: list[int]
    count: int = 0
    cost_nanousd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: int = 0


_Amounts: TypeAlias = Callable[[_Kind, _Tally], Iterator[tuple[Labels, float]]]


class Metrics:
    """Counts attempts as they end; hang `observe` on a pipeline's observers.

    There are few kinds of attempts, so one is counted by one look-up, and all that is scraped is
    summed up when somebody asks.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, Outcome, bool, bool, CacheBooked], _Tally] = {}
        self._standings: Iterable[Standing] = ()

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Count one attempt."""
        outcome, cost_nanousd = settlement.outcome, settlement.cost_nanousd
        is_audit = intent.policy == AUDIT
        is_known = cost_nanousd is not None
        kind = (intent.tier, intent.deployment, outcome, is_known, is_audit, settlement.cache)
        tally = self._tallies.get(kind)
        if tally is None:
            slow = [0] * (len(_LATENCY_BUCKETS_S) + 1)
            tally = self._tallies[kind] = _Tally(time.time(), slow)
        tally.count += 1
        tally.cost_nanousd += cost_nanousd or 0
        if outcome == "hit":
            return
        usage, latency_ms = settlement.usage, settlement.latency_ms
        tally.input_tokens += usage.input_tokens
        tally.output_tokens += usage.output_tokens
        tally.latency_ms += latency_ms
        tally.slow[bisect_left(_LATENCY_BUCKETS_S, latency_ms / 1000)] += 1

    def render(self, standings: Iterable[Standing] = ()) -> bytes:
        """Return the exposition text; `standings` are what the audits have found, by group."""
        from prometheus_client import generate_latest

        self._standings = standings
        return generate_latest(self)

    def collect(self) -> "Iterator[Metric]":
        """Yield what is scraped: the library asks for it so."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        yield self._counter(
            "attempts",
            "Attempts and cache hits, by how they ended",
            (*_PLACE, "outcome"),
            _attempts,
        )
        yield self._counter(
            "cache_hits", "Answers from the cache, by how they were found", ("cache_tier",), _hits
        )
        yield self._counter("cost_usd", "Spend in USD", _PLACE, _cost)
        yield self._counter("tokens", "Tokens booked", (*_PLACE, "kind"), _tokens)
        yield self._counter("cost_unknown", "Attempts whose cost nobody knows", _PLACE, _unknown)
        yield self._latency_family()
        yield self._counter(
            "audit_cost_usd",
            "The part of the spend that was for audits, in USD",
            _PLACE,
            _audit_cost,
        )
        for name, text in (
            ("labels", "Labels of audits since they began"),
            ("steps", "How often the floor was found broken, and the threshold lowered"),
            ("evidence", "Evidence against the floor since the last step, as an e-value"),
        ):
            gauge = GaugeMetricFamily(f"pointsman_audit_{name}", text, labels=("group",))
            for found in self._standings:
                gauge.add_metric((found.group,), float(getattr(found, name)))
            yield gauge

    def _kinds(self) -> Iterator[tuple[_Kind, _Tally]]:
        return ((_Kind(*kind), tally) for kind, tally in self._tallies.items())

    def _counter(self, name: str, text: str, names: Labels, amounts: _Amounts) -> "Metric":
        """Return a family of sums by labels, each created when the first was added to it."""
        from prometheus_client.metrics_core import CounterMetricFamily

        sums: dict[Labels, float] = {}
        began_s: dict[Labels, float] = {}
        for kind, tally in self._kinds():
            for labels, amount in amounts(kind, tally):
                sums[labels] = sums.get(labels, 0) + amount
                began_s[labels] = min(began_s.get(labels, tally.began_s), tally.began_s)
        family = CounterMetricFamily(f"pointsman_{name}", text, labels=names)
        for labels, amount in sums.items():
            family.add_metric(labels, float(amount), created=began_s[labels])
        return family

    def _latency_family(self) -> "Metric":
        from prometheus_client.metrics_core import HistogramMetricFamily

        name = "pointsman_attempt_seconds"
        family = HistogramMetricFamily(
            name, "Time from the call to the answer's end", labels=("tier",)
        )
        bounds = [str(float(bound)) for bound in _LATENCY_BUCKETS_S] + ["+Inf"]
        tiers: dict[str, list[_Tally]] = {}
        for kind, tally in self._kinds():
            if kind.outcome != "hit":
                tiers.setdefault(kind.tier, []).append(tally)
        for tier, tallies in tiers.items():
            slow = map(sum, zip(*(tally.slow for tally in tallies), strict=True))
            counts = map(float, accumulate(slow))
            sum_s = sum(tally.latency_ms for tally in tallies) / 1000
            family.add_metric((tier,), [*zip(bounds, counts, strict=True)], sum_s)
            began_s = min(tally.began_s for tally in tallies)
            family.add_sample(f"{name}_created", {"tier": tier}, began_s)
        return family


def _attempts(kind: _Kind, tally: _Tally) -> Iterator[tuple[Labels, float]]:
    yield (kind.tier, kind.model, kind.outcome), tally.count


def _hits(kind: _Kind, tally: _Tally) -> Iterator[tuple[Labels, float]]:
    if kind.outcome == "hit":
        yield (_TIERS[kind.cache],), tally.count


def _cost(kind: _Kind, tally: _Tally) -> Iterator[tuple[Labels, float]]:
    if kind.is_cost_known:
        yield (kind.tier, kind.model), tally.cost_nanousd / _NANOUSD_PER_USD


def _audit_cost(kind: _Kind, tally: _Tally) -> Iterator[tuple[Labels, float]]:
    return _cost(kind, tally) if kind.is_audit else iter(())


def _unknown(kind: _Kind, tally: _Tally) -> Iterator[tuple[Labels, float]]:
    if not kind.is_cost_known:
        yield (kind.tier, kind.model), tally.count


def _tokens(kind: _Kind, tally: _Tally) -> Iterator[tuple[Labels, float]]:
    if kind.outcome != "hit":
        yield (kind.tier, kind.model, "input"), tally.input_tokens
        yield (kind.tier, kind.model, "output"), tally.output_tokens
