"""Cells of the fault matrix: a row of FAULTS, one case of it, a dialect, streamed or whole."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from tests.faults import upstream as up
from tests.faults.behaviours import answers
from tests.faults.door import PATIENT, QUICK, TWO, Door, Got, opened
from tests.faults.spoken import DIALECTS, INPUT_TOKENS, OUTPUT_TOKENS, TEXT, Dialect
from tests.pipeline.rig import until

from pointsman.gate.walk import JITTER_S
from pointsman.providers import Timeouts

# How an attempt is booked (FAULTS, "Bill").
Z, P, E, X = "voided", "unknown", "settled", "settled"
WEAK_NANOUSD = INPUT_TOKENS * 1_000 + OUTPUT_TOKENS * 2_000
# Nobody splits the text into fewer.
TEXT_TOKENS_MIN = 3
MODES = {"stream": True, "whole": False}
# Where there is such a folder, so that hundreds of ledgers do not wait for the disk.
_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


Script: TypeAlias = Mapping[str, up.Behaviour | Sequence[up.Behaviour]]


class NotHere(Exception):
    """This machine cannot make the fault; says why."""


@dataclass(frozen=True)
class Place:
    """Where a case runs: a client's dialect, streamed or not, and a folder of its own."""

    dialect: Dialect
    is_stream: bool
    folder: Path

    def door(self, script: Script, **more: Any) -> AbstractAsyncContextManager[Door]:
        """Open pointsman on a scripted upstream; `more` is what `door.opened` takes."""
        return opened(self.dialect, self.is_stream, self.folder, script, **more)


