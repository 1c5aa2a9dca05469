"""What the ledger holds when: intents first, ends before the last byte, cancelled anywhere."""

import asyncio
import gc
import warnings

import pytest
from tests.pipeline.rig import (
    ONE_TIER,
    TWO_TIERS,
    WEAK_NANOUSD,
    Rig,
    StoppingProvider,
    asking,
    outcome,
    passes,
    rig,
    until,
)

from pointsman.core.errors import LedgerUnavailable
from pointsman.core.events import Finished, is_content
from pointsman.providers.fake import FakeProvider, Scripted

FINE = "Hello there, and good morning."
BAD = "I'm sorry, but I can't help with that."
LONG = Scripted(pieces=tuple(f"word{i} " for i in range(10)))


def break_ledger(r: Rig, name: str) -> None:
    """Make one method of the ledger refuse, as it does when the disk is full."""

    async def refuse(*_: object) -> None:
        raise LedgerUnavailable("no room")

    setattr(r.pipeline.stores.ledger, name, refuse)


@pytest.mark.parametrize("cache", ["on", "off"])
async def test_without_an_intent_nothing_is_called(tmp_path, cache: str):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        break_ledger(r, "reserve")
        got = await outcome(r.pipeline, asking(cache=cache))
        assert got.error is not None and got.error.code == "ledger_unavailable"
        assert got.error.attempts == () and r.fake.calls == [] and r.rows() == []
        assert r.pipeline.health.is_ready("p/weak", r.clock.now_s)


