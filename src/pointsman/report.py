"""The report: what a period's attempts cost, and what the same requests would have cost elsewhere.

Pure sums over the ledger's rows, in one pass and bounded memory. What was spent is exact. What
would have been spent is an estimate, because another model would have written another number of
tokens: every answered request's own tokens are priced at the other deployment, all input at the
plain input price, cache hits like any other request (`report_savings`).
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Tier
from pointsman.core.usage import Usage
from pointsman.ledger import AUDIT, REWORDED, AuditLabel, Row
from pointsman.report_audits import AuditedGroup, audited_groups
from pointsman.report_prompt_caches import PromptCacheSums, PromptCacheUse
from pointsman.report_savings import Alternative, Comparison, Savings
from pointsman.scorer.certificate import NOT_CERTIFIED

By: TypeAlias = Literal["tier", "model", "key", "tag", "day"]

NOTE = "estimated: another model would have written another number of tokens"
OTHERS = "(others)"

# More names than a person reads; the rest is summed as OTHERS, so that tags cannot fill memory.
_GROUPS_MAX = 1_000
# Requests whose last attempt was rejected or failed, while their next attempt may still come.
_UNFINISHED_MAX = 10_000
_NS_PER_S = 1_000_000_000


class Group(msgspec.Struct, kw_only=True):
    """The sums of the attempts that share a name: a tier, model, key, tag or day (UTC).

    `calls` counts clients' requests by their first attempt, `hits` those answered from the cache.
    With tags, a request counts under each of its tags, so that groups overlap. The cost is what is
    known of it: without `unpriced_attempts` and `unknown_attempts` (see `Report`).
    """

    name: str
    calls: int = 0
    hits: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    unpriced_attempts: int = 0
    unknown_attempts: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A period's figures: since_ns <= a row's time < until_ns, Unix nanoseconds.

    `calls` are requests begun in the period, `answered` those with an answer, hits included.
    `reworded_hits`: those of the hits that another wording of the request was kept for.
    `attempts` are upstream calls that were reserved. `failures`, `cancelled`, `orphans` (their
    process died) and `pending` are attempts by outcome. `escalations` and `fallbacks`: moves to
    another tier after a rejected draft, to another deployment after a failure.
    `unpriced_attempts` were settled without a price and have `unpriced_tokens`; `unknown_attempts`,
    orphans included, may have been charged: those `unknown_bounded_attempts` whose bound was known
    at most `unknown_at_most_nanousd` together; neither is in `cost_nanousd`.
    `estimated_left_out_answers` have no known cost, and are not in the estimates.
    `audit` sums the attempts that were made for audits: they are in the sums of attempts, tokens
    and costs, and in no other count. `audited`: what audits have found, whatever the period.
    `prompt_caches`: the deployments whose prompt cache was used, or should have been.
    `tiers` are in the configuration's order, `groups` by cost, days by date; `by` None has none.
    """

    since_ns: int
    until_ns: int | None
    calls: int
    answered: int
    hits: int
    reworded_hits: int
    attempts: int
    escalations: int
    fallbacks: int
    failures: int
    cancelled: int
    orphans: int
    pending: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nanousd: int
    unpriced_attempts: int
    unpriced_tokens: int
    unknown_attempts: int
    unknown_bounded_attempts: int
    unknown_at_most_nanousd: int
    estimated_usage_attempts: int
    tiers: tuple[Group, ...]
    by: By | None
    groups: tuple[Group, ...]
    estimated_alternatives: tuple[Alternative, ...]
    estimated_savings: Savings | None
    estimated_left_out_answers: int
    prompt_caches: tuple[PromptCacheUse, ...]
    audit: Group
    audited: tuple[AuditedGroup, ...]
    estimated_note: str = NOTE
    quality_proof: str = NOT_CERTIFIED


