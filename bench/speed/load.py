"""Load: requests at a fixed rate or by so many callers, whole answers or streams. Loopback only.

At a rate, requests start at their times whatever the server does, and latency counts from the time
that was meant, so that a server that stands still cannot hide behind callers who wait. Prints one
line of JSON: what `Summary` holds.

Run: python -m bench.speed.load --url URL --body FILE (--rate R --seconds S | --callers C --count N)
"""

import argparse
import asyncio
import itertools
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from bench.speed.bodies import COUNTER

# An event loop's timers are 1 ms coarse: being late by two of them is not the server's doing.
TIMER_S = 0.002


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the requests; times in milliseconds, `None` where there was none."""

    answered: int
    errors: int
    kinds: dict[str, int]
    seconds: float
    p50_ms: float | None
    p99_ms: float | None
    ttft_p50_ms: float | None = None
    ttft_p99_ms: float | None = None
    gap_p99_ms: float | None = None
    reads_per_stream: float | None = None


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Return the nearest-rank percentile of sorted values, None without any."""
    if not ordered:
        return None
    return ordered[round(percent / 100 * (len(ordered) - 1))]


@dataclass(slots=True)
class Tally:
    """What has been seen so far; times in seconds."""

    latencies_s: list[float] = field(default_factory=list)
    ttfts_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def summary(self, seconds: float) -> Summary:
        def ms(values: Sequence[float], percent: float) -> float | None:
            found = percentile(sorted(values), percent)
            return None if found is None else found * 1e3

        reads = len(self.ttfts_s) + len(self.gaps_s)
        return Summary(
            answered=len(self.latencies_s),
            errors=sum(self.kinds.values()),
            kinds=dict(self.kinds),
            seconds=seconds,
            p50_ms=ms(self.latencies_s, 50),
            p99_ms=ms(self.latencies_s, 99),
            ttft_p50_ms=ms(self.ttfts_s, 50),
            ttft_p99_ms=ms(self.ttfts_s, 99),
            gap_p99_ms=ms(self.gaps_s, 99),
            reads_per_stream=reads / len(self.ttfts_s) if self.ttfts_s else None,
        )


