"""Table: what the sums of a log come to, a row for every strategy."""

from collections.abc import Sequence
from math import inf, isfinite

from pointsman.compare.comparison import (
    MEASURED,
    NO_LABELS,
    NOT_KNOWN,
    Comparison,
    LogFacts,
    StrategyRow,
)
from pointsman.compare.equal_cost import Mix, best_mix
from pointsman.compare.latency import Line, Speed
from pointsman.compare.notes import annotated
from pointsman.compare.paired import Paired
from pointsman.compare.partial import Partial
from pointsman.compare.strategies import (
    BEST,
    CHEAPEST,
    LENGTH,
    RANDOM,
    SINGLE,
    Strategy,
    baseline,
    cheapest,
    reference,
)
from pointsman.compare.tally import Tally
from pointsman.compare.verdict import Rival, Standing, verdict
from pointsman.core.errors import ConfigError
from pointsman.core.types import Snapshot
from pointsman.policies import PolicySettings, quality_proof
from pointsman.policies.registry import build_policy

# A single model is compared by quality only with this share of the best labelled one's outcomes.
_COVERAGE_MIN = 0.95


def tabulate(
    partial: Partial,
    strategies: Sequence[Strategy],
    snapshot: Snapshot,
    policies: PolicySettings,
    *,
    is_default: bool,
    is_repriced: bool = False,
    what_if: str = "",
) -> Comparison:
    """Return the comparison. `is_default`: what the data cannot tell is left out of the table.

    Raises ConfigError for a strategy that was asked for and needs labels which are not there.
    """
    table = _Table(partial, snapshot)
    has_labels = partial.facts["labelled"] > 0
    shown = [one for one in strategies if not one.needs_labels or table.is_labelled(one)]
    if partial.facts["compared"] and not is_default:
        for strategy in (one for one in strategies if one not in shown):
            raise ConfigError(
                f'strategy "{strategy.name}": it hangs on what several models make of one request,'
                f" which this data does not have{' of these tiers' if has_labels else ''};"
                " name a labelled data set with --data"
            )
    rows = tuple(table.row(strategy) for strategy in shown)
    is_measured = any(row.quality is not None for row in rows)
    proof_of = _proof_of(shown)
    comparison = Comparison(
        baseline=table.baseline.name,
        baseline_cost_nanousd=table.base.known_cost_nanousd,
        is_baseline_estimated=table.base.estimated_tokens > 0,
        rows=rows,
        log=_log_facts(partial),
        reference=reference().name,
        best_single=table.best_single,
        what_if=what_if,
        quality_note=MEASURED if is_measured else NOT_KNOWN if has_labels else NO_LABELS,
        proof_of=proof_of,
        quality_proof=_proof(proof_of, policies, snapshot),
    )
    floor = policies.quality_floor if policies.goal == "floor" else 0.0
    standing = table.standing(floor) if has_labels else None
    return annotated(
        comparison,
        sentence=verdict(standing) if standing else "",
        is_repriced=is_repriced,
        is_trained=policies.tuning is not None,
    )


def _proof_of(shown: Sequence[Strategy]) -> str:
    """Return whose savings are shown: the reference, else the first policy that reads requests."""
    if any(one.is_at_equal_cost for one in shown):
        return reference().spec
    readers = [one.spec for one in shown if one.is_policy and not one.is_fixed]
    return reference().spec if reference().spec in readers else next(iter(readers), "")


def _proof(spec: str, policies: PolicySettings, snapshot: Snapshot) -> str:
    return quality_proof(build_policy(spec, policies), snapshot.tiers) if spec else ""


