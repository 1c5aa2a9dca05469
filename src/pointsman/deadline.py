"""Deadline: one moment at which whatever is being awaited is broken off."""

import asyncio
from types import TracebackType


class Deadline:
    """Many waits under one timer: `with deadline:` around each, by one task at a time.

    `asyncio.timeout` sets a timer for each wait, which for every event of an answer is dear. A
    block within a block is part of it. Blocks raise TimeoutError at the moment and after it. `stop`
    it once nothing more is awaited.
    """

    _task: asyncio.Task[object] | None = None
    _depth = 0
    _cancelling = 0
    _has_struck = False
    _has_cancelled = False

    def __init__(self, left_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(0.0, left_s), self._strike)

    def stop(self) -> None:
        """Break off nothing any more."""
        self._timer.cancel()

    def __enter__(self) -> None:
        """Begin to wait."""
        if self._has_struck:
            raise TimeoutError
        if not self._depth:
            self._task = asyncio.current_task()
            assert self._task is not None, "somebody waits"
            self._cancelling = self._task.cancelling()
        self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait no more. A cancellation that was not ours goes on as such."""
        self._depth -= 1
        if self._has_cancelled:
            assert self._task is not None
            self._has_cancelled = False
            is_ours_alone = self._task.uncancel() <= self._cancelling
            if is_ours_alone and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from error
        if not self._depth:
            self._task = None

    def _strike(self) -> None:
        self._has_struck = True
        if self._task is not None:
            self._has_cancelled = True
            self._task.cancel()
