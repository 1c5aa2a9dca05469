"""Whether the same model is asked again, after which wait, and what is told where none is left."""

import pytest
from tests.pipeline.rig import ONE_TIER, TWO_TIERS, Script, asking, outcome, rig

from pointsman.config import TierSettings
from pointsman.core.errors import (
    AllTargetsFailed,
    UpstreamAuth,
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from pointsman.gate.walk import JITTER_S
from pointsman.providers import Timeouts
from pointsman.providers.fake import FakeProvider, Scripted

FINE = "Hello there, and good morning."
ALONE = (TierSettings("weak", ("p/weak",)),)


def limited(after_s: float | None = None) -> Scripted:
    return Scripted(error=UpstreamRateLimited("slow down", retry_after_s=after_s))


# Again, or the next one


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (UpstreamRateLimited("slow down"), ["p/weak", "p/weak"]),
        (UpstreamUnavailable("down"), ["p/weak", "p/weak"]),
        (UpstreamBadResponse("odd"), ["p/weak", "p/weak"]),
        (UpstreamReset("gone"), ["p/weak", "p/weak"]),
        (UpstreamConnect("refused"), ["p/weak", "p/weak-2"]),
        (UpstreamAuth("no"), ["p/weak", "p/weak-2"]),
        (UpstreamModelMissing("no"), ["p/weak", "p/weak-2"]),
        (UpstreamTimeout("late"), ["p/weak", "p/weak-2"]),
    ],
    ids=lambda value: getattr(value, "code", None),
)
async def test_what_may_pass_is_asked_again_and_what_will_not_is_left_for_the_next(
    tmp_path, error: UpstreamError, calls: list[str]
):
    script: Script = {"weak": [Scripted(error=error), FINE], "weak-2": [FINE]}
    async with rig(tmp_path, script, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        assert (got.text, got.attempts, r.fake.calls) == (FINE, 2, calls)


async def test_after_one_retry_the_next_one_is_called(tmp_path):
    script: Script = {"weak": [limited(), limited(), FINE], "weak-2": [FINE]}
    async with rig(tmp_path, script, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        assert got.text == FINE and r.fake.calls == ["p/weak", "p/weak", "p/weak-2"]
        assert len(r.clock.slept) == 1


async def test_many_that_fail_at_once_are_not_all_asked_again(tmp_path):
    async with rig(tmp_path, {"weak": [limited()], "weak-2": [FINE]}, tiers=ONE_TIER) as r:
        for _ in range(20):
            assert (await outcome(r.pipeline, asking())).text == FINE
        # Three at first, then one for every five calls: a deployment's share of retries.
        assert 20 + 3 <= r.fake.calls.count("p/weak") <= 20 + 3 + 20 // 5


async def test_what_has_failed_in_one_tier_is_not_called_again_in_the_next(tmp_path):
    refused = Scripted(error=UpstreamConnect("refused"))
    tiers = (TierSettings("weak", ("p/weak",)), TierSettings("strong", ("p/weak", "p/strong")))
    async with rig(tmp_path, {"weak": [refused], "strong": [FINE]}, tiers=tiers) as r:
        assert (await outcome(r.pipeline, asking())).text == FINE
        assert r.fake.calls == ["p/weak", "p/strong"]


# Who names a time


@pytest.mark.parametrize("after_s", [5.0, 60.0])
async def test_the_only_one_is_waited_for_as_long_as_it_asks(tmp_path, after_s: float):
    async with rig(tmp_path, {"weak": [limited(after_s), FINE]}, tiers=ALONE) as r:
        got = await outcome(r.pipeline, asking())
        assert (got.text, got.attempts) == (FINE, 2)
        (waited_s,) = r.clock.slept
        assert after_s <= waited_s <= after_s + JITTER_S


@pytest.mark.parametrize("tiers", [ONE_TIER, TWO_TIERS], ids=["same tier", "stronger tier"])
async def test_nobody_is_waited_for_where_another_is_left(tmp_path, tiers):
    script: Script = {"weak": [limited(5.0), FINE], "weak-2": [FINE], "strong": [FINE]}
    async with rig(tmp_path, script, tiers=tiers) as r:
        got = await outcome(r.pipeline, asking())
        assert got.text == FINE and r.clock.slept == []
        assert r.fake.calls == ["p/weak", "p/weak-2" if tiers == ONE_TIER else "p/strong"]


async def test_the_last_one_left_is_waited_for(tmp_path):
    refused = Scripted(error=UpstreamConnect("refused"))
    script: Script = {"weak": [refused], "weak-2": [limited(5.0), FINE]}
    async with rig(tmp_path, script, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        assert got.text == FINE and r.fake.calls == ["p/weak", "p/weak-2", "p/weak-2"]
        assert len(r.clock.slept) == 1


async def test_a_model_whose_draft_was_rejected_is_no_other_to_turn_to(tmp_path):
    refusal = "I'm sorry, but I can't help with that."
    script: Script = {"weak": [refusal], "strong": [limited(5.0), FINE]}
    async with rig(tmp_path, script, tiers=TWO_TIERS) as r:
        got = await outcome(r.pipeline, asking(stream=False))
        assert (got.text, got.tier, got.attempts) == (FINE, "strong", 3)


@pytest.mark.parametrize(
    ("after_s", "total_s"), [(61.0, 600.0), (20.0, 10.0)], ids=["a minute", "the request's time"]
)
async def test_a_wait_that_is_too_long_is_told_instead(tmp_path, after_s: float, total_s: float):
    fake = FakeProvider({"weak": [limited(after_s), FINE]})
    timeouts = Timeouts(total_s=total_s)
    async with rig(tmp_path, fake, tiers=ALONE, timeouts=timeouts) as r:
        got = await outcome(r.pipeline, asking())
        assert isinstance(got.error, UpstreamRateLimited) and got.error.message == "slow down"
        assert got.error.retry_after_s == after_s
        assert fake.calls == ["p/weak"] and r.clock.slept == []


async def test_nobody_is_waited_for_after_the_last_attempt_there_may_be(tmp_path):
    names = ("weak", "weak-2", "mid", "strong")
    refused = Scripted(error=UpstreamConnect("refused"))
    script: Script = {name: [refused] for name in names[:3]} | {"strong": [limited(5.0), FINE]}
    tiers = (TierSettings("weak", tuple(f"p/{name}" for name in names)),)
    async with rig(tmp_path, script, tiers=tiers) as r:
        got = await outcome(r.pipeline, asking())
        assert isinstance(got.error, AllTargetsFailed) and len(r.fake.calls) == 4
        assert r.clock.slept == []


async def test_a_retry_never_waits_past_the_request_s_time(tmp_path):
    fake = FakeProvider({"weak": [limited(), FINE]})
    async with rig(tmp_path, fake, tiers=ALONE, timeouts=Timeouts(total_s=0.5)) as r:

        class Late(FakeProvider):
            async def call(self, request, step):
                r.clock.now_s += 0.499
                async for event in super().call(request, step):
                    yield event

        late = Late({"weak": [limited(), FINE]})
        r.pipeline.routing.providers["p"] = late  # type: ignore[index]
        got = await outcome(r.pipeline, asking())
        (waited_s,) = r.clock.slept
        assert waited_s == pytest.approx(0.001)
        assert isinstance(got.error, UpstreamRateLimited) and late.calls == ["p/weak"]


async def test_a_breaker_that_opens_meanwhile_ends_the_retries(tmp_path):
    broken = Scripted(error=UpstreamUnavailable("down"))
    async with rig(tmp_path, {"weak": [broken], "weak-2": [FINE]}, tiers=ONE_TIER) as r:
        for _ in range(4):
            r.fail("p/weak", UpstreamUnavailable("down"))
        got = await outcome(r.pipeline, asking())
        assert got.text == FINE and r.fake.calls == ["p/weak", "p/weak-2"]
        assert r.clock.slept == []


# Where nobody is left


async def test_where_all_name_a_time_the_soonest_is_told(tmp_path):
    script: Script = {"weak": [limited(90.0)], "weak-2": [limited(70.0)]}
    async with rig(tmp_path, script, tiers=ONE_TIER) as r:
        for calls in (2, 0):  # found out, then known
            r.fake.calls.clear()
            got = await outcome(r.pipeline, asking())
            assert isinstance(got.error, UpstreamRateLimited) and got.error.http_status == 429
            assert got.error.retry_after_s == 70.0 and len(r.fake.calls) == calls
            assert len(got.error.attempts) == calls
            assert calls or "p/weak, p/weak-2" in got.error.message


async def test_where_they_fail_in_several_ways_each_is_told_and_when_to_come_back(tmp_path):
    refused = Scripted(error=UpstreamConnect("refused"))
    async with rig(tmp_path, {"weak": [refused], "weak-2": [limited(90.0)]}, tiers=ONE_TIER) as r:
        got = await outcome(r.pipeline, asking())
        assert isinstance(got.error, AllTargetsFailed) and got.error.http_status == 503
        assert "p/weak: upstream_connect; p/weak-2: upstream_rate_limited" in got.error.message
        assert got.error.retry_after_s == 1.0  # the first one does not rest: at once, that is


async def test_where_only_some_name_a_time_it_is_no_rate_limit(tmp_path):
    script: Script = {"weak": [FINE], "weak-2": [FINE]}
    short = Timeouts(total_s=0.5)  # little time is not none
    async with rig(tmp_path, script, tiers=ONE_TIER, timeouts=short) as r:
        r.fail("p/weak", UpstreamRateLimited("slow down", retry_after_s=90.0))
        for _ in range(5):
            r.fail("p/weak-2", UpstreamConnect("refused"))
        probe = r.pipeline.health.begin("p/weak-2", r.clock.now_s, is_retry=False)
        got = await outcome(r.pipeline, asking())
        assert isinstance(got.error, AllTargetsFailed) and r.fake.calls == []
        assert "cooldown" in got.error.message and got.error.attempts == ()
        assert got.error.retry_after_s == pytest.approx(
            r.pipeline.health.rest_left_s("p/weak-2", r.clock.now_s)
        )
        r.pipeline.health.end(probe)
