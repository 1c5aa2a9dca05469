"""Own ledger: the answered requests of pointsman's ledger, which keeps tokens but no prompts."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from pointsman.compare.records import Booked, LeftOut, LoggedRequest
from pointsman.core.types import Features
from pointsman.ledger import AUDIT, Row

_NS_PER_S = 1_000_000_000
# Requests whose first attempt has failed while a later one still runs; in flight at once, so few.
_OPEN_MAX = 10_000


def read_ledger(rows: Iterable[Row], left_out: LeftOut) -> Iterator[LoggedRequest]:
    """Yield the requests that were answered, oldest first, in bounded memory.

    The tier that was decided is that of a request's first attempt: a later one may be an
    escalation. Attempts without an answer are counted in `left_out`.
    """
    first_tiers: OrderedDict[str, str] = OrderedDict()
    for row in rows:
        intent, end = row.intent, row.settlement
        if intent.policy == AUDIT:  # nobody asked for it
            continue
        if end.outcome in ("answered", "hit"):
            yield _record(row, first_tiers.pop(intent.request_id, intent.tier))
            continue
        left_out.attempts[end.outcome] += 1
        if intent.attempt == 1:
            first_tiers[intent.request_id] = intent.tier
            if len(first_tiers) > _OPEN_MAX:
                first_tiers.popitem(last=False)


def _record(row: Row, decided_tier: str) -> LoggedRequest:
    intent, end = row.intent, row.settlement
    return LoggedRequest(
        features=Features(
            text="",
            turns=0,
            input_tokens=end.usage.input_tokens,
            max_tokens=None,
            needs=frozenset(),
            is_tool_loop=False,
        ),
        usage=end.usage,
        model=intent.deployment,
        latency_ms=None if end.outcome == "hit" else end.latency_ms,
        at_s=intent.at_ns / _NS_PER_S,
        booked=Booked(
            policy=intent.policy, tier=decided_tier, reason=intent.reason, asked=intent.alias
        ),
        is_hit=end.outcome == "hit",
    )
