"""What a request holds on its way, that it gives it back however it ends, and what is denied."""

import asyncio
import json
import logging
from base64 import b64encode
from dataclasses import replace

import msgspec
import pytest
from tests.pipeline.rig import (
    ONE_TIER,
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

from pointsman.budgets import BudgetSettings, SpendSettings
from pointsman.budgets.webhook import TRIES, Webhook
from pointsman.cache import CacheSettings
from pointsman.config import TierSettings
from pointsman.config.settings import PriceSettings
from pointsman.core.errors import BudgetExceeded, UpstreamTimeout, UpstreamUnavailable
from pointsman.core.features import extract
from pointsman.core.grants import Grant
from pointsman.core.usage import Usage
from pointsman.core.wire.splice import splice
from pointsman.pricing import price_from_usd_per_mtok
from pointsman.providers.fake import FakeProvider, Scripted

USAGE = Usage(input_tokens=10, output_tokens=5)
GOOD = Scripted(pieces=("Hello there. ", "Friend."), usage=USAGE)
REFUSED = Scripted(pieces=("I'm sorry, but I can't help with that.",), usage=USAGE)
BROKEN = Scripted(error=UpstreamUnavailable("broken"))
LATE = Scripted(error=UpstreamTimeout("late"))
LARGE = BudgetSettings(daily_usd=1.0)
ASKED = asking(max_tokens=10)
# Nano-USD of one try of "weak": 1,000 a token of input, which is estimated, and 2,000 of output.
WORST = extract(ASKED).input_tokens * 1_000 + 10 * 2_000


def usd(nanousd: float) -> float:
    return nanousd / 1e9


async def booked(found: Rig) -> dict[str, tuple[int, int]]:
    """Return (settled, held) by scope, of the day, once all that was queued is written."""
    await found.settled()
    rows = found.pipeline.stores.ledger.budgets()
    return {row.scope: (row.nanousd, row.held_nanousd) for row in rows if row.window.count("-") > 1}


def summed(found: Rig) -> int:
    """Return what the rows say of money: what is unknown at its worst case."""
    counted = 0
    for row in found.rows():
        if row.settlement.state != "voided":
            cost = row.settlement.cost_nanousd
            counted += (row.intent.worst_case_nanousd or 0) if cost is None else cost
    return counted


async def test_the_whole_plan_is_held_until_the_answer_is_settled(tmp_path):
    fake = StoppingProvider({"weak": [GOOD], "weak-2": [GOOD]}, stops_at=1)
    async with rig(tmp_path, fake, tiers=ONE_TIER, budgets=LARGE) as found:
        asked = asyncio.create_task(outcome(found.pipeline, ASKED))
        await fake.reached.wait()
        assert await booked(found) == {"all": (0, 4 * WORST)}, "two models, each tried twice"
        fake.go_on.set()
        assert (await asked).is_whole
        assert await booked(found) == {"all": (WEAK_NANOUSD, 0)}


@pytest.mark.parametrize(
    "script",
    [
        {"weak": [BROKEN], "strong": [GOOD]},
        {"weak": [LATE], "strong": [GOOD]},
        {"weak": [REFUSED], "strong": [GOOD]},
        {"weak": [REFUSED], "strong": [BROKEN]},
        {"weak": [LATE], "strong": [LATE]},
        {"weak": [Scripted(pieces=("Hel",), error=UpstreamTimeout("late"))], "strong": [GOOD]},
    ],
    ids=["falls back", "times out", "escalates", "a spare", "all fail", "breaks off"],
)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_however_a_plan_ends_the_budget_is_what_its_rows_say(tmp_path, script, stream):
    asked = asking(max_tokens=10, stream=stream)
    async with rig(tmp_path, script, tiers=TWO_TIERS, budgets=LARGE) as found:
        await outcome(found.pipeline, asked)
        assert await booked(found) == {"all": (summed(found), 0)}


@pytest.mark.parametrize("stops_at", [0, 1, 2])
async def test_a_client_that_leaves_gives_back_what_it_held(tmp_path, stops_at):
    fake = StoppingProvider({"weak": [GOOD]}, stops_at=stops_at)
    async with rig(tmp_path, fake, tiers=ONE_TIER[:1], budgets=LARGE) as found:
        asked = asyncio.create_task(outcome(found.pipeline, ASKED))
        await fake.reached.wait()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert await booked(found) == {"all": (summed(found), 0)}


async def test_a_reader_who_takes_no_event_gives_back_what_it_held(tmp_path):
    async with rig(tmp_path, {"weak": [GOOD]}, budgets=LARGE) as found:
        async with found.pipeline.open(ASKED):
            pass
        assert await booked(found) == {"all": (summed(found), 0)}


async def test_what_does_not_fit_is_denied_by_name_and_nobody_is_called(tmp_path):
    budgets = BudgetSettings(daily_usd=usd(WORST - 1))
    async with rig(tmp_path, {"weak": [GOOD]}, budgets=budgets) as found:
        got = await outcome(found.pipeline, ASKED)
        assert isinstance(got.error, BudgetExceeded)
        assert '"all"' in got.error.message and got.error.attempts == ()
        assert found.fake.calls == [] and found.rows() == []
        assert await booked(found) == {"all": (0, 0)}


async def test_where_only_one_try_fits_that_is_made(tmp_path):
    """No phantom denial: the whole plan does not fit, its first step alone does."""
    budgets = BudgetSettings(daily_usd=usd(WORST))
    async with rig(tmp_path, {"weak": [REFUSED]}, tiers=TWO_TIERS, budgets=budgets) as found:
        got = await outcome(found.pipeline, ASKED)
        assert got.is_whole and got.tier == "weak", "nothing stands behind it, so it passes"
        assert len(found.fake.calls) == 1
        assert await booked(found) == {"all": (WEAK_NANOUSD, 0)}
    async with rig(tmp_path, {"weak": [BROKEN]}, tiers=TWO_TIERS, budgets=budgets) as found:
        await outcome(found.pipeline, msgspec.structs.replace(ASKED, model="weak"))
        assert len(found.fake.calls) <= 1, "nor is it tried twice"


@pytest.mark.parametrize("budgets", [LARGE, BudgetSettings()])
async def test_what_is_dearer_than_what_is_held_does_not_go_out(tmp_path, budgets):
    body = splice(ASKED.body, {"service_tier": b'"priority"'})
    asked = msgspec.structs.replace(ASKED, body=body, is_plain=False)

    class Heard(FakeProvider):
        async def call(self, request, step):
            bodies.append(request.body)
            async for event in super().call(request, step):
                yield event

    bodies: list[bytes] = []
    async with rig(tmp_path, Heard({"weak": [GOOD]}), budgets=budgets) as found:
        assert (await outcome(found.pipeline, asked)).is_whole
    assert (b"priority" in bodies[0]) == (budgets is not LARGE)


async def test_what_is_held_is_held_at_the_price_of_the_hour(tmp_path):
    """Some models cost more by day than they did when the configuration was read at night."""
    fake = StoppingProvider({"weak": [GOOD], "weak-2": [GOOD]}, stops_at=1)
    async with rig(tmp_path, fake, tiers=ONE_TIER, budgets=LARGE) as found:
        night = found.pipeline.routing
        by_day = price_from_usd_per_mtok(input=3, output=6)
        found.pipeline.swap(replace(night, price_of=lambda _step: by_day))
        asked = asyncio.create_task(outcome(found.pipeline, ASKED))
        await fake.reached.wait()
        assert await booked(found) == {"all": (0, 3 * 4 * WORST)}
        fake.go_on.set()
        await asked
        assert await booked(found) == {"all": (3 * WEAK_NANOUSD, 0)}


async def test_a_model_of_unknown_price_cannot_be_held_and_is_left_out(tmp_path):
    prices = {"p/strong": PriceSettings(input=10, output=20)}
    script = {"weak": [GOOD], "strong": [GOOD]}
    async with rig(tmp_path, script, tiers=TWO_TIERS, prices=prices, budgets=LARGE) as found:
        got = await outcome(found.pipeline, ASKED)
        assert got.tier == "strong"
        got = await outcome(found.pipeline, msgspec.structs.replace(ASKED, model="weak"))
        assert isinstance(got.error, BudgetExceeded)
        assert '[prices."p/weak"]' in got.error.message
    async with rig(tmp_path, script, tiers=TWO_TIERS, prices=prices) as found:
        assert (await outcome(found.pipeline, ASKED)).is_whole, "without budgets it is served"


async def test_key_and_tag_and_whole_are_held_from_at_once(tmp_path):
    budgets = BudgetSettings(
        daily_usd=1.0,
        keys={"ci": SpendSettings(daily_usd=1.0)},
        tags={"team=search": SpendSettings(daily_usd=1.0)},
    )
    async with rig(tmp_path, {"weak": [GOOD]}, budgets=budgets) as found:
        for tenant, tags in (("ci", (("team", "search"),)), ("other", (("team", "ads"),))):
            caller = msgspec.structs.replace(ASKED.caller, tenant=tenant, tags=tags)
            await outcome(found.pipeline, msgspec.structs.replace(ASKED, caller=caller))
        assert await booked(found) == {
            "all": (2 * WEAK_NANOUSD, 0),
            "key:ci": (WEAK_NANOUSD, 0),
            "tag:team=search": (WEAK_NANOUSD, 0),
        }


async def test_a_key_brings_its_own_budget_without_any_configuration(tmp_path):
    grant = Grant(day_nanousd=WORST, month_nanousd=10 * WORST)
    caller = msgspec.structs.replace(ASKED.caller, tenant="ci", grant=grant)
    async with rig(tmp_path, {"weak": [GOOD]}) as found:
        asked = msgspec.structs.replace(ASKED, caller=caller)
        assert (await outcome(found.pipeline, asked)).is_whole
        got = await outcome(found.pipeline, asked)
        assert isinstance(got.error, BudgetExceeded) and got.error.scope == "key:ci"
        assert await booked(found) == {"key:ci": (WEAK_NANOUSD, 0)}


async def test_hits_followers_and_explanations_hold_nothing(tmp_path):
    fake = StoppingProvider({"weak": [GOOD]}, stops_at=1)
    asked = asking(max_tokens=10, cache="on")
    budgets = BudgetSettings(daily_usd=usd(WORST))
    async with rig(
        tmp_path, fake, tiers=TWO_TIERS, budgets=budgets, cache=CacheSettings(exact=True)
    ) as found:
        found.pipeline.explain(asked)
        both = [asyncio.create_task(outcome(found.pipeline, asked)) for _ in range(5)]
        await fake.reached.wait()
        await passes()
        assert await booked(found) == {"all": (0, WORST)}
        fake.go_on.set()
        got = await asyncio.gather(*both)
        assert all(each.is_whole for each in got)
        assert len(fake.calls) == 1
        assert (await outcome(found.pipeline, asked)).cache == "hit"
        assert await booked(found) == {"all": (WEAK_NANOUSD, 0)}


async def test_a_flight_whose_leader_leaves_goes_on_holding_until_its_end(tmp_path):
    fake = StoppingProvider({"weak": [GOOD]}, stops_at=1)
    asked = asking(max_tokens=10, cache="on")
    async with rig(tmp_path, fake, budgets=LARGE, cache=CacheSettings(exact=True)) as found:
        leader = asyncio.create_task(outcome(found.pipeline, asked))
        await fake.reached.wait()
        follower = asyncio.create_task(outcome(found.pipeline, asked))
        await passes()
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        assert (await booked(found))["all"][1] > 0
        fake.go_on.set()
        assert (await follower).is_whole
        assert await booked(found) == {"all": (WEAK_NANOUSD, 0)}


@pytest.mark.parametrize(
    ("near_end", "first_got"), [("deny", BudgetExceeded), ("downgrade", "weak")]
)
async def test_who_shares_an_answer_is_not_denied_for_the_first_ones_budget(
    tmp_path, near_end, first_got
):
    """The tag's budget has room for one try of "weak", and none for any of "strong"."""
    budgets = BudgetSettings(
        tags={"team=x": SpendSettings(daily_usd=usd(WORST))}, near_end=near_end
    )
    free = asking(max_tokens=10, cache="on", tenant="a")
    bound = msgspec.structs.replace(
        free, caller=msgspec.structs.replace(free.caller, tags=(("team", "x"),))
    )
    async with rig(
        tmp_path,
        {"weak": [GOOD], "strong": [GOOD]},
        tiers=TWO_TIERS,
        default="strong",
        budgets=budgets,
        cache=CacheSettings(exact=True),
    ) as found:
        both = [asyncio.create_task(outcome(found.pipeline, asked)) for asked in (bound, free)]
        first, second = await asyncio.gather(*both)
        assert first_got in (type(first.error), first.tier)
        assert (second.error, second.tier) == (None, "strong")


@pytest.mark.parametrize("near_end", ["deny", "downgrade"])
async def test_where_the_choice_does_not_fit_the_cheapest_tier_may(tmp_path, near_end):
    budgets = BudgetSettings(daily_usd=usd(3 * WORST), near_end=near_end)
    script = {"weak": [GOOD], "strong": [GOOD]}
    async with rig(tmp_path, script, tiers=TWO_TIERS, default="strong", budgets=budgets) as found:
        got = await outcome(found.pipeline, ASKED)
        if near_end == "deny":
            assert isinstance(got.error, BudgetExceeded)
            return
        assert got.is_whole and got.tier == "weak"
        (row,) = found.rows()
        assert "does not fit the budget" in row.intent.reason
        named = await outcome(found.pipeline, msgspec.structs.replace(ASKED, model="strong"))
        assert isinstance(named.error, BudgetExceeded), "who names a tier gets no other"
        bound = await outcome(found.pipeline, msgspec.structs.replace(ASKED, model="auto:strong"))
        assert isinstance(bound.error, BudgetExceeded)


async def test_past_the_share_only_the_cheapest_tier_is_offered_and_not_kept(tmp_path):
    """What stands against the budget is known from the ledger's table at the start."""
    budgets = BudgetSettings(daily_usd=usd(100 * WORST), near_end="downgrade", warn_share=0.01)
    script = {"weak": [REFUSED], "strong": [GOOD]}
    cached = asking(max_tokens=10, cache="on")
    async with rig(tmp_path, script, tiers=TWO_TIERS, default="strong", budgets=budgets) as found:
        assert (await outcome(found.pipeline, ASKED)).tier == "strong"
    async with rig(
        tmp_path,
        script,
        tiers=TWO_TIERS,
        default="strong",
        budgets=budgets,
        cache=CacheSettings(exact=True),
    ) as found:
        for _ in range(2):
            async with found.pipeline.open(cached) as stream:
                assert "nearly spent" in stream.decision.reason
                answer = await stream.collect()
            assert (answer.tier, answer.cache) == ("weak", "miss"), "not served in strong's name"
        assert (await outcome(found.pipeline, msgspec.structs.replace(ASKED, model="strong"))).tier


async def test_warnings_come_once_for_each_threshold(tmp_path, caplog):
    budgets = BudgetSettings(daily_usd=usd(4 * WORST), warn_share=0.5)
    async with rig(tmp_path, {"weak": [GOOD]}, tiers=ONE_TIER, budgets=budgets) as found:
        with caplog.at_level(logging.WARNING, "pointsman"):
            while (await outcome(found.pipeline, ASKED)).error is None:
                assert len(found.rows()) < 50
            await outcome(found.pipeline, ASKED)
    told = [r.getMessage() for r in caplog.records if 'budget "all"' in r.getMessage()]
    assert [("threshold 50%" in line, "threshold 100%" in line) for line in told] == [
        (True, False),
        (False, True),
    ]


async def test_the_webhook_is_told_in_json_three_times_at_most_and_its_url_nowhere(caplog):
    sent: list[tuple[str, bytes]] = []
    replies: list[int | Exception] = [
        500,
        OSError("https://secret.example/canary"),
        204,
        404,
        404,
        404,
    ]

    async def post(url: str, body: bytes) -> int:
        sent.append((url, body))
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    class Instant:
        def monotonic_s(self) -> float:
            return 0.0

        def wall_ns(self) -> int:
            return 0

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0)

    webhook = Webhook(Instant(), post)
    with caplog.at_level(logging.DEBUG):
        webhook.send("https://secret.example/canary", {"event": "budget", "scope": "all"})
        await until(lambda: len(sent) == 3)
        await passes()
        webhook.send("https://secret.example/canary", {"event": "budget", "scope": "key:ci"})
        await until(lambda: len(sent) == 6)
        await passes()
    assert [json.loads(body)["scope"] for _, body in sent] == ["all"] * 3 + ["key:ci"] * 3
    assert "canary" not in caplog.text
    assert f"not reached in {TRIES} tries: status 404" in caplog.text
    await webhook.aclose()


