"""Clients that leave or stall, and a server that is told to stop: rows 17, 18 and 19."""

import asyncio
from functools import partial

from tests.faults import behaviours as does
from tests.faults import upstream as up
from tests.faults.cells import (
    Case,
    E,
    P,
    Place,
    X,
    Z,
    check_answered,
    check_headers,
    check_refused,
)
from tests.faults.door import TWO, Door, Wire, locked
from tests.faults.spoken import TEXT

from pointsman.server.app import DRAIN_RETRY_AFTER_S
from pointsman.server.protocol import Protocol

STREAM, WHOLE = ("stream",), ("whole",)
NO_STREAM = "a whole reply is no event stream"
NO_WHOLE = "a stream is not read as one body"
MIB = 1024 * 1024
GONE = 499


class Hasty(Protocol):
    """Cuts off who stalls for a moment."""

    stall_s = 0.3


async def leaves(behaviour: up.Behaviour, state: str, place: Place, *, reads: bool = False) -> None:
    """Have the client leave: the upstream is cut, all is booked, and nothing is left running."""
    if behaviour is does.hangs_in_preamble and place.dialect.name == "anthropic":
        state = E  # it has said what the input takes
    async with place.door({"weak": behaviour, "weak-2": does.answers()}, tiers=TWO) as door:
        before = door.tasks()
        wire = await door.begin()
        await door.until(lambda: door.upstream.seen and door.upstream.seen[0].was_cut)
        if reads:
            await wire.head()
            check_headers(door, await wire.more(b"there."), "weak", 1)
        wire.leave()
        await ended_as_gone(door, ("weak", state, ""))
        await door.until_let_go()
        await door.until(lambda: not door.tasks() - before)
        assert not door.upstream.open_connections and not door.upstream.calls("weak-2")


async def leaves_the_queue(place: Place) -> None:
    """Have the client leave while the ledger is locked: nobody is called, and nothing is owed."""
    async with place.door({"weak": does.answers()}, busy_s=60.0) as door:
        with locked(place.folder), door.reserving() as reached:
            wire = await door.begin()
            await reached.wait()
            wire.leave()
            await door.until(lambda: logged(door))
        await ended_as_gone(door, ("weak", Z, ""))
        assert not door.upstream.seen


async def ended_as_gone(door: Door, booked: tuple[str, str, str]) -> None:
    """Check that the request ended because its client had gone."""
    await door.until(lambda: logged(door))
    assert logged(door) == [GONE]
    assert await door.booked() == [booked]
    (row,) = await door.rows()
    line = next(line for line in door.lines if line["event"] == "request")
    assert line["attempts"] == 1 and line["cost_nanousd"] == row.settlement.cost_nanousd
    assert row.settlement.outcome == "cancelled"
    assert (row.settlement.cost_nanousd is None) is (booked[1] == P)
    assert row.settlement.usage.is_estimated is (booked[1] == E)


def logged(door: Door) -> list[int]:
    """Return the status of each request that has ended."""
    return [line["status"] for line in door.lines if line["event"] == "request"]


async def stalls(place: Place) -> None:
    """Have the client read nothing of a large answer: it is cut off, and so is the upstream."""
    large = does.endless(b"x" * (MIB // 4), 64)
    async with place.door({"weak": large}, protocol=Hasty) as door:
        wire = await door.begin(is_slow=True)
        await door.until(lambda: door.server.connections)
        await door.until(lambda: not door.server.connections)
        got = await wire.rest()
        assert not got.is_whole and len(got.body) < 16 * MIB
        await door.until(lambda: logged(door))
        (row,) = await door.rows()
        end = row.settlement
        if place.is_stream:
            assert (end.state, end.outcome, end.usage.is_estimated) == (E, "cancelled", True)
            assert door.upstream.seen[0].was_closed
        else:  # it had come whole before it could go out
            assert (end.state, end.outcome, end.usage.is_estimated) == (X, "answered", False)


async def drains(place: Place) -> None:
    """Have the server be told to stop: what runs ends well, what is new is told to come again."""
    go_on = asyncio.Event()
    async with place.door({"weak": does.waits(go_on)}) as door:
        running = await door.begin()
        await door.until(lambda: door.upstream.seen)
        door.app.services.is_draining = True
        refused = await door.ask()
        assert refused.headers["connection"] == "close"
        await check_refused(
            door, refused, 503, "draining", [], int(DRAIN_RETRY_AFTER_S), should_retry=True
        )
        go_on.set()
        await check_answered(door, await running.rest(), [("weak", X, "")])
        assert len(door.upstream.seen) == 1


async def stops(place: Place) -> None:
    """Have the time to end be over: who still waits is told, and the upstream is cut."""
    behaviour = does.hangs_mid_stream if place.is_stream else up.hang
    async with place.door({"weak": behaviour}) as door:
        running: Wire = await door.begin()
        if place.is_stream:
            await running.head()
            await running.more(b"there.")
        await door.until(lambda: door.upstream.seen)
        door.app.services.is_draining = True
        door.app.stop()
        got = await running.rest()
        if place.is_stream:
            heard = door.heard(got)
            assert (heard.text, heard.ending) == (TEXT, "")
            assert heard.error == place.dialect.expected_error(503, "draining")
        else:
            assert (got.status, got.headers["x-should-retry"]) == (503, "true")
            assert got.headers["retry-after"] == str(int(DRAIN_RETRY_AFTER_S))
            place.dialect.check_error(
                got.body, status=503, code="draining", request_id=got.request_id
            )
        assert got.is_whole
        await door.until_let_go()
        assert await door.booked(got) == [("weak", E if place.is_stream else P, "")]


CASES = (
    Case(17, "leaves before the headers", partial(leaves, up.hang, P)),
    Case(
        17, "leaves before content", partial(leaves, does.hangs_in_preamble, P),
        STREAM, NO_STREAM,
    ),
    Case(
        17, "leaves mid-stream", partial(leaves, does.hangs_mid_stream, E, reads=True),
        STREAM, NO_STREAM,
    ),
    Case(
        17, "leaves in the body", partial(leaves, up.then_hang(does.OK_HEAD, b'{"id":'), P),
        WHOLE, NO_WHOLE,
    ),
    Case(17, "leaves while the ledger is locked", leaves_the_queue),
    Case(18, "stalls", stalls),
    Case(19, "in-flight ends, new is refused", drains),
    Case(19, "past the time to end", stops),
)  # fmt: skip
