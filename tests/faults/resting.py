"""Targets that rest, are waited for, or cannot be reached: rows 1, 3 to 6, 16, 27 and 28."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tests.faults import behaviours as does
from tests.faults import upstream as up
from tests.faults.before_content import TOO_LONG
from tests.faults.cells import Case, P, Place, Script, X, Z, check_answered, check_refused
from tests.faults.door import ALONE, TWO

from pointsman.config import ModelSettings, TierSettings
from pointsman.core.health import FAILURES_IN_ROW_MAX, OPEN_S, PROBE_EVERY_S

LIMITED, DOWN = "upstream_rate_limited", "upstream_unavailable"
REQUESTS = 20


async def never_called_early(place: Place) -> None:
    """Have a target name a time, then a shorter one by another request: it keeps to the later."""
    slow = asyncio.Event()
    shorter = does.waits(slow, does.fails(429, Retry_After="5"))
    script: Script = {"weak": [shorter, does.fails(429, Retry_After="120"), does.answers()]}
    async with place.door(script) as door:
        first = asyncio.create_task(door.ask())
        await door.until(lambda: door.upstream.seen)
        longer = await door.ask()
        await check_refused(door, longer, 429, LIMITED, [("weak", Z, LIMITED)], 120)
        slow.set()
        await check_refused(door, await first, 429, LIMITED, [("weak", Z, LIMITED)], 120)
        door.clock.now_s += 119
        await check_refused(door, await door.ask(), 429, LIMITED, [], 1)
        assert len(door.upstream.seen) == 2
        door.clock.now_s += 1
        await check_answered(door, await door.ask(), [("weak", X, "")])


async def waited_for(place: Place) -> None:
    """Have the only target name a time that is soon: the client waits and is answered."""
    async with place.door({"weak": [does.fails(429, Retry_After="7"), does.answers()]}) as door:
        got = await door.ask()
        await check_answered(door, got, [("weak", Z, LIMITED), ("weak", X, "")])
        (waited_s,) = door.clock.slept
        assert 7 <= waited_s <= 7.25


async def shortest_told(place: Place) -> None:
    """Have two targets name a time: the client is told the shorter one."""
    script: Script = {
        "weak": does.fails(429, Retry_After="300"),
        "weak-2": does.fails(429, Retry_After="90"),
    }
    async with place.door(script, tiers=TWO) as door:
        booked = [("weak", Z, LIMITED), ("weak-2", Z, LIMITED)]
        await check_refused(door, await door.ask(), 429, LIMITED, booked, 90)


async def retried_within_share(place: Place) -> None:
    """Have one of two targets be dead: all are answered, and few calls go to it in vain."""
    script: Script = {"weak": does.fails(503), "weak-2": does.answers()}
    async with place.door(script, tiers=TWO) as door:
        many = await asyncio.gather(*(door.ask() for _ in range(REQUESTS)))
        assert all(door.heard(got).ending == "stop" and got.is_whole for got in many)
        assert door.upstream.calls("weak-2") == REQUESTS
        assert door.upstream.calls("weak") <= 1.2 * REQUESTS


async def breaker_opens(place: Place) -> None:
    """Have a target fail in a row: it is called no more until its rest is over."""
    script: Script = {"weak": does.fails(500), "weak-2": does.answers()}
    async with place.door(script, tiers=TWO) as door:
        while door.upstream.calls("weak") < FAILURES_IN_ROW_MAX:
            assert (await door.ask()).status == 200
        for _ in range(3):
            await check_answered(door, await door.ask(), [("weak-2", X, "")])
        assert door.upstream.calls("weak") == FAILURES_IN_ROW_MAX


async def refused_port(place: Place) -> None:
    """Have nobody listen: each target is tried once, and the client is told."""
    async with place.door({}, tiers=TWO, base_url=up.refused_url()) as door:
        code = "upstream_connect"
        booked = [("weak", Z, code), ("weak-2", Z, code)]
        await check_refused(door, await door.ask(), 502, code, booked)


async def no_such_host(place: Place) -> None:
    """Have the host's name lead nowhere."""
    async with place.door({}, base_url="http://nowhere.invalid/v1") as door:
        code = "upstream_connect"
        await check_refused(door, await door.ask(), 502, code, [("weak", Z, code)])


async def no_tls(place: Place) -> None:
    """Have the other end speak no TLS: nothing of the request is sent."""
    async with plain_listener() as (url, heard), place.door({}, base_url=url) as door:
        code = "upstream_connect"
        await check_refused(door, await door.ask(), 502, code, [("weak", Z, code)])
        assert heard and b"HTTP/1.1" not in b"".join(heard)


@asynccontextmanager
async def plain_listener() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Listen where TLS is expected, without any; yield the address and what came."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(up.head(400, Content_Length="0"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", heard


async def relayed_as_it_came(place: Place) -> None:
    """Have the upstream say what is wrong with a request: its own words reach the client."""
    said = place.dialect.error(422, "temperature: 3 is too hot")
    async with place.door({"weak": up.reply(422, said)}) as door:
        got = await door.ask()
        assert (got.status, got.body) == (422, said)
        assert door.pipeline.health.is_ready("p/weak", door.clock.now_s)


async def parked(status: int, place: Place) -> None:
    """Have our key be refused: later requests do not even ask there."""
    script: Script = {"weak": does.fails(status), "weak-2": does.answers()}
    async with place.door(script, tiers=TWO) as door:
        for _ in range(3):
            assert (await door.ask()).status == 200
        assert (door.upstream.calls("weak"), door.upstream.calls("weak-2")) == (1, 3)


