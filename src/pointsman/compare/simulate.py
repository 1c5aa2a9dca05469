"""Simulate: one pass over a log, every strategy at once.

What is kept grows with the number of strategies, not with the log: sums, samples of latencies and
lengths, and, with a cache, the keys of a `KeyWindow`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pointsman.compare.comparison import Comparison, LogFacts, StrategyRow
from pointsman.compare.key_window import KeyWindow
from pointsman.compare.latency import Latencies, Line, Speed
from pointsman.compare.model_names import ModelNames
from pointsman.compare.notes import OUTPUT_TOKENS_ASSUMED, annotated
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.strategies import (
    Strategy,
    baseline,
    build_policies,
    build_strategies,
    decide_logged,
)
from pointsman.core.cache_key import answer_key
from pointsman.core.errors import NoCapableModel
from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Decision, Deployment, Snapshot
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS
from pointsman.policies import PolicySettings


def compare(
    records: Iterable[LoggedRequest],
    *,
    snapshot: Snapshot,
    policies: PolicySettings | None = None,
    aliases: Sequence[str] = (),
    strategies: Sequence[str] | None = None,
    ttl_s: float | None = None,
    left_out: LeftOut | None = None,
) -> Comparison:
    """Return what each strategy would have cost over the records, read once, in log order.

    `strategies` None: all there are. `ttl_s` is the cache's, None for no end. `left_out` is what
    the importer of the records fills. Raises ConfigError for a strategy that there is not.
    """
    chosen = build_strategies(strategies, snapshot)
    run = _Run(chosen, snapshot, policies or PolicySettings(), aliases, ttl_s)
    for record in records:
        run.add(record)
    return run.comparison(left_out or LeftOut())


@dataclass(slots=True)
class _Tally:
    """What one strategy has come to so far."""

    strategy: Strategy
    keys: KeyWindow
    cost_nanousd: int = 0
    unpriced: int = 0
    undecided: int = 0
    hits: int = 0
    estimated_tokens: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    by_tier: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Call:
    """What a policy makes of one request. `cost_nanousd` None: no price. `key` None: no prompt."""

    tier: str
    deployment: str
    cost_nanousd: int | None
    estimated_tokens: int
    latency_ms: int | None
    key: bytes | None


class _Run:
    """One pass over one log."""

    def __init__(
        self,
        strategies: Sequence[Strategy],
        snapshot: Snapshot,
        settings: PolicySettings,
        aliases: Sequence[str],
        ttl_s: float | None,
    ) -> None:
        self._snapshot = snapshot
        self._aliases = aliases
        self._baseline = baseline(snapshot)
        self._shown = strategies
        # The baseline is worked out even when it is not shown: all others are measured by it.
        every = dict.fromkeys((*strategies, self._baseline))
        self._tallies = {one: _Tally(one, KeyWindow(ttl_s=ttl_s)) for one in every}
        self._policies = build_policies(tuple(every), settings)
        self._keyed = {one.spec for one in every if one.has_cache}
        self._names = ModelNames(snapshot)
        self._speeds: dict[str, Speed] = {}
        self._facts: Counter[str] = Counter()

    def add(self, record: LoggedRequest) -> None:
        """Take one request into every strategy, or into none when nobody can serve it."""
        usage = record.usage or _assumed(record)
        answered_by = self._names.ids(record.model)
        shape = self._shape(record)
        try:
            calls = {
                spec: self._call(spec, record, usage, answered_by, shape) for spec in self._policies
            }
        except NoCapableModel:
            self._facts["unserved"] += 1
            return
        self._note(record, usage, answered_by)
        for tally in self._tallies.values():
            _count(tally, calls[tally.strategy.spec], record, usage)

    def comparison(self, left_out: LeftOut) -> Comparison:
        """Return the result."""
        base = self._tallies[self._baseline]
        base_cost = _cost(base)
        return annotated(
            Comparison(
                baseline=self._baseline.name,
                baseline_cost_nanousd=base_cost,
                is_baseline_estimated=base.estimated_tokens > 0,
                rows=tuple(self._row(self._tallies[one], base_cost) for one in self._shown),
                log=self._log_facts(left_out),
            )
        )

    def _call(
        self,
        spec: str,
        record: LoggedRequest,
        usage: Usage,
        answered_by: frozenset[str],
        shape: Mapping[str, object] | None,
    ) -> _Call | None:
        decision = decide_logged(
            self._policies[spec],
            record,
            self._snapshot,
            self._aliases,
            is_fixed=spec.startswith("fixed:"),
        )
        if decision is None:
            return None
        deployment = self._deployment(decision)
        is_same = deployment.id in answered_by
        if usage.is_estimated:
            estimated_tokens = usage.total_tokens
        else:
            estimated_tokens = 0 if is_same else usage.output_tokens
        return _Call(
            tier=decision.tier,
            deployment=deployment.id,
            cost_nanousd=cost_nanousd(usage, deployment.price) if deployment.price else None,
            estimated_tokens=estimated_tokens,
            latency_ms=record.latency_ms if is_same and not record.is_hit else None,
            key=self._key(record, decision, shape) if spec in self._keyed else None,
        )

    def _deployment(self, decision: Decision) -> Deployment:
        wanted = decision.deployments[0]
        tiers = (self._snapshot.tier(decision.tier),) if decision.tier else ()
        pool = (*(d for tier in tiers for d in tier.deployments), *self._snapshot.others)
        return next(deployment for deployment in pool if deployment.id == wanted)

    def _shape(self, record: LoggedRequest) -> Mapping[str, object] | None:
        """Return what the cache's key is made of, None where there is no key to make."""
        request = record.request
        if not self._keyed or request is None or request.caller.cache == "off":
            return None
        return CODECS[request.dialect].shape(request)

    def _key(
        self, record: LoggedRequest, decision: Decision, shape: Mapping[str, object] | None
    ) -> bytes | None:
        if record.request is None or shape is None:
            return None
        return answer_key(record.request, decision, self._snapshot, shape=shape)

    def _note(self, record: LoggedRequest, usage: Usage, answered_by: frozenset[str]) -> None:
        """Note what the request says of the log, and of the speed of who answered."""
        self._facts.update(
            compared=1,
            measured=record.is_measured,
            without_prompt=record.request is None,
            without_answer=record.usage is None,
            without_time=record.at_s is None,
            in_tool_loop=record.features.is_tool_loop,
        )
        if record.latency_ms is not None and record.usage is not None and not record.is_hit:
            for name in answered_by:
                speed = self._speeds.setdefault(name, Speed())
                speed.add(usage.output_tokens, record.latency_ms)

    def _row(self, tally: _Tally, base_cost: int | None) -> StrategyRow:
        cost = _cost(tally)
        mean, p95 = tally.latencies.summary(self._line)
        return StrategyRow(
            strategy=tally.strategy.name,
            policy=tally.strategy.spec,
            has_cache=tally.strategy.has_cache,
            cost_nanousd=cost,
            cost_share=cost / base_cost if cost is not None and base_cost else None,
            is_cost_estimated=tally.estimated_tokens > 0,
            estimated_tokens=tally.estimated_tokens,
            latency_mean_ms=None if tally.undecided else mean,
            latency_p95_ms=None if tally.undecided else p95,
            is_latency_estimated=bool(tally.latencies.lengths),
            cache_hits=tally.hits,
            unpriced=tally.unpriced,
            undecided=tally.undecided,
            requests_by_tier=dict(tally.by_tier),
        )

    def _line(self, deployment: str) -> Line | None:
        """Return the speed of a deployment, else of those of its tier that the log measured."""
        speed = self._speeds.get(deployment)
        if speed is None:
            speed = Speed()
            for tier in self._snapshot.tiers:
                ids = [one.id for one in tier.deployments]
                for name in ids if deployment in ids else ():
                    speed += self._speeds.get(name, Speed())
        return speed.line() if speed.count else None

    def _log_facts(self, left_out: LeftOut) -> LogFacts:
        facts = self._facts
        return LogFacts(
            compared=facts["compared"],
            measured=facts["measured"],
            unserved=facts["unserved"],
            without_prompt=facts["without_prompt"],
            without_answer=facts["without_answer"],
            without_time=facts["without_time"],
            in_tool_loop=facts["in_tool_loop"],
            lines_left_out=left_out.lines,
            lines_named=tuple(left_out.named),
            attempts_left_out=dict(sorted(left_out.attempts.items())),
            keys_dropped=sum(tally.keys.dropped for tally in self._tallies.values()),
        )