async def test_the_configured_webhook_hears_of_a_budget(tmp_path):
    heard: list[bytes] = []
    heads: list[bytes] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        heard.append(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    budgets = BudgetSettings(daily_usd=usd(WORST), warn_share=0.5, webhook_env="HOOK")
    async with (
        server,
        rig(
            tmp_path,
            {"weak": [GOOD]},
            tiers=ONE_TIER,
            budgets=budgets,
            env={"HOOK": f"http://me:p%40ss@127.0.0.1:{port}/hook?to=ops#part"},
        ) as found,
    ):
        while (await outcome(found.pipeline, ASKED)).error is None:
            assert len(found.rows()) < 50
        await asyncio.wait_for(done.wait(), 20)
    told = json.loads(heard[-1])
    assert (told["event"], told["scope"]) == ("budget", "all")
    assert told["limit_usd"] == pytest.approx(usd(WORST))
    assert heads[-1].startswith(b"POST /hook?to=ops HTTP/1.1\r\n")
    assert b"\r\nauthorization: Basic " + b64encode(b"me:p@ss") + b"\r\n" in heads[-1]


def tiers(*names: str) -> tuple[TierSettings, ...]:
    return tuple(TierSettings(name, (f"p/{name}",)) for name in names)


async def test_requests_at_once_never_pass_the_limit_and_all_that_fits_is_let_in(tmp_path):
    """Each holds one try's worst case; all settle for less; none that fitted was denied."""
    count, room = 60, 7
    budgets = BudgetSettings(daily_usd=usd(room * WORST))
    fake = StoppingProvider({"weak": [GOOD] * count}, stops_at=1)
    async with rig(tmp_path, fake, tiers=tiers("weak"), budgets=budgets) as found:
        asked = [asyncio.create_task(outcome(found.pipeline, ASKED)) for _ in range(count)]
        await until(lambda: sum(task.done() for task in asked) >= count - room)
        (_, held) = (await booked(found))["all"]
        assert held <= room * WORST and len(fake.calls) * WORST <= room * WORST
        fake.go_on.set()
        got = await asyncio.gather(*asked)
        served = sum(each.is_whole for each in got)
        assert all(each.is_whole or isinstance(each.error, BudgetExceeded) for each in got)
        assert served == len(fake.calls)
        assert await booked(found) == {"all": (served * WEAK_NANOUSD, 0)}
        # What is left now fits: it was only held.
        assert (await outcome(found.pipeline, ASKED)).is_whole
