"""Any plan with any replies ends in an answer or an error, and the books add up."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline.rig import PRICES, WEAK_NANOUSD, Rig, asking, outcome, rig

from pointsman.config import TierSettings
from pointsman.core import errors
from pointsman.core.usage import Usage
from pointsman.providers.fake import Scripted
from pointsman.validators import ValidationSettings

MODELS = ("weak", "weak-2", "mid", "strong")
ERRORS = (
    errors.UpstreamRateLimited("slow"),
    errors.UpstreamRateLimited("slow", retry_after_s=5.0),
    errors.UpstreamRateLimited("slow", retry_after_s=500.0),
    errors.UpstreamUnavailable("broken"),
    errors.UpstreamConnect("refused"),
    errors.UpstreamAuth("no"),
    errors.UpstreamTimeout("late"),
    errors.UpstreamReset("gone"),
    errors.UpstreamBadResponse("odd"),
    errors.UpstreamTooLarge("large"),
    errors.UpstreamRejected("bad", status=422, body=b"{}"),
    errors.ContextLengthExceeded("long", status=400, body=b"{}"),
)
PIECES = ("Hello there. ", "I'm sorry, but I can't help with that.", "", "x" * 400)

replies = st.builds(
    Scripted,
    pieces=st.lists(st.sampled_from(PIECES), max_size=3).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "content_filter"]),
    usage=st.sampled_from([None, Usage(input_tokens=10, output_tokens=5)]),
    error=st.none() | st.sampled_from(ERRORS),
)
scripts = st.fixed_dictionaries({m: st.lists(replies, min_size=1, max_size=3) for m in MODELS})
chains = st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique=True)
plans = st.lists(chains, min_size=1, max_size=3)
asks = st.fixed_dictionaries(
    {"stream": st.booleans(), "cache": st.sampled_from(["on", "off", "refresh"])}
)


@settings(max_examples=60)
@given(
    plan=plans,
    script=scripts,
    asked=st.lists(asks, min_size=1, max_size=4),
    policy=st.sampled_from(["signals", "cascade"]),
    hold_chars=st.sampled_from([0, 5, 2000]),
    is_at_once=st.booleans(),
)
def test_every_request_ends_and_its_books_add_up(
    plan, script, asked, policy, hold_chars, is_at_once
):
    tiers = [
        TierSettings(f"t{number}", tuple(f"p/{model}" for model in chain))
        for number, chain in enumerate(plan)
    ]

    async def run(folder: str) -> None:
        async with rig(
            Path(folder),
            script,
            tiers=tiers,
            default="t0",
            policy=policy,
            validation=ValidationSettings(stream_hold_chars=hold_chars),
        ) as r:
            requests = [asking(request_id=f"r{i}", **more) for i, more in enumerate(asked)]
            if is_at_once:
                outcomes = await asyncio.gather(*(outcome(r.pipeline, ask) for ask in requests))
            else:
                outcomes = [await outcome(r.pipeline, ask) for ask in requests]
            await r.settled()
            for request, got in zip(requests, outcomes, strict=True):
                check(r, request.caller.request_id, got)
            assert r.fake.open_calls == 0
            booked = [row for row in r.rows() if row.settlement.outcome != "hit"]
            assert len(booked) == len(r.fake.calls)
            for record in r.pipeline.health._records.values():
                assert (record.in_flight, record.retrying) == (0, 0)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))


def check(r: Rig, request_id: str, got) -> None:
    rows = r.rows(request_id)
    assert got.is_whole is (got.error is None)
    assert [row.intent.attempt for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) <= 4 and all(row.settlement.outcome != "pending" for row in rows)
    names = [row.intent.deployment for row in rows]
    assert all(names.count(name) <= 2 for name in names)
    if got.cache == "hit":
        # A follower of a flight that broke off has no row: it was charged nothing.
        assert got.cost_nanousd in (0, None) and len(rows) == (1 if got.is_whole else 0)
    elif got.error is None:
        assert len(rows) == got.attempts and rows[-1].settlement.outcome in (
            "answered",
            "rejected",
            "failed",
        )
        assert got.cost_nanousd == sum(row.settlement.cost_nanousd or 0 for row in rows)
    elif rows:
        assert len(rows) == len(got.error.attempts)
    for row in rows:
        end = row.settlement
        assert (end.state == "unknown") is (end.cost_nanousd is None)
        assert end.state != "voided" or end.cost_nanousd == 0


def test_the_prices_cover_the_models():
    assert {f"p/{model}" for model in MODELS} <= PRICES.keys() and WEAK_NANOUSD > 0
