"""Faults as the library's callers see them, beside the matrix: held drafts, odd replies, leaving.

Over real sockets and ledgers, without the server and without the cache.
"""

import asyncio
from typing import Any

import pytest
from tests.faults import upstream as up
from tests.pipeline.rig import ONE_TIER, asking, outcome, passes, rig, until

from pointsman.config import TierSettings
from pointsman.providers import Timeouts

QUICK = Timeouts(connect_s=1.0, first_byte_s=0.2, reply_s=0.2, idle_s=0.2, total_s=20.0)
ALONE = (TierSettings("weak", ("p/weak",)),)
STREAMED = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "json"])
ANSWER_NANOUSD = 20_000

P, E = "unknown", "settled"


IN_STREAM = up.error_body("Overloaded.", type="overloaded_error", code=503).decode()
OK_HEAD = up.head(200, Content_Length="999")


async def test_row_1_a_target_limited_meanwhile_is_left_alone(tmp_path):
    # Planned while it was ready; another request then learns that it must not be called.
    limited = up.reply(429, up.error_body("slow down"), Retry_After="300")
    script: dict[str, Any] = {"weak": up.hang, "weak-2": [limited, up.answer()]}
    async with (
        up.upstream(**script) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        slow = asyncio.create_task(outcome(r.pipeline, asking()))
        await until(lambda: server.calls("weak"))
        other = await outcome(r.pipeline, asking(model="weak-2"))
        assert other.error is not None
        got = await slow
        assert got.error is not None and got.error.code == "upstream_timeout"
        assert server.calls("weak-2") == 1


FIRST = (up.delta("Hello"), up.delta(" there"))


def broken_streams(once: asyncio.Event) -> dict[str, tuple[up.Behaviour, str]]:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in FIRST)
    return {
        "8-hang": (up.then_hang(up.stream_head(), raw), "upstream_timeout"),
        "8-pings": (up.then_ping(*FIRST), "upstream_timeout"),
        "9-reset": (up.then_reset(up.stream_head(), raw, once=once), "upstream_reset"),
        "9-close": (up.then_close(up.stream_head(), raw), "upstream_reset"),
        "9-ends-early": (up.stream(*FIRST), "upstream_reset"),
        "9-early-done": (up.stream(*FIRST, up.DONE), "upstream_reset"),
        "10-garbage": (up.stream(*FIRST, b"data: {nope\n\n"), "upstream_bad_response"),
        "13-after": (up.stream(*FIRST, up.data(IN_STREAM)), "upstream_unavailable"),
    }


@pytest.mark.parametrize("name", broken_streams(asyncio.Event()))
async def test_a_held_draft_that_breaks_goes_on(tmp_path, name: str):
    # The client asked for JSON, so nothing has gone out yet: the whole reply is held back.
    once = asyncio.Event()
    once.set()
    behaviour, code = broken_streams(once)[name]
    tiers = (TierSettings("weak", ("p/weak",)), TierSettings("strong", ("p/strong",)))
    if name == "9-reset":
        pytest.skip("an RST may throw away what was sent before it")
    async with (
        up.upstream(weak=behaviour, strong=up.answer()) as server,
        rig(tmp_path, None, tiers=tiers, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking())
        await r.settled()
        assert got.is_whole and got.text == "Hello there." and got.tier == "strong"
        first = r.rows()[0].settlement
        assert (first.state, first.error) == (E, code) and first.usage.is_estimated
        total = sum(row.settlement.cost_nanousd or 0 for row in r.rows())
        assert got.cost_nanousd == total


# Replies that are odd but whole.


def odd() -> dict[str, up.Behaviour]:
    whole = (*FIRST, up.delta(finish_reason="stop"), up.usage_chunk())
    raw = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*whole, up.DONE))
    return {
        "no-done": up.stream(*whole),
        "no-done-closed": up.then_close(up.head(200, "text/event-stream"), *whole),
        "never-ending": up.then_hang(up.stream_head(), raw),
        "sse-always": up.stream(*whole, up.DONE),
        "json-always": up.reply(200, up.answer_body("Hello there")),
        "no-content-type": up.then_close(up.head(200, ""), up.answer_body("Hello there")),
        "with-charset": up.reply(200, up.answer_body("Hello there"), "application/json; charset=x"),
    }


@STREAMED
@pytest.mark.parametrize("name", odd())
async def test_an_odd_reply_is_read_all_the_same(tmp_path, name: str, streamed: bool):
    if name == "no-content-type" and streamed:
        pytest.skip("a stream was asked for, and nothing says that this is none")
    async with (
        up.upstream(weak=odd()[name]) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        answer = await r.ask(asking(stream=streamed))
        assert (answer.content, answer.finish_reason) == ("Hello there", "stop")
        assert (answer.cost_nanousd, answer.attempts) == (ANSWER_NANOUSD, 1)
        assert len(server.seen) == 1


async def test_a_stream_without_usage_is_billed_by_estimate(tmp_path):
    frames = (*FIRST, up.delta(finish_reason="stop"), up.DONE)
    async with (
        up.upstream(weak=up.stream(*frames)) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        answer = await r.ask(asking())
        assert answer.usage.is_estimated and answer.usage.output_tokens == 3
        assert r.rows()[0].settlement.usage == answer.usage
        assert r.rows()[0].settlement.cost_nanousd == answer.cost_nanousd


# Row 17: the client goes.


def silent_places() -> dict[str, up.Behaviour]:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in FIRST)
    return {
        "before-headers": up.hang,
        "before-content": up.then_hang(up.stream_head()),
        "mid-stream": up.then_hang(up.stream_head(), raw),
        "mid-json": up.then_hang(OK_HEAD, b'{"id":'),
    }


@STREAMED
@pytest.mark.parametrize("name", silent_places())
async def test_row_17_a_client_that_goes_stops_the_upstream(tmp_path, name: str, streamed: bool):
    patient = Timeouts(first_byte_s=60, reply_s=60, idle_s=60)
    tiers = (TierSettings("weak", ("p/weak",)), TierSettings("strong", ("p/strong",)))
    async with (
        up.upstream(weak=silent_places()[name], strong=up.answer()) as server,
        rig(tmp_path, None, tiers=tiers, base_url=server.base_url, timeouts=patient) as r,
    ):
        before = asyncio.all_tasks()
        client = asyncio.create_task(outcome(r.pipeline, asking(stream=streamed)))
        await until(lambda: server.seen and server.seen[0].was_cut)  # it has sent what it will
        await passes()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await until(lambda: not server.open_connections)
        await r.settled()
        ((deployment, state, end, error),) = r.booked()
        assert (deployment, end, error) == ("p/weak", "cancelled", "")
        assert state == (E if name == "mid-stream" else P)
        assert {t for t in asyncio.all_tasks() - before if not t.done()} == set()
        assert server.calls("strong") == 0