def build_report(
    rows: Iterable[Row],
    *,
    tiers: tuple[Tier, ...],
    by: str | None = None,
    since_ns: int = 0,
    until_ns: int | None = None,
    audits: Iterable[AuditLabel] = (),
    quality_proof: str = NOT_CERTIFIED,
) -> Report:
    """Return the report on `rows`, which come oldest first; those outside the period are left out.

    `tiers`: as configured now, cheapest first, with the prices to compare at. `audits`: the labels
    of all audits, in the order of their booking. `quality_proof`: see `policies.quality_proof`.
    Raises RequestError when `by` is nothing to group by.
    """
    grouping = _grouping(by)
    sums = _Sums(tiers, grouping)
    for row in rows:
        if row.intent.at_ns >= since_ns and (until_ns is None or row.intent.at_ns < until_ns):
            sums.add(row)
    report = sums.report(since_ns=since_ns, until_ns=until_ns, audited=audited_groups(audits))
    return msgspec.structs.replace(report, quality_proof=quality_proof)


def _grouping(by: str | None) -> By | None:
    match by:
        case None | "tier" | "model" | "key" | "tag" | "day":
            return by
        case _:
            raise RequestError(
                f'report by "{by}": unknown; choose one of {", ".join(get_args(By))}', param="by"
            )


class _Sums:
    """What is known after the rows so far."""

    def __init__(self, tiers: tuple[Tier, ...], by: By | None) -> None:
        self._by = by
        self._total, self._audit = Group(name="total"), Group(name="audits")
        self._tiers = _Groups(tier.name for tier in tiers)
        self._groups = _Groups()
        self._moves = _Moves()
        self._comparison = Comparison(tiers)
        self._prompt_caches = PromptCacheSums(tiers)
        self._outcomes = dict.fromkeys(("answered", "failed", "cancelled", "lost", "pending"), 0)
        self._cached_input_tokens = self._cache_write_tokens = self._reasoning_tokens = 0
        self._unpriced_tokens = self._reworded_hits = 0
        self._unknown_bounded_attempts = self._unknown_at_most_nanousd = 0
        self._estimated_usage_attempts = 0

    def add(self, row: Row) -> None:
        """Count a row."""
        outcome = row.settlement.outcome
        if row.intent.policy == AUDIT:
            _count(self._audit, row)
        else:
            self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
            self._moves.add(row)
        for group in (self._total, self._tiers.named(row.intent.tier)):
            _count(group, row)
        if self._by:
            for name in _names(row, self._by):
                _count(self._groups.named(name), row)
        self._comparison.add(row)
        self._prompt_caches.add(row)
        if outcome == "hit":
            self._reworded_hits += row.settlement.cache in REWORDED
        else:
            self._count_tokens(row.settlement.usage)
            self._count_doubts(row)

    def _count_tokens(self, usage: Usage) -> None:
        self._cached_input_tokens += usage.cached_input_tokens
        self._cache_write_tokens += usage.cache_write_tokens
        self._reasoning_tokens += usage.reasoning_tokens
        self._estimated_usage_attempts += usage.is_estimated

    def _count_doubts(self, row: Row) -> None:
        if _is_unpriced(row):
            self._unpriced_tokens += row.settlement.usage.total_tokens
        elif _is_unknown(row) and row.intent.worst_case_nanousd is not None:
            self._unknown_bounded_attempts += 1
            self._unknown_at_most_nanousd += row.intent.worst_case_nanousd

    def report(
        self, *, since_ns: int, until_ns: int | None, audited: tuple[AuditedGroup, ...]
    ) -> Report:
        """Return the report on what has been added."""
        total, count = self._total, self._outcomes
        return Report(
            since_ns=since_ns,
            until_ns=until_ns,
            calls=total.calls,
            answered=count["answered"] + total.hits,
            hits=total.hits,
            reworded_hits=self._reworded_hits,
            attempts=total.attempts,
            escalations=self._moves.escalations,
            fallbacks=self._moves.fallbacks,
            failures=count["failed"],
            cancelled=count["cancelled"],
            orphans=count["lost"],
            pending=count["pending"],
            input_tokens=total.input_tokens,
            cached_input_tokens=self._cached_input_tokens,
            cache_write_tokens=self._cache_write_tokens,
            output_tokens=total.output_tokens,
            reasoning_tokens=self._reasoning_tokens,
            cost_nanousd=total.cost_nanousd,
            unpriced_attempts=total.unpriced_attempts,
            unpriced_tokens=self._unpriced_tokens,
            unknown_attempts=total.unknown_attempts,
            unknown_bounded_attempts=self._unknown_bounded_attempts,
            unknown_at_most_nanousd=self._unknown_at_most_nanousd,
            estimated_usage_attempts=self._estimated_usage_attempts,
            tiers=tuple(self._tiers),
            by=self._by,
            groups=tuple(
                sorted(self._groups, key=_day_order if self._by == "day" else _cost_order)
            ),
            estimated_alternatives=tuple(self._comparison.alternatives()),
            estimated_savings=self._comparison.savings(),
            estimated_left_out_answers=self._comparison.left_out_answers,
            prompt_caches=self._prompt_caches.uses(),
            audit=self._audit,
            audited=audited,
        )


