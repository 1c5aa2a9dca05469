"""Sources: what a ledger's audits and feedback can teach."""

import asyncio
from pathlib import Path

import msgspec
from tests.contracts.test_ledger_labels import answered, label
from tests.training.builders import TWO_TIERS

from pointsman.compare.records import LoggedRequest
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.scorer.reading import pack_reading, read
from pointsman.training.labels import gather
from pointsman.training.sources import LedgerFacts, labelled_rows

READING = msgspec.json.encode(pack_reading(read("How many eggs are in a dozen?"))).decode()


def learned_from(tmp_path: Path, *, reading: str = READING) -> tuple[list[LoggedRequest], str]:
    """Return the rows of a ledger with an audit, feedback on it, and feedback on another."""

    async def fill() -> tuple[list[LoggedRequest], str]:
        ledger = SqliteLedger(tmp_path / "ledger.db")
        for request_id in ("r1", "r2", "r3"):
            await answered(ledger, request_id)
        audit = label("r1", routed="acme/small", strongest="acme/big")
        await ledger.book_audit(audit, reading)
        ledger.keep_reading("r2", reading)
        for request_id, score in (("r1", 0.1), ("r2", 0.75), ("r3", 1.0)):
            await ledger.book_feedback(request_id, "acme", score, 9)
        facts = LedgerFacts()
        rows = list(labelled_rows(ledger, facts))
        await ledger.close()
        return rows, facts.told()

    return asyncio.run(fill())


def test_an_audit_compares_two_tiers_and_feedback_tells_of_one(tmp_path):
    (audit, feedback), told = learned_from(tmp_path)
    assert {name: it.quality for name, it in audit.outcomes.items()} == {
        "acme/small": 0.0,
        "acme/big": 1.0,
    }
    assert [it.quality for it in feedback.outcomes.values()] == [0.75]
    assert "1 audits" in told and "2 scores of feedback" in told
    assert "1 labels have no reading" in told and "store_readings" in told


def test_the_reading_is_what_was_asked(tmp_path):
    (audit, _), _ = learned_from(tmp_path)
    assert audit.features.reading is not None
    assert audit.features.reading.group == read("How many eggs are in a dozen?").group
    assert audit.features.labels == ("key:acme",)
    labels = gather([audit], TWO_TIERS)
    assert labels.quality[0].tolist() == [0.0, 1.0]


def test_a_reading_of_another_version_is_passed_over(tmp_path):
    rows, told = learned_from(tmp_path, reading='{"other": 1}')
    assert rows == []
    assert "3 labels have no reading" in told
