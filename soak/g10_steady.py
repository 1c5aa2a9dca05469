"""Rows 31 and 32: a long run that must not grow, and thousands of streams that say nothing.

The long run asks the app in its own process, without sockets, over a scripted provider and a real
ledger: `python -m soak.g10_steady run 100000` prints what it saw. The streams go over sockets to a
real server with a real upstream, both ends held by a process of its own per server:
`python -m soak.g10_steady streams 4900`.
"""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import msgspec
from tests.server.doors import TOML, Client, chat_body, opened
from tests.server.processes import Served

from soak import Figure
from soak.one_upstream import one_upstream

REQUESTS = 1_000_000
STREAMS, SERVERS = 4_900, 2
GROWTH_MB_MAX, SLOWER_MAX, KIB_PER_STREAM_MAX, BESIDE_MAX = 5.0, 1.1, 40.0, 1.2
_AT_ONCE = 20
# Until all stores that have a bound are full: conversations, the largest of them, hold 20,000.
_WARM_UP = 30_000
_SMALL = TOML.replace("sqlite://", "sqlite:///{path}") + "[cache]\nmemory_mb = 1\n"
_ASKS = 300
_DEADLINE_S = 7_200.0
_PATIENT = """
[timeouts]
connect_s = 30.0
idle_s = 3000.0
total_s = 3600.0
"""


class Steady(msgspec.Struct, frozen=True, kw_only=True):
    """What a long run saw after its warm-up: memory's growth, the rest at its beginning and end."""

    requests: int
    growth_mb: float
    fds: tuple[int, int]
    tasks: tuple[int, int]
    p99_ms: tuple[float, float]
    seconds: float


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """What idle streams cost a server, and how long others took beside them."""

    streams: int
    kib_per_stream: float
    p99_ms: tuple[float, float]


def measure(scale: float = 1.0) -> list[Figure]:
    """Return whether a long run stays as it began, and what an idle stream costs."""
    steady = msgspec.json.decode(_alone("run", max(2_000, round(REQUESTS * scale))), type=Steady)
    streams = max(50, min(STREAMS, round(STREAMS * scale)))
    with ThreadPoolExecutor(SERVERS) as pool:
        told = list(pool.map(lambda _: _alone("streams", streams), range(SERVERS)))
    return [
        *_steady_figures(steady),
        *_idle_figures([msgspec.json.decode(t, type=Idle) for t in told]),
    ]


def _steady_figures(steady: Steady) -> Iterator[Figure]:
    rate = steady.requests / steady.seconds
    allowed_mb = GROWTH_MB_MAX * max(1.0, steady.requests / REQUESTS)
    yield Figure(
        "row 32", f"memory's growth over {steady.requests:,} requests after warm-up",
        f"<= {allowed_mb:g} MB", f"{steady.growth_mb:.1f} MB ({rate:,.0f} requests/s)",
        steady.growth_mb <= allowed_mb,
    )  # fmt: skip
    is_flat = steady.fds[0] == steady.fds[1] and steady.tasks[0] == steady.tasks[1]
    yield Figure(
        "row 32", "file descriptors and tasks, before and after", "flat",
        f"{steady.fds[0]}, {steady.fds[1]}; {steady.tasks[0]}, {steady.tasks[1]}", is_flat,
    )  # fmt: skip
    first_ms, last_ms = steady.p99_ms
    slower = last_ms / first_ms
    yield Figure(
        "row 32", "p99 of the last tenth to that of the first", f"<= {SLOWER_MAX:g}x",
        f"{slower:.2f}x ({last_ms:.1f} ms, {first_ms:.1f} ms)", slower <= SLOWER_MAX,
    )  # fmt: skip


def _idle_figures(idle: list[Idle]) -> Iterator[Figure]:
    kib = max(one.kib_per_stream for one in idle)
    yield Figure(
        "row 31", f"memory of an idle stream, {len(idle)} servers of {idle[0].streams:,} each",
        f"<= {KIB_PER_STREAM_MAX:g} KiB", f"{kib:.1f} KiB", kib <= KIB_PER_STREAM_MAX,
    )  # fmt: skip
    worst = max(idle, key=lambda one: one.p99_ms[1] / one.p99_ms[0])
    slower = worst.p99_ms[1] / worst.p99_ms[0]
    yield Figure(
        "row 31", "a new request's p99 beside them", f"<= {BESIDE_MAX:g}x",
        f"{slower:.2f}x ({worst.p99_ms[1]:.1f} ms, {worst.p99_ms[0]:.1f} ms alone)",
        slower <= BESIDE_MAX,
    )  # fmt: skip