async def test_a_draft_in_hand_answers_when_the_ledger_takes_no_second_intent(tmp_path):
    async with rig(tmp_path, {"weak": [BAD], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        ledger = r.pipeline.stores.ledger
        reserve = ledger.reserve

        async def once(intent):
            if intent.attempt > 1:
                raise LedgerUnavailable("no room")
            await reserve(intent)

        ledger.reserve = once  # type: ignore[assignment, method-assign]
        answer = await r.ask(asking(stream=False))
        assert (answer.content, answer.attempts) == (BAD, 1)
        assert r.fake.calls == ["p/weak"]


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_what_was_paid_for_goes_out_though_its_end_is_booked_late(tmp_path, cache, stream):
    async with rig(tmp_path, {"weak": [FINE], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        break_ledger(r, "settle")
        got = await outcome(r.pipeline, asking(cache=cache, stream=stream))
        assert got.is_whole and got.cost_nanousd == WEAK_NANOUSD


@pytest.mark.parametrize("cache", ["on", "off", "refresh"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("tiers", [ONE_TIER, TWO_TIERS], ids=["ungated", "gated"])
async def test_the_end_is_durable_before_the_reader_sees_it(tmp_path, cache, stream, tiers):
    async with rig(tmp_path, {"weak": [LONG]}, tiers=tiers) as r:
        looked = False
        async with r.pipeline.open(asking(cache=cache, stream=stream)) as opened:
            async for event in opened:
                if isinstance(event, Finished):
                    looked = True
                    assert r.booked() == [("p/weak", "settled", "answered", "")]
        assert looked


async def test_a_follower_s_hit_is_durable_before_it_sees_the_end(tmp_path):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=5)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:

        async def follow(name: str) -> None:
            async with r.pipeline.open(asking(cache="on", request_id=name)) as opened:
                async for event in opened:
                    if isinstance(event, Finished):
                        assert len(r.rows(name)) == 1

        both = asyncio.gather(follow("first"), follow("second"))
        await fake.reached.wait()
        fake.go_on.set()
        await both
        assert [row[2] for row in r.booked()] == ["answered", "hit"]


# Cancellation. The fake's reply has 13 events: opening, 10 words, usage, end.


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("tiers", [ONE_TIER, TWO_TIERS], ids=["ungated", "gated"])
@pytest.mark.parametrize("stops_at", range(13))
async def test_cancelled_at_any_event_the_call_is_stopped_and_booked(
    tmp_path, cache, tiers, stops_at
):
    fake = StoppingProvider({"weak": [LONG], "strong": [FINE]}, stops_at=stops_at)
    async with rig(tmp_path, fake, tiers=tiers) as r:
        before = asyncio.all_tasks()
        client = asyncio.create_task(outcome(r.pipeline, asking(cache=cache)))
        await fake.reached.wait()
        await passes(3)
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await until(lambda: fake.open_calls == 0)
        await r.settled()
        ((deployment, state, end, error),) = r.booked()
        assert (deployment, end, error) == ("p/weak", "cancelled", "")
        assert state == ("settled" if stops_at > 1 else "unknown")
        usage = r.rows()[0].settlement.usage
        assert usage.is_estimated is (1 < stops_at < 12)
        await passes(5)
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("turns", range(60))
@pytest.mark.parametrize("cache", ["on", "off"])
async def test_cancelled_after_any_number_of_turns_the_books_are_whole(tmp_path, cache, turns):
    # Each turn of the loop is another await: at the ledger, the gate, the reader, the end.
    fake = StoppingProvider({"weak": [BAD], "strong": [LONG]}, stops_at=-1)
    async with rig(tmp_path, fake, tiers=TWO_TIERS) as r:
        before = asyncio.all_tasks()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client = asyncio.create_task(outcome(r.pipeline, asking(cache=cache)))
            for _ in range(turns):
                await asyncio.sleep(0)
            client.cancel()
            await asyncio.wait({client})
            await until(lambda: fake.open_calls == 0)
            await until(lambda: asyncio.all_tasks() == before)
            gc.collect()
        await r.settled()
        assert all(row.settlement.outcome != "pending" for row in r.rows())
        assert len(r.rows()) <= 2
        for row in r.rows():
            if row.settlement.outcome == "cancelled" and row.intent.deployment not in fake.calls:
                assert row.settlement.state == "voided"


async def test_cancelled_while_its_intent_is_written_nothing_is_called_or_owed(tmp_path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        told = []
        r.pipeline.observers.append(lambda intent, end: told.append((end.state, end.outcome)))
        client = asyncio.create_task(outcome(r.pipeline, asking()))
        await asyncio.sleep(0)
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await r.settled()
        assert r.booked() == [("p/weak", "voided", "cancelled", "")]
        assert told == [("voided", "cancelled")] and r.fake.calls == []


async def test_cancelled_while_its_end_is_written_the_end_stays(tmp_path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        ledger, settling = r.pipeline.stores.ledger, asyncio.Event()
        settle = ledger.settle

        async def slow(*end):
            writing = asyncio.ensure_future(settle(*end))
            settling.set()
            await asyncio.Event().wait()
            await writing

        ledger.settle = slow  # type: ignore[assignment, method-assign]
        client = asyncio.create_task(outcome(r.pipeline, asking()))
        await settling.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await r.settled()
        assert r.booked() == [("p/weak", "settled", "answered", "")]
        assert r.fake.open_calls == 0


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("reads", [0, 1, 2, 5, 13])
async def test_who_leaves_early_leaves_nothing_open(tmp_path, cache, reads):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=-1)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        before = asyncio.all_tasks()
        async with r.pipeline.open(asking(cache=cache)) as stream:
            for _ in range(reads):
                await anext(stream)
        await until(lambda: fake.open_calls == 0)
        await passes()
        await r.settled()
        ((_, state, end, _),) = r.booked()
        # Where all was read, or a flight had already run ahead of its reader, it is an answer.
        assert end in ({"answered"} if reads == 13 else {"cancelled", "answered"})
        assert state == "settled"
        assert asyncio.all_tasks() == before


async def test_an_error_in_the_caller_s_own_code_stops_the_call(tmp_path):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=-1)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:

        async def stumble() -> None:
            async with r.pipeline.open(asking()) as stream:
                async for event in stream:
                    if is_content(event):
                        raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stumble()
        await r.settled()
        assert r.booked()[0][2] == "cancelled" and fake.open_calls == 0


async def test_health_counts_no_call_that_has_ended(tmp_path):
    fake = FakeProvider({"weak": [FINE, BAD, Scripted(pieces=(BAD,))], "strong": [LONG]})
    async with rig(tmp_path, fake, tiers=TWO_TIERS) as r:
        for _ in range(5):
            await outcome(r.pipeline, asking())
        for turns in range(20):
            client = asyncio.create_task(outcome(r.pipeline, asking()))
            await passes(turns)
            client.cancel()
            await asyncio.wait({client})
        records = r.pipeline.health._records.values()
        assert {(record.in_flight, record.retrying) for record in records} == {(0, 0)}
