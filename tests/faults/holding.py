"""What pointsman itself stands on: disk, lock, clock, configuration, cache; rows 21 to 32."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.faults import behaviours as does
from tests.faults.cells import (
    Case,
    NotHere,
    Place,
    Script,
    X,
    Z,
    check_answered,
)
from tests.faults.door import LEDGER, TWO, Door, Got, Wire, locked
from tests.faults.spoken import TEXT
from tests.ledger.test_sqlite import fill
from tests.server.doors import TOML

from pointsman.assembly import build_routing
from pointsman.cache import CacheSettings
from pointsman.config import parse_settings
from pointsman.core.errors import ConfigError

HOUR_S = 3600.0
SAME = "Say hello to all of us."
CROWD, IDLE, LONG_RUN = 50, 50, 40
LOST = "ledger_unavailable"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 1 MB. Raises NotHere where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotHere("may not mount a file system here") from error
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def disk_full(place: Place) -> None:
    """Have the disk be full: what runs ends and is booked, nothing new is called, until it is."""
    go_on = asyncio.Event()
    script: Script = {"weak": [does.waits(go_on), does.answers()]}
    with small_disk(place.folder):
        async with place.door(script) as door:
            running = await door.begin()
            await door.until(lambda: door.upstream.seen)
            filler = place.folder / "filler"
            fill(filler)
            await check_closed(door)
            go_on.set()
            got = await running.rest()
            states = [row.settlement.state for row in door.pipeline.stores.ledger.rows()]
            assert states == [X]  # by the spare, before the answer's last byte
            await check_closed(door)
            filler.unlink()
            await check_answered(door, await door.ask(), [("weak", X, "")])
            await check_answered(door, got, [("weak", X, "")])
            assert len(door.upstream.seen) == 2


async def check_closed(door: Door) -> None:
    """Check that a new request calls nobody and is told so, without what SQLite says."""
    calls, got = len(door.upstream.seen), await door.ask()
    assert (got.status, got.headers["x-should-retry"]) == (503, "false")
    door.dialect.check_error(got.body, status=503, code=LOST, request_id=got.request_id)
    assert got.headers["x-pointsman-attempts"] == "0"
    assert b"database" not in got.body and LEDGER.encode() not in got.body, got.body
    assert len(door.upstream.seen) == calls


async def lock_waited_out(place: Place) -> None:
    """Have another process hold the ledger's lock for a while: the client waits, that is all."""
    async with place.door({"weak": does.answers()}, busy_s=60.0) as door:
        with locked(place.folder), door.reserving() as reached:
            running = await door.begin()
            await reached.wait()
            assert not door.upstream.seen
        await check_answered(door, await running.rest(), [("weak", X, "")])


async def lock_held(place: Place) -> None:
    """Have it hold the lock for too long: nobody is called; what runs is booked afterwards."""
    go_on = asyncio.Event()
    script: Script = {"weak": [does.waits(go_on), does.answers()]}
    async with place.door(script, busy_s=0.05) as door:
        running = await door.begin()
        await door.until(lambda: door.upstream.seen)
        with locked(place.folder):
            await check_closed(door)
            go_on.set()
            got = await running.rest()
        assert door.heard(got).ending == "stop" and got.is_whole
        await check_answered(door, await door.ask(), [("weak", X, "")])
        await check_answered(door, got, [("weak", X, "")])


async def clock_jumps(ahead_s: float, place: Place) -> None:
    """Have the wall clock jump while a request runs and a target rests: neither notices."""
    go_on = asyncio.Event()
    limited = does.fails(429, Retry_After="120")
    script: Script = {"weak": [limited, does.answers()], "weak-2": does.waits(go_on)}
    async with place.door(script, tiers=TWO) as door:
        running = await door.begin()
        await door.until(lambda: door.upstream.calls("weak-2"))
        door.clock.now_s += 1
        door.clock.ahead_s = ahead_s
        go_on.set()
        got = await running.rest()
        limit = ("weak", Z, "upstream_rate_limited")
        await check_answered(door, got, [limit, ("weak-2", X, "")])
        assert (await door.rows(got))[-1].settlement.latency_ms == 1000
        await check_answered(door, await door.ask(), [("weak-2", X, "")])
        door.clock.now_s += 119
        await check_answered(door, await door.ask(), [("weak", X, "")])


async def bad_reload(place: Place) -> None:
    """Have a reload be refused: the old configuration serves on, also what runs."""
    go_on = asyncio.Event()
    script: Script = {"weak": [does.waits(go_on), does.answers()]}
    async with place.door(script) as door:
        running = await door.begin()
        await door.until(lambda: door.upstream.seen)
        with pytest.raises(ConfigError, match=r"new\.toml, line \d+: routing\.polcy"):
            parse_settings(f'{TOML}[routing]\npolcy = "signals"\n', "new.toml", {})
        go_on.set()
        await check_answered(door, await running.rest(), [("weak", X, "")])
        await check_answered(door, await door.ask(), [("weak", X, "")])


async def good_reload(place: Place) -> None:
    """Have a reload bring other models: what runs ends with the old, the next asks the new."""
    go_on = asyncio.Event()
    script: Script = {"weak": does.waits(go_on), "weak-2": does.answers()}
    async with place.door(script) as door:
        running = await door.begin()
        await door.until(lambda: door.upstream.seen)
        (tier,) = TWO
        door.pipeline.swap(build_routing(door.with_models(tier.models[1:]), {}, clock=door.clock))
        await check_answered(door, await door.ask(), [("weak-2", X, "")])
        go_on.set()
        await check_answered(door, await running.rest(), [("weak", X, "")])