Run: TypeAlias = Callable[[Place], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One fault of a row and what is to come of it. `modes`: how it can be asked for.

    `why_not` says why the other mode makes no sense, "" where both do.
    """

    row: int
    name: str
    run: Run
    modes: tuple[str, ...] = tuple(MODES)
    why_not: str = ""


@dataclass(frozen=True)
class Cell:
    """One case in one dialect and one mode."""

    case: Case
    dialect: Dialect
    mode: str

    @property
    def name(self) -> str:
        words = f"{self.case.row:02} {self.case.name} {self.dialect.name} {self.mode}"
        return words.replace(" ", "-")

    async def run(self) -> None:
        """Run it. Raises AssertionError where it fails, and NotHere."""
        with TemporaryDirectory(dir=_FOLDER) as folder:
            await self.case.run(Place(self.dialect, MODES[self.mode], Path(folder)))


@dataclass(frozen=True)
class Fault:
    """A behaviour that breaks every attempt before content: what the client and the books show.

    `tries`: calls to the only target, or to the first of two. `booked`: the state of each.
    `is_final`: nobody else is asked. `was_cut`: it is pointsman that ends the call.
    """

    row: int
    name: str
    behaviour: up.Behaviour
    status: int
    code: str
    tries: int
    booked: str
    retry_after_s: int | None = None
    rests: bool = False
    is_final: bool = False
    was_cut: bool = False
    modes: tuple[str, ...] = tuple(MODES)
    why_not: str = ""

    @property
    def timeouts(self) -> Timeouts:
        """Return what the upstream is given."""
        return QUICK if self.was_cut else PATIENT

    def cases(self) -> Iterator[Case]:
        """Yield what is told where nobody else is there, and that somebody else answers."""
        modes = {"modes": self.modes, "why_not": self.why_not}
        yield Case(self.row, f"{self.name}: told", partial(told, self), **modes)  # type: ignore[arg-type]
        other = partial(ends_at_once if self.is_final else taken_over, self)
        name = "nobody else is asked" if self.is_final else "another answers"
        yield Case(self.row, f"{self.name}: {name}", other, **modes)  # type: ignore[arg-type]


async def told(fault: Fault, place: Place) -> None:
    """Have the only target fail: the client is told in its dialect, and all is booked."""
    async with place.door({"weak": fault.behaviour}, timeouts=fault.timeouts) as door:
        await _check_told(fault, door, await door.ask())
        assert len(door.clock.slept) == fault.tries - 1
        assert all(waited_s <= JITTER_S for waited_s in door.clock.slept)
        assert door.pipeline.health.is_ready("p/weak", door.clock.now_s) is not fault.rests


async def ends_at_once(fault: Fault, place: Place) -> None:
    """Have the first of two targets say that the request is at fault: the other is not asked."""
    async with place.door({"weak": fault.behaviour, "weak-2": up.hang}, tiers=TWO) as door:
        await _check_told(fault, door, await door.ask())


async def _check_told(fault: Fault, door: Door, got: Got) -> None:
    booked = [("weak", fault.booked, fault.code)] * fault.tries
    relayed = fault.is_final
    await check_refused(
        door, got, fault.status, fault.code, booked, fault.retry_after_s, is_relayed=relayed
    )
    assert len(door.upstream.seen) == fault.tries
    assert all(seen.was_cut is fault.was_cut for seen in door.upstream.seen)
    await door.until_let_go()


async def taken_over(fault: Fault, place: Place) -> None:
    """Have the first of two targets fail: the client gets the other's answer, and no more."""
    script = {"weak": fault.behaviour, "weak-2": answers()}
    async with place.door(script, tiers=TWO, timeouts=fault.timeouts) as door:
        got = await door.ask()
        booked = [("weak", fault.booked, fault.code)] * fault.tries + [("weak-2", X, "")]
        await check_answered(door, got, booked)
        assert (door.upstream.calls("weak"), door.upstream.calls("weak-2")) == (fault.tries, 1)
        await door.until_let_go()


async def check_answered(
    door: Door, got: Got, booked: Sequence[tuple[str, str, str]], text: str = TEXT
) -> None:
    """Check a whole answer: what was heard, its headers, the books and the log."""
    heard = door.heard(got)
    assert got.is_whole and (heard.text, heard.ending, heard.error) == (text, "stop", ""), heard
    check_headers(door, got, booked[-1][0], len(booked))
    assert "x-should-retry" not in got.headers
    assert await door.booked(got) == list(booked)
    last = (await door.rows(got))[-1].settlement
    assert (last.outcome, last.usage.is_estimated) == ("answered", False)
    assert (last.usage.input_tokens, last.usage.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert last.cost_nanousd is not None and last.cost_nanousd >= WEAK_NANOUSD
    if not door.is_stream and all(state == Z for _, state, _ in booked[:-1]):
        assert float(got.headers["x-pointsman-cost-usd"]) == last.cost_nanousd / 1e9
    await check_logged(door, got, 200, "", len(booked))


async def check_refused(
    door: Door,
    got: Got,
    status: int,
    code: str,
    booked: Sequence[tuple[str, str, str]],
    retry_after_s: int | None = None,
    *,
    should_retry: bool = False,
    is_relayed: bool = False,
) -> None:
    """Check an error reply: its status, shape, code and headers, the books and the log.

    `is_relayed`: the body is the upstream's own.
    """
    assert (got.status, got.is_whole) == (status, True), got
    assert got.headers["content-type"] == "application/json"
    if not is_relayed:
        door.dialect.check_error(got.body, status=status, code=code, request_id=got.request_id)
    check_headers(door, got, booked[-1][0] if booked else "", len(booked))
    assert got.headers["x-should-retry"] == ("true" if should_retry else "false")
    told_s = got.headers.get("retry-after")
    assert told_s == (None if retry_after_s is None else str(retry_after_s)), told_s
    assert await door.booked(got) == list(booked)
    for row in await door.rows(got):
        end = row.settlement
        assert (end.outcome, end.cost_nanousd) == ("failed", {Z: 0, P: None}[end.state])
        assert end.usage.total_tokens == 0
    await check_logged(door, got, status, code, len(booked))


async def check_broken(door: Door, got: Got, code: str, status: int, model: str = "weak") -> None:
    """Check a stream that broke after its text: told inside, never gone on with, estimated."""
    heard = door.heard(got)
    assert heard.text == TEXT and not heard.ending, heard
    assert heard.error == door.dialect.expected_error(status, code), heard
    assert heard.request_id == got.request_id
    check_headers(door, got, model, 1)
    assert await door.booked(got) == [(model, E, code)]
    assert len(door.upstream.seen) == 1
    ((end,)) = [row.settlement for row in await door.rows(got)]
    assert end.outcome == "failed" and end.cost_nanousd
    assert end.usage.is_estimated and end.usage.output_tokens >= TEXT_TOKENS_MIN
    await check_logged(door, got, 200, code, 1)


def check_headers(door: Door, got: Got, model: str, attempts: int) -> None:
    """Check the headers that every reply of a dialect has."""
    assert got.request_id.startswith("req_")
    if door.dialect.name == "anthropic":
        assert got.headers["request-id"] == got.request_id
    assert got.headers["x-pointsman-attempts"] == str(attempts), got.headers
    assert got.headers.get("x-pointsman-model", "") == (f"p/{model}" if model else "")


async def check_logged(door: Door, got: Got, status: int, code: str, attempts: int) -> None:
    """Check that the log has one line of the request, and one of each attempt."""

    def lines(event: str) -> list[dict[str, Any]]:
        of_it = [line for line in door.lines if line["request_id"] == got.request_id]
        return [line for line in of_it if line["event"] == event]

    await until(lambda: lines("request"))  # it is written when the reply has gone out
    (line,) = lines("request")
    assert (line["status"], line["code"], line["path"]) == (status, code, door.dialect.path)
    assert line["attempts"] == attempts == len(lines("attempt"))


def cells_of(cases: Sequence[Case]) -> list[Cell]:
    """Return every cell that makes sense."""
    return [
        Cell(case, dialect, mode)
        for case in cases
        for dialect in DIALECTS
        for mode in MODES
        if mode in case.modes
    ]
