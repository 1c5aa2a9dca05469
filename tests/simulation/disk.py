"""The disk: the ledger's real file and real writer, which the loop drives instead of a thread."""

import asyncio
import sqlite3
from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import DiskPlan

from pointsman.core.errors import GatewayError
from pointsman.ledger.sqlite_file import transaction
from pointsman.ledger.sqlite_writer import GroupWriter, Write

_BUSY_STEP_S = 0.1
_ROOM_COMMITS = 3


class Disk:
    """What commits meet. `on_commit` is told of each, with the connection it was made on."""

    def __init__(
        self,
        plan: DiskPlan,
        loop: VirtualLoop,
        rng: Random,
        on_commit: Callable[[sqlite3.Connection, int], None],
    ) -> None:
        self.loop = loop
        self.on_commit = on_commit
        self.had_faults = False
        self.room = 0  # commits that the given-up spare has room for
        self._rng = rng
        self._plan = plan
        self._is_healed = False

    @property
    def trouble(self) -> str:
        """Return "full", "busy" or ""."""
        now_s = self.loop.time()
        for begins_s, ends_s, kind in self._plan.troubles:
            if begins_s <= now_s < ends_s and not self._is_healed:
                self.had_faults = True
                return kind
        return ""

    def latency_s(self) -> float:
        return self._rng.uniform(0, self._plan.latency_s)

    def heal(self) -> None:
        """Have no more trouble."""
        self._is_healed = True


class SimulatedSpare:
    """The spare room: there until it is given, and made anew only where the disk has room."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.is_there = True

    def make(self) -> bool:
        self.is_there = self._disk.trouble != "full"
        return self.is_there

    def give(self) -> bool:
        was_there, self.is_there = self.is_there, False
        if was_there:
            self._disk.room = _ROOM_COMMITS
        return was_there


class SimulatedWriter(GroupWriter):
    """Writes one group after the other from the loop's timers."""

    def __init__(self, *args: Any, disk: Disk, **given: Any) -> None:
        self._disk = disk
        self._left: list[Write] = []
        self._timer: asyncio.TimerHandle | None = None
        given |= {"spare": SimulatedSpare(disk), "now_s": disk.loop.time}
        super().__init__(*args, **given)

    def _ring(self) -> None:
        self._plan_step(self._disk.latency_s())

    def die(self) -> None:
        """Write nothing more: what is queued is lost."""
        self._is_closing = self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._connection.close()

    def _start(self) -> None:
        """Have no thread."""

    def _finish(self) -> None:
        """Write what is left, as the thread would at its end, on a disk without trouble."""
        self._disk.heal()
        if self._timer is not None:
            self._timer.cancel()
        self._queue.extendleft(reversed(self._left))
        self._left = []
        if not self._is_over:
            self._is_over = True
            self._run()

    _is_over = False

    def _plan_step(self, wait_s: float) -> None:
        if self._timer is None and not self._is_over:
            self._timer = self._disk.loop.call_later(wait_s, self._step)

    def _step(self) -> None:
        """Try once to write what is due."""
        self._timer = None
        if self._left:
            self._left = self._try(self._left)
        else:
            self._write_guarded(self._gather())
        if self._left:
            self._plan_step(_BUSY_STEP_S)
        elif self._queue:
            self._plan_step(self._disk.latency_s())
        elif (due_s := self._due_in_s()) is not None:
            self._plan_step(max(0.0, due_s))

    def _write(self, group: list[Write]) -> None:
        group = self._refuse_without_spare(group)
        self._left = self._try(group) if group else []
        self._sync_if(self._is_sync_due())

    def _commit(self, group: list[Write]) -> list[bool | GatewayError]:
        trouble = self._disk.trouble
        if trouble == "busy":
            raise _error(sqlite3.SQLITE_BUSY, "database is locked")
        if trouble == "full" and not self._disk.room:
            with self.lock, transaction(self._connection):
                for write in group:
                    self._apply(write)
                raise _error(sqlite3.SQLITE_FULL, "database or disk is full")
        self._disk.room = max(0, self._disk.room - 1)
        results = super()._commit(group)
        self._disk.on_commit(self._connection, len(group))
        return results


def _error(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error
