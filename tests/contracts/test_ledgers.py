"""What every store of attempts keeps to, whatever it is made of."""

import asyncio
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.attempts import (
    FAILED,
    HIT,
    LOST,
    OPEN,
    SETTLED,
    VOIDED,
    intent,
    start_child,
)

from pointsman.core.budgets import Hold, Limit
from pointsman.core.errors import BudgetExceeded, LedgerUnavailable
from pointsman.core.usage import Usage
from pointsman.ledger import Durability, Intent, Ledger, Row, Settlement
from pointsman.ledger.opening import open_ledger


@dataclass(frozen=True, slots=True)
class Store:
    """A registered store. `url` makes a fresh one's URL; `is_kept`: it outlives its process."""

    name: str
    url: Callable[[Path], str]
    durability: Durability = "strict"
    is_kept: bool = True

    def open(self, folder: Path) -> Ledger:
        return open_ledger(self.url(folder), durability=self.durability)


STORES = [
    Store("sqlite", lambda folder: f"sqlite:///{folder}/ledger.db"),
    Store("sqlite-relaxed", lambda folder: f"sqlite:///{folder}/ledger.db", "relaxed"),
    Store("sqlite-memory", lambda folder: "sqlite://", is_kept=False),
]
KEPT = [store for store in STORES if store.is_kept]
each_store = pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
each_kept_store = pytest.mark.parametrize("store", KEPT, ids=lambda store: store.name)


