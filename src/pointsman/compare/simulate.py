"""Simulate: one pass over a log, every strategy at once."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pointsman.compare.answer_keys import AnswerKeys
from pointsman.compare.calls import Call, Known, charge, read_known
from pointsman.compare.comparison import Comparison
from pointsman.compare.conversations import Conversations, LastCall, unwarmed
from pointsman.compare.deciding import Decider
from pointsman.compare.equal_cost import Trades, place_of_length
from pointsman.compare.key_window import Kept
from pointsman.compare.latency import Speed
from pointsman.compare.model_names import ModelNames
from pointsman.compare.partial import Partial
from pointsman.compare.played_cache import PlayedCache
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.staged import Staged
from pointsman.compare.strategies import (
    CASCADE,
    FIXED,
    ORACLE,
    SINGLE,
    Strategy,
    baseline,
    build_policies,
    build_strategies,
    cheapest,
    reference,
)
from pointsman.compare.table import tabulate
from pointsman.compare.tally import Tally
from pointsman.core.conversation import Conversation, Standing, advance
from pointsman.core.errors import NoCapableModel
from pointsman.core.types import Decision, Place, Snapshot
from pointsman.policies import PolicySettings

_UNTOLD = Kept()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare, and over which tiers; the same for every part of a log.

    `strategies` None: the default ones. `ttl_s` is the cache's, None for no end, and `also_keep`
    which answers it keeps that are otherwise not kept, see `keeping.may_keep`. `is_repriced`:
    measured costs give way to measured tokens at the tiers' own prices. `what_if` names the
    configuration that stands in for the real one, "" for none.
    """

    snapshot: Snapshot
    policies: PolicySettings = PolicySettings()
    aliases: tuple[str, ...] = ()
    strategies: tuple[str, ...] | None = None
    ttl_s: float | None = None
    also_keep: tuple[str, ...] = ()
    is_repriced: bool = False
    what_if: str = ""


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

    `strategies` None: those that everybody should see. `ttl_s` is the cache's, None for no end.
    `left_out` is what the importer of the records fills.

    Raises ConfigError for a strategy that there is not, or that the data has no labels for.
    """
    job = Job(
        snapshot=snapshot,
        policies=policies or PolicySettings(),
        aliases=tuple(aliases),
        strategies=None if strategies is None else tuple(strategies),
        ttl_s=ttl_s,
    )
    return conclude(play(records, job, left_out), job)


def play(records: Iterable[LoggedRequest], job: Job, left_out: LeftOut | None = None) -> Partial:
    """Return the sums over a part of a log, with a cache and conversations of its own."""
    run = _Run(job)
    for record in records:
        run.add(record)
    return run.finish(left_out or LeftOut())


def conclude(partial: Partial, job: Job) -> Comparison:
    """Return the comparison that the sums of all parts come to. Raises ConfigError."""
    return tabulate(
        partial,
        build_strategies(job.strategies, job.snapshot),
        job.snapshot,
        job.policies,
        is_default=job.strategies is None,
        is_repriced=job.is_repriced,
        what_if=job.what_if,
    )


class _Run:
    """One pass over one part of a log."""

    def __init__(self, job: Job) -> None:
        played = _played(build_strategies(job.strategies, job.snapshot), job.snapshot)
        self._base = baseline(job.snapshot).spec
        self._reference = reference().spec
        self._is_repriced = job.is_repriced
        self._specs = tuple(dict.fromkeys(one.spec for one in played if one.is_policy))
        self._moving = tuple(spec for spec in self._specs if not spec.startswith(FIXED))
        self._snapshot = job.snapshot
        policies = build_policies((*self._specs, CASCADE), job.policies)
        self._decider = Decider(policies, job.snapshot, job.aliases)
        self._staged = Staged(self._decider, job.snapshot, is_repriced=job.is_repriced)
        self._names = ModelNames(job.snapshot)
        self._conversations = Conversations()
        self._keys = AnswerKeys(job.also_keep)
        self._caches = {
            one: PlayedCache(one.cache, self._keys, ttl_s=job.ttl_s) for one in played if one.cache
        }
        self._singles = tuple(
            (f"{SINGLE}{deployment.id}", tier.name, deployment.id, deployment)
            for tier in job.snapshot.tiers
            for deployment in tier.deployments
        )
        weaker = job.snapshot.tiers[:-1] or job.snapshot.tiers
        self._partial = Partial(
            tallies={one: Tally() for one in played},
            singles={name: Tally() for _, _, name, _ in self._singles},
            trades={tier.name: Trades(tier.name) for tier in weaker},
        )
        # Between cheapest and strongest a tier need not be played: its first model stands in.
        specs = [f"{SINGLE}{tier.deployments[0].id}" for tier in weaker]
        specs[0] = cheapest(job.snapshot).spec
        self._trades = tuple(zip(specs, self._partial.trades.values(), strict=True))

    def add(self, record: LoggedRequest) -> None:
        """Take one request into every strategy, or into none when nobody can serve it."""
        last = self._conversations.last(record)
        known = read_known(record, self._names)
        standings = {spec: last.standing(spec, record, known.usage) for spec in last.known}
        try:
            decisions = {
                spec: self._decider.decide(spec, record, standings.get(spec))
                for spec in self._specs
            }
            calls = self._calls(record, known, decisions, last)
        except NoCapableModel:
            self._partial.facts["unserved"] += 1
            return
        self._note(record, known)
        self._count(record, calls, self._found(record, decisions))
        if record.conversation:
            called = {spec: call.deployment for spec, call in calls.items() if call is not None}
            gone_on = self._gone_on(record, known, calls, last, standings)
            self._conversations.note(record, called, gone_on)

    def _gone_on(
        self,
        record: LoggedRequest,
        known: Known,
        calls: Mapping[str, Call | None],
        last: LastCall,
        standings: Mapping[str, Standing | None],
    ) -> dict[str, Conversation]:
        """Return the conversation after a request, as each policy that moves about has it."""
        after: dict[str, Conversation] = {}
        for spec in self._moving:
            call = calls[spec]
            if call is None:
                continue
            is_warm = self._is_warm(record, known, spec, call.deployment, last)
            after[spec] = advance(
                standings.get(spec),
                Place(call.tier, call.deployment),
                known.usage if is_warm else unwarmed(known.usage),
                call.cost_nanousd,
                at_s=record.at_s or 0.0,
                snapshot=self._snapshot,
                caches=self._decider.caches(spec),
            )
        return after

    def finish(self, left_out: LeftOut) -> Partial:
        """Return the sums, with what the importer left out."""
        for strategy, cache in self._caches.items():
            self._partial.tallies[strategy].keys_dropped = cache.window.dropped
        self._partial.left_out = left_out
        return self._partial

    def _calls(
        self,
        record: LoggedRequest,
        known: Known,
        decisions: Mapping[str, Decision | None],
        last: LastCall,
    ) -> dict[str, Call | None]:
        """Return what each policy and each single model makes of a request, by its spec."""
        calls: dict[str, Call | None] = {}
        for spec, decision in decisions.items():
            if decision is None:
                calls[spec] = None
                continue
            name, deployment = decision.deployments[0], self._decider.deployment(decision)
            is_warm = self._is_warm(record, known, spec, name, last)
            calls[spec] = charge(
                known,
                decision.tier,
                name,
                deployment,
                is_warm=is_warm,
                is_repriced=self._is_repriced,
            )
        for spec, tier, name, deployment in self._singles:
            is_warm = self._is_warm(record, known, spec, name, last)
            calls[spec] = charge(
                known, tier, name, deployment, is_warm=is_warm, is_repriced=self._is_repriced
            )
        if record.outcomes:
            calls[CASCADE] = self._staged.cascade(record, known)
            calls[ORACLE] = self._staged.oracle(record, known)
        return calls

    def _is_warm(
        self, record: LoggedRequest, known: Known, spec: str, name: str, last: LastCall
    ) -> bool:
        if not record.conversation:
            return True
        return last.is_warm(spec, name, record.at_s, known.answered_by)

    def _found(
        self, record: LoggedRequest, decisions: Mapping[str, Decision | None]
    ) -> dict[Strategy, Kept]:
        """Return what each strategy's cache has; where one has nothing, keep the answer there."""
        if not self._caches:
            return {}
        if record.request is None:
            return dict.fromkeys(self._caches, _UNTOLD) if record.is_hit else {}
        asked = self._keys.asked(record)
        found: dict[Strategy, Kept] = {}
        if asked is None:
            return found
        may_look = record.request.caller.cache == "on"
        for strategy, cache in self._caches.items():
            decision = decisions[strategy.spec]
            if decision is None:
                continue
            kept = cache.find(asked, decision, record.at_s) if may_look else None
            if kept is not None:
                found[strategy] = kept
            elif asked.is_keepable:
                cache.put(asked, decision, Kept(record.at_s, record.answer))
        return found

    def _count(
        self,
        record: LoggedRequest,
        calls: Mapping[str, Call | None],
        found: Mapping[Strategy, Kept],
    ) -> None:
        """Add each strategy's call to its figures, unless its cache has the answer."""
        base, reference_call = calls[self._base], calls.get(self._reference)
        for strategy, tally in self._partial.tallies.items():
            call = calls.get(strategy.spec)
            if call is None:
                tally.undecided += 1
                continue
            if strategy in found:
                tally.add_hit(call, found[strategy], record.answer)
            else:
                tally.add(call)
            if record.outcomes:
                tally.add_quality(call, base, reference_call)
        for spec, _, name, _ in self._singles:
            call, tally = calls[spec], self._partial.singles[name]
            assert call is not None, "a single model takes every request"
            tally.add(call)
            if record.outcomes:
                tally.add_quality(call, base, reference_call)
        assert base is not None, "a fixed policy decides every request"
        length_place = place_of_length(record.features)
        for spec, trades in self._trades:
            weaker = calls[spec]
            assert weaker is not None, "a fixed policy, or a single model, takes every request"
            trades.add(length_place, weaker, base, reference_call)

    def _note(self, record: LoggedRequest, known: Known) -> None:
        """Note what the request says of the log, and of the speed of who answered."""
        facts, usage = self._partial.facts, known.usage
        facts["compared"] += 1
        facts["measured"] += record.is_measured or bool(record.outcomes)
        facts["labelled"] += bool(record.outcomes)
        facts["without_prompt"] += record.request is None and record.booked is not None
        facts["without_answer"] += record.usage is None and not record.outcomes
        facts["without_time"] += record.at_s is None and record.request is not None
        facts["without_text"] += record.request is None and record.booked is None
        facts["in_tool_loop"] += record.features.is_tool_loop
        facts["loops_unplaced"] += record.features.is_tool_loop and not record.conversation
        facts["in_conversation"] += bool(record.conversation)
        if record.usage is not None and known.latency_ms is not None:
            for name in known.answered_by:
                self._speed(name).add(usage.output_tokens, known.latency_ms)
        for name, outcome in known.outcomes.items():
            if outcome.usage is not None and outcome.latency_ms is not None:
                self._speed(name).add(outcome.usage.output_tokens, outcome.latency_ms)
            is_kept = outcome.cost_nanousd is not None and outcome.usage is None
            facts["not_repriced"] += is_kept

    def _speed(self, deployment: str) -> Speed:
        return self._partial.speeds.setdefault(deployment, Speed())


def _played(shown: Sequence[Strategy], snapshot: Snapshot) -> tuple[Strategy, ...]:
    """Return what is played: what is shown, and what that is measured by."""
    at_equal_cost = (reference(),) if any(one.is_at_equal_cost for one in shown) else ()
    played = (*shown, baseline(snapshot), cheapest(snapshot), *at_equal_cost)
    return tuple(dict.fromkeys(one for one in played if one.is_played))