async def crowd(place: Place) -> None:
    """Have many ask the same at once: one call, the same answer for all, one bill."""
    go_on = asyncio.Event()
    async with place.door({"weak": does.waits(go_on)}) as door:
        wires = [await door.begin(SAME) for _ in range(CROWD)]
        await door.until(lambda: door.in_flight == CROWD)
        go_on.set()
        many = [await wire.rest() for wire in wires]
        assert all(got.is_whole and door.heard(got).text == TEXT for got in many)
        assert len(door.upstream.seen) == 1
        hits = [got for got in many if got.headers["x-pointsman-cache"] == "hit"]
        assert len(hits) == CROWD - 1
        assert {got.headers["x-pointsman-attempts"] for got in hits} == {"0"}
        (leader,) = [got for got in many if got not in hits]
        await check_answered(door, leader, [("weak", X, "")])
        costs = [row.settlement.cost_nanousd for row in await door.rows()]
        assert len(costs) == CROWD and sorted(costs)[:-1] == [0] * (CROWD - 1)  # type: ignore[type-var]


async def leader_leaves(place: Place) -> None:
    """Have the first of several leave: the call goes on for the others."""
    go_on = asyncio.Event()
    async with place.door({"weak": does.waits(go_on)}) as door:
        leader = await door.begin(SAME)
        await door.until(lambda: door.upstream.seen)
        follower = await door.begin(SAME)
        await door.until(lambda: door.in_flight == 2)
        leader.leave()
        await door.until(lambda: door.in_flight == 1)
        go_on.set()
        got = await follower.rest()
        assert got.is_whole and door.heard(got).text == TEXT
        assert len(door.upstream.seen) == 1


async def leader_fails(place: Place) -> None:
    """Have the one call fail, and its retry: its reader is told, another makes one for the rest."""
    go_on = asyncio.Event()
    script: Script = {"weak": [does.waits(go_on, does.fails(503)), does.fails(503), does.answers()]}
    async with place.door(script) as door:
        wires = [await door.begin(SAME) for _ in range(3)]
        await door.until(lambda: door.in_flight == 3 and door.upstream.seen)
        go_on.set()
        many = sorted([await wire.rest() for wire in wires], key=lambda got: got.status)
        assert [got.status for got in many] == [200, 200, 503]
        assert [door.heard(got).ending for got in many[:2]] == ["stop", "stop"]
        place.dialect.check_error(
            many[2].body, status=503, code="upstream_unavailable", request_id=many[2].request_id
        )
        assert len(door.upstream.seen) == 3


async def cache_damaged(place: Place) -> None:
    """Have what is kept be damaged on the disk: it is a miss, and the answer is asked for anew."""
    path = place.folder / "cache.db"
    cache = CacheSettings(path=str(path))
    async with place.door({"weak": does.answers()}, cache=cache) as door:
        await check_answered(door, await door.ask(SAME), [("weak", X, "")])
        assert (await door.ask(SAME)).headers["x-pointsman-cache"] == "hit"
    with closing(sqlite3.connect(path)) as file, file:
        for rowid, value in file.execute("SELECT rowid, value FROM entries").fetchall():
            broken = bytes([*value[:-9], value[-9] ^ 1, *value[-8:]])
            file.execute("UPDATE entries SET value = ? WHERE rowid = ?", (broken, rowid))
    async with place.door({"weak": does.answers()}, cache=cache) as door:
        got = await door.ask(SAME)
        assert got.headers["x-pointsman-cache"] == "miss"
        await check_answered(door, got, [("weak", X, "")])
        assert len(door.upstream.seen) == 1


async def idle_crowd(place: Place) -> None:
    """Have many streams, or calls, be idle at once: a new one is served, and all end well."""
    go_on = asyncio.Event()
    script: Script = {"weak": [*[does.waits(go_on)] * IDLE, does.answers()]}
    async with place.door(script) as door:
        wires: list[Wire] = [await door.begin() for _ in range(IDLE)]
        await door.until(lambda: len(door.upstream.seen) == IDLE)
        await check_answered(door, await door.ask(), [("weak", X, "")])
        go_on.set()
        many: list[Got] = [await wire.rest() for wire in wires]
        assert all(got.is_whole and door.heard(got).ending == "stop" for got in many)


async def long_run(place: Place) -> None:
    """Have many requests come one after the other: nothing piles up."""
    async with place.door({"weak": does.answers()}) as door:
        await door.ask()
        await door.until(lambda: not door.server.connections)
        before = door.tasks()
        for _ in range(LONG_RUN):
            assert (await door.ask()).is_whole
        await door.until(lambda: not door.server.connections)
        await door.until(lambda: not door.tasks() - before)
        assert len(door.upstream.seen) == LONG_RUN + 1
        assert door.upstream.connections <= 2  # they are used again
        assert len(await door.booked()) == LONG_RUN + 1


CASES = (
    Case(21, "disk full, and free again", disk_full),
    Case(22, "locked for a while", lock_waited_out),
    Case(22, "locked for too long", lock_held),
    Case(25, "an hour ahead", partial(clock_jumps, HOUR_S)),
    Case(25, "an hour back", partial(clock_jumps, -HOUR_S)),
    Case(26, "a bad configuration", bad_reload),
    Case(26, "another configuration", good_reload),
    Case(29, f"{CROWD} identical at once", crowd),
    Case(29, "the first one leaves", leader_leaves),
    Case(29, "the one call fails", leader_fails),
    Case(30, "a bit flipped on the disk", cache_damaged),
    Case(31, f"{IDLE} idle at once", idle_crowd),
    Case(32, f"{LONG_RUN} in a row", long_run),
)
