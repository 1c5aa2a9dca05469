"""Holds in the ledger's file: exact with the intent, given back once, found again after a crash."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.attempts import FAILED, SETTLED, intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import BudgetExceeded, LedgerUnavailable
from pointsman.ledger import AUDIT, BudgetRow, Settlement
from pointsman.ledger.opening import open_ledger
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_budgets import rebuild, rebuilt
from pointsman.ledger.sqlite_file import open_for_writing, transaction
from pointsman.ledger.sqlite_writer import RETRY_S, GroupWriter

NOON_NS = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 10**9
DAY_NS = 86_400 * 10**9
ALL_DAY = Budget("all", "day", 100)
UNKNOWN = Settlement(state="unknown", outcome="failed", error="upstream_timeout")
LEDGER = "ledger.db"


class BrokenOnce(GroupWriter):
    """Undoes the next group at the last moment, when told so."""

    is_breaking = False

    def _commit(self, group):
        with self.lock, transaction(self._connection):
            results = [self._apply(write) for write in group]
            if self.is_breaking:
                self.is_breaking = False
                raise sqlite3.OperationalError("broken")
        return results


def settled(cost_nanousd: int) -> Settlement:
    return Settlement(state="settled", outcome="answered", cost_nanousd=cost_nanousd)


def hold(*amounts: int, budgets: Sequence[Budget] = (ALL_DAY,), at_ns: int = NOON_NS) -> Hold:
    return Hold(amounts, limits_at(budgets, at_ns))


def booked(ledger: SqliteLedger, scope: str = "all", window: str = "2026-11-23") -> tuple[int, int]:
    """Return what is (settled, held) in one scope and window."""
    found = {(row.scope, row.window): row for row in ledger.budgets()}[scope, window]
    return found.nanousd, found.held_nanousd


async def written(ledger: SqliteLedger) -> None:
    """Wait until all that was queued is in the file."""
    await ledger.book_feedback("nobody", "", 0.0, 0)


def is_rebuildable(path: Path) -> bool:
    """Return whether the table is what the rows alone say."""
    with closing(sqlite3.connect(path)) as connection:

        def query(sql, values):
            return connection.execute(sql, values).fetchall()

        table = [
            BudgetRow(*found)
            for found in query("SELECT * FROM budgets ORDER BY scope, window DESC", ())
        ]
        return table == list(rebuilt(query))


@pytest.fixture
async def ledger(tmp_path: Path):
    opened = SqliteLedger(tmp_path / LEDGER)
    yield opened
    await opened.close()
    assert is_rebuildable(tmp_path / LEDGER)


async def reserve(ledger: SqliteLedger, request_id: str, *amounts: int, **more):
    return await ledger.reserve(
        intent(request_id, at_ns=NOON_NS, worst_case_nanousd=amounts[-1]), hold(*amounts, **more)
    )


async def test_a_hold_stands_until_the_request_ends_and_then_its_cost_does(ledger):
    held = await reserve(ledger, "r1", 60)
    assert held.nanousd == 60 and [s.held_nanousd for s in held.spent] == [60]
    assert booked(ledger) == (0, 60)
    await ledger.settle("r1", 1, settled(25), is_last=True)
    assert booked(ledger) == (25, 0)


async def test_what_does_not_fit_leaves_no_trace_and_what_fits_exactly_is_let_in(ledger):
    await reserve(ledger, "r1", 60)
    with pytest.raises(BudgetExceeded, match=r'"all" of 2026-11-23'):
        await reserve(ledger, "r2", 41)
    assert [row.intent.request_id for row in ledger.rows()] == ["r1"]
    await reserve(ledger, "r3", 40)
    assert booked(ledger) == (0, 100)


async def test_the_largest_part_that_fits_is_held(ledger):
    await reserve(ledger, "r1", 60)
    assert (await reserve(ledger, "r2", 80, 41, 30, 10)).nanousd == 30
    assert booked(ledger) == (0, 90)


async def test_every_limit_of_a_hold_is_checked_and_the_tightest_is_named(ledger):
    budgets = (ALL_DAY, Budget("key:ci", "month", 30), Budget("tag:team=search", "day", 50))
    await reserve(ledger, "r1", 30, budgets=budgets)
    with pytest.raises(BudgetExceeded, match=r'"key:ci" of 2026-11:') as caught:
        await reserve(ledger, "r2", 1, budgets=budgets)
    assert (caught.value.scope, caught.value.window) == ("key:ci", "2026-11")
    await ledger.settle("r1", 1, settled(3), is_last=True)
    assert [booked(ledger, b.scope, w) for b, w in zip(budgets, (
        "2026-11-23", "2026-11", "2026-11-23"), strict=True)] == [(3, 0)] * 3  # fmt: skip


async def test_an_unknown_attempt_counts_with_its_worst_case_until_somebody_says_its_cost(ledger):
    await reserve(ledger, "r1", 60)
    ledger.close_attempt("r1", 1, UNKNOWN)
    ledger.release("r1")
    await written(ledger)
    assert booked(ledger) == (60, 0)
    assert [row.intent.request_id for row in ledger.rows(state="unknown")] == ["r1"]
    assert await ledger.reconcile("r1", 1, 7)
    assert booked(ledger) == (7, 0)
    (row,) = ledger.rows()
    assert (row.settlement.state, row.settlement.cost_nanousd) == ("unknown", 7)
    assert not await ledger.reconcile("r1", 1, 0), "it is said once"
    assert not await ledger.reconcile("r9", 1, 0)


async def test_a_cost_said_while_the_request_still_holds_counts_when_it_ends(ledger):
    await reserve(ledger, "r1", 60, 50)
    ledger.close_attempt("r1", 1, UNKNOWN)
    assert await ledger.reconcile("r1", 1, 7)
    assert booked(ledger) == (0, 60)
    ledger.release("r1")
    await written(ledger)
    assert booked(ledger) == (7, 0)


async def test_a_settled_attempt_cannot_be_reconciled(ledger):
    await reserve(ledger, "r1", 60)
    await ledger.settle("r1", 1, settled(25), is_last=True)
    assert not await ledger.reconcile("r1", 1, 0)
    assert booked(ledger) == (25, 0)


async def test_a_release_waits_for_the_last_end_and_happens_once(ledger):
    await reserve(ledger, "r1", 60)
    await ledger.reserve(intent("r1", 2, at_ns=NOON_NS, worst_case_nanousd=20))
    ledger.release("r1")
    ledger.close_attempt("r1", 1, FAILED)
    await written(ledger)
    assert booked(ledger) == (0, 60), "the second attempt may still cost something"
    ledger.close_attempt("r1", 2, settled(11))
    ledger.release("r1")
    ledger.release("r1")
    await written(ledger)
    assert booked(ledger) == (11, 0)


async def test_a_release_that_waited_survives_a_commit_that_fails(tmp_path, caplog):
    """A hedged request: the winner gives the hold back, with the loser's end still to come."""
    writers: list[BrokenOnce] = []

    def writer(*args, **named):
        writers.append(BrokenOnce(*args, **named))
        return writers[-1]

    ledger = SqliteLedger(tmp_path / LEDGER, writer=writer)
    await reserve(ledger, "r1", 60)
    await ledger.reserve(intent("r1", 2, at_ns=NOON_NS, worst_case_nanousd=20))
    await ledger.settle("r1", 1, settled(11), is_last=True)
    assert booked(ledger) == (0, 60)
    writers[0].is_breaking = True
    with pytest.raises(LedgerUnavailable, match="broken"):
        await ledger.settle("r1", 2, settled(5))
    await asyncio.sleep(2 * RETRY_S)
    await written(ledger)
    assert booked(ledger) == (16, 0)
    await ledger.close()


