"""G6: three times as many requests as the server can serve, from callers who do not wait in line.

A real server, with its defaults but for cache and log, and a real upstream that takes a tenth of a
second. Load is open: requests leave at their times whatever became of those before them. The server
has a core of its own where there are two; the upstream and the callers share another.
"""

import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from aiohttp import web
from tests.server.processes import Served

from soak import Figure
from soak.one_upstream import one_upstream

GOODPUT_MIN, SLOWER_MAX, SHED_MS_MAX = 0.9, 2.0, 10.0
_SECONDS = 60.0
_UPSTREAM_S = 0.1
_PATIENCE_S = 60.0
_UNCACHED = """
[cache]
exact = false
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What callers saw: answers a second, p99 of answers and of refusals in ms, what was amiss."""

    asked: int
    answered: int
    shed: int
    other: int
    per_s: float
    answer_p99_ms: float
    shed_p99_ms: float
    unsaid: int  # refusals without Retry-After


def measure(scale: float = 1.0) -> list[Figure]:
    """Return what overload does to goodput, to those let in, and to those shed."""
    with tempfile.TemporaryDirectory() as folder, _upstream() as port:
        toml = one_upstream(f"http://127.0.0.1:{port}/v1", _UNCACHED)
        (Path(folder) / "pointsman.toml").write_text(toml, "utf-8")
        with _pinned(0):
            server = Served(Path(folder), None)
        try:
            return _figures(server, max(3.0, _SECONDS * scale))
        finally:
            server.process.terminate()
            server.ended()


def _figures(server: Served, seconds: float) -> list[Figure]:
    _load(server, 20.0, 2.0)
    peak = _peak(server, seconds)
    below = _load(server, 0.8 * peak.per_s, seconds)
    over = _load(server, 3.0 * peak.per_s, seconds)
    share = over.per_s / peak.per_s
    slower = over.answer_p99_ms / below.answer_p99_ms
    is_alive = server.process.poll() is None
    return [
        Figure(
            "G6", "answers/s at three times capacity, to the peak", f">= {GOODPUT_MIN:.0%}",
            f"{share:.0%} ({over.per_s:.0f} of {peak.per_s:.0f})", share >= GOODPUT_MIN,
        ),
        Figure(
            "G6", "p99 of those let in, to that at 80% load", f"<= {SLOWER_MAX:g}x",
            f"{slower:.2f}x ({over.answer_p99_ms:.0f} ms, {below.answer_p99_ms:.0f} ms)",
            slower <= SLOWER_MAX,
        ),
        Figure(
            "G6", "p99 of a refusal (503 with Retry-After)", f"<= {SHED_MS_MAX:g} ms",
            f"{over.shed_p99_ms:.1f} ms of {over.shed:,}; {over.unsaid} without Retry-After",
            over.shed > 0 and over.shed_p99_ms <= SHED_MS_MAX and not over.unsaid,
        ),
        Figure(
            "G6", "neither answered nor shed; server alive", "0; yes",
            f"{over.other} of {over.asked:,}; {'yes' if is_alive else 'no'}",
            not over.other and is_alive,
        ),
    ]  # fmt: skip


def _peak(server: Served, seconds: float) -> Seen:
    """Return the best of rates that rise until answers no longer do."""
    best, rate = _load(server, 50.0, seconds / 2), 75.0
    while rate < 5_000:
        seen = _load(server, rate, seconds / 2)
        if seen.per_s < best.per_s * 1.05:
            return max(best, seen, key=lambda one: one.per_s)
        best, rate = seen, rate * 1.5
    return best


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    """Run, and have children run, on one core, where there are as many."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[core : core + 1] or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _load(server: Served, per_s: float, seconds: float) -> Seen:
    """Have callers ask so often, in a process of their own."""
    command = [sys.executable, "-m", "soak.g6_overload", "ask", server.base_url]
    done = subprocess.run(
        [*command, str(per_s), str(seconds)],
        stdout=subprocess.PIPE,
        timeout=seconds + 120,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Seen)


class _Line(asyncio.Protocol):
    """A connection that asks one thing after another; as little work a request as can be."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.came = b""
        self.reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, blank, body = self.came.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if blank and len(body) >= int(length) and self.reply is not None:
            self.came = b""
            self.reply.set_result(head.lower())

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(exc or ConnectionError("hung up"))

    async def ask(self, data: bytes) -> bytes:
        """Return the head of the reply to a request, in small letters."""
        assert self.transport is not None
        self.reply = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return await self.reply


async def _ask(base_url: str, per_s: float, seconds: float) -> Seen:
    """Ask at even times, whatever became of the requests before, and reckon from those times."""
    answers_ms: list[float] = []
    sheds_ms: list[float] = []
    other = unsaid = 0
    url = urlsplit(base_url)
    host, _, port = url.netloc.partition(":")
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\n"
    data = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = data.encode() + body
    loop = asyncio.get_running_loop()
    idle: list[_Line] = []

    async def one(due_s: float) -> None:
        nonlocal other, unsaid
        try:
            line = idle.pop() if idle else None
            if line is None or line.transport is None:
                _, line = await loop.create_connection(_Line, host, int(port))
            async with asyncio.timeout(_PATIENCE_S):
                told = await line.ask(request)
        except OSError:
            other += 1
            return
        took_ms = 1000 * (time.perf_counter() - due_s)
        idle.append(line)
        match told[9:12]:
            case b"200":
                answers_ms.append(took_ms)
            case b"503":
                sheds_ms.append(took_ms)
                unsaid += b"\r\nretry-after:" not in told
            case _:
                other += 1

    with suppress(PermissionError):
        os.nice(-15)  # that the callers come late is not the server's doing
    tasks: list[asyncio.Task[None]] = []
    began_s = time.perf_counter()
    for number in range(math.ceil(per_s * seconds)):
        due_s = began_s + number / per_s
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due_s)))
    await asyncio.gather(*tasks)
    took_s = time.perf_counter() - began_s
    for line in idle:
        if line.transport is not None:
            line.transport.close()
    return Seen(
        asked=len(tasks), answered=len(answers_ms), shed=len(sheds_ms), other=other, unsaid=unsaid,
        per_s=len(answers_ms) / took_s, answer_p99_ms=_p99(answers_ms), shed_p99_ms=_p99(sheds_ms),
    )  # fmt: skip


def _p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100] if values else 0.0


@contextmanager
def _upstream() -> Iterator[int]:
    """Run an upstream in a process of its own; its port."""
    command = [sys.executable, "-m", "soak.g6_overload", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _serve() -> None:
    message = {"role": "assistant", "content": "here"}
    body = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(_UPSTREAM_S)
        return web.json_response(body)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with _pinned(1), suppress(KeyboardInterrupt):
        if sys.argv[1] == "serve":
            uvloop.run(_serve())
        else:
            found = uvloop.run(_ask(sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
            print(msgspec.json.encode(found).decode())
