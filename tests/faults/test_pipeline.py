"""The fault matrix: rows 1-10, 13-17 and 27, streamed and not, over real sockets and ledgers."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from tests.faults import upstream as up
from tests.pipeline.rig import ONE_TIER, Rig, asking, outcome, passes, rig, until

from pointsman.config import ModelSettings, TierSettings
from pointsman.core.errors import UpstreamRejected
from pointsman.providers import Timeouts

QUICK = Timeouts(connect_s=1.0, first_byte_s=0.2, reply_s=0.2, idle_s=0.2, total_s=20.0)
ALONE = (TierSettings("weak", ("p/weak",)),)
STREAMED = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "json"])
ANSWER_NANOUSD = 20_000

Z, P, E = "voided", "unknown", "settled"


@dataclass(frozen=True)
class Fault:
    """A behaviour that breaks every attempt before content: what the client and the books show.

    `tries`: calls to the only target, or to the first of two. `booked`: the state of each.
    """

    behaviour: up.Behaviour
    status: int
    code: str
    tries: int
    booked: str
    rests: bool = False
    is_final: bool = False


QUOTA = up.error_body("You exceeded your quota.", code="insufficient_quota")
NO_CREDIT = up.error_body("Your credit balance is too low to access the API.")
FILTERED = up.error_body(
    "The response was filtered due to the prompt triggering Azure's content management policy.",
    code="content_filter",
    innererror={"code": "ResponsibleAIPolicyViolation"},
)
TOO_LONG = up.error_body(
    "This model's maximum context length is 4096 tokens.", code="context_length_exceeded"
)
IN_STREAM = up.error_body("Overloaded.", type="overloaded_error", code=503).decode()
OK_HEAD = up.head(200, Content_Length="999")

FAULTS: dict[str, Fault] = {
    "1-429-far": Fault(
        up.reply(429, up.error_body("slow down"), Retry_After="120"),
        429, "upstream_rate_limited", 1, Z, rests=True,
    ),
    "2-429-plain": Fault(
        up.reply(429, up.error_body("slow down")), 429, "upstream_rate_limited", 2, Z
    ),
    "2-429-quota": Fault(up.reply(429, QUOTA), 502, "upstream_auth", 1, Z, rests=True),
    "2-400-credit": Fault(up.reply(400, NO_CREDIT), 502, "upstream_auth", 1, Z, rests=True),
    **{
        f"3-{status}": Fault(
            up.reply(status, up.error_body("broken")), 503, "upstream_unavailable", 2, P
        )
        for status in (500, 502, 503, 504, 529)
    },
    **{
        f"5-{status}": Fault(
            up.reply(status, up.error_body("bad")), status, "upstream_rejected", 1, Z, is_final=True
        )
        for status in (400, 413, 422)
    },
    "6-401": Fault(
        up.reply(401, up.error_body("no")), 502, "upstream_auth", 1, Z, rests=True
    ),
    "6-403": Fault(
        up.reply(403, up.error_body("no")), 502, "upstream_auth", 1, Z, rests=True
    ),
    "6-404": Fault(
        up.reply(404, up.error_body("no")), 502, "upstream_model_missing", 1, Z, rests=True
    ),
    "7-hang": Fault(up.hang, 504, "upstream_timeout", 1, P),
    "7-hang-in-body": Fault(up.then_hang(OK_HEAD, b"{"), 504, "upstream_timeout", 1, P),
    "7-hang-in-stream": Fault(up.then_hang(up.stream_head()), 504, "upstream_timeout", 1, P),
    "8-pings-only": Fault(up.then_ping(), 504, "upstream_timeout", 1, P),
    "9-reset-at-once": Fault(up.reset, 502, "upstream_reset", 2, P),
    "9-close-at-once": Fault(up.then_close(), 502, "upstream_reset", 2, P),
    "9-reset-in-body": Fault(up.then_reset(OK_HEAD, b'{"id":'), 502, "upstream_reset", 2, P),
    "9-close-in-body": Fault(up.then_close(OK_HEAD, b'{"id":'), 502, "upstream_reset", 2, P),
    "9-empty-stream": Fault(up.stream(), 502, "upstream_reset", 2, P),
    "10-truncated": Fault(
        up.reply(200, up.answer_body()[:60]), 502, "upstream_bad_response", 2, P
    ),
    "10-not-json": Fault(up.reply(200, b"oops"), 502, "upstream_bad_response", 2, P),
    "10-other-json": Fault(up.reply(200, b'{"ok":true}'), 502, "upstream_bad_response", 2, P),
    "10-bad-chunk": Fault(
        up.stream(b"data: {nope\n\n"), 502, "upstream_bad_response", 2, P
    ),
    "10-html": Fault(
        up.reply(200, b"<p>hi", "text/html"), 502, "upstream_bad_response", 2, P
    ),
    "10-redirect": Fault(
        up.reply(302, b"", Location="http://127.0.0.1:1/"), 502, "upstream_connect", 1, Z
    ),
    "10-no-http": Fault(up.then_close(b"SSH-2.0\r\n\r\n"), 502, "upstream_bad_response", 2, P),
    "13-before-503": Fault(
        up.stream(up.data(IN_STREAM)), 503, "upstream_unavailable", 2, P
    ),
    "13-before-429": Fault(
        up.stream(up.data(up.error_body("slow", type="rate_limit_error").decode())),
        429, "upstream_rate_limited", 2, Z,
    ),
    "13-in-json": Fault(up.reply(200, IN_STREAM.encode()), 503, "upstream_unavailable", 2, P),
    "15-azure-400": Fault(
        up.reply(400, FILTERED), 400, "upstream_rejected", 1, Z, is_final=True
    ),
    "16-too-long": Fault(up.reply(400, TOO_LONG), 400, "context_length_exceeded", 1, Z),
}  # fmt: skip
EACH_FAULT = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


def states(r: Rig) -> list[str]:
    return [row.settlement.state for row in r.rows()]


def check_one_end_each(r: Rig, attempts: int) -> None:
    rows = r.rows()
    assert [row.intent.attempt for row in rows] == list(range(1, attempts + 1))
    assert all(row.settlement.outcome != "pending" for row in rows)


@STREAMED
@EACH_FAULT
async def test_a_fault_of_the_only_target_is_told(tmp_path, fault: Fault, streamed: bool):
    async with (
        up.upstream(weak=fault.behaviour) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking(stream=streamed))
        await r.settled()
        assert got.error is not None and got.events == []
        assert (got.error.http_status, got.error.code) == (fault.status, fault.code)
        assert len(server.seen) == fault.tries == len(got.error.attempts)
        check_one_end_each(r, fault.tries)
        for row in r.rows():
            end = row.settlement
            assert (end.state, end.outcome, end.error) == (fault.booked, "failed", fault.code)
            assert end.cost_nanousd == (0 if fault.booked == Z else None)
            assert end.usage.total_tokens == 0
        assert r.pipeline.health.is_ready("p/weak", r.clock.now_s) is not fault.rests
        assert len(r.clock.slept) == fault.tries - 1 and all(s <= 0.25 for s in r.clock.slept)


@STREAMED
@EACH_FAULT
async def test_a_fault_goes_on_to_the_next_target(tmp_path, fault: Fault, streamed: bool):
    async with (
        up.upstream(**{"weak": fault.behaviour, "weak-2": up.answer()}) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking(stream=streamed))
        await r.settled()
        assert server.calls("weak") == fault.tries
        if fault.is_final:
            assert got.error is not None and server.calls("weak-2") == 0
            return
        assert got.error is None and got.is_whole and got.text == "Hello there."
        assert (server.calls("weak-2"), got.attempts) == (1, fault.tries + 1)
        check_one_end_each(r, fault.tries + 1)
        last = r.rows()[-1]
        assert last.intent.deployment == "p/weak-2"
        assert (last.settlement.state, last.settlement.outcome) == (E, "answered")
        assert got.cost_nanousd == last.settlement.cost_nanousd == ANSWER_NANOUSD
        assert not last.settlement.usage.is_estimated


@STREAMED
async def test_row_1_nothing_is_sent_before_the_named_time(tmp_path, streamed: bool):
    limited = up.reply(429, up.error_body("slow down"), Retry_After="120")
    async with (
        up.upstream(weak=[limited, up.answer()]) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        first = await outcome(r.pipeline, asking(stream=streamed))
        assert first.error is not None and first.error.retry_after_s == pytest.approx(120)
        r.clock.now_s += 119
        early = await outcome(r.pipeline, asking(stream=streamed))
        assert early.error is not None and early.error.code == "upstream_rate_limited"
        assert early.error.retry_after_s == pytest.approx(1) and early.error.attempts == ()
        assert len(server.seen) == 1
        r.clock.now_s += 1
        late = await outcome(r.pipeline, asking(stream=streamed))
        assert late.is_whole and len(server.seen) == 2


@STREAMED
async def test_row_1_the_last_target_is_waited_for_when_that_is_soon(tmp_path, streamed: bool):
    limited = up.reply(429, up.error_body("slow down"), Retry_After="7")
    async with (
        up.upstream(weak=[limited, up.answer()]) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking(stream=streamed))
        assert got.is_whole and len(server.seen) == 2
        assert len(r.clock.slept) == 1 and 7 <= r.clock.slept[0] <= 7.25


async def test_row_1_the_chain_s_shortest_wait_is_told(tmp_path):
    def limited(after: str) -> up.Behaviour:
        return up.reply(429, up.error_body("slow down"), Retry_After=after)

    async with (
        up.upstream(**{"weak": limited("300"), "weak-2": limited("90")}) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking())
        assert got.error is not None and got.error.retry_after_s == pytest.approx(90)
        assert len(server.seen) == 2


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


@STREAMED
async def test_row_4_a_refused_port_goes_on(tmp_path, streamed: bool):
    async with rig(tmp_path, None, tiers=ONE_TIER, base_url=up.refused_url(), timeouts=QUICK) as r:
        got = await outcome(r.pipeline, asking(stream=streamed))
        await r.settled()
        assert got.error is not None
        assert (got.error.http_status, got.error.code) == (502, "upstream_connect")
        assert [a.deployment for a in got.error.attempts] == ["p/weak", "p/weak-2"]
        assert states(r) == [Z, Z]


async def test_row_4_a_name_that_does_not_resolve_is_told(tmp_path):
    async with rig(
        tmp_path, None, tiers=ALONE, base_url="http://nowhere.invalid/v1", timeouts=QUICK
    ) as r:
        got = await outcome(r.pipeline, asking())
        assert got.error is not None and got.error.code == "upstream_connect"


async def test_row_5_the_upstream_s_own_body_is_relayed(tmp_path):
    body = up.error_body("bad", param="temperature")
    async with (
        up.upstream(weak=up.reply(422, body)) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking())
        assert isinstance(got.error, UpstreamRejected) and got.error.body == body


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
async def test_a_stream_that_breaks_after_content_is_never_retried(tmp_path, name: str):
    once = asyncio.Event()
    behaviour, code = broken_streams(once)[name]
    async with (
        up.upstream(**{"weak": behaviour, "weak-2": up.answer()}) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking(), on_content=once)
        await r.settled()
        assert got.text == "Hello there" and not got.is_whole
        assert got.error is not None and got.error.code == code
        assert len(server.seen) == 1
        (row,) = r.rows()
        end = row.settlement
        assert (end.state, end.outcome, end.error) == (E, "failed", code)
        assert end.usage.is_estimated and end.usage.output_tokens == 3 and end.cost_nanousd


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


@STREAMED
async def test_row_14_an_empty_answer_is_relayed(tmp_path, streamed: bool):
    async with (
        up.upstream(weak=up.answer("")) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        async with r.pipeline.open(asking(stream=streamed)) as stream:
            answer = await stream.collect()
        assert stream.is_empty and answer.content == "" and answer.attempts == 1
        assert answer.cost_nanousd == ANSWER_NANOUSD and len(server.seen) == 1


@STREAMED
@pytest.mark.parametrize("ending", ["content_filter", "refusal"])
async def test_row_15_a_filtered_answer_is_relayed_and_never_escalated(
    tmp_path, streamed: bool, ending: str
):
    tiers = (TierSettings("weak", ("p/weak",)), TierSettings("strong", ("p/strong",)))
    for text in ("", "I can"):
        async with (
            up.upstream(weak=up.answer(text, ending), strong=up.answer()) as server,
            rig(tmp_path, None, tiers=tiers, base_url=server.base_url, timeouts=QUICK) as r,
        ):
            answer = await r.ask(asking(stream=streamed))
            assert (answer.finish_reason, answer.tier) == (ending, "weak")
            assert len(server.seen) == 1


@STREAMED
async def test_row_16_only_a_larger_window_is_tried(tmp_path, streamed: bool):
    chain = (
        ModelSettings("p/small", context_tokens=4096),
        ModelSettings("p/same", context_tokens=4096),
        ModelSettings("p/large", context_tokens=32_768),
    )
    full = up.reply(400, TOO_LONG)
    tiers = (TierSettings("weak", chain),)
    async with (
        up.upstream(small=full, same=full, large=[up.answer(), full]) as server,
        rig(tmp_path, None, tiers=tiers, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking(stream=streamed))
        assert got.is_whole
        assert [server.calls(m) for m in ("small", "same", "large")] == [1, 0, 1]
        again = await outcome(r.pipeline, asking(stream=streamed))
        assert again.error is not None
        assert (again.error.http_status, again.error.code) == (400, "context_length_exceeded")
        assert len(again.error.attempts) == 2


@STREAMED
async def test_row_27_all_down_is_told_with_the_attempts(tmp_path, streamed: bool):
    script: dict[str, Any] = {
        "weak": up.reply(500, up.error_body("broken")),
        "weak-2": up.reply(401, up.error_body("no")),
    }
    async with (
        up.upstream(**script) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        got = await outcome(r.pipeline, asking(stream=streamed))
        assert got.error is not None and got.error.retry_after_s is not None
        assert (got.error.http_status, got.error.code) == (503, "all_targets_failed")
        assert [(a.deployment, a.outcome) for a in got.error.attempts] == [
            ("p/weak", "upstream_unavailable"),
            ("p/weak", "upstream_unavailable"),
            ("p/weak-2", "upstream_auth"),
        ]


async def test_row_27_one_probe_a_second_while_all_rest(tmp_path):
    down = up.reply(401, up.error_body("no"))
    async with (
        up.upstream(weak=[down, down, up.answer()]) as server,
        rig(tmp_path, None, tiers=ALONE, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        await outcome(r.pipeline, asking())
        many = await asyncio.gather(*(outcome(r.pipeline, asking()) for _ in range(20)))
        assert len(server.seen) == 2
        codes = sorted(got.error.code for got in many if got.error)
        assert codes == ["all_targets_failed"] * 19 + ["upstream_auth"]
        r.clock.now_s += 1
        assert (await outcome(r.pipeline, asking())).is_whole
        assert r.pipeline.health.is_ready("p/weak", r.clock.now_s)


async def test_row_3_a_dead_target_is_retried_no_more_than_its_share(tmp_path):
    async with (
        up.upstream(
            **{"weak": up.reply(503, up.error_body("broken")), "weak-2": up.answer()}
        ) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url, timeouts=QUICK) as r,
    ):
        many = await asyncio.gather(*(outcome(r.pipeline, asking()) for _ in range(50)))
        assert all(got.is_whole for got in many)
        assert server.calls("weak") <= 60


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


def test_every_fault_of_the_matrix_has_a_row():
    rows = {name.partition("-")[0] for name in FAULTS} | {"4", "14", "17", "27"}
    assert rows == {
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "10",
        "13",
        "14",
        "15",
        "16",
        "17",
        "27",
    }
