"""Upstreams: they answer as the seed has it, well or badly, and keep their own book of it."""

import asyncio
import email.utils
import errno
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.simulation.behaviours import Reply, reply_to
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Wire
from tests.simulation.plan import Target
from tests.simulation.trace import Trace

_GROUP = re.compile(rb"\[g(\d+)\]")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_STREAM_PATHS = re.compile(rb"^POST \S*:streamGenerateContent")
_STREAMS = re.compile(rb'"stream": ?true')


@dataclass
class Entry:
    """One call in an upstream's book. `told`: which parts of the reply its caller has read.

    `over_s`: when the caller had read all of it, or had gone. `heard_s`: when it last read some.
    """

    number: int
    deployment: str
    group: int
    at_s: float
    is_stream: bool
    reply: Reply
    told: set[str] = field(default_factory=set)
    over_s: float | None = None
    heard_s: float = 0.0


@dataclass
class Book:
    """What all upstreams together have seen. `rested`: until when a target has told to be left
    alone, and since when it is known: (since, until).
    """

    trace: Trace
    wall_s: Callable[[], float]
    is_lying: bool
    on_call: Callable[[Entry], None]
    entries: list[Entry] = field(default_factory=list)
    rested: dict[str, tuple[float, float]] = field(default_factory=dict)


class Upstream:
    """One target's server: a `Listener`."""

    def __init__(self, target: Target, book: Book, rng: Random) -> None:
        self.target = target
        self.book = book
        self.rng = rng

    async def arrive(self) -> None:
        """Take a connection or refuse it, or let it hang."""
        fault = self.rng.random() < self.target.faulty * 0.3
        await asyncio.sleep(self.rng.uniform(0.001, 0.05))
        if not fault:
            return
        if self.rng.random() < 0.5:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        await asyncio.sleep(3_600)

    def accept(self, wire: Wire) -> "Exchange":
        return Exchange(self, wire)

    def answer(self, request: bytes, now_s: float) -> Entry:
        """Enter a call in the book, with what is going to come of it."""
        found = _GROUP.search(request)
        assert found is not None, "every request of the simulation says its group"
        is_stream = bool(_STREAM_PATHS.match(request) or _STREAMS.search(request))
        number = len(self.book.entries) + 1
        reply = reply_to(
            self.target.dialect,
            number,
            self.rng,
            is_stream=is_stream,
            has_fault=self.rng.random() < self.target.faulty,
            is_lying=self.book.is_lying,
            date=email.utils.formatdate(self.book.wall_s(), usegmt=True),
        )
        deployment = self.target.deployment
        entry = Entry(number, deployment, int(found[1]), now_s, is_stream, reply, heard_s=now_s)
        self.book.entries.append(entry)
        self.book.trace.note(now_s, "call", number, deployment, found[1].decode(), reply.kind)
        self.book.on_call(entry)
        return entry


class Exchange:
    """The upstream's end of one connection: one call after the other."""

    def __init__(self, upstream: Upstream, wire: Wire) -> None:
        self._upstream = upstream
        self._wire = wire
        self._rng = upstream.rng
        self._got = b""
        self._entry: Entry | None = None
        self._timer: asyncio.TimerHandle | None = None

    def received(self, data: bytes) -> None:
        """Take a piece of a request; begin to answer once it is whole."""
        self._got += data
        head, mark, body = self._got.partition(b"\r\n\r\n")
        if not mark:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(body) < size:
            return
        self._got = body[size:]
        loop = self._wire.loop
        self._entry = self._upstream.answer(head + mark + body[:size], loop.time())
        self._play(self._entry, loop)

    def left(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._entry is not None and self._entry.over_s is None:
            now_s = self._entry.over_s = self._wire.loop.time()
            self._upstream.book.trace.note(now_s, "cut", self._entry.number)

    def _play(self, entry: Entry, loop: VirtualLoop) -> None:
        """Send a reply's pieces one after the other, then end it as it ends."""
        reply = entry.reply
        raw = reply.raw[: reply.stops_at]
        cuts = sorted(self._rng.randrange(len(raw) + 1) for _ in range(reply.cuts)) if raw else []
        bounds = [0, *cuts, len(raw)]
        pieces = [(a, b) for a, b in itertools.pairwise(bounds) if b > a]

        def send(index: int) -> None:
            if index == len(pieces):
                self._end(entry)
                return
            begins, ends = pieces[index]
            self._wire.deliver(raw[begins:ends], lambda: self._note(entry, ends))
            if not self._wire.is_closed:
                gap_s = self._rng.uniform(0, reply.gap_s)
                self._timer = loop.call_later(gap_s, send, index + 1)

        self._timer = loop.call_later(reply.wait_s, send, 0)

    def _note(self, entry: Entry, ends: int) -> None:
        """Note which parts of a reply its caller has read, once it has read up to `ends`."""
        reply, book, now_s = entry.reply, self._upstream.book, self._wire.loop.time()
        entry.heard_s = now_s
        entry.told |= {name for name, offset in reply.marks.items() if offset <= ends}
        if ends != len(reply.raw):
            return
        if reply.ends == "keep":
            entry.over_s = now_s
        if reply.retry_after_s is not None:
            _, until_s = book.rested.get(entry.deployment, (0.0, 0.0))
            until_s = max(until_s, now_s + reply.retry_after_s)
            book.rested[entry.deployment] = (now_s, until_s)

    def _end(self, entry: Entry) -> None:
        match entry.reply.ends:
            case "keep":
                if self._entry is entry:  # there may be a next call by now
                    self._entry = None
            case "close":
                self._wire.close_by_peer()
            case "reset":
                self._wire.reset()
            case "ping":
                ping = b": ping\n\n"
                self._wire.deliver(b"%x\r\n%b\r\n" % (len(ping), ping), lambda: None)
                self._timer = self._wire.loop.call_later(1.0, self._end, entry)
            case _:
                pass  # it hangs
