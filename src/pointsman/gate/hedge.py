"""Hedge: a second call beside one that is slow to begin, and who wins.

Off by default. What hedges may cost at most is a share of what was spent in the last hour.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from pointsman.clock import Clock
from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.gate.draft import HeldDraft

SPEND_WINDOW_S = 3_600.0
_SLICE_S = 60.0


class HedgingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after_s`: how long a call may be without content, 0 for never a second one.

    `spend_share`: 0..1, of the last hour's spend, that the worst cases of second calls may make up.
    """

    after_s: float = 0.0
    spend_share: float = 0.05


class HedgePurse:
    """What was spent in the last hour, and what the hedges of that hour may have cost at most.

    It is of one process, in nano-USD; an hour is counted in minutes, the oldest left out whole.
    """

    def __init__(self) -> None:
        self._spent = _LastHour()
        self._hedged = _LastHour()

    def note_spent(self, nanousd: int, now_s: float) -> None:
        """Note what an attempt has cost."""
        self._spent.add(nanousd, now_s)

    def take(self, worst_nanousd: int | None, share: float, now_s: float) -> bool:
        """Take a hedge's worst case and return True where it fits; what is not known never does."""
        if worst_nanousd is None:
            return False
        if self._hedged.total(now_s) + worst_nanousd > share * self._spent.total(now_s):
            return False
        self._hedged.add(worst_nanousd, now_s)
        return True


class _LastHour:
    """A sum over a window that moves on."""

    def __init__(self) -> None:
        self._slices: deque[list[int]] = deque()  # number of the minute, nano-USD
        self._until_s = float("-inf")  # the end of the latest minute

    def add(self, nanousd: int, now_s: float) -> None:
        if now_s >= self._until_s:
            number = int(now_s // _SLICE_S)
            self._slices.append([number, 0])
            self._until_s = (number + 1) * _SLICE_S
        self._slices[-1][1] += nanousd

    def total(self, now_s: float) -> int:
        oldest = int((now_s - SPEND_WINDOW_S) // _SLICE_S)
        while self._slices and self._slices[0][0] <= oldest:
            self._slices.popleft()
        if not self._slices:
            self._until_s = float("-inf")
        return sum(nanousd for _, nanousd in self._slices)


@dataclass(frozen=True, slots=True)
class Hedging:
    """When a second call may start: the settings, and the purse that all requests share."""

    settings: HedgingSettings
    purse: HedgePurse

    def may_take(self, worst_nanousd: int | None, now_s: float) -> bool:
        """Return whether a second call may start, and take its worst case where it may."""
        return self.purse.take(worst_nanousd, self.settings.spend_share, now_s)


class Race:
    """One or two drafts under way at once. The first to claim the gate wins.

    Leaving it stops the others, which book themselves. The second is never more than a help: what
    ends it leaves the first one running.
    """

    def __init__(self) -> None:
        self._winner: HeldDraft | None = None
        self._chosen: HeldDraft | None = None
        self._runs: list[asyncio.Task[HeldDraft]] = []

    async def __aenter__(self) -> Self:
        """Return the race."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop whoever was not chosen, and wait until that is booked."""
        for run in self._runs:
            run.cancel()
        left: asyncio.CancelledError | None = None
        while running := [run for run in self._runs if not run.done()]:
            try:
                await asyncio.wait(running)  # whom we stop twice could not tidy up
            except asyncio.CancelledError as cancelled:
                left = cancelled
        for run in self._runs:
            if run.cancelled() or run.exception() is not None:
                continue
            if kind is not None or left is not None or run.result() is not self._chosen:
                await run.result().let_go()
        if left is not None:
            raise left

    def claim(self, draft: HeldDraft) -> bool:
        """Return whether the draft is the first that may pass: only one ever is."""
        if self._winner is None:
            self._winner = draft
        return self._winner is draft

    def enter(self, draft: Coroutine[Any, Any, HeldDraft]) -> None:
        """Start a draft."""
        self._runs.append(asyncio.create_task(draft))

    async def is_over_within(self, seconds: float, clock: Clock) -> bool:
        """Return whether the only draft so far has ended, for good or ill, within a time.

        One that has passed its gate has, though its booking may still wait for the disk: a second
        call would be one that its hold, given back with that booking, no longer covers.
        """
        timer = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait((*self._runs, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)
        return self._runs[0].done() or self._winner is not None

    async def result(self) -> HeldDraft:
        """Return the draft that won, else one that was rejected. Raises what ended the first."""
        self._chosen = await self._decided()
        return self._chosen

    async def _decided(self) -> HeldDraft:
        first, *others = self._runs
        while not all(run.done() for run in self._runs):
            running = [run for run in self._runs if not run.done()]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if self._has_won(first) or any(map(self._has_won, others)) or _is_final(first):
                break
        for run in (first, *others):
            if self._has_won(run):
                return run.result()
        drafts = [run.result() for run in self._runs if run.done() and run.exception() is None]
        if drafts and not _is_final(first):
            return drafts[0]
        return first.result()

    def _has_won(self, run: asyncio.Task[HeldDraft]) -> bool:
        return run.done() and run.exception() is None and run.result() is self._winner


def _is_final(run: asyncio.Task[HeldDraft]) -> bool:
    """Return whether a draft ended in what no other may mend: the request itself is at fault."""
    error = run.exception() if run.done() else None
    if error is None:
        return False
    is_ours = isinstance(error, GatewayError) and not isinstance(error, UpstreamError)
    return is_ours or getattr(error, "remedy", "none") == "none"
