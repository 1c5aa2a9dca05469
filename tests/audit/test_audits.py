"""Audits in the pipeline: who is drawn, what it costs, what becomes of a broken floor."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.pipeline.rig import (
    PRICES,
    STRONG_NANOUSD,
    THREE_TIERS,
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

from pointsman.audit.allowance import DAY_NS
from pointsman.audit.settings import AuditSettings
from pointsman.core.errors import UpstreamTimeout, UpstreamUnavailable
from pointsman.core.events import Event, Finished, ToolCallDelta
from pointsman.core.types import Request, Step
from pointsman.ledger import AuditLabel
from pointsman.ledger.opening import open_ledger
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.report import build_report
from pointsman.server.metrics import Metrics
from pointsman.validators import ValidationSettings

# A short chat request, which `learned` sends to the cheap tier.
HELLO = "Say hello."
FINE = "Hello there, and good morning."
REFUSED = "I'm sorry, but I can't help with that."
# The strongest tier's answer of 100 tokens costs 2,000,000 nano-USD, and the question a little.
AUDIT = AuditSettings(share=1.0, judge="validators", max_tokens=100)


def opened(
    tmp_path: Path, script: Any, audit: AuditSettings = AUDIT, **more: Any
) -> AbstractAsyncContextManager[Rig]:
    """Open a pipeline of two tiers under the policy `learned`."""
    settings: dict[str, Any] = {"tiers": TWO_TIERS, "policy": "learned", "audit": audit} | more
    return rig(tmp_path, script, **settings)


class Scores:
    """A judge that gives each side's scores in turn, the last ones again and again."""

    name = "scores"

    def __init__(self, *scores: tuple[float, float]) -> None:
        self.scores = list(scores)
        self.cases: list[Any] = []

    def worst_case_nanousd(self, *_: object) -> int:
        return 0

    async def score(self, case: Any, _: object) -> tuple[float, float]:
        self.cases.append(case)
        return self.scores.pop(0) if len(self.scores) > 1 else self.scores[0]


def judged_by(r: Rig, *scores: tuple[float, float]) -> Scores:
    judge = Scores(*scores)
    routing = r.pipeline.routing
    r.pipeline.routing = replace(routing, audit=replace(routing.audit, judge=judge))
    return judge


async def idle(r: Rig) -> None:
    """Wait until no audit is under way."""
    await until(lambda: r.pipeline.audits.count == 0)
    await r.settled()


async def ask(r: Rig, text: str = HELLO, **more: Any) -> Any:
    answer = await r.ask(asking(text, **more))
    await idle(r)
    return answer


def labels(r: Rig) -> list[AuditLabel]:
    return list(r.pipeline.stores.ledger.audits())


async def test_off_by_default_nothing_is_called_or_kept(tmp_path):
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}, AuditSettings()) as r:
        await ask(r)
        assert r.fake.calls == ["p/weak"] and labels(r) == []
        assert list(r.pipeline.stores.ledger.labels()) == [] and r.pipeline.audits.standings() == ()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("cache", ["on", "off"])
async def test_an_answer_that_went_down_is_asked_again_of_the_strongest_and_judged(
    tmp_path, stream, cache
):
    async with opened(tmp_path, {"weak": [FINE], "strong": ["Good day."]}) as r:
        judge = judged_by(r, (0.25, 0.75))
        answer = await ask(r, stream=stream, cache=cache, request_id="r1", tenant="acme")
        assert (answer.content, answer.cost_nanousd) == (FINE, WEAK_NANOUSD)
        (case,) = judge.cases
        assert (case.prompt, case.routed.text, case.strongest.text) == (HELLO, FINE, "Good day.")
        (label,) = labels(r)
        assert (label.request_id, label.group, label.routed, label.strongest) == (
            "r1",
            "chat",
            "p/weak",
            "p/strong",
        )
        assert (label.quality_routed, label.quality_strongest, label.floor) == (0.25, 0.75, 0.95)
        (learned,) = r.pipeline.stores.ledger.labels()
        assert learned.qualities == {"p/weak": 0.25, "p/strong": 0.75}
        assert learned.costs_nanousd == {"p/weak": WEAK_NANOUSD, "p/strong": STRONG_NANOUSD}
        assert learned.reading is not None and "hello" not in learned.reading.lower()


