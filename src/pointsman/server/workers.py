"""Workers: several processes that serve one port, and the first process, which forks them.

The first process serves nobody and opens nothing: no thread, no loop, no file of SQLite's, for none
of these survives a fork. It binds the port, makes the memory that all share, forks the workers and
goes on doing what a server's one process does: it takes the signals, reads the configuration anew
for all or for none, sums up the figures, and forks another worker where one has died.

The first worker starts alone: what it opens, such as the ledger's file, it may have to make or to
bring up to date, and what is wrong is told once.
"""

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

import msgspec

from pointsman.config import Settings
from pointsman.core.errors import ConfigError, GatewayError, LedgerUnavailable
from pointsman.core.secret import unsaid
from pointsman.joint import Joint, build_joint
from pointsman.server.acceptor import Places
from pointsman.server.link import (
    Adopt,
    Ask,
    Drain,
    Labelled,
    Link,
    Message,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Scrape,
    Stop,
    Sums,
    Told,
)
from pointsman.server.scrapes import summed
from pointsman.server.seat import Seat

# A worker that lived for less was as good as not started. So many in a row are waited for, longer
# each time, before the next is forked; after that the server gives up.
QUICK_S = 5.0
WAITS_S = (0.1, 0.2, 0.4, 0.8, 1.6)
_WAIT_S = 0.1
# After the drain, or when told to break off, until a worker is killed.
_LAST_S = 10.0
_PREPARE_S = 30.0
_GATHER_S = 1.0
_REFUSED = 2  # the exit status of a worker that has said why it cannot start
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("pointsman")


class WorkersLost(Exception):
    """Workers end as soon as they start."""


Work = Callable[[Seat, Settings], None]


@dataclass(slots=True)
class _Post:
    """A worker's place, and who is there. `pid` 0: nobody; `due_s`: when one is to be forked."""

    place: int
    pid: int = 0
    link: Link | None = None
    began_s: float = 0.0
    due_s: float | None = None
    is_ready: bool = False
    quick_deaths: int = 0
    figures: bytes = b""


@dataclass(slots=True)
class _Round:
    """What all workers were asked, and who has not answered yet. `asker`: whom it is for."""

    until_s: float
    waiting: set[int]
    settings: Settings | None = None
    asker: _Post | None = None
    faults: list[str] = field(default_factory=list)


