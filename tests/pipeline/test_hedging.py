"""A second call beside a slow one: one answer, every call booked, and none that is not allowed."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline.rig import (
    ONE_TIER,
    PRICES,
    THREE_TIERS,
    TWO_TIERS,
    WEAK_NANOUSD,
    Rig,
    Script,
    asking,
    outcome,
    rig,
    until,
)

from pointsman.config import TierSettings
from pointsman.core import errors
from pointsman.core.events import Event
from pointsman.core.types import Request, Step
from pointsman.gate import HedgePurse, HedgingSettings
from pointsman.gate.hedge import SPEND_WINDOW_S
from pointsman.ledger import Intent
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.validators import ValidationSettings

ON = HedgingSettings(after_s=2.0, spend_share=1.0)
FINE = "Hello there, and good morning."
BAD = "I'm sorry, but I can't help with that."
REFUSED = Scripted(error=errors.UpstreamConnect("refused"))
REJECTED = Scripted(error=errors.UpstreamRejected("bad", status=400, body=b"{}"))


class Gated(FakeProvider):
    """Holds each model's calls, before the first event, until the test lets them go."""

    def __init__(self, script: Script, *held: str) -> None:
        super().__init__(script)
        self.begun = 0
        self.go_on = {model: asyncio.Event() for model in script}
        for model in script:
            if model not in held:
                self.go_on[model].set()

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        events = super().call(request, step)
        self.begun += 1
        self.open_calls += 1
        try:
            self.calls.append(f"asked {step.deployment.model}")
            await self.go_on[step.deployment.model].wait()
            async for event in events:
                yield event
        finally:
            self.open_calls -= 1
            await events.aclose()

    def asked(self, model: str) -> bool:
        return f"asked {model}" in self.calls


def pays(r: Rig, nanousd: int = 10**12) -> None:
    """Have an hour's spend, and a clock on which a first call has begun before it is slow."""
    r.pipeline._hedges.note_spent(nanousd, r.clock.now_s)
    sleep = r.clock.sleep

    async def once_begun(seconds: float) -> None:
        if seconds == ON.after_s:
            begun = r.fake.begun  # type: ignore[attr-defined]
            await until(lambda: r.fake.begun > begun)  # type: ignore[attr-defined]
        await sleep(seconds)

    r.clock.sleep = once_begun  # type: ignore[method-assign]


def ends(r: Rig) -> list[tuple[str, str]]:
    return [(row.intent.deployment, row.settlement.outcome) for row in r.rows()]


STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])


@STREAMED
async def test_the_next_model_of_the_tier_answers_for_one_that_is_slow_to_begin(tmp_path, stream):
    fake = Gated({"weak": [FINE], "weak-2": [FINE]}, "weak")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        answer = await r.ask(asking(stream=stream, max_tokens=100))
        await r.settled()
        assert (answer.model, answer.content, answer.attempts) == ("p/weak-2", FINE, 2)
        assert ends(r) == [("p/weak", "cancelled"), ("p/weak-2", "answered")]
        assert "p/weak cancelled" in answer.reason
        assert fake.open_calls == 0 and r.clock.slept == [ON.after_s]


@STREAMED
async def test_the_first_call_wins_where_it_comes_first_after_all(tmp_path, stream):
    fake = Gated({"weak": [FINE], "weak-2": [FINE]}, "weak", "weak-2")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        client = asyncio.create_task(outcome(r.pipeline, asking(stream=stream, max_tokens=100)))
        await until(lambda: fake.asked("weak-2"))
        fake.go_on["weak"].set()
        got = await client
        await r.settled()
        assert got.text == FINE and got.attempts == 2
        assert ends(r) == [("p/weak", "answered"), ("p/weak-2", "cancelled")]
        assert fake.open_calls == 0


async def test_a_second_call_that_was_never_made_is_not_told(tmp_path, monkeypatch):
    """Found by simulation: stopped while its intent was being written, it was counted all along."""
    fake = Gated({"weak": [FINE], "weak-2": [FINE]}, "weak")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        reserve, is_writing = r.pipeline.stores.ledger.reserve, asyncio.Event()

        async def slow(intent: Intent) -> None:
            if intent.attempt == 2:
                is_writing.set()
                await asyncio.Event().wait()
            await reserve(intent)

        monkeypatch.setattr(r.pipeline.stores.ledger, "reserve", slow)
        client = asyncio.create_task(r.ask(asking(max_tokens=100)))
        await is_writing.wait()
        fake.go_on["weak"].set()
        answer = await client
        assert (answer.content, answer.attempts) == (FINE, 1)
        assert "weak-2" not in answer.reason


@pytest.mark.parametrize("tiers", [ONE_TIER, THREE_TIERS], ids=["at first content", "whole"])
async def test_two_that_come_at_once_are_one_answer(tmp_path, tiers):
    fake = Gated({"weak": [FINE], "weak-2": [FINE]}, "weak", "weak-2")
    async with rig(tmp_path, fake, tiers=tiers, hedging=ON) as r:
        pays(r)
        ask = asking(stream=False, max_tokens=100)
        client = asyncio.create_task(outcome(r.pipeline, ask))
        await until(lambda: fake.asked("weak-2"))
        for event in fake.go_on.values():
            event.set()
        got = await client
        await r.settled()
        assert got.text == FINE
        assert sorted(end for _, end in ends(r)) == ["answered", "cancelled"]


