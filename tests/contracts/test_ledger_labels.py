"""What every store of attempts keeps of audits and readings, and gives back to learn from."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.contracts.test_ledgers import STORES, Store
from tests.ledger.attempts import FAILED, HIT, SETTLED, intent

from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger import AuditLabel, Label, Ledger, Settlement

each_store = pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)

AUDITED = Settlement(state="settled", outcome="audited", cost_nanousd=9_000)
READING = '["code",[1.5],"~",0.9]'


def label(request_id: str = "r1", **more: object) -> AuditLabel:
    known = AuditLabel(
        request_id=request_id,
        at_ns=5,
        regime="1a2b",
        group="code",
        steps=0,
        steps_after=0,
        floor=0.95,
        judge="validators",
        routed="p/weak",
        strongest="p/strong",
        quality_routed=0.0,
        quality_strongest=1.0,
    )
    return msgspec.structs.replace(known, **more)


async def answered(
    ledger: Ledger, request_id: str, end: Settlement = SETTLED, attempt: int = 1
) -> None:
    await ledger.reserve(intent(request_id, attempt, deployment="p/weak"))
    await ledger.settle(request_id, attempt, end)


@each_store
async def test_audits_come_back_in_the_order_of_their_booking(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    booked = [label(f"r{n:03}", at_ns=-n, steps_after=n % 2) for n in range(501)]
    await asyncio.gather(*(ledger.book_audit(one, READING) for one in booked))
    assert list(ledger.audits()) == booked
    await ledger.close()


@each_store
async def test_the_first_label_of_a_request_stays(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.book_audit(label(), READING)
    await ledger.book_audit(label(quality_routed=1.0), READING)
    assert list(ledger.audits()) == [label()]
    await ledger.close()


@each_store
async def test_an_audit_is_a_label_of_both_answers_with_their_costs(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await answered(ledger, "r1", FAILED)
    await answered(ledger, "r1", SETTLED, attempt=2)
    await answered(ledger, "r1-audit", AUDITED)
    await ledger.book_audit(label(), READING)
    assert list(ledger.labels()) == [
        Label(
            request_id="r1",
            at_ns=5,
            tenant="acme",
            tags='{"team":"search"}',
            tier="fast",
            deployment="p/weak",
            judge="validators",
            group="code",
            reading=READING,
            qualities={"p/weak": 0.0, "p/strong": 1.0},
            costs_nanousd={"p/weak": 1_234_567, "p/strong": 9_000},
        )
    ]
    await ledger.close()


@each_store
async def test_an_answer_of_the_strongest_tier_itself_is_a_label_of_one(
    store: Store, tmp_path: Path
):
    ledger = store.open(tmp_path)
    await answered(ledger, "r1")
    await ledger.book_audit(label(strongest="p/weak", quality_routed=1.0), READING)
    (found,) = ledger.labels()
    assert found.qualities == {"p/weak": 1.0} and found.costs_nanousd == {"p/weak": 1_234_567}
    await ledger.close()


@each_store
async def test_an_answer_that_no_model_compared_with_another_teaches_nothing(
    store: Store, tmp_path: Path
):
    ledger = store.open(tmp_path)
    for name, strongest in (("r1", "p/weak"), ("r2", "p/strong")):
        await answered(ledger, name)
        await ledger.book_audit(label(name, judge="tier:mid", strongest=strongest), READING)
    assert [found.request_id for found in ledger.labels()] == ["r2"]
    await ledger.close()


@each_store
async def test_the_latest_feedback_is_a_label_of_the_answer_and_its_reading(
    store: Store, tmp_path: Path
):
    ledger = store.open(tmp_path)
    for name, end in (("r1", SETTLED), ("r2", HIT), ("r3", FAILED)):
        await answered(ledger, name, end)
    ledger.keep_reading("r1", READING)
    for name, score in (("r1", 0.25), ("r1", 0.75), ("r2", 0.5), ("r3", 1.0)):
        await ledger.book_feedback(name, "acme", score, 7)
    found = list(ledger.labels())
    assert [(it.request_id, it.judge, it.qualities, it.reading) for it in found] == [
        ("r1", "feedback", {"p/weak": 0.75}, READING),
        ("r2", "feedback", {"p/weak": 0.5}, None),
    ]
    assert [it.costs_nanousd for it in found] == [{"p/weak": 1_234_567}, {}]  # a hit cost nothing
    await ledger.close()


@each_store
async def test_much_feedback_is_all_learned_from(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    names = [f"r{n:03}" for n in range(501)]
    await asyncio.gather(*(answered(ledger, name) for name in names))
    await asyncio.gather(*(ledger.book_feedback(name, "acme", 1.0, 1) for name in names))
    assert [found.request_id for found in ledger.labels()] == names
    await ledger.close()


@each_store
async def test_the_rows_of_one_policy_can_be_asked_for(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    for number in range(6):
        policy = "audit" if number % 2 else "learned"
        await ledger.reserve(intent(f"r{number}", at_ns=number, policy=policy))
    found = ledger.rows(since_ns=2, policy="audit")
    assert [row.intent.request_id for row in found] == ["r3", "r5"]
    await ledger.close()


@each_store
async def test_after_closing_a_reading_is_dropped_and_a_label_refused(store: Store, tmp_path: Path):
    ledger = store.open(tmp_path)
    await ledger.close()
    ledger.keep_reading("r1", READING)
    with pytest.raises(LedgerUnavailable, match="closed"):
        await ledger.book_audit(label(), READING)