class _Table:
    """The rows over one log's sums."""

    def __init__(self, partial: Partial, snapshot: Snapshot) -> None:
        self.baseline = baseline(snapshot)
        self.base = partial.tallies[self.baseline]
        self._partial = partial
        self._snapshot = snapshot
        self._cheap = partial.tallies[cheapest(snapshot)]
        self._reference = partial.tallies.get(reference())
        self.best_single = self._find_best_single()
        self._mixes = self._mixed()

    def row(self, strategy: Strategy) -> StrategyRow:
        """Return a strategy's row."""
        if strategy.is_at_equal_cost:
            return self._mixed_row(strategy)
        if strategy.spec == BEST:
            alone = Strategy(strategy.name, f"{SINGLE}{self.best_single}")
            return self._row(alone, self._partial.singles[self.best_single])
        return self._row(strategy, self._partial.tallies[strategy])

    def is_labelled(self, strategy: Strategy) -> bool:
        """Return whether some request has outcomes for a strategy that is played on its own."""
        return self._partial.tallies[strategy].against_baseline.count > 0

    def standing(self, quality_floor: float) -> Standing | None:
        """Return how the reference stands beside what needs no routing, None where not played."""
        if self._reference is None:
            return None
        singles = [
            Rival(name, tally.known_cost_nanousd, tally.against_baseline, tally.against_reference)
            for name, tally in self._partial.singles.items()
        ]
        mixes = {
            spec: Rival(spec, mix.cost_nanousd, mix.against_strongest, mix.against_reference)
            for spec, mix in self._mixes.items()
        }
        return Standing(
            name=reference().name,
            baseline=self.baseline.name,
            cost_nanousd=self._reference.known_cost_nanousd,
            baseline_cost_nanousd=self.base.known_cost_nanousd,
            is_estimated=self._reference.estimated_tokens + self.base.estimated_tokens > 0,
            quality=self._reference.against_baseline,
            singles=singles,
            mixes=mixes,
            compared=self._partial.facts["compared"],
            quality_floor=quality_floor,
        )

    def _find_best_single(self) -> str:
        """Return the model that serves best alone.

        With labels, that of the best quality beside the baseline's, the cheaper one of equals; else
        the cheapest of the strongest tier, which the configuration trusts with everything.
        """
        singles = self._partial.singles
        most = max(tally.against_baseline.count for tally in singles.values())
        if most:
            named = {
                name: tally.against_baseline.ratio()
                for name, tally in singles.items()
                if tally.against_baseline.count >= _COVERAGE_MIN * most
            }
            shares = {name: ratio[0] for name, ratio in named.items() if ratio}
            if shares:
                return max(shares, key=lambda name: (shares[name], -_cost_or_inf(singles[name])))
        strongest = [deployment.id for deployment in self._snapshot.tiers[-1].deployments]
        return min(strongest, key=lambda name: _cost_or_inf(singles[name]))

    def _mixed(self) -> dict[str, Mix]:
        """Return what the reference's cost buys in other ways, nothing where it is not known."""
        spent = self._reference.known_cost_nanousd if self._reference else None
        every = self._partial.trades.values()
        if spent is None or any(trades.unknown for trades in every):
            return {}
        return {
            RANDOM: best_mix([trades.at_random(spent) for trades in every], spent),
            LENGTH: best_mix([trades.by_longest(spent) for trades in every], spent),
            CHEAPEST: best_mix([trades.by_cheapest(spent) for trades in every], spent),
        }

    @property
    def _unknown_costs(self) -> int:
        return max(trades.unknown for trades in self._partial.trades.values())

    def _mixed_row(self, strategy: Strategy) -> StrategyRow:
        assert self._reference is not None, "played beside every strategy at equal cost"
        mix = self._mixes.get(strategy.spec)
        low, high = mix.tier if mix else "", self._snapshot.names[-1]
        raised = round(mix.count * mix.share) if mix else 0
        tokens = max(self.base.estimated_tokens, self._cheap.estimated_tokens)
        quality, share, interval = _quality(mix.against_strongest if mix else Paired())
        labelled = mix.against_strongest.count if mix else 0
        return StrategyRow(
            strategy=strategy.name,
            policy=strategy.spec,
            cache="",
            cost_nanousd=mix.cost_nanousd if mix else None,
            cost_share=self._share(mix.cost_nanousd if mix else None),
            is_cost_estimated=tokens > 0,
            estimated_tokens=tokens,
            quality=quality,
            quality_share=share,
            quality_interval=interval,
            latency_mean_ms=None,
            latency_p95_ms=None,
            is_latency_estimated=False,
            cache_hits=0,
            unpriced=0 if mix else self._reference.unpriced or self._unknown_costs,
            undecided=0 if mix else self._reference.undecided,
            requests_by_tier=_by_tier(low, high, raised, mix.count) if mix else {},
            labelled=labelled,
            unlabelled=self._partial.facts["labelled"] - labelled,
            is_at_equal_cost=True,
        )

    def _row(self, strategy: Strategy, tally: Tally) -> StrategyRow:
        cost = tally.known_cost_nanousd
        mean, p95 = tally.latencies.summary(self._line)
        is_timed = not (tally.undecided or tally.untimed)
        quality, share, interval = _quality(tally.against_baseline)
        return StrategyRow(
            strategy=strategy.name,
            policy=strategy.spec,
            cache=strategy.cache or "",
            cost_nanousd=cost,
            cost_share=self._share(cost),
            is_cost_estimated=tally.estimated_tokens > 0,
            estimated_tokens=tally.estimated_tokens,
            quality=quality,
            quality_share=share,
            quality_interval=interval,
            latency_mean_ms=mean if is_timed else None,
            latency_p95_ms=p95 if is_timed else None,
            is_latency_estimated=bool(tally.latencies.lengths),
            cache_hits=tally.hits,
            saved_nanousd=tally.saved_nanousd if strategy.has_cache and _is_saved(tally) else None,
            is_saved_estimated=tally.saved_tokens > 0,
            judged_hits=tally.judged_hits,
            wrong_hits=tally.wrong_hits,
            is_wrong_estimated=tally.worded_hits > 0,
            unpriced=tally.unpriced,
            undecided=tally.undecided,
            requests_by_tier=dict(tally.by_tier),
            labelled=tally.against_baseline.count,
            unlabelled=tally.unlabelled,
        )

    def _share(self, cost_nanousd: int | None) -> float | None:
        base = self.base.known_cost_nanousd
        return cost_nanousd / base if cost_nanousd is not None and base else None

    def _line(self, deployment: str) -> Line | None:
        """Return the speed of a deployment, else of those of its tier that the log measured."""
        speeds = self._partial.speeds
        speed = speeds.get(deployment)
        if speed is None:
            speed = Speed()
            for tier in self._snapshot.tiers:
                ids = [one.id for one in tier.deployments]
                for name in ids if deployment in ids else ():
                    speed += speeds.get(name, Speed())
        return speed.line() if speed.count else None