async def asked_of(r: Rig, fake: Gated, **more: Any) -> list[str]:
    """Return who was asked by the time the first call has waited long enough."""
    client = asyncio.create_task(outcome(r.pipeline, asking(**more)))
    await until(lambda: fake.asked("weak"))
    for _ in range(30):
        await asyncio.sleep(0)
    fake.go_on["weak"].set()
    got = await client
    assert got.is_whole
    return [name for name in fake.calls if name.startswith("asked")]


@pytest.mark.parametrize(
    ("tiers", "more", "spent"),
    [
        (ONE_TIER, {"hedging": HedgingSettings()}, 10**12),
        (ONE_TIER, {"hedging": ON}, 0),
        (ONE_TIER, {"hedging": ON, "prices": {}}, 10**12),
        (TWO_TIERS, {"hedging": ON}, 10**12),
        ((TierSettings("weak", ("p/weak",)),), {"hedging": ON}, 10**12),
    ],
    ids=["off by default", "nothing spent", "no price", "another tier", "nobody else"],
)
async def test_nobody_is_called_second(tmp_path, tiers, more: Mapping[str, Any], spent: int):
    fake = Gated({m: [FINE] for m in ("weak", "weak-2", "strong")}, "weak")
    async with rig(tmp_path, fake, tiers=tiers, **more) as r:
        pays(r, spent)
        assert await asked_of(r, fake, max_tokens=100) == ["asked weak"]


async def test_the_worst_cases_of_second_calls_are_a_share_of_the_spend(tmp_path):
    # 100 tokens of "weak-2" and the prompt are about 0.0002 USD: five fit into a share of 0.001.
    fake = Gated({"weak": [FINE], "weak-2": [FINE]}, "weak")
    share = HedgingSettings(after_s=2.0, spend_share=0.1)
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=share) as r:
        pays(r, 10_000_000)
        worst = 0
        for _ in range(20):
            fake.go_on["weak"].clear()
            fake.calls.clear()
            client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
            await until(lambda: fake.asked("weak"))
            for _ in range(30):
                await asyncio.sleep(0)
            fake.go_on["weak"].set()
            await client
        await r.settled()
        second = [row for row in r.rows() if row.intent.deployment == "p/weak-2"]
        worst = sum(row.intent.worst_case_nanousd or 0 for row in second)
        spent = 10_000_000 + sum(row.settlement.cost_nanousd or 0 for row in r.rows())
        assert 0 < worst <= 0.1 * spent and 0 < len(second) < 20


@pytest.mark.parametrize("end", [REFUSED, REJECTED], ids=["refused", "rejected"])
async def test_what_ends_the_second_call_leaves_the_first_one_running(tmp_path, end: Scripted):
    fake = Gated({"weak": [FINE], "weak-2": [end]}, "weak")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await until(lambda: "p/weak-2" in fake.calls)
        fake.go_on["weak"].set()
        got = await client
        await r.settled()
        assert got.text == FINE
        assert ends(r) == [("p/weak", "answered"), ("p/weak-2", "failed")]


async def test_a_request_that_is_at_fault_ends_both(tmp_path):
    fake = Gated({"weak": [REJECTED], "weak-2": [FINE]}, "weak", "weak-2")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await until(lambda: fake.asked("weak-2"))
        fake.go_on["weak"].set()
        got = await client
        await r.settled()
        assert got.error is not None and got.error.http_status == 400
        assert ends(r) == [("p/weak", "failed"), ("p/weak-2", "cancelled")]
        assert fake.open_calls == 0


async def test_a_client_that_leaves_ends_both(tmp_path):
    fake = Gated({"weak": [FINE], "weak-2": [FINE]}, "weak", "weak-2")
    async with rig(tmp_path, fake, tiers=ONE_TIER, hedging=ON) as r:
        pays(r)
        before = asyncio.all_tasks()
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await until(lambda: fake.asked("weak-2"))
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        await r.settled()
        assert ends(r) == [("p/weak", "cancelled"), ("p/weak-2", "cancelled")]
        assert fake.open_calls == 0 and asyncio.all_tasks() == before


async def test_both_failing_goes_on_as_one_failing_does(tmp_path):
    script: Script = {"weak": [REFUSED], "weak-2": [REFUSED], "mid": [FINE], "strong": [FINE]}
    fake = Gated(script, "weak")
    async with rig(tmp_path, fake, tiers=THREE_TIERS, hedging=ON) as r:
        pays(r)
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await until(lambda: "p/weak-2" in fake.calls)
        fake.go_on["weak"].set()
        got = await client
        assert (got.tier, got.attempts, got.text) == ("mid", 3, FINE)


