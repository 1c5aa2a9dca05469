"""How many calls of a tier a key may make in a day: exact, with the intent or not at all."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.attempts import FAILED, HIT, intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import BudgetExceeded, LedgerUnavailable, QuotaExceeded
from pointsman.ledger import AUDIT, Intent
from pointsman.ledger.sqlite import SqliteLedger

NOON_NS = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 10**9
DAY_NS = 86_400 * 10**9


def call(request_id: str, calls_max: int | None = 2, **more: Any) -> Intent:
    return intent(request_id, **{"at_ns": NOON_NS, "tier_calls_max": calls_max} | more)


@pytest.fixture
async def ledger(tmp_path: Path):
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    await opened.close()


def booked(ledger: SqliteLedger) -> list[str]:
    return [row.intent.request_id for row in ledger.rows()]


async def test_one_call_more_than_allowed_is_refused_and_leaves_no_trace(ledger: SqliteLedger):
    await ledger.reserve(call("r1"))
    await ledger.reserve(call("r1", attempt=2))
    with pytest.raises(QuotaExceeded, match='its 2 calls of tier "fast" on 2026-11-23') as caught:
        await ledger.reserve(call("r2"))
    assert (caught.value.scope, caught.value.window) == ("key:ci", "2026-11-23")
    assert booked(ledger) == ["r1", "r1"]
    await ledger.reserve(call("r2", calls_max=3))  # the bound is the caller's, the count the file's


async def test_a_quota_of_none_is_used_up_before_the_first_call(ledger: SqliteLedger):
    with pytest.raises(QuotaExceeded):
        await ledger.reserve(call("r1", calls_max=0))
    assert booked(ledger) == []


async def test_a_quota_is_of_one_key_one_tier_and_one_day(ledger: SqliteLedger):
    await ledger.reserve(call("r1", calls_max=1))
    others: list[dict[str, Any]] = [{"key": "web"}, {"tier": "best"}, {"at_ns": NOON_NS + DAY_NS}]
    for number, other in enumerate(others):
        await ledger.reserve(call(f"other-{number}", calls_max=1, **other))
    for number, other in enumerate([{}, *others]):
        with pytest.raises(QuotaExceeded):
            await ledger.reserve(call(f"more-{number}", calls_max=1, **other))


async def test_the_very_same_call_again_is_neither_refused_nor_counted(ledger: SqliteLedger):
    for _ in range(3):
        await ledger.reserve(call("r1"))
    await ledger.reserve(call("r2"))
    await ledger.reserve(call("r1"))
    with pytest.raises(QuotaExceeded):
        await ledger.reserve(call("r3"))
    assert booked(ledger) == ["r1", "r2"]


async def test_audits_are_nobodys_calls(ledger: SqliteLedger):
    for number in range(3):
        await ledger.reserve(call(f"audit-{number}", calls_max=0, policy=AUDIT))
    await ledger.reserve(call("r1", calls_max=1))
    assert len(booked(ledger)) == 4


async def test_a_quota_stated_at_noon_knows_of_the_morning(ledger: SqliteLedger):
    """Whatever became of a call, it was made; a hit called nobody."""
    await ledger.reserve(call("early", None))
    await ledger.settle("early", 1, FAILED)
    await ledger.reserve(call("an audit", None, policy=AUDIT))
    for number in range(3):
        await ledger.book_hit(call(f"hit-{number}", None), HIT)
    await ledger.reserve(call("r1"))
    with pytest.raises(QuotaExceeded):
        await ledger.reserve(call("r2"))


async def test_a_call_that_a_budget_refuses_is_not_counted(ledger: SqliteLedger):
    def hold(nanousd: int) -> Hold:
        return Hold((nanousd,), limits_at((Budget("all", "day", 100),), NOON_NS))

    with pytest.raises(BudgetExceeded, match='"all"'):
        await ledger.reserve(call("r1", calls_max=1), hold(101))
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        await ledger.reserve(call("r1", calls_max=1, attempt=2**70), hold(1))
    await ledger.reserve(call("r1", calls_max=1), hold(1))
    with pytest.raises(QuotaExceeded):
        await ledger.reserve(call("r2", calls_max=1), hold(1))
    assert [row.held_nanousd for row in ledger.budgets()] == [1]


async def test_of_many_who_ask_at_once_over_two_writers_as_many_as_allowed_are_let_in(
    tmp_path: Path,
):
    ledgers = [SqliteLedger(tmp_path / "ledger.db") for _ in range(2)]
    asked = [ledgers[n % 2].reserve(call(f"r{n}", calls_max=7)) for n in range(40)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(it) for it in results if it is not None] == [QuotaExceeded] * 33
    assert len(booked(ledgers[0])) == 7
    for it in ledgers:
        await it.close()