@each_store
async def test_a_row_comes_back_as_it_was_booked(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.reserve(intent())
    assert list(ledger.rows()) == [Row(intent=intent(), settlement=OPEN)]
    await ledger.settle("r1", 1, SETTLED)
    assert list(ledger.rows()) == [Row(intent=intent(), settlement=SETTLED)]
    await ledger.close()


@each_store
async def test_the_first_end_wins_however_the_next_ones_come(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.reserve(intent())
    await ledger.settle("r1", 1, FAILED)
    await ledger.settle("r1", 1, SETTLED)
    ledger.close_attempt("r1", 1, LOST)
    await ledger.settle("r1", 1, SETTLED)
    assert ends(ledger) == [FAILED]
    await ledger.close()


@each_store
async def test_an_end_queued_without_waiting_stands_before_whatever_comes_later(
    store: Store, tmp_path: Path
):
    ledger = store.open(tmp_path)
    await ledger.reserve(intent())
    ledger.close_attempt("r1", 1, FAILED)
    await ledger.settle("r1", 1, SETTLED)
    assert ends(ledger) == [FAILED]
    await ledger.close()


@each_store
async def test_the_same_intent_twice_is_one_row(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.reserve(intent())
    await ledger.reserve(intent())
    assert len(list(ledger.rows())) == 1
    await ledger.close()


@each_store
async def test_another_intent_in_the_same_place_is_refused(store: Store, tmp_path: Path):
    """Else a caller who repeats a request id would call the upstream unbooked."""
    ledger = store.open(tmp_path)
    await ledger.reserve(intent(at_ns=1))
    with pytest.raises(LedgerUnavailable, match="'r1', attempt 1, is booked already"):
        await ledger.reserve(intent(at_ns=2))
    with pytest.raises(LedgerUnavailable, match="booked already"):
        await ledger.book_hit(intent(at_ns=3), HIT)
    assert list(ledger.rows()) == [Row(intent=intent(at_ns=1), settlement=OPEN)]
    await ledger.close()


@each_store
async def test_an_end_without_an_intent_is_no_row(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.settle("r1", 1, SETTLED)
    await ledger.reserve(intent())
    assert ends(ledger) == [OPEN]
    await ledger.close()


@each_store
async def test_a_hit_is_one_whole_row_and_is_booked_once(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.book_hit(intent(), HIT)
    await ledger.book_hit(intent(), HIT)
    assert list(ledger.rows()) == [Row(intent=intent(), settlement=HIT)]
    await ledger.close()


@each_store
async def test_rows_come_oldest_first_within_the_bounds_asked_for(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    times = [5, 1, 4, 4, 2, 3]
    for number, at_ns in enumerate(times):
        await ledger.reserve(intent(f"r{number}", at_ns=at_ns))
    found = [(row.intent.at_ns, row.intent.request_id) for row in ledger.rows()]
    assert found == [(1, "r1"), (2, "r4"), (3, "r5"), (4, "r2"), (4, "r3"), (5, "r0")]
    bounded = ledger.rows(since_ns=2, until_ns=4)
    assert [row.intent.at_ns for row in bounded] == [2, 3]
    await ledger.close()


@each_store
async def test_many_rows_are_all_read_while_more_are_written(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    numbers = range(1_201)
    await asyncio.gather(*(ledger.reserve(intent(f"r{n}", at_ns=n // 700)) for n in numbers))
    reading = ledger.rows(until_ns=10)
    first = next(reading)
    await ledger.reserve(intent("late", at_ns=10))
    await ledger.settle(first.intent.request_id, 1, SETTLED)
    assert {first.intent.request_id, *(row.intent.request_id for row in reading)} == {
        f"r{n}" for n in numbers
    }
    await ledger.close()


@each_store
async def test_feedback_is_for_the_tenant_whose_request_it_was(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.reserve(intent("r1", tenant="acme"))
    await ledger.reserve(intent("r2", tenant="umbrella"))
    assert await ledger.book_feedback("r1", "acme", 0.25, 1)
    assert not await ledger.book_feedback("r1", "umbrella", 1.0, 2)
    assert not await ledger.book_feedback("r3", "acme", 1.0, 3)
    assert await ledger.book_feedback("r2", "umbrella", 0.5, 4)
    assert await ledger.book_feedback("r1", "acme", 0.75, 5)
    assert list(ledger.feedback()) == [("r1", 0.75), ("r2", 0.5)]
    await ledger.close()


@each_store
async def test_much_feedback_is_all_read(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    numbers = range(1_001)
    await asyncio.gather(*(ledger.reserve(intent(f"r{n:04}")) for n in numbers))
    await asyncio.gather(*(ledger.book_feedback(f"r{n:04}", "acme", 1.0, n) for n in numbers))
    assert list(ledger.feedback()) == [(f"r{n:04}", 1.0) for n in numbers]
    await ledger.close()


@each_store
async def test_closing_is_final_and_may_be_repeated(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.close()
    await ledger.close()
    for refused in (ledger.reserve(intent()), ledger.settle("r1", 1, SETTLED)):
        with pytest.raises(LedgerUnavailable, match="closed"):
            await refused
    ledger.close_attempt("r1", 1, SETTLED)


@each_kept_store
async def test_closing_writes_what_is_queued_and_closes_what_is_open(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    for number in range(3):
        await ledger.reserve(intent(f"r{number}"))
    await ledger.settle("r0", 1, SETTLED)
    ledger.close_attempt("r1", 1, FAILED)
    await ledger.close()
    again = store.open(tmp_path)
    assert again.recovered == 0
    assert ends(again) == [SETTLED, FAILED, LOST]
    await again.close()


@each_store
async def test_cancelling_whoever_waits_harms_no_other_write(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.reserve(intent("r0"))
    cancelled = [
        asyncio.create_task(ledger.reserve(intent("r1"))),
        asyncio.create_task(ledger.settle("r0", 1, SETTLED)),
    ]
    beside = asyncio.create_task(ledger.reserve(intent("r2")))
    await asyncio.sleep(0)  # all three are queued
    for task in cancelled:
        task.cancel()
    await beside
    assert [type(it) for it in await asyncio.gather(*cancelled, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 2
    await ledger.reserve(intent("r3"))
    assert ends(ledger) == [SETTLED, VOIDED, OPEN, OPEN]
    await ledger.close()


@each_kept_store
@pytest.mark.parametrize("acknowledged", [1, 2, 3, 8, 21])
def test_what_was_acknowledged_outlives_a_kill(store: Store, tmp_path: Path, acknowledged: int):
    child = start_child(store.url(tmp_path), mode="settle", durability=store.durability)
    assert child.stdout
    said = [child.stdout.readline() for _ in range(acknowledged)]
    child.kill()
    said += child.communicate()[0].splitlines()
    expected = {request_id: word for word, request_id in map(str.split, said)}
    ledger = store.open(tmp_path)
    found = {row.intent.request_id: row.settlement for row in ledger.rows()}
    assert expected.keys() <= found.keys()
    for request_id, word in expected.items():
        # The kill may fall between the write and its acknowledgement.
        assert found[request_id] in ([SETTLED] if word == "settled" else [LOST, SETTLED])
    assert ledger.recovered == sum(end == LOST for end in found.values()) <= 1
    asyncio.run(ledger.close())


@each_kept_store
def test_an_attempt_whose_process_died_is_closed_as_unknown_once(store: Store, tmp_path: Path):
    for _ in range(3):
        child = start_child(store.url(tmp_path), mode="exit", durability=store.durability)
        child.communicate()
        assert child.returncode == 9
    # The second and third child closed the orphan of the one before.
    ledger = store.open(tmp_path)
    assert ledger.recovered == 1
    assert ends(ledger) == [LOST] * 3
    asyncio.run(ledger.close())
    again = store.open(tmp_path)
    assert again.recovered == 0
    asyncio.run(again.close())


@each_kept_store
def test_the_open_attempts_of_a_process_that_lives_are_left_alone(store: Store, tmp_path: Path):
    child = start_child(store.url(tmp_path), mode="wait", durability=store.durability)
    assert child.stdout and child.stdin
    assert child.stdout.readline().startswith("reserved")
    ledger = store.open(tmp_path)
    assert (ledger.recovered, ends(ledger)) == (0, [OPEN])
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline().startswith("settled")
    assert child.stdout.readline().startswith("reserved")
    assert ends(ledger) == [SETTLED, OPEN]
    stop(child)
    second = store.open(tmp_path)
    assert (second.recovered, ends(second)) == (1, [SETTLED, LOST])
    for it in (ledger, second):
        asyncio.run(it.close())


COUNTS = st.integers(min_value=0, max_value=2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.just("'); DROP TABLE intents; --")
INTENTS = st.builds(
    intent,
    st.sampled_from(["a", "b", "\N{ZERO WIDTH SPACE}\0'"]),
    st.integers(1, 2),
    at_ns=st.integers(0, 3),
    tenant=TEXTS,
    key=TEXTS,
    tags=TEXTS,
    alias=TEXTS,
    reason=TEXTS,
    worst_case_nanousd=st.none() | COUNTS,
    is_stream=st.booleans(),
)
USAGES = st.builds(
    Usage,
    input_tokens=COUNTS,
    cached_input_tokens=COUNTS,
    cache_write_tokens=COUNTS,
    long_cache_write_tokens=COUNTS,
    output_tokens=COUNTS,
    reasoning_tokens=COUNTS,
    is_estimated=st.booleans(),
)
SETTLEMENTS = st.builds(
    Settlement,
    state=st.sampled_from(["settled", "voided", "unknown"]),
    outcome=st.sampled_from(["answered", "rejected", "failed", "cancelled"]),
    usage=USAGES,
    cost_nanousd=st.none() | COUNTS,
    latency_ms=COUNTS,
    ttft_ms=st.none() | COUNTS,
    error=TEXTS,
    cache=st.sampled_from(["hit", "miss", "off"]),
)
STEPS = st.tuples(st.sampled_from(["reserve", "settle", "close", "hit"]), INTENTS, SETTLEMENTS)


@each_store
@given(steps=st.lists(STEPS, max_size=12))
def test_any_order_of_writes_leaves_each_attempt_with_its_first_intent_and_first_end(
    store: Store, steps: list[tuple[str, Intent, Settlement]]
):
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(book_all(store.open(Path(folder)), steps))
    assert sorted(found, key=place) == sorted(first_of_each(steps), key=place)
    assert [row.intent.at_ns for row in found] == sorted(row.intent.at_ns for row in found)


async def book_all(ledger: Ledger, steps: list[tuple[str, Intent, Settlement]]) -> list[Row]:
    for word, booked, end in steps:
        try:
            match word:
                case "reserve":
                    await ledger.reserve(booked)
                case "settle":
                    await ledger.settle(booked.request_id, booked.attempt, end)
                case "close":
                    ledger.close_attempt(booked.request_id, booked.attempt, end)
                case _:
                    await ledger.book_hit(booked, end)
        except LedgerUnavailable as refusal:
            if "booked already" not in refusal.message:
                raise
    await ledger.settle("nobody", 1, SETTLED)  # whatever was queued before it is written too
    found = list(ledger.rows())
    await ledger.close()
    return found


def first_of_each(steps: list[tuple[str, Intent, Settlement]]) -> Iterator[Row]:
    intents: dict[Any, Intent] = {}
    settlements: dict[Any, Settlement] = {}
    for word, booked, end in steps:
        key = (booked.request_id, booked.attempt)
        is_new = key not in intents
        if word in {"reserve", "hit"}:
            intents.setdefault(key, booked)
        # A hit in the place of another attempt is refused; the very same one changes nothing.
        if (word == "hit" and is_new) or (word in {"settle", "close"} and not is_new):
            settlements.setdefault(key, end)
    for key, booked in intents.items():
        yield Row(intent=booked, settlement=settlements.get(key, OPEN))


def place(row: Row) -> tuple[str, int]:
    return row.intent.request_id, row.intent.attempt


def ends(ledger: Ledger) -> list[Settlement]:
    return [row.settlement for row in ledger.rows()]


def stop(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


@each_store
async def test_a_hold_is_taken_with_its_intent_or_not_at_all(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    limits = (Limit("all", "1970-01-01", 100), Limit("key:ci", "1970-01", 60))
    held = await ledger.reserve(intent("r1", worst_case_nanousd=50), Hold((70, 50), limits))
    assert held is not None and held.nanousd == 50
    assert [each.left_nanousd for each in held.spent] == [50, 10]
    with pytest.raises(BudgetExceeded, match="key:ci"):
        await ledger.reserve(intent("r2"), Hold((11,), limits))
    assert [row.intent.request_id for row in ledger.rows()] == ["r1"]
    await ledger.reserve(intent("r1", 2, worst_case_nanousd=8))
    await ledger.settle("r1", 2, msgspec.structs.replace(SETTLED, cost_nanousd=5), is_last=True)
    ledger.close_attempt("r1", 1, Settlement(state="unknown", outcome="cancelled"))
    await ledger.reserve(intent("r3"))  # what was queued before it is written by now
    assert {row.scope: (row.nanousd, row.held_nanousd) for row in ledger.budgets()} == {
        "all": (55, 0),
        "key:ci": (55, 0),
    }
    assert await ledger.reconcile("r1", 1, 20)
    assert {row.nanousd for row in ledger.budgets()} == {25}
    assert await ledger.rebuild_budgets() == 2, "r3 holds nothing, and may have cost something"
    await ledger.close()
