"""Before the gate: fallback, retries, escalation, holding back. After it: nothing of the kind."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from tests.pipeline.rig import (
    MID_NANOUSD,
    ONE_TIER,
    STRONG_NANOUSD,
    TWO_TIERS,
    WEAK_NANOUSD,
    Script,
    StoppingProvider,
    asking,
    outcome,
    rig,
)

from pointsman.config import TierSettings
from pointsman.core import errors
from pointsman.core.errors import UpstreamError
from pointsman.core.events import Finished, Started, TextDelta, is_content
from pointsman.core.features import estimate_tokens
from pointsman.core.usage import Usage
from pointsman.providers import Timeouts
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.validators import ValidationSettings

BROKEN = Scripted(error=errors.UpstreamUnavailable("broken"))
REFUSED = Scripted(error=errors.UpstreamConnect("refused"))
SLOW_DOWN = Scripted(error=errors.UpstreamRateLimited("slow down"))
BAD_REQUEST = Scripted(error=errors.UpstreamRejected("bad", status=400, body=b"{}"))
BAD = "I'm sorry, but I can't help with that."
FINE = "Hello there, and good morning."
JSON_WANTED: dict[str, Any] = {"fields": {"response_format": {"type": "json_object"}}}
TWICE = "the same line again and again\n" * 40
# What each check rejects in a whole draft, and how the request has to be for it.
REJECTED: dict[str, tuple[Scripted, dict[str, Any]]] = {
    "empty": (Scripted(), {}),
    "refusal": (Scripted(pieces=(BAD,)), {}),
    "cut_off": (Scripted(pieces=(FINE,), finish_reason="length"), {}),
    "json_format": (Scripted(pieces=("not JSON",)), JSON_WANTED),
    "repetition": (Scripted(pieces=(TWICE,)), {}),
    "code_block": (Scripted(pieces=("```python\ndef f(:\n```",)), {}),
}


def fresh(error: UpstreamError) -> Scripted:
    return Scripted(error=error)


async def test_failures_go_down_the_chain_and_then_up_the_tiers(tmp_path):
    script: Script = {"weak": [REFUSED], "weak-2": [REFUSED], "mid": [REFUSED], "strong": [FINE]}
    async with rig(tmp_path, script) as r:
        answer = await r.ask(asking())
        assert r.fake.calls == ["p/weak", "p/weak-2", "p/mid", "p/strong"]
        assert (answer.tier, answer.attempts, answer.content) == ("strong", 4, FINE)
        assert [row[2] for row in r.booked()] == ["failed"] * 3 + ["answered"]


async def test_four_attempts_are_the_most(tmp_path):
    script: Script = {m: [BROKEN] for m in ("weak", "weak-2", "mid", "strong", "strong-2")}
    async with rig(tmp_path, script) as r:
        got = await outcome(r.pipeline, asking())
        assert r.fake.calls == ["p/weak", "p/weak", "p/weak-2", "p/weak-2"]
        assert got.error is not None and got.error.code == "upstream_unavailable"
        assert len(got.error.attempts) == len(r.rows()) == 4


@pytest.mark.parametrize("draft", [BROKEN, REFUSED, Scripted(pieces=(BAD,))], ids=str)
async def test_a_model_in_several_tiers_is_called_twice_at_most(tmp_path, draft):
    tiers = tuple(TierSettings(name, ("p/weak",)) for name in ("weak", "mid", "strong"))
    async with rig(tmp_path, {"weak": [draft]}, tiers=tiers) as r:
        await outcome(r.pipeline, asking())
        assert 1 <= len(r.fake.calls) <= 2


async def test_a_retry_waits_by_the_injected_clock_and_chance(tmp_path):
    slept = []
    for _ in range(2):
        async with rig(
            tmp_path, {"weak": [SLOW_DOWN, FINE], "weak-2": [FINE]}, tiers=ONE_TIER
        ) as r:
            assert (await r.ask(asking())).attempts == 2
            assert r.fake.calls == ["p/weak", "p/weak"]
            slept.append(r.clock.slept)
    assert slept[0] == slept[1] and len(slept[0]) == 1 and 0 < slept[0][0] <= 0.25


async def test_nothing_is_tried_again_after_the_first_content(tmp_path):
    broken = Scripted(pieces=("Hello",), error=errors.UpstreamReset("gone"))
    async with rig(tmp_path, {"weak": [broken, FINE], "weak-2": [FINE]}, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        assert got.text == "Hello" and got.error is not None
        assert got.error.code == "upstream_reset" and len(got.error.attempts) == 1
        assert r.fake.calls == ["p/weak"]


@pytest.mark.parametrize("check", REJECTED)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_each_rejection_escalates_one_tier(tmp_path, check: str, stream: bool):
    draft, more = REJECTED[check]
    good = '{"a":1}' if more else FINE
    script: Script = {"weak": [draft], "mid": [draft], "strong": [good]}
    async with rig(tmp_path, script) as r:
        got = await outcome(r.pipeline, asking(stream=stream, **more))
        await r.settled()
        assert (got.text, got.tier, got.attempts) == (good, "strong", 3)
        assert r.fake.calls == ["p/weak", "p/mid", "p/strong"]  # never the tier's second one
        assert [(row[2], row[3]) for row in r.booked()] == [
            ("rejected", check),
            ("rejected", check),
            ("answered", ""),
        ]
        assert got.cost_nanousd == sum(row.settlement.cost_nanousd or 0 for row in r.rows())
        assert r.fake.open_calls == 0


async def test_the_strongest_tier_s_draft_is_never_rejected(tmp_path):
    async with rig(tmp_path, {"weak": [BAD], "strong": [BAD]}, tiers=TWO_TIERS) as r:
        answer = await r.ask(asking())
        assert (answer.tier, answer.content) == ("strong", BAD)


FAILURES = {
    "down": REFUSED,
    "broken": BROKEN,
    "rejects-the-request": BAD_REQUEST,
    "too-long": fresh(errors.ContextLengthExceeded("long", status=400, body=b"{}")),
    "too-large": fresh(errors.UpstreamTooLarge("large")),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_spare_draft_answers_when_the_stronger_tiers_fail(tmp_path, failure: str):
    script: Script = {"weak": [BAD], "strong": [FAILURES[failure]]}
    async with rig(tmp_path, script, tiers=TWO_TIERS) as r:
        answer = await r.ask(asking(stream=False))
        await r.settled()
        assert (answer.content, answer.tier) == (BAD, "weak")
        assert answer.cost_nanousd == WEAK_NANOUSD
        assert [row[2] for row in r.booked()] == ["rejected"] + ["failed"] * (answer.attempts - 1)
        assert r.fake.open_calls == 0


async def test_the_spare_is_the_strongest_draft_so_far(tmp_path):
    script: Script = {
        "weak": [BAD],
        "mid": ["I cannot help with that."],
        "strong": [REFUSED],
        "strong-2": [REFUSED],
    }
    async with rig(tmp_path, script) as r:
        answer = await r.ask(asking(stream=False))
        assert (answer.tier, answer.content) == ("mid", "I cannot help with that.")
        assert answer.cost_nanousd == WEAK_NANOUSD + MID_NANOUSD
        assert r.fake.open_calls == 0


async def test_a_content_filter_is_never_escalated(tmp_path):
    for pieces in ((), ("I can",)):
        filtered = Scripted(pieces=pieces, finish_reason="content_filter")
        async with rig(tmp_path, {"weak": [filtered], "strong": [FINE]}, tiers=TWO_TIERS) as r:
            answer = await r.ask(asking())
            assert (answer.finish_reason, answer.tier) == ("content_filter", "weak")


@pytest.mark.parametrize("pin", [{"tier": "weak"}, {"model": "weak"}, {"model": "p/weak"}], ids=str)
async def test_what_is_pinned_is_never_escalated(tmp_path, pin):
    async with rig(tmp_path, {"weak": [BAD], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        answer = await r.ask(asking(**pin))
        assert (answer.tier, answer.content) == ("weak", BAD)
        assert r.booked() == [("p/weak", "settled", "answered", "")]


async def test_escalation_can_be_switched_off(tmp_path):
    off = ValidationSettings(escalate=False)
    async with rig(
        tmp_path, {"weak": [BAD], "strong": [FINE]}, tiers=TWO_TIERS, validation=off
    ) as r:
        assert (await r.ask(asking())).content == BAD


def words(count: int) -> tuple[str, ...]:
    return tuple(f"word{i} " for i in range(count))


async def events_before_commit(tmp_path, *, chars: int, policy: str = "signals", **more) -> int:
    """Return how many events the provider had given when the stream was opened."""
    given = []

    class Counting(StoppingProvider):
        async def call(self, request, step):
            async for event in super().call(request, step):
                given.append(event)
                yield event

    fake = Counting({"weak": [Scripted(pieces=words(40))], "strong": [FINE]}, stops_at=-1)
    held = ValidationSettings(stream_hold_chars=chars)
    async with (
        rig(tmp_path, fake, tiers=TWO_TIERS, policy=policy, validation=held) as r,
        r.pipeline.open(asking(**more)) as stream,
    ):
        count = len(given)
        answer = await stream.collect()
        assert answer.content.count("word") in (40, 0)
        return count


WHOLE = 1 + 40 + 2  # the opening, the words, usage and end


@pytest.mark.parametrize(("chars", "events"), [(0, 2), (1, 2), (20, 5), (100_000, WHOLE)])
async def test_a_stream_is_held_until_its_limit(tmp_path, chars: int, events: int):
    assert await events_before_commit(tmp_path, chars=chars) == events


async def test_where_nothing_is_to_be_held_the_first_character_goes_out(tmp_path):
    fake = StoppingProvider({"weak": [Scripted(pieces=("H", "i"))], "strong": [FINE]}, stops_at=2)
    held = ValidationSettings(stream_hold_chars=0)
    async with rig(tmp_path, fake, tiers=TWO_TIERS, validation=held) as r:
        has_come = asyncio.Event()
        client = asyncio.create_task(outcome(r.pipeline, asking(), on_content=has_come))
        await fake.reached.wait()
        await asyncio.wait_for(has_come.wait(), 20)
        fake.go_on.set()
        assert (await client).text == "Hi"


async def test_a_stream_of_json_is_held_whole(tmp_path):
    script: Script = {"weak": [Scripted(pieces=('{"a":', "1", "}"))], "strong": [FINE]}
    fake = StoppingProvider(script, stops_at=5)  # before its `Finished`
    async with rig(
        tmp_path, fake, tiers=TWO_TIERS, validation=ValidationSettings(stream_hold_chars=1)
    ) as r:
        client = asyncio.create_task(outcome(r.pipeline, asking(**JSON_WANTED)))
        await fake.reached.wait()
        assert not client.done()
        fake.go_on.set()
        assert (await client).text == '{"a":1}'


async def test_the_cascade_holds_everything(tmp_path):
    assert await events_before_commit(tmp_path, chars=1, policy="cascade") == WHOLE


async def test_a_late_rejection_stays_the_answer(tmp_path):
    late = Scripted(pieces=(FINE, " ", BAD, TWICE))
    small = ValidationSettings(stream_hold_chars=10)
    async with rig(
        tmp_path, {"weak": [late], "strong": [FINE]}, tiers=TWO_TIERS, validation=small
    ) as r:
        answer = await r.ask(asking())
        assert answer.tier == "weak" and answer.content.startswith(FINE)
        assert r.booked() == [("p/weak", "settled", "answered", "")]


async def test_a_held_beginning_that_cannot_be_mended_is_stopped(tmp_path):
    long = Scripted(pieces=(TWICE, *words(1000)))
    small = ValidationSettings(stream_hold_chars=10)
    async with rig(
        tmp_path, {"weak": [long], "strong": [FINE]}, tiers=TWO_TIERS, validation=small
    ) as r:
        answer = await r.ask(asking())
        await r.settled()
        assert answer.tier == "strong"
        first = r.rows()[0].settlement
        assert (first.state, first.outcome, first.error) == ("settled", "rejected", "repetition")
        assert first.usage.is_estimated and first.cost_nanousd
        assert answer.cost_nanousd == first.cost_nanousd + STRONG_NANOUSD
        assert r.fake.open_calls == 0


async def test_usage_that_is_missing_is_estimated_and_flagged(tmp_path):
    async with rig(tmp_path, {"weak": [Scripted(pieces=(FINE,), usage=None)]}, tiers=ONE_TIER) as r:
        answer = await r.ask(asking())
        assert answer.usage.is_estimated and answer.usage.output_tokens == estimate_tokens(FINE)
        assert r.rows()[0].settlement.usage == answer.usage
        assert r.rows()[0].settlement.cost_nanousd == answer.cost_nanousd


async def test_a_price_nobody_knows_makes_a_cost_nobody_knows(tmp_path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER, prices={}) as r:
        got = await outcome(r.pipeline, asking())
        assert got.is_whole and got.cost_nanousd is None
        end = r.rows()[0].settlement
        assert end.cost_nanousd is None and end.usage == Usage(input_tokens=10, output_tokens=5)


async def test_the_deadline_ends_the_chain(tmp_path):
    # The first failure takes all the time there is.
    fake = FakeProvider({"weak": [REFUSED], "weak-2": [FINE]})
    async with rig(tmp_path, fake, tiers=ONE_TIER, timeouts=Timeouts(total_s=5)) as r:

        class Slow(FakeProvider):
            async def call(self, request, step):
                r.clock.now_s += 6
                async for event in super().call(request, step):
                    yield event

        slow = Slow({"weak": [REFUSED], "weak-2": [FINE]})
        r.pipeline.routing.providers["p"] = slow  # type: ignore[index]
        got = await outcome(r.pipeline, asking())
        assert got.error is not None and got.error.code == "upstream_connect"
        assert slow.calls == ["p/weak"] and len(r.rows()) == 1


async def test_the_deadline_cuts_a_draft_that_hangs(tmp_path):
    fake = StoppingProvider({"weak": [FINE], "strong": [FINE]}, stops_at=0)
    async with rig(tmp_path, fake, tiers=TWO_TIERS, timeouts=Timeouts(total_s=0.05)) as r:
        r.clock.now_s = 0.0
        got = await outcome(r.pipeline, asking())
        await r.settled()
        assert got.error is not None and got.error.code == "upstream_timeout"
        assert r.booked()[0] == ("p/weak", "unknown", "failed", "upstream_timeout")
        assert fake.open_calls == 0


async def test_the_deadline_holds_after_the_gate_too(tmp_path):
    fake = FakeProvider({"weak": [Scripted(pieces=words(10))]})
    async with rig(tmp_path, fake, tiers=ONE_TIER, timeouts=Timeouts(total_s=5)) as r:

        async def dawdle() -> None:
            async with r.pipeline.open(asking()) as stream:
                async for event in stream:
                    r.clock.now_s += 6 * is_content(event)

        with pytest.raises(errors.UpstreamTimeout):
            await dawdle()
        await r.settled()
        assert r.booked() == [("p/weak", "settled", "failed", "upstream_timeout")]
        assert fake.open_calls == 0


async def test_a_reader_that_takes_all_the_time_there_is_is_not_the_upstream_s_fault(tmp_path):
    fake = FakeProvider({"weak": [Scripted(pieces=words(10))]})
    async with rig(tmp_path, fake, tiers=ONE_TIER, timeouts=Timeouts(total_s=5)) as r:
        for _ in range(6):
            async with r.pipeline.open(asking()) as stream:
                with pytest.raises(errors.UpstreamTimeout):  # noqa: PT012 -- the reader is slow
                    async for event in stream:
                        r.clock.now_s += 6 * is_content(event)
        assert r.pipeline.health.is_trusted("p/weak", r.clock.now_s)
        assert fake.calls == ["p/weak"] * 6


async def test_answers_that_break_off_after_the_gate_open_the_breaker(tmp_path):
    broken = Scripted(pieces=("Hello",), error=errors.UpstreamReset("gone"))
    async with rig(tmp_path, {"weak": [broken], "weak-2": [FINE]}, tiers=ONE_TIER) as r:
        for _ in range(5):
            assert r.pipeline.health.is_ready("p/weak", r.clock.now_s)
            got = await outcome(r.pipeline, asking())
            assert got.text == "Hello" and got.error is not None
        assert not r.pipeline.health.is_ready("p/weak", r.clock.now_s)
        assert (await r.ask(asking())).model == "p/weak-2"


async def test_the_deadline_ends_a_stream_that_goes_silent_after_the_gate(tmp_path):
    fake = StoppingProvider({"weak": [Scripted(pieces=words(10))]}, stops_at=3)
    async with rig(tmp_path, fake, tiers=ONE_TIER, timeouts=Timeouts(total_s=0.05)) as r:
        got = await outcome(r.pipeline, asking())
        await r.settled()
        assert got.error is not None and got.error.code == "upstream_timeout"
        assert r.booked() == [("p/weak", "settled", "failed", "upstream_timeout")]
        assert fake.open_calls == 0


async def test_an_error_tells_how_long_each_attempt_took_and_not_the_waits_after_it(tmp_path):
    fake = FakeProvider({"weak": [Scripted(error=errors.UpstreamUnavailable("down"))]})
    async with rig(tmp_path, fake, tiers=(TierSettings("weak", ("p/weak",)),)) as r:
        got = await outcome(r.pipeline, asking())
        assert got.error is not None and len(r.clock.slept) == 1 and r.clock.slept[0] > 0
        assert [attempt.latency_ms for attempt in got.error.attempts] == [0, 0]


@pytest.mark.parametrize("cache", ["on", "off"])
async def test_an_internal_error_is_told_booked_and_never_retried(tmp_path, caplog, cache):
    class Buggy(FakeProvider):
        async def call(self, request, step):
            async with aclosing(super().call(request, step)) as events:
                async for event in events:
                    if is_content(event):
                        raise ValueError("a bug")
                    yield event

    fake = Buggy({"weak": [FINE]})
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking(cache=cache))
        await r.settled()
        assert got.error is not None
        assert (got.error.http_status, got.error.code) == (500, "internal_error")
        assert r.booked() == [("p/weak", "unknown", "failed", "internal_error")]
        assert r.pipeline.health.is_ready("p/weak", r.clock.now_s)
    assert (fake.calls, fake.open_calls) == (["p/weak"], 0)
    assert "a bug" in caplog.text


async def test_an_answer_that_only_finishes_is_no_content_and_is_whole(tmp_path):
    events = (
        Started(id="1", created=0, model="m", dialect="", is_stream=True),
        TextDelta(""),
        Finished("stop"),
    )
    async with (
        rig(tmp_path, {"weak": [Scripted(events=events)]}, tiers=ONE_TIER) as r,
        r.pipeline.open(asking()) as stream,
    ):
        assert stream.is_empty
        assert (await stream.collect()).content == ""


async def test_a_success_closes_the_breaker_even_for_one_who_stops_reading_at_the_end(tmp_path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        for _ in range(4):
            r.fail("p/weak", errors.UpstreamReset("x"))
        async with r.pipeline.open(asking()) as stream:
            async for event in stream:
                if isinstance(event, Finished):
                    break
        r.fail("p/weak", errors.UpstreamReset("x"))
        assert r.pipeline.health.is_ready("p/weak", r.clock.now_s)
