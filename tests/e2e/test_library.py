"""The library on real models, as SPEC's section 5 writes it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.e2e.asks import ALICE, ALICE_JSON, DJANGO, STORY
from tests.e2e.conftest import Place
from tests.server.processes import poll

import pointsman
from pointsman import AsyncRouter, Router, Tier
from pointsman.core.events import Finished, Started, TextDelta
from pointsman.demo.models import LocalModels


def test_the_example_of_the_manual_runs_as_written(place: Place):
    with Router.from_config("pointsman.toml") as router:
        answer = router.route(ALICE, system="You are a helpful assistant.")
        shown = (
            answer.content,
            answer.tier,
            answer.model,
            answer.cost_usd,
            answer.usage.total_tokens,
            answer.is_cached,
            answer.reason,
        )
        decision = router.classify("what is a monad")
        report = router.report()
    assert [type(value) for value in shown] == [str, str, str, float, int, bool, str]
    assert (decision.tier, decision.scores.keys() >= {"fast"}) == ("fast", True)
    assert decision.reason
    assert isinstance(answer, pointsman.Answer)
    assert isinstance(decision, pointsman.Decision)
    assert isinstance(report, pointsman.Report)
    assert isinstance(answer.usage, pointsman.Usage)
    assert report.calls == 1


def test_tiers_may_be_given_in_python(local_models: LocalModels):
    providers = {"local": {"dialect": "openai-chat", "base_url": local_models["gemma"].base_url}}
    with Router(
        tiers=[Tier("fast", ["local/gemma"], 8)],
        providers=providers,
        ledger={"url": "sqlite://"},
        env={},
    ) as router:
        answer = router.route("What is a mutex?", fields={"temperature": 0})
    assert answer.content
    assert answer.cost_usd is None  # it has no price, which is not the same as free
    assert 0 < answer.usage.output_tokens <= 8


def test_an_easy_ask_goes_to_the_weak_model_and_a_hard_one_to_the_strong(place: Place):
    with Router.from_config("pointsman.toml") as router:
        easy = router.route(ALICE)
        hard = router.route(DJANGO)
        again = router.route(ALICE)
        other = router.route(ALICE, system="Answer in French.", cache="off", max_tokens=4)
        report = router.report(by="model")
    assert json.loads(easy.content) == ALICE_JSON
    assert (easy.tier, easy.model, easy.is_cached) == ("fast", "weak/gemma", False)
    assert (hard.tier, hard.model, hard.is_cached) == ("power", "strong/smollm2", False)
    assert easy.cost_nanousd == easy.usage.input_tokens * 150 + easy.usage.output_tokens * 600
    assert hard.cost_nanousd == hard.usage.input_tokens * 5000 + hard.usage.output_tokens * 15_000
    assert (again.content, again.is_cached, again.cost_usd) == (easy.content, True, 0)
    assert (again.attempts, again.tier, again.model) == (0, easy.tier, easy.model)
    assert not other.is_cached
    spent = sum(answer.cost_nanousd or 0 for answer in (easy, hard, again, other))
    assert report.cost_nanousd == spent
    assert (report.calls, report.hits) == (4, 1)
    assert {group.name for group in report.groups} >= {"weak/gemma", "strong/smollm2"}


def test_the_cache_outlives_a_restart(place: Place):
    with Router.from_config("pointsman.toml") as router:
        first = router.route(ALICE)
    with Router.from_config("pointsman.toml") as router:
        again = router.route(ALICE)
        report = router.report()
    assert (first.is_cached, again.is_cached) == (False, True)
    assert (again.content, again.cost_usd) == (first.content, 0)
    assert (report.calls, report.hits) == (2, 1)


def test_events_come_as_the_model_writes(place: Place):
    with Router.from_config("pointsman.toml") as router:
        with router.open(ALICE) as stream:
            events = list(stream)
            assert stream.answering.tier == "fast"
            assert stream.answering.cost_nanousd
        whole = router.route(ALICE)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 3
    assert json.loads("".join(texts)) == ALICE_JSON
    assert isinstance(events[-1], Finished)
    assert (whole.content, whole.is_cached) == ("".join(texts), True)


async def test_the_async_router_does_the_same(place: Place):
    async with AsyncRouter.from_config("pointsman.toml") as router:
        async with router.open(ALICE) as stream:
            texts = [event.text async for event in stream if isinstance(event, TextDelta)]
        again = await router.route(ALICE)
        assert (again.content, again.is_cached) == ("".join(texts), True)
        assert router.classify(DJANGO).tier == "power"
        assert await router.feedback(again.request_id, 1.0)
        assert not await router.feedback("req_unknown", 1.0)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert (router.report().calls, router.report(since=tomorrow).calls) == (2, 0)


def test_leaving_a_stream_early_stops_the_model(place: Place, local_models: LocalModels):
    with Router.from_config("pointsman.toml") as router:
        for cache in ("on", "off"):
            with router.open(
                STORY, max_tokens=3000, fields={"ignore_eos": True}, cache=cache
            ) as stream:
                assert isinstance(next(iter(stream)), Started)
                assert local_models["smollm2"].is_busy()
            poll(lambda: not local_models["smollm2"].is_busy(), of="the model to stop")
        report = router.report()
    assert (report.cancelled, report.orphans, report.pending) == (2, 0, 0)


def test_an_explanation_prices_every_tier_and_calls_nobody(place: Place):
    with Router.from_config("pointsman.toml") as router:
        explanation = router.explain(DJANGO)
        assert router.report().attempts == 0
    assert explanation.decision.tier == "power"
    fast, power = explanation.tiers
    assert (fast.tier, fast.model, power.model) == ("fast", "weak/gemma", "strong/smollm2")
    assert fast.worst_case_nanousd is not None
    assert power.worst_case_nanousd is not None
    assert 0 < fast.worst_case_nanousd < power.worst_case_nanousd


@pytest.mark.parametrize("is_stream", [True, False])
def test_feedback_and_tags_reach_the_ledger(place: Place, is_stream: bool):
    with Router.from_config("pointsman.toml") as router:
        answer = router.route(ALICE, stream=is_stream, tags={"team": "red"})
        assert router.feedback(answer.request_id, 0.5)
        assert router.report(by="tag").groups[0].name == "team=red"