async def test_usage_beyond_the_hold_is_booked_in_full_and_logged(ledger, caplog):
    await reserve(ledger, "r1", 60)
    with caplog.at_level(logging.WARNING):
        await ledger.settle("r1", 1, settled(130), is_last=True)
    assert booked(ledger) == (130, 0)
    assert "r1 may have cost 130 nano-USD and held 60" in caplog.text
    with pytest.raises(BudgetExceeded, match=r"\$0\.00 of"):
        await reserve(ledger, "r2", 0)


async def test_a_cancelled_reservation_gives_back_what_it_held(ledger):
    waiting = asyncio.create_task(reserve(ledger, "r1", 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await written(ledger)
    assert [row.held_nanousd + row.nanousd for row in ledger.budgets()] in ([], [0])


async def test_the_same_intent_again_holds_nothing_more(ledger):
    first = await reserve(ledger, "r1", 60)
    assert (await reserve(ledger, "r1", 60)).nanousd == first.nanousd
    assert booked(ledger) == (0, 60)
    with pytest.raises(LedgerUnavailable, match="booked already"):
        await ledger.reserve(intent("r1", at_ns=NOON_NS + 1), hold(5))
    assert booked(ledger) == (0, 60)
    await ledger.settle("r1", 1, settled(1), is_last=True)
    assert (await reserve(ledger, "r1", 60)).nanousd == 0
    assert booked(ledger) == (1, 0)


async def test_a_budget_stated_at_noon_knows_of_the_morning(ledger):
    """Its first row counts what was booked before, of its own scope and window alone."""
    tags = '{"team":"search","a=b":"c"}'
    others: dict[str, dict[str, Any]] = {
        "own": {},
        "another key": {"key": "else"},
        "no tag": {"tags": "{}"},
        "yesterday": {"at_ns": NOON_NS - DAY_NS},
        "an audit": {"policy": AUDIT},
    }
    for name, more in others.items():
        members: dict[str, Any] = {"at_ns": NOON_NS - 9, "tags": tags} | more
        await ledger.reserve(intent(name, **members))
        await ledger.settle(name, 1, settled(10))
    await ledger.reserve(intent("open", at_ns=NOON_NS - 9, tags=tags, worst_case_nanousd=3))
    budgets = [
        Budget(scope, window, 1_000)
        for scope in ("all", "key:ci", "tag:team=search")
        for window in ("day", "month")
    ]
    await reserve(ledger, "r1", 5, budgets=budgets)
    seen = {(row.scope, row.window): row.nanousd for row in ledger.budgets()}
    assert seen == {
        ("all", "2026-11-23"): 43,
        ("all", "2026-11"): 53,
        ("key:ci", "2026-11-23"): 23,
        ("key:ci", "2026-11"): 33,
        ("tag:team=search", "2026-11-23"): 23,
        ("tag:team=search", "2026-11"): 33,
    }
    await ledger.settle("open", 1, settled(3))


@pytest.mark.parametrize("tags", ["no JSON", '["team"]', '{"team":1}', ""])
async def test_tags_that_cannot_be_read_are_no_tags_and_hold_up_nobody(ledger, tags: str):
    """They are text as it was given: what reads the file later has to live with it."""
    await ledger.reserve(intent("r1", at_ns=NOON_NS, tags=tags, worst_case_nanousd=60))
    ledger.close_attempt("r1", 1, UNKNOWN)
    budgets = [Budget("all", "day", 1_000), Budget("tag:team=search", "day", 1_000)]
    await reserve(ledger, "r2", 5, budgets=budgets)
    assert (booked(ledger), booked(ledger, "tag:team=search")) == ((60, 5), (0, 5))
    assert await ledger.reconcile("r1", 1, 7)
    assert (booked(ledger), booked(ledger, "tag:team=search")) == ((7, 5), (0, 5))


async def test_each_window_counts_for_itself_and_a_clock_that_goes_back_resets_none(ledger):
    for number, at_ns in enumerate((NOON_NS, NOON_NS + DAY_NS, NOON_NS)):
        await ledger.reserve(intent(f"r{number}", at_ns=at_ns), hold(40, at_ns=at_ns))
        await ledger.settle(f"r{number}", 1, settled(40), is_last=True)
    assert booked(ledger) == (80, 0)
    assert booked(ledger, window="2026-11-24") == (40, 0)


async def test_without_a_hold_nothing_is_kept_of_budgets(ledger):
    assert await ledger.reserve(intent("r1", at_ns=NOON_NS)) is None
    await ledger.settle("r1", 1, SETTLED)
    ledger.release("r1")
    await written(ledger)
    assert list(ledger.budgets()) == []


async def test_closing_gives_back_what_is_held_and_counts_what_was_open(tmp_path):
    ledger = SqliteLedger(tmp_path / LEDGER)
    await reserve(ledger, "r1", 60, 60)
    await ledger.close()
    ledger = SqliteLedger(tmp_path / LEDGER)
    assert booked(ledger) == (60, 0)
    await ledger.close()
    assert is_rebuildable(tmp_path / LEDGER)


async def test_absurd_costs_do_not_stop_the_writer(tmp_path):
    """What an upstream claims is its own word; a sum past 64 bits would fail every later write."""
    ledger = SqliteLedger(tmp_path / LEDGER)
    endless = Budget("all", "day", 2**70)
    for number in range(12):
        request_id = f"r{number}"
        await ledger.reserve(intent(request_id, at_ns=NOON_NS), hold(0, budgets=[endless]))
        await ledger.reserve(intent(request_id, 2, at_ns=NOON_NS))
        ledger.close_attempt(request_id, 2, settled(2**62))
        await ledger.settle(request_id, 1, settled(2**62), is_last=True)
        if booked(ledger)[0] >= 10**18:
            break
    for budget in (endless, Budget("tag:team=search", "day", 2**70)):
        with pytest.raises(BudgetExceeded):
            await ledger.reserve(intent("next", at_ns=NOON_NS), hold(1, budgets=[budget]))
    await ledger.close()


async def test_a_damaged_table_is_rebuilt_from_the_rows(tmp_path):
    ledger = SqliteLedger(tmp_path / LEDGER)
    await reserve(ledger, "r1", 60)
    await ledger.settle("r1", 1, settled(25), is_last=True)
    await reserve(ledger, "r2", 30)
    with closing(open_for_writing(str(tmp_path / LEDGER), busy_s=5)) as connection:
        assert rebuild(connection) == 0
        connection.execute("UPDATE budgets SET nanousd = 99, held_nanousd = 1")
        assert rebuild(connection) == 1
    assert booked(ledger) == (25, 30)
    await ledger.close()


CHILD = """
import asyncio, os, sys
from pointsman.ledger.opening import open_ledger
from pointsman.core.errors import BudgetExceeded
from tests.ledger.attempts import intent
from tests.ledger.test_budgets import NOON_NS, hold, settled

async def main(url, mode, count):
    ledger = open_ledger(url)
    if mode == "die":
        await ledger.reserve(intent("dead", at_ns=NOON_NS, worst_case_nanousd=30), hold(60))
        os._exit(9)
    print("ready", flush=True)
    sys.stdin.readline()
    spent = denied = 0
    for number in range(int(count)):
        name = f"r{os.getpid()}-{number}"
        try:
            await ledger.reserve(intent(name, at_ns=NOON_NS, worst_case_nanousd=7), hold(7))
        except BudgetExceeded:
            denied += 1
            continue
        spent += 1
        await ledger.settle(name, 1, settled(1), is_last=True)
    print(spent, denied, flush=True)
    await ledger.close()

asyncio.run(main(*sys.argv[1:]))
"""


def child(url: str, mode: str, count: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, mode, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_what_a_killed_process_held_is_given_back_at_the_next_start(tmp_path):
    """Its open attempt counts with the attempt's own worst case, not with the whole plan's."""
    with child(f"sqlite:///{tmp_path / LEDGER}", "die") as process:
        assert process.wait(60) == 9
    ledger = SqliteLedger(tmp_path / LEDGER)
    assert ledger.recovered == 1
    assert booked(ledger) == (30, 0)
    assert await ledger.reconcile("dead", 1, 0)
    assert booked(ledger) == (0, 0)
    await ledger.close()
    assert is_rebuildable(tmp_path / LEDGER)


def test_processes_that_share_a_file_share_its_budgets(tmp_path):
    """100 nano-USD, held 7 at a time and 1 of them spent: 94 requests fit, whoever makes them."""
    url = f"sqlite:///{tmp_path / LEDGER}"
    processes = [child(url, "spend", count=60) for _ in range(3)]
    told = []
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        told.append([int(word) for word in process.stdout.readline().split()])
        process.communicate(timeout=60)
        assert process.returncode == 0
    ledger = open_ledger(url)
    assert isinstance(ledger, SqliteLedger)
    assert booked(ledger) == (sum(spent for spent, _ in told), 0)
    assert sum(spent for spent, _ in told) <= 94
    # Three hold at once at most, so none was denied while 3 * 7 or more was left.
    assert sum(spent for spent, _ in told) > 100 - 3 * 7
    asyncio.run(ledger.close())
    assert is_rebuildable(tmp_path / LEDGER)


@given(cost=st.integers(-5, 2**70), worst=st.integers(0, 100))
def test_what_is_stated_of_an_attempt_is_what_its_budget_counts(tmp_path_factory, cost, worst):
    async def go(path: Path) -> None:
        ledger = SqliteLedger(path)
        await ledger.reserve(
            intent("r1", at_ns=NOON_NS, worst_case_nanousd=worst), hold(worst, worst)
        )
        ledger.close_attempt("r1", 1, UNKNOWN)
        ledger.release("r1")
        assert await ledger.reconcile("r1", 1, cost)
        assert booked(ledger) == (min(max(cost, 0), 10**18), 0)
        await ledger.close()

    path = tmp_path_factory.mktemp("ledger") / LEDGER
    asyncio.run(go(path))
    assert is_rebuildable(path)