def _count(tally: _Tally, call: _Call | None, record: LoggedRequest, usage: Usage) -> None:
    """Add a call to a strategy's figures, unless its cache has the answer."""
    if call is None:
        tally.undecided += 1
        return
    tally.by_tier[call.tier] += 1
    if tally.strategy.has_cache and _is_found(tally, call, record):
        tally.hits += 1
        tally.latencies.hits += 1
        return
    if call.cost_nanousd is None:
        tally.unpriced += 1
    else:
        tally.cost_nanousd += call.cost_nanousd
    tally.estimated_tokens += call.estimated_tokens
    if call.latency_ms is None:
        tally.latencies.add_length(call.deployment, usage.output_tokens)
    else:
        tally.latencies.measured.add(call.latency_ms)


def _is_found(tally: _Tally, call: _Call, record: LoggedRequest) -> bool:
    """Return whether the strategy's cache has the answer; where it has not, keep it there."""
    if record.request is None:
        return record.is_hit
    if call.key is None:
        return False
    is_asked = record.request.caller.cache == "on"
    if is_asked and tally.keys.has(call.key, record.at_s):
        return True
    if record.is_keepable:
        tally.keys.put(call.key, record.at_s)
    return False


def _cost(tally: _Tally) -> int | None:
    return None if tally.unpriced or tally.undecided else tally.cost_nanousd


def _assumed(record: LoggedRequest) -> Usage:
    """Return the tokens of a request whose answer nobody knows."""
    bound = record.features.max_tokens
    assumed = OUTPUT_TOKENS_ASSUMED if bound is None else min(bound, OUTPUT_TOKENS_ASSUMED)
    return Usage(
        input_tokens=record.features.input_tokens, output_tokens=assumed, is_estimated=True
    )