async def test_its_call_is_booked_under_an_id_of_its_own_and_reported_apart(tmp_path):
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}) as r:
        await ask(r, request_id="r1", tenant="acme")
        (row,) = r.rows("r1-audit")
        assert (row.intent.policy, row.intent.tenant, row.intent.tier) == (
            "audit",
            "acme",
            "strong",
        )
        assert row.intent.worst_case_nanousd is not None
        assert row.settlement.outcome == "audited"
        assert row.settlement.cost_nanousd == STRONG_NANOUSD
        report = build_report(r.rows(), tiers=r.pipeline.routing.snapshot.tiers, audits=labels(r))
        assert (report.calls, report.answered, report.attempts) == (1, 1, 2)
        assert report.audit.cost_nanousd == STRONG_NANOUSD
        assert report.estimated_savings
        assert report.estimated_savings.audits_nanousd == STRONG_NANOUSD
        assert [it.name for it in report.audited] == ["chat"]


async def test_an_answer_of_the_strongest_tier_itself_counts_without_a_call(tmp_path):
    """Else only the requests that went down would count, and the floor is about all of a group."""
    async with opened(tmp_path, {"weak": [REFUSED], "strong": [FINE]}) as r:
        judge = judged_by(r, (0.5, 0.5))
        answer = await ask(r, request_id="r1")
        assert answer.tier == "strong"  # escalated
        assert r.fake.calls == ["p/weak", "p/strong"]
        (label,) = labels(r)
        assert (label.routed, label.strongest, label.quality_routed) == (
            "p/strong",
            "p/strong",
            0.5,
        )
        assert judge.cases[0].routed is judge.cases[0].strongest


async def test_about_the_stated_share_is_drawn(tmp_path):
    audit = AuditSettings(share=0.3, max_tokens=100)
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}, audit) as r:
        for _ in range(60):
            await ask(r)
        rng = Random(1)  # the pipeline's own, which nothing else draws from here
        assert len(labels(r)) == sum(rng.random() < 0.3 for _ in range(60)) > 0


CALL = Scripted(events=(ToolCallDelta(0, "call_1", "look", "{}"), Finished("tool_calls")))
RESULT: Any = [
    {"role": "user", "content": HELLO},
    {
        "role": "assistant",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "nothing"},
]


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        pytest.param(asking(tier="weak"), FINE, id="pinned"),
        pytest.param(asking(model="weak"), FINE, id="a tier by name"),
        pytest.param(asking(model="p/weak"), FINE, id="a model by name"),
        pytest.param(asking("Do a security audit."), FINE, id="a rule"),
        pytest.param(asking(RESULT), FINE, id="a tool loop"),
        pytest.param(asking(), Scripted(pieces=(FINE,), finish_reason="length"), id="cut off"),
        pytest.param(asking(), CALL, id="a tool call"),
        pytest.param(asking(), Scripted(pieces=("x" * 100_001,)), id="a huge answer"),
    ],
)
async def test_what_no_threshold_decided_or_cannot_be_compared_is_not_audited(
    tmp_path, asked: Request, reply
):
    script = {"weak": [reply], "strong": [reply]}
    unescalated = ValidationSettings(escalate=False)
    async with opened(tmp_path, script, validation=unescalated) as r:
        await outcome(r.pipeline, asked)
        await idle(r)
        assert len(r.fake.calls) == 1 and labels(r) == []


async def test_hits_are_not_audited_and_a_shared_answer_once(tmp_path):
    fake = StoppingProvider({"weak": [FINE], "strong": [FINE]}, stops_at=1)
    async with opened(tmp_path, fake) as r:
        both = asyncio.gather(*(r.ask(asking(cache="on")) for _ in range(2)))
        await fake.reached.wait()
        fake.go_on.set()
        await both
        await idle(r)
        await ask(r, cache="on")
        assert r.fake.calls == ["p/weak", "p/strong"]
        assert len(labels(r)) == 1


async def test_a_client_that_leaves_is_not_audited(tmp_path):
    fake = StoppingProvider({"weak": [FINE], "strong": [FINE]}, stops_at=2)
    async with opened(tmp_path, fake) as r:
        client = asyncio.create_task(outcome(r.pipeline, asking()))
        await fake.reached.wait()
        client.cancel()
        await asyncio.wait([client])
        await idle(r)
        assert r.fake.calls == ["p/weak"]


