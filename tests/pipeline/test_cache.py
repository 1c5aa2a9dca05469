"""The exact cache and single-flight: what is shared, with whom, at what cost, and what never is."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.faults import upstream as up
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

from pointsman.cache import CacheSettings
from pointsman.config import TierSettings
from pointsman.core import errors
from pointsman.core.events import Event, Finished, ToolCallDelta, UsageReport
from pointsman.core.types import Request, Snapshot
from pointsman.core.wire import CODECS
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.recording import LEAD_BYTES_MAX
from pointsman.routing import Routing
from pointsman.validators import ValidationSettings

FINE = "Hello there, and good morning."
BAD = "I'm sorry, but I can't help with that."
LONG = Scripted(pieces=tuple(f"word{i} " for i in range(10)))
REFUSED = Scripted(error=errors.UpstreamConnect("refused"))
CALL = (ToolCallDelta(index=0, id="call_1", name="look", arguments="{}"), Finished("tool_calls"))


def cached(text: str = "Say hello.", **more) -> Request:
    return asking(text, **{"cache": "on", **more})


async def wire(r: Rig, request: Request) -> bytes:
    """Return the bytes that a client would get, but for what a hit does not cost."""
    codec = CODECS["openai-chat"]
    async with r.pipeline.open(request) as stream:
        if not request.is_stream:
            return codec.encode_reply([event async for event in stream], request, stream.model)
        encoder = codec.stream_encoder(request, stream.model)
        return b"".join([encoder.encode(event) async for event in stream])


@pytest.mark.parametrize("first", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("second", [True, False], ids=["stream", "json"])
async def test_a_hit_costs_nothing_and_is_booked_as_such(tmp_path, first, second):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        miss = await r.ask(cached(stream=first, request_id="one"))
        hit = await outcome(r.pipeline, cached(stream=second, request_id="two"))
        assert (miss.cache, miss.cost_nanousd, miss.attempts) == ("miss", WEAK_NANOUSD, 1)
        assert (hit.cache, hit.cost_nanousd, hit.attempts) == ("hit", 0, 0)
        assert hit.text == FINE and hit.is_whole and r.fake.calls == ["p/weak"]
        (row,) = r.rows("two")
        assert (row.settlement.outcome, row.settlement.cost_nanousd) == ("hit", 0)
        assert row.settlement.usage == miss.usage and row.intent.deployment == "p/weak"


async def test_off_neither_reads_nor_writes(tmp_path):
    async with rig(tmp_path, {"weak": [FINE, "Good evening to all of you."]}, tiers=ONE_TIER) as r:
        await r.ask(cached(cache="off"))
        assert (await r.ask(cached())).cache == "miss"
        assert (await r.ask(cached(cache="off"))).cache == "off"
        assert len(r.fake.calls) == 3


async def test_refresh_asks_anew_and_keeps_the_new_answer(tmp_path):
    new = "Good evening to all of you."
    async with rig(tmp_path, {"weak": [FINE, new]}, tiers=ONE_TIER) as r:
        await r.ask(cached())
        assert (await r.ask(cached(cache="refresh"))).content == new
        hit = await r.ask(cached())
        assert (hit.content, hit.cache) == (new, "hit")


async def test_an_answer_is_served_for_its_time_to_live(tmp_path):
    kept = CacheSettings(ttl_s=60)
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER, cache=kept) as r:
        await r.ask(cached())
        r.clock.now_s += 59.9
        assert (await r.ask(cached())).cache == "hit"
        r.clock.now_s += 0.2
        assert (await r.ask(cached())).cache == "miss"


NEVER_KEPT: dict[str, list[Scripted]] = {
    "broken-off": [Scripted(pieces=("Hello",), error=errors.UpstreamReset("gone"))],
    "refused": [REFUSED],
    "truncated": [Scripted(pieces=(FINE,), finish_reason="length")],
    "filtered": [Scripted(pieces=(FINE,), finish_reason="content_filter")],
    "rejected": [Scripted(pieces=(BAD,))],
    "empty": [Scripted()],
    "tool-call": [Scripted(events=CALL)],
}


@pytest.mark.parametrize("name", NEVER_KEPT)
async def test_what_is_no_good_answer_is_never_kept(tmp_path, name: str):
    alone = (TierSettings("weak", ("p/weak",)),)
    async with rig(
        tmp_path, {"weak": [*NEVER_KEPT[name], *NEVER_KEPT[name], FINE]}, tiers=alone
    ) as r:
        for _ in range(2):
            assert (await outcome(r.pipeline, cached())).cache != "hit"
        assert (await outcome(r.pipeline, cached())).text == FINE
        assert (await outcome(r.pipeline, cached())).cache == "hit"


async def test_a_fallback_s_answer_is_not_kept(tmp_path):
    async with rig(tmp_path, {"weak": [REFUSED, FINE], "weak-2": [FINE]}, tiers=ONE_TIER) as r:
        await r.ask(cached())
        answer = await r.ask(cached())
        assert (answer.cache, answer.model) == ("miss", "p/weak")
        assert (await r.ask(cached())).cache == "hit"


async def test_a_late_rejection_is_not_kept(tmp_path):
    late = Scripted(pieces=(FINE, "the same line again and again\n" * 40))
    small = ValidationSettings(stream_hold_chars=10)
    async with rig(
        tmp_path, {"weak": [late], "strong": [FINE]}, tiers=TWO_TIERS, validation=small
    ) as r:
        for _ in range(2):
            answer = await r.ask(cached())
            assert (answer.tier, answer.cache) == ("weak", "miss")


async def test_what_is_too_large_is_not_kept(tmp_path):
    large = Scripted(pieces=tuple(f"{i} " + "x" * 1000 for i in range(1100)))
    small = CacheSettings(entry_mb=1)
    async with rig(tmp_path, {"weak": [large]}, tiers=ONE_TIER, cache=small) as r:
        for _ in range(2):
            assert (await r.ask(cached())).cache == "miss"


async def test_an_escalated_answer_is_kept_but_not_for_the_pinned_tier(tmp_path):
    async with rig(tmp_path, {"weak": [BAD], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        assert (await r.ask(cached())).tier == "strong"
        hit = await r.ask(cached())
        assert (hit.tier, hit.cache, hit.cost_nanousd) == ("strong", "hit", 0)
        pinned = await r.ask(cached(tier="weak"))
        assert (pinned.tier, pinned.content, pinned.cache) == ("weak", BAD, "miss")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_tenants_share_neither_entries_nor_flights(tmp_path, stream: bool):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=3)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        asks = [cached(tenant=name, stream=stream) for name in ("acme", "other")]
        both = asyncio.gather(*(outcome(r.pipeline, ask) for ask in asks))
        await until(lambda: len(fake.calls) == 2)
        fake.go_on.set()
        assert [got.cache for got in await both] == ["miss", "miss"]
        assert (await outcome(r.pipeline, cached(tenant="third"))).cache == "miss"
        assert (await outcome(r.pipeline, cached(tenant="acme"))).cache == "hit"


# Through a real upstream, so that the events carry frames.


async def test_a_recorded_stream_is_replayed_byte_for_byte(tmp_path):
    async with (
        up.upstream(weak=up.answer(FINE)) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url) as r,
    ):
        plain: dict[str, Any] = {"fields": {"stream": True}, "stream": False}  # asks for no usage
        first = await wire(r, cached(**plain))
        assert first == await wire(r, cached(**plain)) and b"[DONE]" in first
        told = await wire(r, cached())
        assert told.count(b'"cost_usd":0') == 1  # the usage that this one asks for, free
        assert len(server.seen) == 1


async def test_a_recorded_stream_is_replayed_as_json_and_the_other_way_round(tmp_path):
    codec = CODECS["openai-chat"]
    for first in (True, False):
        async with (
            up.upstream(weak=up.answer(FINE)) as server,
            rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url) as r,
        ):
            await wire(r, cached(stream=first, request_id=f"first-{first}"))
            body = await wire(r, cached(stream=not first))
            if first:
                events = list(codec.decode_reply(body))
            else:
                decoder = codec.stream_decoder()
                events = [*decoder.feed(body), *decoder.finish()]
            assert "".join(getattr(event, "text", "") for event in events) == FINE
            assert isinstance(events[-1], Finished)
            (report,) = (event for event in events if isinstance(event, UsageReport))
            assert (report.usage.input_tokens, report.usage.output_tokens) == (10, 5)
            assert len(server.seen) == 1


# Single-flight (FAULTS, row 29).


async def test_a_thousand_at_once_are_one_call(tmp_path):
    async with (
        up.upstream(weak=up.answer(FINE)) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url) as r,
    ):
        plain: dict[str, Any] = {"fields": {"stream": True}, "stream": False}
        asks = [cached(request_id=f"r{i}", **plain) for i in range(1000)]
        bodies = await asyncio.gather(*(wire(r, ask) for ask in asks))
        assert len(server.seen) == 1 and len(set(bodies)) == 1
        rows = r.rows()
        assert len({row.intent.request_id for row in rows}) == len(rows) == 1000
        assert [row.settlement.outcome for row in rows].count("hit") == 999
        assert sum(row.settlement.cost_nanousd or 0 for row in rows) == WEAK_NANOUSD


@pytest.mark.parametrize("stops_at", [0, 1, 5, 12])
async def test_the_first_one_leaves_and_the_others_get_it_all(tmp_path, stops_at: int):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=stops_at)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        leader = asyncio.create_task(outcome(r.pipeline, cached(request_id="leader")))
        await fake.reached.wait()
        others = [asyncio.create_task(outcome(r.pipeline, cached())) for _ in range(3)]
        await passes(5)
        leader.cancel()
        await asyncio.wait({leader})
        late = asyncio.create_task(outcome(r.pipeline, cached()))
        await passes(5)
        fake.go_on.set()
        for got in await asyncio.gather(*others, late):
            assert got.is_whole and got.text == "".join(LONG.pieces) and got.cache == "hit"
        assert len(fake.calls) == 1
        assert (await outcome(r.pipeline, cached())).cache == "hit" and len(fake.calls) == 1
        assert [row[2] for row in r.booked("leader")] == ["answered"]


@pytest.mark.parametrize("stops_at", [0, 1, 5, 12])
async def test_when_all_leave_the_call_is_stopped_and_not_kept(tmp_path, stops_at: int):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=stops_at)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        before = asyncio.all_tasks()
        readers = [asyncio.create_task(outcome(r.pipeline, cached())) for _ in range(4)]
        await fake.reached.wait()
        await passes(5)
        for reader in readers:
            reader.cancel()
            await passes(2)
        # One who asks while the stopped call is still being put away gets a call of its own.
        fresh = asyncio.create_task(outcome(r.pipeline, cached()))
        await until(lambda: len(fake.calls) == 2)
        fake.go_on.set()
        assert (await fresh).is_whole and (await fresh).cache == "miss"
        await passes()
        await r.settled()
        assert fake.open_calls == 0 and asyncio.all_tasks() == before
        assert sorted(row[2] for row in r.booked()) == ["answered", "cancelled"]


async def test_where_the_one_call_fails_another_reader_makes_one_for_the_rest(tmp_path):
    alone = (TierSettings("weak", ("p/weak",)),)
    fake = FakeProvider({"weak": [REFUSED, FINE]})
    async with rig(tmp_path, fake, tiers=alone) as r:
        told = await asyncio.gather(*(outcome(r.pipeline, cached()) for _ in range(20)))
        assert sorted((got.error is not None, got.text) for got in told) == [
            *([(False, FINE)] * 19),
            (True, ""),
        ]
        assert len(fake.calls) == 2


async def test_where_the_second_call_fails_too_all_are_told(tmp_path):
    alone = (TierSettings("weak", ("p/weak",)),)
    fake = FakeProvider({"weak": [REFUSED, REFUSED, FINE]})
    async with rig(tmp_path, fake, tiers=alone) as r:
        told = await asyncio.gather(*(outcome(r.pipeline, cached()) for _ in range(20)))
        assert all(got.error is not None for got in told)
        assert len(fake.calls) == 2


async def test_all_get_the_error_of_an_answer_that_breaks_off_and_the_next_asks_anew(tmp_path):
    alone = (TierSettings("weak", ("p/weak",)),)
    fake = FakeProvider({"weak": [NEVER_KEPT["broken-off"][0], FINE]})
    async with rig(tmp_path, fake, tiers=alone) as r:

        async def ask_again() -> tuple[object, str]:
            """Ask; where that fails, ask again at once, without a turn of the loop between."""
            first = await outcome(r.pipeline, cached())
            second = await outcome(r.pipeline, cached())
            assert first.error is not None and first.text in ("", "Hello")
            return first.error.code, second.text

        told = await asyncio.gather(*(ask_again() for _ in range(20)))
        assert {text for _, text in told} == {FINE} and len({code for code, _ in told}) == 1
        assert len(fake.calls) == 2


async def test_an_error_told_to_many_does_not_grow(tmp_path):
    fake = FakeProvider({"weak": [NEVER_KEPT["broken-off"][0]]})
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        many = await asyncio.gather(*(outcome(r.pipeline, cached()) for _ in range(200)))
        for got in many:
            assert got.error is not None and len(got.error.attempts) == 1
            depth, trace = 0, got.error.__traceback__
            while trace is not None:
                depth, trace = depth + 1, trace.tb_next
            assert depth < 20


@pytest.mark.parametrize("stops_at", [0, 1, 5])
async def test_closing_the_router_ends_every_reader_with_an_error(tmp_path, stops_at: int):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=stops_at)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        readers = [asyncio.create_task(outcome(r.pipeline, cached())) for _ in range(3)]
        await fake.reached.wait()
        await passes(5)
        await r.pipeline.aclose()
        for got in await asyncio.gather(*readers):
            assert got.error is not None and got.error.code == "draining" and not got.is_whole
        assert fake.open_calls == 0


async def test_an_unforeseen_error_is_told_to_every_reader(tmp_path, caplog, monkeypatch):
    # Not a provider's, but of the books' own code: it must not look like the answer's end.
    fake = StoppingProvider({"weak": [LONG]}, stops_at=5)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        readers = [asyncio.create_task(outcome(r.pipeline, cached())) for _ in range(3)]
        await fake.reached.wait()

        async def fail(*_: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(r.pipeline.stores.ledger, "settle", fail)
        fake.go_on.set()
        for got in await asyncio.gather(*readers):
            assert got.error is not None and got.error.code == "internal_error"
            assert not got.is_whole
    assert "a bug" in caplog.text


async def test_a_reader_far_ahead_holds_the_upstream_back(tmp_path):
    piece = "x" * 64 * 1024
    fake = FakeProvider({"weak": [Scripted(pieces=(piece,) * 40)]})
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r, r.pipeline.open(cached()) as stream:
        await anext(stream)
        await passes()
        (flight,) = r.pipeline._flights._flights.values()
        assert flight.recording.size_bytes <= LEAD_BYTES_MAX + 2 * len(piece)
        assert (await stream.collect()).content == piece * 40


async def test_the_fastest_reader_leaves_and_the_slow_one_is_not_stuck(tmp_path):
    piece = "x" * 64 * 1024
    fake = FakeProvider({"weak": [Scripted(pieces=(piece,) * 40)]})
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        async with r.pipeline.open(cached()) as slow:
            await anext(slow)
            async with r.pipeline.open(cached()) as fast:
                for _ in range(10):
                    await anext(fast)
                await passes()
            events: list[Event] = [event async for event in slow]
        assert isinstance(events[-1], Finished) and len(fake.calls) == 1


def without_strong(routing: Routing) -> Routing:
    weak = Snapshot(tiers=routing.snapshot.tiers[:1], default_tier="weak")
    return replace(routing, snapshot=weak)


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "json"])
async def test_a_reload_does_not_reach_an_answer_under_way(tmp_path, is_stream):
    script = {"weak": [BAD], "strong": [FINE]}
    async with rig(tmp_path, script, tiers=TWO_TIERS) as r:
        async with r.pipeline.open(cached(stream=is_stream)) as stream:
            assert stream.tier == "strong"
            r.pipeline.swap(without_strong(r.pipeline.routing))
            answer = await stream.collect()
        assert answer.content == FINE


async def test_a_hit_of_a_tier_that_has_gone_out_of_bounds_is_no_hit(tmp_path):
    script = {"weak": [BAD, FINE], "strong": [FINE]}
    async with rig(tmp_path, script, tiers=TWO_TIERS) as r:
        first = await r.ask(cached(tenant="team"))
        assert first.tier == "strong"
        routing = r.pipeline.routing
        r.pipeline.swap(replace(routing, bounded={"team": without_strong(routing).snapshot}))
        second = await r.ask(cached(tenant="team"))
        assert (second.tier, second.cache) == ("weak", "miss")


async def test_a_request_of_a_bounded_key_counts_for_no_floor(tmp_path):
    async with rig(tmp_path, {}, tiers=TWO_TIERS, policy="learned") as r:
        routing = r.pipeline.routing
        assert r.pipeline.decide(cached(tenant="team")).group
        r.pipeline.swap(replace(routing, bounded={"team": without_strong(routing).snapshot}))
        assert r.pipeline.decide(cached(tenant="team")).group == ""
