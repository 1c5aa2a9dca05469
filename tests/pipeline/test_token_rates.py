"""A key's tokens a minute: held before the first call, counted as they were used, on every path."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.pipeline.rig import (
    ONE_TIER,
    TWO_TIERS,
    Outcome,
    Rig,
    StoppingProvider,
    asking,
    outcome,
    rig,
    until,
)

from pointsman.access.rates import OwnUses, Use
from pointsman.core.errors import UpstreamRejected
from pointsman.core.grants import EVERYTHING, Grant
from pointsman.core.types import Request
from pointsman.providers.fake import FakeProvider, Scripted

FINE = "Hello there, and good morning."
BAD = "I'm sorry, but I can't help with that."
USED = 15  # of every scripted answer: 10 in, 5 out
LIMIT = 100


def keyed(
    text: str = "Say hello.", *, limit: int | None = LIMIT, max_tokens: int = 20, **asked: Any
) -> Request:
    """Return a request of a key with so many tokens a minute."""
    request = asking(text, max_tokens=max_tokens, **asked)
    grant = EVERYTHING if limit is None else Grant(tokens_per_minute=limit)
    caller = msgspec.structs.replace(request.caller, tenant="web", grant=grant)
    return msgspec.structs.replace(request, caller=caller)


def use_of(r: Rig) -> Use:
    uses = r.pipeline._tokens._uses
    assert isinstance(uses, OwnUses)
    return uses._keys["web"]


def used(r: Rig) -> int:
    """Return what counts for the key now; nothing may be in flight."""
    use = use_of(r)
    assert not use.here, "what is over holds nothing"
    return use.minute.used(r.clock.now_s)


def code(got: Outcome) -> str:
    return "" if got.error is None else got.error.code


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_used_counts_and_hits_do_not(tmp_path: Path, cache: str, stream: bool):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        for number in range(3):
            got = await outcome(r.pipeline, keyed("the same", cache=cache, stream=stream))
            assert code(got) == ""
            assert used(r) == (USED if cache == "on" else USED * (number + 1))


async def test_a_request_waits_for_room_and_the_time_told_is_right(tmp_path: Path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        refused = None
        for number in range(20):
            got = await outcome(r.pipeline, keyed(f"number {number}", cache="off"))
            if got.error is not None:
                refused = got.error
                break
        assert refused is not None
        assert refused.code == "rate_limited"
        assert refused.retry_after_s is not None
        assert used(r) == number * USED <= LIMIT
        assert len(r.fake.calls) == number
        r.clock.now_s += refused.retry_after_s - 0.5
        assert code(await outcome(r.pipeline, keyed(cache="off"))) == "rate_limited"
        r.clock.now_s += 0.5
        assert code(await outcome(r.pipeline, keyed(cache="off"))) == ""


async def test_every_attempt_counts(tmp_path: Path):
    async with rig(tmp_path, {"weak": [BAD], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        assert code(await outcome(r.pipeline, keyed())) == ""
        assert len(r.fake.calls) == 2
        assert used(r) == 2 * USED


@pytest.mark.parametrize("cache", ["on", "off"])
async def test_a_failure_gives_back_what_it_held(tmp_path: Path, cache: str):
    error = UpstreamRejected("no", status=400, body=b"{}")
    async with rig(tmp_path, {"weak": [Scripted(error=error)]}, tiers=ONE_TIER) as r:
        assert code(await outcome(r.pipeline, keyed(cache=cache))) == "upstream_rejected"
        assert used(r) == 0


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("stops_at", [0, 2])
async def test_who_leaves_gives_back_what_it_held_but_its_input(
    tmp_path: Path, cache: str, stops_at: int
):
    provider = StoppingProvider({"weak": [FINE]}, stops_at=stops_at)
    async with rig(tmp_path, provider, tiers=ONE_TIER) as r:
        task = asyncio.create_task(outcome(r.pipeline, keyed(cache=cache)))
        await provider.reached.wait()
        assert use_of(r).here > 20
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        provider.go_on.set()
        await until(lambda: not use_of(r).here)
        assert 0 < used(r) <= USED


async def test_those_who_join_a_flight_hold_nothing(tmp_path: Path):
    provider = StoppingProvider({"weak": [FINE]}, stops_at=1)
    async with rig(tmp_path, provider, tiers=ONE_TIER) as r:
        same = keyed("same", cache="on")
        tasks = [asyncio.create_task(outcome(r.pipeline, same)) for _ in range(10)]
        await provider.reached.wait()
        provider.go_on.set()
        assert {code(got) for got in await asyncio.gather(*tasks)} == {""}
        assert used(r) == USED


async def test_many_at_once_never_hold_more_than_the_limit(tmp_path: Path):
    most = 0

    class Watching(FakeProvider):
        def call(self, request: Any, step: Any) -> Any:
            nonlocal most
            use = use_of(r)
            most = max(most, use.here + use.minute.used(r.clock.now_s))
            return super().call(request, step)

    async with rig(tmp_path, Watching({"weak": [FINE]}), tiers=ONE_TIER) as r:
        asked = (outcome(r.pipeline, keyed(f"n {n}", cache="off")) for n in range(50))
        codes = [code(got) for got in await asyncio.gather(*asked)]
        assert 0 < most <= LIMIT
        assert set(codes) == {"", "rate_limited"}
        assert used(r) == codes.count("") * USED


async def test_without_a_limit_nothing_is_kept(tmp_path: Path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        assert code(await outcome(r.pipeline, keyed(limit=None))) == ""
        assert vars(r.pipeline._tokens._uses) == {"_keys": {}}


async def test_an_answer_without_a_bound_goes_alone(tmp_path: Path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        unbounded = keyed("no bound", cache="off", max_tokens=10**6)
        assert code(await outcome(r.pipeline, unbounded)) == ""
        assert code(await outcome(r.pipeline, unbounded)) == "rate_limited"
        assert code(await outcome(r.pipeline, keyed(cache="off"))) == ""