class Stuck(StoppingProvider):
    """Stops calls of the strongest tier alone."""

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        if step.deployment.model == "strong":
            calls = super().call(request, step)
        else:
            calls = FakeProvider.call(self, request, step)
        async with aclosing(calls) as events:
            async for event in events:
                yield event


async def test_the_client_has_its_answer_while_the_audit_still_waits(tmp_path):
    fake = Stuck({"weak": [FINE], "strong": [FINE]}, stops_at=0)
    async with opened(tmp_path, fake) as r:
        answer = await r.ask(asking())
        assert answer.content == FINE
        await fake.reached.wait()
        assert r.pipeline.audits.count == 1 and labels(r) == []
        fake.go_on.set()
        await idle(r)
        assert len(labels(r)) == 1


async def test_no_more_than_a_few_audits_run_at_once(tmp_path):
    fake = Stuck({"weak": [FINE], "strong": [FINE]}, stops_at=0)
    async with opened(tmp_path, fake) as r:
        for _ in range(9):
            await r.ask(asking())
        await passes()
        assert fake.calls.count("p/strong") == 4
        fake.go_on.set()
        await idle(r)
        assert len(labels(r)) == 4


async def test_closing_while_an_audit_runs_leaves_no_entry_open(tmp_path):
    fake = Stuck({"weak": [FINE], "strong": [FINE]}, stops_at=0)
    async with opened(tmp_path, fake) as r:
        await r.ask(asking(request_id="r1"))
        await fake.reached.wait()
    assert fake.open_calls == 0
    ledger = open_ledger(r.url)
    ends = {row.intent.request_id: row.settlement for row in ledger.rows()}
    assert ledger.recovered == 0
    assert (ends["r1-audit"].state, ends["r1-audit"].outcome) == ("unknown", "cancelled")
    await ledger.close()


# The shadow's reply has four events: opening, text, usage, end.
@pytest.mark.parametrize("stops_at", range(4))
async def test_closing_at_any_event_of_the_shadow_books_it_once(tmp_path, stops_at):
    fake = Stuck({"weak": [FINE], "strong": [FINE]}, stops_at=stops_at)
    async with opened(tmp_path, fake) as r:
        await r.ask(asking(request_id="r1"))
        await fake.reached.wait()
    ledger = open_ledger(r.url)
    (row,) = [row for row in ledger.rows() if row.intent.policy == "audit"]
    assert (row.settlement.outcome, fake.open_calls) == ("cancelled", 0)
    assert row.settlement.state == ("unknown" if stops_at < 2 else "settled")
    assert ledger.recovered == 0 and list(ledger.audits()) == []
    await ledger.close()


@pytest.mark.parametrize(
    "reply",
    [
        Scripted(error=UpstreamUnavailable("no")),
        Scripted(pieces=("half",), finish_reason="length"),
        Scripted(pieces=("half",), error=UpstreamUnavailable("gone")),
    ],
    ids=["failed", "cut off", "broken off"],
)
async def test_a_shadow_that_fails_gives_no_label_and_harms_nobody(tmp_path, caplog, reply):
    async with opened(tmp_path, {"weak": [FINE], "strong": [reply]}) as r:
        answer = await ask(r, request_id="r1")
        assert answer.content == FINE and labels(r) == []
        assert "audit of r1: no label" in caplog.text
        assert len(r.rows("r1-audit")) == 1


# The day's money.


async def test_the_day_s_money_is_never_exceeded_and_its_end_is_told_once(tmp_path, caplog):
    # An audit may cost a little more than 2,000,000 nano-USD and does cost 200,000.
    audit = AuditSettings(share=1.0, daily_usd=0.0025, max_tokens=100)
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}, audit) as r:
        for _ in range(6):
            await ask(r)
        spent = [row for row in r.rows() if row.intent.policy == "audit"]
        worst = spent[0].intent.worst_case_nanousd
        assert worst is not None and len(spent) == 1 + (2_500_000 - worst) // STRONG_NANOUSD
        assert len(labels(r)) == len(spent)
        assert caplog.text.count("audit.daily_usd") == 1
        r.clock.now_s += DAY_NS / 1e9
        await ask(r)
        assert len(labels(r)) == len(spent) + 1