def _alone(what: str, number: int) -> bytes:
    """Return what a process of its own prints. Raises RuntimeError where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "soak.g10_steady", what, str(number)],
        capture_output=True, timeout=_DEADLINE_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-500:])
    return done.stdout.splitlines()[-1]


async def run(requests: int) -> Steady:
    """Ask an app so many times after a warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(toml=_SMALL.format(path=Path(folder) / "ledger.db")) as client:
            numbers = count()
            # Made beforehand: what is measured is not to grow by the measuring.
            took_ms = array("d", bytes(array("d").itemsize * max(requests, _WARM_UP)))
            await _ask(client, numbers, _WARM_UP, took_ms)
            before_mb, before = _rss_mb(), (_fds(), len(asyncio.all_tasks()))
            began_s = time.perf_counter()
            await _ask(client, numbers, requests, took_ms)
            seconds = time.perf_counter() - began_s
            tenth = requests // 10
            return Steady(
                requests=requests,
                growth_mb=_rss_mb() - before_mb,
                fds=(before[0], _fds()),
                tasks=(before[1], len(asyncio.all_tasks())),
                p99_ms=(_p99(took_ms[:tenth]), _p99(took_ms[requests - tenth : requests])),
                seconds=seconds,
            )


async def _ask(
    client: Client, numbers: Iterator[int], requests: int, took_ms: "array[float]"
) -> None:
    """Ask in turns, a few at a time, streamed and not, no two the same; note what each took."""
    places = iter(range(requests))

    async def worker() -> None:
        for place in places:
            number = next(numbers)
            body = chat_body(f"question {number}", stream=number % 2 == 0)
            began_s = time.perf_counter()
            reply = await client.ask("POST", "/v1/chat/completions", body)
            took_ms[place] = 1000 * (time.perf_counter() - began_s)
            assert reply.status == 200, reply.body
            client.upstream.calls.clear()

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))


async def streams(number: int) -> Idle:
    """Open idle streams through a server, and ask beside them."""
    listener = await asyncio.start_server(_idle_upstream, "127.0.0.1", 0, backlog=1024)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pointsman.toml").write_text(one_upstream(url, _PATIENT), "utf-8")
        server = await asyncio.to_thread(Served, Path(folder), None)
        try:
            await _others_p99_ms(server.address, "warm up")
            alone_ms = await _others_p99_ms(server.address, "alone")
            before_mb = _rss_mb(server.process.pid)
            held = [await _begun(server.address, at) for at in range(number)]
            grown_mb = _rss_mb(server.process.pid) - before_mb
            beside_ms = await _others_p99_ms(server.address, "beside")
            for connection in held:
                connection.close()
        finally:
            server.process.kill()
            await asyncio.to_thread(server.ended)
            listener.close()
    return Idle(
        streams=number, kib_per_stream=grown_mb * 1e6 / 1024 / number, p99_ms=(alone_ms, beside_ms)
    )


async def _idle_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests; a stream begins, and then says no more."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            if b'"stream":true' in (await reader.readexactly(length)).replace(b" ", b""):
                writer.write(_STREAM_HEAD + _FRAME)
                await reader.read()
                return
            writer.write(_WHOLE)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


_CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_DELTA = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
_FRAME = b"data: " + json.dumps({**_CHUNK, "choices": [_DELTA]}).encode() + b"\n\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
_BODY = json.dumps({
    **_CHUNK, "choices": [_MESSAGE],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}).encode()  # fmt: skip
_WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
) + _BODY


async def _begun(address: str, number: int) -> socket.socket:
    """Ask for a stream and read until its first content."""
    connection = socket.socket()
    connection.setblocking(False)
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    body = chat_body(f"idle {number}", stream=True)
    await loop.sock_sendall(connection, _head(address, body) + body)
    received = b""
    while b"data:" not in received:
        received += (piece := await loop.sock_recv(connection, 4096))
        assert piece, received
    return connection


async def _others_p99_ms(address: str, text: str) -> float:
    """Return the p99 of short requests on one connection."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    took_ms: list[float] = []
    for number in range(_ASKS):
        body = chat_body(f"{text} {number}")
        began_s = time.perf_counter()
        writer.write(_head(address, body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        took_ms.append(1000 * (time.perf_counter() - began_s))
    writer.close()
    return _p99(took_ms)


def _head(address: str, body: bytes) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode()


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def _rss_mb(pid: int | str = "self") -> float:
    if pid == "self":
        gc.collect()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    kind, number = sys.argv[1], int(sys.argv[2])
    seen: Steady | Idle
    seen = asyncio.run(run(number)) if kind == "run" else asyncio.run(streams(number))
    print(msgspec.json.encode(seen).decode())
