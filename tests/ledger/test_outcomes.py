"""Idempotency-Keys and contents in the ledger's file: given up, swept, and when it is closed."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pointsman.core.errors import IdempotencyInFlight, LedgerUnavailable
from pointsman.ledger import sqlite_contents, sqlite_outcomes
from pointsman.ledger.outcomes import Claim, KeptOutcome
from pointsman.ledger.sqlite import SqliteLedger

OUTCOME = KeptOutcome(status=200, headers=(("content-type", "text/plain"),), body=b"hello")
DAY_NS = 86_400 * 10**9


class Wall:
    """A wall clock that is set by hand, in Unix nanoseconds."""

    def __init__(self) -> None:
        self.now_ns = 1_795_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


def lock(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])


async def test_a_claim_whose_caller_left_while_it_was_taken_is_free_again(tmp_path: Path):
    """Else who sends the request again would be told for a day that it is still at work."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=60)
    outcomes = ledger.outcomes(Wall())
    with closing(lock(path)):
        claiming = asyncio.create_task(outcomes.claim("t", "k", b"1"))
        await asyncio.sleep(0)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
    again = await outcomes.claim("t", "k", b"1")
    assert isinstance(again, Claim)
    with pytest.raises(IdempotencyInFlight):
        await outcomes.claim("t", "k", b"1")
    assert await outcomes.keep(again, OUTCOME)
    await ledger.close()


async def test_a_key_that_cannot_be_given_back_is_logged_and_free_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    outcomes = ledger.outcomes(Wall())
    claim = await outcomes.claim("t", "k", b"1")
    assert isinstance(claim, Claim)
    await ledger.close()
    outcomes.free(claim)
    assert "an Idempotency-Key stays claimed" in caplog.text
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert isinstance(await ledger.outcomes(Wall()).claim("t", "k", b"2"), Claim)
    await ledger.close()


async def test_a_key_is_its_requests_for_24_hours_and_no_longer(tmp_path: Path):
    """It is what clients are told, in docs/http.md."""
    wall = Wall()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    outcomes = ledger.outcomes(wall)
    claim = await outcomes.claim("t", "k", b"1")
    assert isinstance(claim, Claim) and await outcomes.keep(claim, OUTCOME)
    wall.now_ns += DAY_NS - 1
    assert await outcomes.claim("t", "k", b"1") == OUTCOME
    wall.now_ns += 1
    assert isinstance(await outcomes.claim("t", "k", b"1"), Claim)
    await ledger.close()


async def test_what_is_too_old_goes_with_what_comes_where_nobody_sweeps(tmp_path: Path):
    """A library's user has no task that does: its file would grow for ever."""
    path, wall = tmp_path / "ledger.db", Wall()
    ledger = SqliteLedger(path)
    outcomes, contents = ledger.outcomes(wall), ledger.contents(wall, days=1)
    for number in range(3):
        await outcomes.claim("t", f"k{number}", b"1")
        contents.keep(request_id=f"r{number}", tenant="t", request=b"", answer="")
    wall.now_ns += DAY_NS + 10
    contents.keep(request_id="new", tenant="t", request=b"", answer="")
    assert isinstance(await outcomes.claim("t", "new", b"1"), Claim)
    assert [content.request_id for content in contents.read()] == ["new"]
    assert count(path, "outcomes") == 1
    await ledger.close()


async def test_more_old_outcomes_than_one_write_deletes_are_all_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite_outcomes, "_SWEPT_ROWS", 2)
    path, wall = tmp_path / "ledger.db", Wall()
    ledger = SqliteLedger(path)
    outcomes = ledger.outcomes(wall)
    for number in range(5):
        await outcomes.claim("t", f"k{number}", b"1")
    wall.now_ns += DAY_NS
    await outcomes.sweep()
    assert count(path, "outcomes") == 5, "a claim is kept for all of its day"
    wall.now_ns += 10
    await outcomes.sweep()
    assert count(path, "outcomes") == 0
    await ledger.close()


async def test_more_old_contents_than_one_write_deletes_are_all_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, wall = tmp_path / "ledger.db", Wall()
    ledger = SqliteLedger(path)
    contents = ledger.contents(wall, days=1)
    for number in range(5):
        contents.keep(request_id=f"r{number}", tenant="t", request=b"", answer="")
    monkeypatch.setattr(sqlite_contents, "_SWEPT_ROWS", 2)
    wall.now_ns += DAY_NS
    await contents.sweep()
    assert len(list(contents.read())) == 5
    wall.now_ns += 1
    await contents.sweep()
    assert list(contents.read()) == []
    await ledger.close()


async def test_a_content_that_finds_no_room_is_logged_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    contents = ledger.contents(Wall(), days=1)
    await ledger.close()
    contents.keep(request_id="r1", tenant="t", request=b"secret", answer="secret")
    assert "the content of r1 is not kept" in caplog.text
    assert "secret" not in caplog.text
    with pytest.raises(LedgerUnavailable, match="closed"):
        await contents.sweep()