async def larger_window(place: Place) -> None:
    """Have a prompt be too long for one: only those with a larger window are asked."""
    small, same, large = (
        ModelSettings(f"p/{name}", context_tokens=tokens)
        for name, tokens in (("small", 4096), ("same", 4096), ("large", 32_768))
    )
    full = does.fails(400, TOO_LONG, "context_length_exceeded")
    script: Script = {"small": full, "same": full, "large": [does.answers(), full]}
    code = "context_length_exceeded"
    async with place.door(script, tiers=(TierSettings("weak", (small, same, large)),)) as door:
        got = await door.ask()
        assert door.heard(got).ending == "stop"
        assert await door.booked(got) == [("small", Z, code), ("large", X, "")]
        again = await door.ask()
        booked = [("small", Z, code), ("large", Z, code)]
        await check_refused(door, again, 400, code, booked, is_relayed=True)
        assert again.body == place.dialect.error(400, TOO_LONG, code)
        assert [door.upstream.calls(name) for name in ("small", "same", "large")] == [2, 0, 2]


async def too_long_for_all(place: Place) -> None:
    """Have a prompt be too long for the only target: the client is told in the upstream's words."""
    code = "context_length_exceeded"
    async with place.door({"weak": does.fails(400, TOO_LONG, code)}) as door:
        got = await door.ask()
        await check_refused(door, got, 400, code, [("weak", Z, code)], is_relayed=True)
        assert got.body == place.dialect.error(400, TOO_LONG, code)
        assert door.pipeline.health.is_ready("p/weak", door.clock.now_s)


async def all_down(place: Place) -> None:
    """Have all targets fail, each in its way: the client is told of each attempt."""
    script: Script = {"weak": does.fails(500), "weak-2": does.fails(401)}
    async with place.door(script, tiers=TWO) as door:
        got = await door.ask()
        booked = [("weak", P, DOWN), ("weak", P, DOWN), ("weak-2", Z, "upstream_auth")]
        await check_refused(door, got, 503, "all_targets_failed", booked, 1)
        attempts = json.loads(got.body)["error"]["attempts"]
        told = [(attempt["deployment"], attempt["outcome"]) for attempt in attempts]
        assert told == [(f"p/{model}", error) for model, _, error in booked]


async def probed_once_a_second(place: Place) -> None:
    """Have the only target be down: one call a second finds out when it is back."""
    down = does.fails(401)
    async with place.door({"weak": [down, down, does.answers()]}) as door:
        await door.ask()
        many = await asyncio.gather(*(door.ask() for _ in range(10)))
        assert len(door.upstream.seen) == 2
        assert sorted(got.status for got in many) == [502] + [503] * 9
        for got in many:
            if got.status == 503:
                await check_refused(door, got, 503, "all_targets_failed", [], 300)
        door.clock.now_s += PROBE_EVERY_S
        await check_answered(door, await door.ask(), [("weak", X, "")])
        await check_answered(door, await door.ask(), [("weak", X, "")])


async def flapping(place: Place) -> None:
    """Have a target come and go: all are answered, and one call at a time finds out."""
    back = asyncio.Event()
    script: Script = {
        "weak": [*[does.fails(500)] * FAILURES_IN_ROW_MAX, does.waits(back, does.answers())],
        "weak-2": does.answers(),
    }
    async with place.door(script, tiers=TWO) as door:
        while door.upstream.calls("weak") < FAILURES_IN_ROW_MAX:
            assert (await door.ask()).status == 200
        door.clock.now_s += OPEN_S
        probe = asyncio.create_task(door.ask())
        await door.until(lambda: door.upstream.calls("weak") == FAILURES_IN_ROW_MAX + 1)
        for _ in range(3):  # it is being found out, so the others do not ask there
            await check_answered(door, await door.ask(), [("weak-2", X, "")])
        back.set()
        await check_answered(door, await probe, [("weak", X, "")])
        await check_answered(door, await door.ask(), [("weak", X, "")])


async def last_one_stays(place: Place) -> None:
    """Have the only target answer now and then: it is asked for every request."""
    script: Script = {"weak": [does.fails(500), does.fails(500), does.answers()] * 4}
    async with place.door(script, tiers=ALONE) as door:
        for status in (503, 200) * 4:
            calls = len(door.upstream.seen)
            assert (await door.ask()).status == status
            assert len(door.upstream.seen) > calls


CASES = (
    Case(1, "never called before its time", never_called_early),
    Case(1, "waited for when that is soon", waited_for),
    Case(1, "the shortest wait is told", shortest_told),
    Case(3, "retries keep within their share", retried_within_share),
    Case(3, "its breaker opens", breaker_opens),
    Case(4, "refused", refused_port),
    Case(4, "no such host", no_such_host),
    Case(4, "no TLS", no_tls),
    Case(5, "its own words are relayed", relayed_as_it_came),
    *(Case(6, f"{status}: it rests", partial(parked, status)) for status in (401, 403, 404)),
    Case(16, "too long for the only one", too_long_for_all),
    Case(16, "only larger windows are asked", larger_window),
    Case(27, "told with the attempts", all_down),
    Case(27, "one probe a second", probed_once_a_second),
    Case(28, "one probe at a time", flapping),
    Case(28, "the last one is never ejected", last_one_stays),
)