async def test_what_is_under_way_holds_its_worst_case_of_the_day_s_money(tmp_path):
    audit = AuditSettings(share=1.0, daily_usd=0.005, max_tokens=100)  # room for two at once
    fake = Stuck({"weak": [FINE], "strong": [FINE]}, stops_at=0)
    async with opened(tmp_path, fake, audit) as r:
        for _ in range(4):
            await r.ask(asking())
        await passes()
        assert fake.calls.count("p/strong") == 2
        fake.go_on.set()
        await idle(r)
        await ask(r)  # two have cost less than they might have
        assert fake.calls.count("p/strong") == 3


async def test_an_audit_whose_cost_nobody_knows_counts_with_its_worst_case(tmp_path):
    lost = Scripted(error=UpstreamTimeout("too slow"))
    audit = AuditSettings(share=1.0, daily_usd=0.0045, max_tokens=100)
    async with opened(tmp_path, {"weak": [FINE], "strong": [lost, FINE]}, audit) as r:
        for _ in range(2):
            await ask(r)
            r.clock.now_s += 3_600  # the deployment has had its rest
        spent = [row for row in r.rows() if row.intent.policy == "audit"]
        assert [row.settlement.cost_nanousd for row in spent] == [None, STRONG_NANOUSD]
        await ask(r)
        await ask(r)
        assert len([row for row in r.rows() if row.intent.policy == "audit"]) == 3


async def test_what_was_spent_before_a_restart_still_counts(tmp_path):
    audit = AuditSettings(share=1.0, daily_usd=0.0022, max_tokens=100)
    for spent in (1, 1):
        async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}, audit) as r:
            await ask(r)
            await ask(r)
            assert len(labels(r)) == spent


async def test_without_a_price_nothing_is_audited(tmp_path, caplog):
    prices = {name: price for name, price in PRICES.items() if name != "p/strong"}
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}, prices=prices) as r:
        await ask(r)
        await ask(r)
        assert "p/strong" not in r.fake.calls
        assert caplog.text.count("the price of p/strong or of the judge is not known") == 1


# The floor.


async def until_stepped(r: Rig, steps: int) -> int:
    """Ask until the threshold of "chat" has gone down so often; return how many it took."""
    for asked in range(1, 200):
        await ask(r)
        if r.pipeline.routing.audit.steps.get("chat", 0) == steps:
            return asked
    raise AssertionError("the floor is never found broken")


async def test_a_bad_cheap_tier_is_left_step_by_step_and_that_is_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    async with opened(tmp_path, {"weak": [FINE], "strong": ["Good day."]}) as r:
        judged_by(r, (0.0, 1.0))
        before = r.pipeline.explain(asking(HELLO))
        assert before.decision.tier == "weak" and before.insight is not None
        await until_stepped(r, 1)
        after = r.pipeline.explain(asking(HELLO))
        assert after.insight is not None and before.insight.threshold is not None
        assert after.insight.threshold == pytest.approx(before.insight.threshold / 2)
        assert "the threshold was lowered once" in after.insight.certificate
        assert caplog.text.count('in the group "chat" the answers keep less than 95%') == 1
        await until_stepped(r, 4)
        assert r.pipeline.decide(asking(HELLO)).tier == "strong"
        metrics = Metrics()
        shown = metrics.render(r.pipeline.audits.standings()).decode()
        assert 'pointsman_audit_steps{group="chat"} 4.0' in shown
        report = build_report(r.rows(), tiers=r.pipeline.routing.snapshot.tiers, audits=labels(r))
        assert report.audited[0].steps == 4


async def test_a_good_cheap_tier_keeps_its_threshold(tmp_path):
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}) as r:
        for _ in range(40):
            await ask(r)
        assert len(labels(r)) == 40 and r.pipeline.routing.audit.steps == {}


async def test_a_restart_and_a_reload_come_to_the_same_steps(tmp_path):
    script = {"weak": [FINE], "strong": ["Good day."]}
    async with opened(tmp_path, script) as r:
        judged_by(r, (0.0, 1.0))
        await until_stepped(r, 2)
        standings = r.pipeline.audits.standings()
        fresh = replace(r.pipeline.routing, audit=replace(r.pipeline.routing.audit, steps={}))
        r.pipeline.swap(fresh)
        assert r.pipeline.routing.audit.steps == {"chat": 2}
    async with opened(tmp_path, script, AuditSettings()) as r:  # switched off, what was found holds
        assert r.pipeline.routing.audit.steps == {"chat": 2}
        assert r.pipeline.audits.standings() == standings
    async with opened(tmp_path, script, tiers=TWO_TIERS[::-1]) as r:
        assert r.pipeline.routing.audit.steps == {}  # other tiers, another promise