class Caller(asyncio.Protocol):
    """One kept connection; asks one request at a time."""

    def __init__(self) -> None:
        self.is_open = False
        self._ended: asyncio.Future[str] | None = None
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_open = True

    def ask(self, data: bytes) -> "asyncio.Future[str]":
        """Send a request; the future's result is empty, or what was wrong with the answer."""
        self.reads_s: list[float] = []
        self.events = 0
        self._head = b""
        self._tail = b""
        self._got = 0
        self._length: int | None = None
        self._is_chunked = False
        self._status = 0
        self._ended = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._ended

    def data_received(self, data: bytes) -> None:
        if self._ended is None:
            return
        if not self._status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self._head[end + 4 :]
            self._read_head(self._head[:end].lower())
        if count := data.count(b"data:"):
            self.reads_s.append(time.perf_counter())
            self.events += count
        self._got += len(data)
        self._tail = (self._tail + data[-24:])[-24:]
        if self._is_chunked:
            is_whole = self._tail.endswith(b"\r\n0\r\n\r\n") or self._tail == b"0\r\n\r\n"
        else:
            is_whole = self._length is not None and self._got >= self._length
        if is_whole:
            self._end("")

    def _read_head(self, head: bytes) -> None:
        self._status = int(head[9:12])
        self._is_last = b"\r\nconnection: close" in head
        self._is_chunked = b"\r\ntransfer-encoding: chunked" in head
        _, is_said, rest = head.partition(b"\r\ncontent-length:")
        self._length = int(rest.split(b"\r\n", 1)[0]) if is_said else None

    def _end(self, fault: str) -> None:
        ended, self._ended = self._ended, None
        if ended is None or ended.done():
            return
        if not fault and self._status != 200:
            fault = f"status {self._status}"
        if not fault and self._is_last:
            self.transport.close()
            self.is_open = False
        ended.set_result(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        # Without a length and chunks the end of the connection is the end of the answer.
        is_end = self._status and not self._is_chunked and self._length is None
        self._end("" if is_end else "closed")


class Load:
    """Callers of one URL with one body. `events_min`: a stream with fewer is an error; 0: none."""

    def __init__(
        self,
        url: str,
        body: bytes,
        headers: Sequence[str],
        *,
        events_min: int = 0,
        patience_s: float = 30.0,
    ) -> None:
        address = urlsplit(url)
        if address.hostname not in {"127.0.0.1", "localhost"} or address.port is None:
            sys.exit(f"--url {url}: only an address of this machine with a port is called")
        self._host, self._port = address.hostname, address.port
        self._before, is_counted, self._after = body.partition(COUNTER.encode())
        self._is_counted = bool(is_counted)
        told = "".join(f"{header}\r\n" for header in headers)
        self._head = (
            f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\n"
            f"content-type: application/json\r\n{told}"
        ).encode()
        self._events_min = events_min
        self._patience_s = patience_s
        self._idle: deque[Caller] = deque()
        # Not from one again: requests of the last run may stand in a cache.
        self._count = int(time.time() * 1e3) % 10_000_000 * 100_000
        self.tally = Tally()

    async def ask(self, began_s: float) -> None:
        """Send one request on an idle connection or a new one, and tally what came of it."""
        try:
            caller = await self._caller()
        except OSError as error:
            self.tally.kinds[f"connect: {error.errno}"] += 1
            return
        answer = caller.ask(self._request())
        try:
            async with asyncio.timeout(self._patience_s):
                fault = await answer
        except TimeoutError:
            caller.transport.abort()
            fault = "timeout"
        ended_s = time.perf_counter()
        if not fault and self._events_min > caller.events:
            fault = "short stream"
        if fault:
            self.tally.kinds[fault] += 1
            caller.transport.abort()
            return
        self.tally.latencies_s.append(ended_s - began_s)
        if self._events_min:
            reads_s = caller.reads_s
            self.tally.ttfts_s.append(reads_s[0] - began_s)
            self.tally.gaps_s += [b - a for a, b in itertools.pairwise(reads_s)]
        if caller.is_open:
            self._idle.append(caller)

    async def _caller(self) -> Caller:
        while self._idle:
            caller = self._idle.pop()
            if caller.is_open:
                return caller
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(Caller, self._host, self._port)
        return caller

    def _request(self) -> bytes:
        body = self._before
        if self._is_counted:
            self._count += 1
            body = b"%b%d%b" % (self._before, self._count, self._after)
        return b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(body), body)


async def at_rate(load: Load, rate: float, seconds: float) -> None:
    """Start `rate` requests a second."""
    began_s = time.perf_counter() + 0.05
    async with asyncio.TaskGroup() as tasks:
        for place in range(int(rate * seconds)):
            due_s = began_s + place / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            late_s = time.perf_counter() - due_s
            tasks.create_task(load.ask(due_s + min(max(late_s, 0.0), TIMER_S)))


async def by_callers(load: Load, callers: int, count: int) -> None:
    """Have so many callers ask, one request after the other, until `count` have been asked."""
    left = count

    async def call() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await load.ask(time.perf_counter())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--events-min", type=int, default=0, help="fewer in a stream is an error")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds for an answer")
    given = parser.parse_args()
    load = Load(
        given.url,
        given.body.read_bytes(),
        given.header,
        events_min=given.events_min,
        patience_s=given.patience,
    )
    began_s = time.perf_counter()
    if given.rate:
        uvloop.run(at_rate(load, given.rate, given.seconds))
    else:
        uvloop.run(by_callers(load, given.callers, given.count))
    summary = load.tally.summary(time.perf_counter() - began_s)
    print(msgspec.json.encode(summary).decode(), flush=True)


if __name__ == "__main__":
    main()
