"""Faults once content has come, and answers that are odd but whole: rows 8 to 15."""

import asyncio
from collections.abc import Callable
from functools import partial

from tests.faults import behaviours as does
from tests.faults import upstream as up
from tests.faults.cells import (
    Case,
    Place,
    X,
    check_answered,
    check_broken,
    check_headers,
    check_logged,
    check_refused,
)
from tests.faults.door import PATIENT, QUICK, TIERS, TWO
from tests.faults.spoken import TEXT

from pointsman.core.wire.sse import FRAME_BYTES_MAX
from pointsman.providers.http_body import REPLY_BYTES_MAX

STREAM, WHOLE = ("stream",), ("whole",)
NO_STREAM = "nothing of a whole reply goes out before its end: then it is a fault before content"
NO_WHOLE = "a stream is read frame by frame"
LETTERS = "aé世😀 Ωß 中文 👩‍👩‍👧 end."
MIB = 1024 * 1024


async def breaks_off(
    behaviour: Callable[[asyncio.Event], up.Behaviour],
    code: str,
    status: int,
    place: Place,
    *,
    was_cut: bool = False,
) -> None:
    """Have a stream break after its text: an error in the stream, no end, no other target."""
    once = asyncio.Event()
    script = {"weak": behaviour(once), "weak-2": does.answers("Another one.")}
    timeouts = QUICK if was_cut else PATIENT
    async with place.door(script, tiers=TWO, timeouts=timeouts) as door:
        got = await door.ask(on_content=once)
        await check_broken(door, got, code, status)
        assert door.upstream.seen[0].was_cut is was_cut
        await door.until_let_go()


def breaking(
    row: int, name: str, behaviour: up.Behaviour, code: str, status: int, *, was_cut: bool = False
) -> Case:
    run = partial(breaks_off, lambda _: behaviour, code, status, was_cut=was_cut)
    return Case(row, name, run, STREAM, NO_STREAM)


def early_end(peer: up.Peer) -> list[bytes]:
    """Return a stream's last event without the one before it, which says why it ended.

    Responses have both in one event: theirs is the word that ends other streams.
    """
    dialect = does.spoken(peer)
    is_one = dialect.name == "openai-responses"
    return [up.DONE if is_one else dialect.frames(peer.seen.body)[-1]]


async def splits(size: int, place: Place) -> None:
    """Have an answer come in segments that cut its letters: the client reads it as it was."""
    async with place.door({"weak": does.answers_in_pieces(LETTERS, size)}) as d:
        got = await d.ask()
        await check_answered(d, got, [("weak", X, "")], LETTERS)
        assert "\ufffd" not in got.body.decode()


async def too_large(place: Place) -> None:
    """Have a whole reply of 64 MiB and more: told, and nobody else is asked."""
    huge = does.endless(b"x" * MIB, REPLY_BYTES_MAX // MIB + 1)
    script = {"weak": huge, "weak-2": does.answers()}
    async with place.door(script, tiers=TWO) as door:
        got = await door.ask()
        code = "upstream_too_large"
        await check_refused(door, got, 502, code, [("weak", "unknown", code)])
        assert len(door.upstream.seen) == 1


async def too_large_frame(place: Place) -> None:
    """Have one event of 8 MiB and more after the text: an error in the stream."""
    huge = does.endless(b"x" * MIB, FRAME_BYTES_MAX // MIB + 1, in_frame=True)
    script = {"weak": huge, "weak-2": does.answers()}
    async with place.door(script, tiers=TWO) as door:
        got = await door.ask()
        await check_broken(door, got, "upstream_too_large", 502)


async def empty(place: Place) -> None:
    """Have an answer without content: relayed, marked as empty, paid for."""
    async with place.door({"weak": does.answers(""), "weak-2": does.answers()}, tiers=TWO) as door:
        got = await door.ask()
        assert got.headers["x-pointsman-empty"] == "1"
        await check_answered(door, got, [("weak", X, "")], "")
        assert len(door.upstream.seen) == 1


async def filtered(text: str, place: Place) -> None:
    """Have a filter end an answer: relayed, not escalated, not kept."""
    async with place.door(
        {"weak": does.answers(text, "filtered"), "strong": does.answers()}, tiers=TIERS
    ) as door:
        for _ in range(2):  # the same request twice: what was filtered is not in the cache
            got = await door.ask("Say something forbidden.")
            heard = door.heard(got)
            assert (heard.text, heard.ending) == (text, "filtered"), heard
            assert got.headers["x-pointsman-tier"] == "weak"
            check_headers(door, got, "weak", 1)
            assert await door.booked(got) == [("weak", X, "")]
            await check_logged(door, got, 200, "", 1)
        assert (door.upstream.calls("weak"), door.upstream.calls("strong")) == (2, 0)


async def escalated(place: Place) -> None:
    """Have a whole reply break after its text inside: the next target's answer alone goes out."""

    async def half(peer: up.Peer) -> None:
        said = does.spoken(peer).whole(peer.seen.body)
        cut = said.index(TEXT.encode()) + len(TEXT)
        await up.then_close(up.head(200, Content_Length=str(len(said))), said[:cut])(peer)

    script = {"weak": half, "weak-2": does.answers("Another one.")}
    async with place.door(script, tiers=TWO) as door:
        got = await door.ask()
        lost = ("weak", "unknown", "upstream_reset")
        await check_answered(door, got, [lost, lost, ("weak-2", X, "")], "Another one.")
        assert TEXT.encode() not in got.body


def gibberish(_: up.Peer) -> list[bytes]:
    return [b"data: {nope\n\n"]


def nothing(_: up.Peer) -> list[bytes]:
    return []


CASES = (
    breaking(8, "hangs mid-stream", does.hangs_mid_stream, "upstream_timeout", 504, was_cut=True),
    breaking(8, "pings mid-stream", does.pings_mid_stream, "upstream_timeout", 504, was_cut=True),
    Case(
        9, "reset mid-stream",
        partial(breaks_off, does.resets_mid_stream, "upstream_reset", 502), STREAM, NO_STREAM,
    ),
    breaking(
        9, "closed mid-stream", does.breaks(nothing, ends=False), "upstream_reset", 502
    ),
    breaking(9, "ends early", does.breaks(nothing), "upstream_reset", 502),
    breaking(9, "a false end", does.breaks(early_end), "upstream_reset", 502),
    Case(9, "closed in the text: another answers", escalated, WHOLE, "a stream's text goes out"),
    breaking(
        10, "an event that is no JSON, mid-stream", does.breaks(gibberish),
        "upstream_bad_response", 502,
    ),
    Case(11, "letter by letter", partial(splits, 1)),
    Case(11, "in sevens", partial(splits, 7)),
    Case(12, "over 64 MiB", too_large, WHOLE, NO_WHOLE),
    Case(12, "an event over 8 MiB", too_large_frame, STREAM, "a whole reply has no events"),
    breaking(
        13, "overloaded, after content", does.fails_inside(503, after_content=True),
        "upstream_unavailable", 503,
    ),
    breaking(
        13, "rate limited, after content", does.fails_inside(429, after_content=True),
        "upstream_rate_limited", 429,
    ),
    Case(14, "empty", empty),
    Case(15, "filtered at once", partial(filtered, "")),
    Case(15, "filtered in the text", partial(filtered, "I can")),
)  # fmt: skip