class _Groups:
    """Groups by name, in the order of their first mention, not too many."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._groups = {name: Group(name=name) for name in names}

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def named(self, name: str) -> Group:
        """Return the group called `name`, or OTHERS when there are too many."""
        group = self._groups.get(name)
        if group is None:
            name = name if len(self._groups) < _GROUPS_MAX else OTHERS
            group = self._groups.setdefault(name, Group(name=name))
        return group


class _Moves:
    """Counts how often requests went on elsewhere. Most requests never enter `_last`."""

    def __init__(self) -> None:
        self.escalations = self.fallbacks = 0
        self._last: OrderedDict[str, Row] = OrderedDict()

    def add(self, row: Row) -> None:
        """Compare a row with the attempt before it, if that one went wrong."""
        before = self._last.pop(row.intent.request_id, None)
        if before is not None:
            is_rejected = before.settlement.outcome == "rejected"
            self.escalations += is_rejected and before.intent.tier != row.intent.tier
            self.fallbacks += not is_rejected and before.intent.deployment != row.intent.deployment
        if row.settlement.outcome in {"rejected", "failed"}:
            self._last[row.intent.request_id] = row
            if len(self._last) > _UNFINISHED_MAX:
                self._last.popitem(last=False)


def _count(group: Group, row: Row) -> None:
    settlement = row.settlement
    group.calls += row.intent.attempt == 1 and row.intent.policy != AUDIT
    group.cost_nanousd += settlement.cost_nanousd or 0
    if settlement.outcome == "hit":
        group.hits += 1
        return
    group.attempts += 1
    group.input_tokens += settlement.usage.input_tokens
    group.output_tokens += settlement.usage.output_tokens
    group.unpriced_attempts += _is_unpriced(row)
    group.unknown_attempts += _is_unknown(row)


def _is_unpriced(row: Row) -> bool:
    return row.settlement.state == "settled" and row.settlement.cost_nanousd is None


def _is_unknown(row: Row) -> bool:
    return row.settlement.state == "unknown" and row.settlement.cost_nanousd is None


def _names(row: Row, by: By) -> Iterable[str]:
    match by:
        case "tier":
            return (row.intent.tier,)
        case "model":
            return (row.intent.deployment,)
        case "key":
            return (row.intent.key or "(no key)",)
        case "tag":
            return _tags(row.intent.tags) or ("(no tag)",)
        case "day":
            moment = datetime.fromtimestamp(row.intent.at_ns // _NS_PER_S, UTC)
            return (moment.date().isoformat(),)


def _tags(tags: str) -> list[str]:
    if not tags:
        return []
    try:
        return [f"{name}={value}" for name, value in _TAGS.decode(tags).items()]
    except msgspec.DecodeError:
        return ["(unreadable tags)"]


_TAGS = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


def _cost_order(group: Group) -> tuple[int, str]:
    return -group.cost_nanousd, group.name


def _day_order(group: Group) -> str:
    return group.name