async def test_what_one_worker_finds_lowers_the_threshold_of_the_others(tmp_path):
    script = {"weak": [FINE], "strong": ["Good day."]}
    async with opened(tmp_path, script) as one, opened(tmp_path, script) as two:
        told: list[str] = []
        for r in (one, two):
            judged_by(r, (0.0, 1.0))
            r.pipeline.audits.on_label = lambda: told.append("label")
        await until_stepped(one, 1)
        assert len(told) == len(labels(one))
        assert two.pipeline.routing.audit.steps == {}
        two.pipeline.audits.begin_reread()
        await until(lambda: two.pipeline.routing.audit.steps == {"chat": 1})
        assert two.pipeline.audits.standings() == one.pipeline.audits.standings()
        await until_stepped(two, 2)  # the labels of both count for it
        await one.pipeline.audits.reread()
        assert one.pipeline.routing.audit.steps == {"chat": 2}
        assert one.pipeline.audits.standings() == two.pipeline.audits.standings()


async def test_a_worker_spends_its_part_of_the_day_s_money(tmp_path):
    audit = AuditSettings(share=1.0, daily_usd=0.0044, max_tokens=100)
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}, audit) as r:
        r.pipeline.audits._workers = 2
        r.pipeline.swap(r.pipeline.routing)
        await ask(r)
        await ask(r)  # a second one might cost more than is left of the half
        assert len(labels(r)) == 1


# A model as judge, blind and in both orders.


@pytest.mark.parametrize(
    ("said", "quality"),
    [
        (["TIE"], 1.0),
        (["A", "B"], 1.0),  # the routed answer, twice
        (["B", "A"], 0.0),  # the strongest tier's, twice
        (["A", "A"], 1.0),  # whichever comes first: they contradict each other
        (["B", "TIE"], 0.5),
        (["TIE", "A"], 0.5),
        (["Thinking...\n**Answer A**", "tie."], 1.0),
    ],
    ids=str,
)
async def test_a_model_s_two_opinions_become_one_quality(tmp_path, said, quality):
    script = {"weak": [FINE], "mid": said, "strong": ["Good day."]}
    audit = AuditSettings(share=1.0, judge="tier:mid", max_tokens=100)
    async with opened(tmp_path, script, audit, tiers=THREE_TIERS) as r:
        await ask(r, request_id="r1")
        (label,) = labels(r)
        assert (label.quality_routed, label.quality_strongest, label.judge) == (
            quality,
            1.0,
            "tier:mid",
        )
        booked = {row.intent.request_id: row.settlement.outcome for row in r.rows()}
        assert booked == {
            "r1": "answered",
            "r1-audit": "audited",
            "r1-judge-1": "judged",
            "r1-judge-2": "judged",
        }


async def test_a_model_that_says_something_else_gives_no_label(tmp_path, caplog):
    script = {"weak": [FINE], "mid": ["Both are nice."], "strong": ["Good day."]}
    audit = AuditSettings(share=1.0, judge="tier:mid", max_tokens=100)
    async with opened(tmp_path, script, audit, tiers=THREE_TIERS) as r:
        await ask(r, request_id="r1")
        assert labels(r) == [] and "said neither A, B nor TIE" in caplog.text


async def test_readings_are_kept_of_all_requests_only_where_asked_for(tmp_path):
    script = {"weak": [FINE], "strong": [FINE]}
    async with opened(tmp_path, script, AuditSettings()) as r:
        for name, is_kept in (("kept", True), ("not kept", False)):
            r.pipeline.stores = replace(r.pipeline.stores, has_readings=is_kept)
            await ask(r, request_id=name)
            await r.pipeline.feedback(name, 0.5)
        found = {it.request_id: it.reading for it in r.pipeline.stores.ledger.labels()}
        assert found["kept"] is not None and found["kept"].startswith('["chat",')
        assert found["not kept"] is None


async def test_a_routing_can_be_taken_out_of_audits_and_keeps_its_steps(tmp_path):
    async with opened(tmp_path, {"weak": [FINE], "strong": [FINE]}) as r:
        stepped = r.pipeline.routing.stepped({"chat": 4})
        r.pipeline.routing = stepped.unaudited()
        assert r.pipeline.decide(asking(HELLO)).tier == "strong"
        await ask(r)
        assert labels(r) == [] and len(r.fake.calls) == 1