def _is_saved(tally: Tally) -> bool:
    """Return whether it is known what the hits would have cost."""
    return not (tally.undecided or tally.unpriced_hits)


def _quality(sums: Paired) -> tuple[float | None, float | None, tuple[float, float] | None]:
    """Return the mean, what it is of the baseline's, and the 95% interval of that."""
    ratio = sums.ratio()
    if ratio is None:
        return sums.mean, None, None
    share, low, high = ratio
    return sums.mean, share, (low, high) if isfinite(low) else None


def _cost_or_inf(tally: Tally) -> float:
    cost = tally.known_cost_nanousd
    return inf if cost is None else cost


def _by_tier(low: str, high: str, raised: int, count: int) -> dict[str, int]:
    return {low: count - raised, high: raised} if low != high else {low: count}


def _log_facts(partial: Partial) -> LogFacts:
    facts, left_out = partial.facts, partial.left_out
    return LogFacts(
        compared=facts["compared"],
        measured=facts["measured"],
        unserved=facts["unserved"],
        without_prompt=facts["without_prompt"],
        without_answer=facts["without_answer"],
        without_time=facts["without_time"],
        in_tool_loop=facts["in_tool_loop"],
        without_text=facts["without_text"],
        loops_unplaced=facts["loops_unplaced"],
        in_conversation=facts["in_conversation"],
        labelled=facts["labelled"],
        not_repriced=facts["not_repriced"],
        lines_left_out=left_out.lines,
        lines_named=tuple(left_out.named),
        attempts_left_out=dict(sorted(left_out.attempts.items())),
        keys_dropped=sum(tally.keys_dropped for tally in partial.tallies.values()),
    )