class Crew:
    """The first process. `work` is run in each worker, until that ends.

    `on_ready` is called once, when all take connections. `drain_s`: how long what runs may go on
    after the signal to stop.
    """

    def __init__(
        self,
        settings: Settings,
        work: Work,
        *,
        reload: Callable[[], Settings],
        on_ready: Callable[[], None],
        drain_s: float,
    ) -> None:
        self._settings = settings
        self._work = work
        self._reload = reload
        self._on_ready = on_ready
        self._drain_s = drain_s
        workers = settings.server.workers
        self._joint: Joint = build_joint(workers, settings.cache)
        self._places = Places(workers)
        self._posts = [_Post(place) for place in range(workers)]
        self._posts[0].due_s = 0.0
        self._has_started = False
        self._has_been_ready = False
        self._wants_reload = False
        self._failure: Exception | None = None
        self._kill_s: float | None = None
        self._rounds: dict[int, _Round] = {}
        self._number = 0
        self._departed = b""
        self._selector = selectors.SelectSelector()

    def run(self) -> None:
        """Keep the workers running until SIGTERM or SIGINT.

        Raises ConfigError or LedgerUnavailable where they cannot start, WorkersLost where they end
        as soon as they start.
        """
        gc.collect()
        gc.freeze()  # what is not looked through is not written to, and stays shared
        with self._signals() as signals:
            while any(post.pid or post.due_s is not None for post in self._posts):
                self._fork_due()
                for key, _ in self._selector.select(self._wait_s()):
                    if key.data is not None:
                        self._hear(key.data)
                self._take_signals(signals)
                self._reap()
                self._keep_deadlines()
        if self._failure is not None:
            raise self._failure

    # Processes.

    def _fork_due(self) -> None:
        is_adopting = any(each.settings is not None for each in self._rounds.values())
        for post in self._posts:
            is_due = post.due_s is not None and post.due_s <= time.monotonic()
            if is_due and not is_adopting:
                self._fork(post)

    def _fork(self, post: _Post) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes meanwhile waits until each process has handlers of its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_SIGNALS, signal.SIGHUP))
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_worker(post, theirs, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        post.pid, post.link, post.due_s = pid, Link(ours), None
        post.began_s, post.is_ready = time.monotonic(), False
        self._selector.register(ours, selectors.EVENT_READ, post)

    def _be_worker(self, post: _Post, link: socket.socket, mask: set[int]) -> NoReturn:
        """Be a worker until its end. What is the first process's alone is let go."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for number in (*_SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for other in self._posts:
                if other.link is not None:  # else it would not be seen that the first one is gone
                    other.link.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            seat = Seat(self._joint.seated(post.place), self._places, link)
            try:
                self._work(seat, self._settings)
                status = 0
            except (ConfigError, LedgerUnavailable) as error:
                seat.refuse(error)
                status = _REFUSED
        except BaseException as error:  # nothing of the first process's is to run on from here
            log.error("a worker ends", exc_info=unsaid(error))
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        for post in self._posts:
            if not post.pid:
                continue
            pid, status = os.waitpid(post.pid, os.WNOHANG)
            if pid:
                while post.link is not None:
                    self._hear(post)  # its last words
                self._bury(post, os.waitstatus_to_exitcode(status))

    def _bury(self, post: _Post, status: int) -> None:
        """Give back what a worker held that has ended, and have another forked."""
        lived_s = time.monotonic() - post.began_s
        is_quick = lived_s < QUICK_S or not post.is_ready
        how = _ended(post, status)
        self._unlink(post)
        post.pid, post.is_ready = 0, False
        self._departed = summed((self._departed, post.figures))
        post.figures = b""
        self._joint.forget(post.place)
        self._places.leave(post.place)
        for each in self._rounds.values():
            each.waiting.discard(post.place)
        if self._is_ending:
            if status not in {0, _REFUSED}:
                log.error("%s", how)
            return
        post.quick_deaths = post.quick_deaths + 1 if is_quick else 0
        if post.quick_deaths > len(WAITS_S):
            self._fail(
                WorkersLost(
                    f"{how}, as did {len(WAITS_S)} before it at once; the server gives up, and the"
                    " log above says why: mend that and start it again"
                )
            )
            return
        wait_s = WAITS_S[post.quick_deaths - 1] if post.quick_deaths else _WAIT_S
        post.due_s = time.monotonic() + wait_s
        log.error("%s; another takes its place in %g s", how, wait_s)

    def _unlink(self, post: _Post) -> None:
        if post.link is not None:
            self._selector.unregister(post.link.socket)
            post.link.close()
            post.link = None

    # What is said.

    def _hear(self, post: _Post) -> None:
        if post.link is None:
            return
        received = post.link.received()
        if received is None:
            self._unlink(post)
        for message in received or ():
            self._heed(post, message)

    def _heed(self, post: _Post, message: Message) -> None:
        match message:
            case Ready():
                self._note_ready(post)
            case Refused(code, text):
                self._note_refusal(code, text)
            case Prepared(number, fault):
                self._note_prepared(post, number, fault)
            case Labelled():
                for other in self._posts:
                    if other is not post and other.is_ready:
                        self._say(other, message)
            case Scrape(figures):
                post.figures = figures
                self._gather(post)
            case Told(number, figures):
                post.figures = figures
                if number in self._rounds:
                    self._rounds[number].waiting.discard(post.place)
            case _:
                log.error("a worker says what only the first process says")

    def _note_ready(self, post: _Post) -> None:
        post.is_ready = True
        if not self._has_started:
            self._has_started = True
            if not self._is_ending:
                for other in self._posts[1:]:
                    other.due_s = 0.0
        if all(each.is_ready for each in self._posts) and not self._has_been_ready:
            self._has_been_ready = True
            self._on_ready()

    def _note_refusal(self, code: str, text: str) -> None:
        kind = LedgerUnavailable if code == LedgerUnavailable.code else ConfigError
        error: GatewayError = kind(text)
        if self._has_been_ready:
            log.error("a worker does not start: %s", text)
        else:
            self._fail(error)

    def _say(self, post: _Post, message: Message) -> None:
        if post.link is not None and not post.link.send(message):
            with suppress(ProcessLookupError):
                os.kill(post.pid, signal.SIGKILL)  # it has not listened for long

    # Figures: one worker asks, all tell.

    def _gather(self, asker: _Post) -> None:
        number = self._next_number()
        others = [post for post in self._posts if post.is_ready and post is not asker]
        self._rounds[number] = _Round(
            until_s=time.monotonic() + _GATHER_S,
            waiting={post.place for post in others},
            asker=asker,
        )
        for post in others:
            self._say(post, Ask(number))

    # The configuration: all adopt it, or none.

    def _begin_reload(self) -> None:
        self._wants_reload = False
        try:
            settings = self._reload()
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error.message)
            return
        number = self._next_number()
        self._rounds[number] = _Round(
            until_s=time.monotonic() + _PREPARE_S,
            waiting={post.place for post in self._posts if post.pid},
            settings=settings,
        )
        for post in self._posts:
            self._say(post, Prepare(number, msgspec.msgpack.encode(settings)))

    def _note_prepared(self, post: _Post, number: int, fault: str) -> None:
        if (asked := self._rounds.get(number)) is not None:
            asked.waiting.discard(post.place)
            if fault:
                asked.faults.append(fault)

    def _end_reload(self, number: int, asked: _Round) -> None:
        assert asked.settings is not None, "it was asked of this round"
        for place in asked.waiting:
            asked.faults.append(f"worker {place + 1} does not answer")
        if asked.faults:
            log.error("the configuration stays as it was: %s", asked.faults[0])
            return
        self._settings = asked.settings
        for post in self._posts:
            self._say(post, Adopt(number))
        log.warning("the configuration has been read anew")

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # The end, and what has its time.

    @property
    def _is_ending(self) -> bool:
        return self._kill_s is not None

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._end()

    def _end(self) -> None:
        """Have all workers drain; when this is said again, break off."""
        is_again = self._is_ending
        left_s = _LAST_S if is_again else self._drain_s + _LAST_S
        self._kill_s = time.monotonic() + left_s
        for post in self._posts:
            post.due_s = None
            self._say(post, Stop() if is_again else Drain())

    def _take_signals(self, signals: socket.socket) -> None:
        with suppress(BlockingIOError):
            for number in signals.recv(4096):
                if number in _SIGNALS:
                    self._end()
                elif number == signal.SIGHUP:
                    self._wants_reload = True

    def _keep_deadlines(self) -> None:
        now_s = time.monotonic()
        for number, asked in tuple(self._rounds.items()):
            if not asked.waiting or asked.until_s <= now_s:
                del self._rounds[number]
                if asked.asker is not None:
                    figures = [self._departed, *(post.figures for post in self._posts)]
                    self._say(asked.asker, Sums(summed(figures)))
                else:
                    self._end_reload(number, asked)
        is_steady = all(post.is_ready for post in self._posts if post.pid)
        is_adopting = any(each.settings is not None for each in self._rounds.values())
        if self._wants_reload and is_steady and not is_adopting and not self._is_ending:
            self._begin_reload()
        if self._kill_s is not None and self._kill_s <= now_s:
            self._kill_s = now_s + _LAST_S
            for post in self._posts:
                if post.pid:
                    log.error("worker %d does not end, and is killed", post.place + 1)
                    os.kill(post.pid, signal.SIGKILL)

    def _wait_s(self) -> float | None:
        """Return until when nothing is due, None where nothing ever is."""
        due = [post.due_s for post in self._posts if post.due_s is not None]
        due += [each.until_s for each in self._rounds.values()]
        due += [self._kill_s] if self._kill_s is not None else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Have signals come as bytes on a socket, until the end of the block."""
        heard, told = socket.socketpair()
        heard.setblocking(False)
        told.setblocking(False)
        numbers = (*_SIGNALS, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, _nothing) for number in numbers}
        woken = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        self._selector.register(heard, selectors.EVENT_READ)
        try:
            yield heard
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            heard.close()
            told.close()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal's number comes on the socket."""
    del number, frame


def _ended(post: _Post, status: int) -> str:
    how = f"status {status}" if status >= 0 else signal.Signals(-status).name
    return f"worker {post.place + 1} (process {post.pid}) has ended with {how}"