@pytest.mark.parametrize("hold_chars", [5, 10_000])
async def test_drafts_that_are_both_rejected_escalate_once(tmp_path, hold_chars: int):
    script: Script = {"weak": [BAD], "weak-2": [BAD], "mid": [FINE], "strong": [FINE]}
    fake = Gated(script, "weak", "weak-2")
    checks = ValidationSettings(stream_hold_chars=hold_chars)
    async with rig(tmp_path, fake, tiers=THREE_TIERS, hedging=ON, validation=checks) as r:
        pays(r)
        client = asyncio.create_task(outcome(r.pipeline, asking(max_tokens=100)))
        await until(lambda: fake.asked("weak-2"))
        for event in fake.go_on.values():
            event.set()
        got = await client
        await r.settled()
        assert (got.tier, got.text) == ("mid", FINE)
        assert [end for _, end in ends(r)] == ["rejected", "rejected", "answered"]
        assert fake.open_calls == 0


def test_the_purse_forgets_what_is_older_than_an_hour():
    purse = HedgePurse()
    purse.note_spent(1_000, 0.0)
    assert not purse.take(51, 0.05, 1.0) and purse.take(50, 0.05, 1.0)
    assert not purse.take(1, 0.05, 2.0) and not purse.take(None, 0.05, 2.0)
    assert purse.take(0, 0.05, 2.0)
    assert not purse.take(1, 0.05, SPEND_WINDOW_S + 61)
    purse.note_spent(1_000, SPEND_WINDOW_S + 61)
    assert purse.take(50, 0.05, SPEND_WINDOW_S + 61)


class Dawdling(FakeProvider):
    """Lets other tasks run between its events, as often as the test says for each call."""

    def __init__(self, script: Script, turns: list[int]) -> None:
        super().__init__(script)
        self.begun = 0
        self._turns = turns

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        turns = self._turns.pop() if self._turns else 0
        events = super().call(request, step)
        self.begun += 1
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            async for event in events:
                yield event
                await asyncio.sleep(0)
        finally:
            await events.aclose()


MODELS = ("weak", "weak-2", "mid", "strong")
ENDS = (
    errors.UpstreamUnavailable("broken"),
    errors.UpstreamRateLimited("slow", retry_after_s=5.0),
    errors.UpstreamConnect("refused"),
    errors.UpstreamRejected("bad", status=422, body=b"{}"),
    errors.ContextLengthExceeded("long", status=400, body=b"{}"),
    errors.UpstreamReset("gone"),
)
replies = st.builds(
    Scripted,
    pieces=st.lists(st.sampled_from([FINE, BAD, ""]), max_size=2).map(tuple),
    finish_reason=st.sampled_from(["stop", "length"]),
    error=st.none() | st.sampled_from(ENDS),
)


@settings(max_examples=80)
@given(
    plan=st.lists(
        st.lists(st.sampled_from(MODELS), min_size=1, max_size=4, unique=True),
        min_size=1,
        max_size=3,
    ),
    script=st.fixed_dictionaries(
        {model: st.lists(replies, min_size=1, max_size=3) for model in MODELS}
    ),
    turns=st.lists(st.integers(0, 25), max_size=8),
    streamed=st.lists(st.booleans(), min_size=1, max_size=3),
    hold_chars=st.sampled_from([0, 5, 2_000]),
    leaves_after=st.none() | st.integers(1, 40),
)
def test_whatever_happens_there_is_one_answer_and_every_call_is_booked_once(
    plan, script, turns, streamed, hold_chars, leaves_after
):
    tiers = [
        TierSettings(f"t{number}", tuple(f"p/{model}" for model in chain))
        for number, chain in enumerate(plan)
    ]

    async def run(folder: str) -> None:
        fake = Dawdling(script, turns)
        checks = ValidationSettings(stream_hold_chars=hold_chars)
        async with rig(
            Path(folder), fake, tiers=tiers, default="t0", hedging=ON, validation=checks
        ) as r:
            pays(r)
            before = asyncio.all_tasks()
            for number, stream in enumerate(streamed):
                ask = asking(stream=stream, request_id=f"r{number}", max_tokens=100)
                client = asyncio.create_task(outcome(r.pipeline, ask))
                if leaves_after is not None:
                    for _ in range(leaves_after):
                        await asyncio.sleep(0)
                    client.cancel()
                await asyncio.gather(client, return_exceptions=True)
                await r.settled()
                check(r, f"r{number}")
            assert fake.open_calls == 0 and asyncio.all_tasks() == before
            for record in r.pipeline.health._records.values():
                assert (record.in_flight, record.retrying, record.probes) == (0, 0, set())

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))


def check(r: Rig, request_id: str) -> None:
    rows = r.rows(request_id)
    assert [row.intent.attempt for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) <= 4
    names = [row.intent.deployment for row in rows]
    assert all(names.count(name) <= 2 for name in names)
    outcomes = [row.settlement.outcome for row in rows]
    assert outcomes.count("answered") <= 1 and "pending" not in outcomes


def test_the_prices_make_a_second_call_possible():
    assert "p/weak-2" in PRICES and WEAK_NANOUSD > 0
