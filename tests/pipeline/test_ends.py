"""How requests end in the rare cases: past their time, cut off, too long, left while tidying up."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.pipeline.rig import (
    ONE_TIER,
    TWO_TIERS,
    FakeClock,
    Script,
    asking,
    models,
    outcome,
    rig,
    until,
)
from tests.pipeline.test_hedging import FINE, ON, REFUSED, Gated, ends, pays

from pointsman.attempt import Attempt
from pointsman.config import TierSettings
from pointsman.core.errors import ContextLengthExceeded, UpstreamReset, UpstreamTimeout
from pointsman.core.events import Event, Started, TextDelta, UsageReport
from pointsman.core.types import Request, Step
from pointsman.core.usage import Usage
from pointsman.gate import walk
from pointsman.ledger import Settlement
from pointsman.providers import Timeouts
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.validators import ValidationSettings

# Rejected once its beginning has been held, long before its end.
LONG_BAD = Scripted(pieces=("again and again " * 20, *("word " for _ in range(50))))
TOO_LONG = Scripted(error=ContextLengthExceeded("too long", status=400, body=b"{}"))
STARTED = Started(id="1", created=0, model="weak", dialect="", is_stream=True)


# An answer without its end


async def test_a_stream_that_ends_before_its_answer_does_is_a_failure_and_the_next_one_answers(
    tmp_path,
):
    script: Script = {"weak": [Scripted(events=(STARTED,))], "weak-2": [FINE]}
    async with rig(tmp_path, script, tiers=ONE_TIER) as r:
        answer = await r.ask(asking())
        await r.settled()
        assert answer.content == FINE
        assert r.booked()[0] == ("p/weak", "unknown", "failed", "upstream_reset")


async def test_after_content_has_gone_out_it_is_the_clients_error(tmp_path):
    cut = Scripted(events=(STARTED, TextDelta("Hello")))
    async with rig(tmp_path, {"weak": [cut], "weak-2": [FINE]}, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        assert got.text == "Hello" and isinstance(got.error, UpstreamReset)
        assert "no end" in got.error.message and r.fake.calls == ["p/weak"]


@pytest.mark.parametrize("claimed", [1, 5_000])
async def test_a_report_that_content_follows_is_the_least_that_was_used(tmp_path, claimed: int):
    """Anthropic reports one token of output before the first has come."""
    text = "one two three four five " * 40
    early = UsageReport(Usage(input_tokens=77, cached_input_tokens=3, output_tokens=claimed))
    broken = Scripted(events=(STARTED, early, TextDelta(text)), error=UpstreamReset("gone"))
    async with rig(tmp_path, {"weak": [broken]}, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        await r.settled()
        assert got.text == text and got.error is not None
        (row,) = r.rows()
        usage = row.settlement.usage
        assert row.settlement.state == "settled" and usage.is_estimated
        assert (usage.input_tokens, usage.cached_input_tokens) == (77, 3)
        assert usage.output_tokens == claimed if claimed > 1 else 100 <= usage.output_tokens < 1_000


async def test_a_report_that_nothing_follows_is_taken_as_it_is(tmp_path):
    late = UsageReport(Usage(input_tokens=77, output_tokens=2))
    broken = Scripted(events=(STARTED, TextDelta("a b c"), late), error=UpstreamReset("gone"))
    async with rig(tmp_path, {"weak": [broken]}, tiers=ONE_TIER) as r:
        await outcome(r.pipeline, asking())
        await r.settled()
        (row,) = r.rows()
        assert row.settlement.usage == late.usage


async def test_of_several_ends_the_first_one_stays_and_is_told_once(tmp_path, monkeypatch):
    made: list[Attempt] = []
    told: list[str] = []

    class Kept(Attempt):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            made.append(self)

    monkeypatch.setattr(walk, "Attempt", Kept)
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        r.pipeline.observers.append(lambda _, end: told.append(end.outcome))
        await r.ask(asking())
        (attempt,) = made
        rows, charged = r.rows(), attempt.charged_nanousd
        await attempt.settle("rejected", "late")
        attempt.fail(UpstreamReset("late"))
        attempt.reject("late")
        await attempt.aclose()
        await r.settled()
        assert r.rows() == rows and told == ["answered"]
        assert (attempt.outcome, attempt.error) == ("answered", "")
        assert attempt.charged_nanousd == charged == 20_000
        assert r.pipeline.health._records["p/weak"].in_flight == 0


# Past its time


async def test_a_draft_whose_booking_outlasts_the_request_stays_booked_as_what_it_was(
    tmp_path, monkeypatch
):
    async with rig(tmp_path, {"weak": [FINE], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        ledger = r.pipeline.stores.ledger
        settle = ledger.settle

        async def slow(request_id: str, attempt: int, settlement: Settlement) -> None:
            await settle(request_id, attempt, settlement)
            r.clock.now_s += Timeouts().total_s
            raise TimeoutError  # what whoever waits for it meets then

        monkeypatch.setattr(ledger, "settle", slow)
        got = await outcome(r.pipeline, asking(stream=False))
        await r.settled()
        assert isinstance(got.error, UpstreamTimeout) and got.events == []
        assert r.booked() == [("p/weak", "settled", "answered", "")]
        assert r.fake.calls == ["p/weak"] and r.fake.open_calls == 0


class Lingering(FakeProvider):
    """Takes all the time that is left to stop a call."""

    def __init__(self, script: Script, clock: list[FakeClock]) -> None:
        super().__init__(script)
        self._clock = clock

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        events = super().call(request, step)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            self._clock[0].now_s += 10_000


async def test_where_a_rejected_draft_took_all_the_time_nobody_else_is_called(tmp_path):
    clock: list[FakeClock] = []
    fake = Lingering({"weak": [LONG_BAD], "strong": [FINE]}, clock)
    checks = ValidationSettings(stream_hold_chars=5)
    async with rig(tmp_path, fake, tiers=TWO_TIERS, validation=checks) as r:
        clock.append(r.clock)
        got = await outcome(r.pipeline, asking())
        await r.settled()
        assert isinstance(got.error, UpstreamTimeout) and got.events == []
        assert [each.outcome for each in got.error.attempts] == ["repetition"]
        assert [row.settlement.outcome for row in r.rows()] == ["rejected"]


# Too long for its model


async def test_what_is_too_long_for_one_goes_to_none_that_holds_no_more(tmp_path):
    script: Script = {"weak": [TOO_LONG], "weak-2": [FINE], "mid": [FINE], "strong": [FINE]}
    windows = (("p/weak", 8_000), ("p/weak-2", 8_000), ("p/mid", 4_000), ("p/strong", 200_000))
    entries = [models(name, context_tokens=window)[0] for name, window in windows]
    tiers = (TierSettings("weak", tuple(entries)),)
    async with rig(tmp_path, script, tiers=tiers) as r:
        answer = await r.ask(asking())
        assert (answer.model, answer.content) == ("p/strong", FINE)
        assert r.fake.calls == ["p/weak", "p/strong"]


async def test_where_none_holds_more_the_upstreams_own_word_comes_back_at_once(tmp_path):
    script: Script = {"weak": [TOO_LONG], "weak-2": [FINE]}
    tiers = (TierSettings("weak", models("p/weak", "p/weak-2", context_tokens=8_000)),)
    async with rig(tmp_path, script, tiers=tiers) as r:
        got = await outcome(r.pipeline, asking())
        assert isinstance(got.error, ContextLengthExceeded) and got.error.http_status == 400
        assert r.fake.calls == ["p/weak"]


# Second calls


class Slow(Gated):
    """Holds what stops a call, too, until `may_stop`."""

    def __init__(self, script: Script, *held: str) -> None:
        super().__init__(script, *held)
        self.is_stopping = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        events = super().call(request, step)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            if step.deployment.model == "weak":
                self.is_stopping.set()
                await self.may_stop.wait()


async def test_a_client_that_leaves_while_the_loser_is_stopped_waits_for_both_to_be_booked(
    tmp_path,
):
    fake = Slow({"weak": [FINE], "weak-2": [FINE]}, "weak")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        before = asyncio.all_tasks()
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await fake.is_stopping.wait()
        for _ in range(3):  # a second and a third time changes nothing
            client.cancel()
            await asyncio.sleep(0)
        assert not client.done()
        fake.may_stop.set()
        with pytest.raises(asyncio.CancelledError):
            await client
        await r.settled()
        assert ends(r) == [("p/weak", "cancelled"), ("p/weak-2", "cancelled")]
        assert fake.open_calls == 0 and asyncio.all_tasks() == before


async def test_beside_the_last_attempt_that_a_plan_allows_nobody_is_called(tmp_path):
    names = ("weak", "weak-2", "mid", "strong", "strong-2")
    script: Script = {name: [REFUSED] for name in names[:3]} | {
        "strong": [FINE],
        "strong-2": [FINE],
    }
    fake = Gated(script, "strong")
    tiers = (TierSettings("weak", tuple(f"p/{name}" for name in names)),)
    async with rig(tmp_path, fake, tiers=tiers, hedging=ON) as r:
        pays(r)
        waits: list[float] = []

        async def until_the_last(seconds: float) -> None:
            await until(lambda: fake.asked("strong"))
            waits.append(seconds)

        r.clock.sleep = until_the_last  # type: ignore[method-assign]
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await until(lambda: waits)
        for _ in range(30):
            await asyncio.sleep(0)
        fake.go_on["strong"].set()
        got = await client
        assert (got.text, got.attempts, waits) == (FINE, 4, [ON.after_s])
        assert not fake.asked("strong-2")
