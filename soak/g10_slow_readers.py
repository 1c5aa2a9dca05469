"""Row 18: a thousand readers that stop reading, each of a stream of 1 MB.

The server runs as a process of its own, the upstream and the readers are here: what a stalled
stream may hold is memory of the server's, so that is measured. The upstream counts what it has said
only to tell when all stand still; most of that waits in the kernel.
"""

import asyncio
import json
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.server.processes import Served

from soak import Figure
from soak.one_upstream import one_upstream

READERS = 1_000
RSS_MB_MAX = 300.0
SLOWER_MAX = 1.2
_STREAM_BYTES = 1_000_000
_PIECE = "x" * 200
_ASKS = 300
_SETTLED_S, _LIMIT_S = 3.0, 300.0
_STALL_S, _LATE_S = 60.0, 30.0
# All readers are to be let in; G6 is about who is not.
_TAKES_ALL = "wait_max_s = 0.0"
_PATIENT = """
[timeouts]
connect_s = 60.0
"""


def measure(scale: float = 1.0) -> list[Figure]:
    """Return what stalled readers cost: memory, what is read for them, and others' time."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), max(10, round(READERS * scale)), scale))


async def _measure(folder: Path, count: int, scale: float) -> list[Figure]:
    async with upstream() as (base_url, said):
        (folder / "pointsman.toml").write_text(
            one_upstream(base_url, _PATIENT, _TAKES_ALL), "utf-8"
        )
        server = await asyncio.to_thread(Served, folder, None)
        try:
            return await _figures(server, said, count, scale)
        finally:
            server.process.terminate()
            await asyncio.to_thread(server.ended)


async def _figures(server: Served, said: list[int], count: int, scale: float) -> list[Figure]:
    await ask_others(server.base_url, "warm up")
    alone_s = await ask_others(server.base_url, "alone")
    before_mb = rss_mb(server.process.pid)
    said.clear()
    readers = [await stalled(server.address, number) for number in range(count)]
    await until_still(said, count)
    began_s = time.monotonic()
    grown_mb = rss_mb(server.process.pid) - before_mb
    beside_s = await ask_others(server.base_url, "beside")
    cut = await until_cut(server.base_url, began_s + _STALL_S + _LATE_S)
    for reader in readers:
        reader.close()
    allowed_mb = RSS_MB_MAX * max(scale, 0.1)
    slower = beside_s / alone_s
    return [
        Figure("row 18", f"memory for {count} stalled readers of 1 MB", f"≤{allowed_mb:.0f} MB",
               f"{grown_mb:.0f} MB", grown_mb <= allowed_mb),
        Figure("row 18", "others' p99 beside them", f"≤{SLOWER_MAX}x",
               f"{slower:.2f}x ({beside_s * 1000:.0f} ms, {alone_s * 1000:.0f} ms alone)",
               slower <= SLOWER_MAX),
        Figure("row 18", "cut off", f"{count}", f"{cut}", cut == count),
    ]  # fmt: skip


@asynccontextmanager
async def upstream() -> AsyncIterator[tuple[str, list[int]]]:
    """Serve streams of 1 MB, and short answers; `said` counts the bytes of each stream."""
    said: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            message = {"role": "assistant", "content": "here"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return web.json_response({**_CHUNK, "choices": [choice], "usage": usage})
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await reply.prepare(request)
        index = len(said)
        said.append(0)
        frame = _frame({"content": _PIECE}, None)
        while said[index] < _STREAM_BYTES:
            await reply.write(frame)
            said[index] += len(frame)
        await reply.write(_frame({}, "stop") + b"data: [DONE]\n\n")
        return reply

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await web.SockSite(runner, listener).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", said
    finally:
        await runner.cleanup()


_CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def _frame(delta: dict[str, str], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({**_CHUNK, "choices": [choice]}).encode() + b"\n\n"


async def stalled(address: str, number: int) -> socket.socket:
    """Ask for a stream, and read nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    body = _body(f"stall {number}", stream=True)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    await loop.sock_sendall(connection, head.encode() + body)
    return connection


async def until_still(said: list[int], count: int) -> None:
    """Wait until all streams have begun and none goes on. Raises TimeoutError."""
    before: list[int] = []
    async with asyncio.timeout(_LIMIT_S):
        while True:
            if len(said) >= count and said == before:
                return
            before = [*said]
            await asyncio.sleep(_SETTLED_S)


async def until_cut(base_url: str, end_s: float) -> int:
    """Return how many streams have been cancelled by `end_s`, by the server's own count."""
    await asyncio.sleep(max(0.0, end_s - time.monotonic()))
    url = f"{base_url.removesuffix('/v1')}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        text = await reply.text()
    return sum(
        round(float(line.rpartition(" ")[2]))
        for line in text.splitlines()
        if line.startswith("pointsman_attempts_total") and 'outcome="cancelled"' in line
    )


async def ask_others(base_url: str, text: str) -> float:
    """Return the 99th percentile of the time that short answers take, in seconds."""
    took: list[float] = []
    async with aiohttp.ClientSession() as session:
        for number in range(_ASKS):
            began_s = time.perf_counter()
            url = f"{base_url}/chat/completions"
            async with session.post(url, data=_body(f"{text} {number}")) as reply:
                await reply.read()
                assert reply.status == 200, await reply.text()
            took.append(time.perf_counter() - began_s)
    return sorted(took)[len(took) * 99 // 100]


def rss_mb(pid: int) -> float:
    """Return the memory that a process has in use, in MB."""
    with closing(Path(f"/proc/{pid}/statm").open()) as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _body(text: str, **fields: object) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": "auto", "messages": messages, **fields}).encode()
