"""G6: three times as many requests as the server can serve, from callers who do not wait in line.

A real server with a real upstream that takes a tenth of a second; `in_flight_max` bounds what is
taken on. Load is open: requests leave at their times whatever became of those before them. The
upstream and the callers are processes of their own, so that they do not slow each other down, but
all share this machine's cores: the figures say what this machine can do, and no more.
"""

import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from tests.server.processes import Served

from soak import Figure

GOODPUT_MIN, SLOWER_MAX, SHED_MS_MAX = 0.9, 2.0, 10.0
_SECONDS = 60.0
_UPSTREAM_S = 0.1
_IN_FLIGHT = 40
_TOML = """
[server]
log_requests = false
in_flight_max = {in_flight}
[providers.up]
dialect = "openai-chat"
base_url = "http://127.0.0.1:{port}/v1"
api_key_env = ""
[[tiers]]
name = "fast"
models = ["up/m"]
[routing]
policy = "fixed:fast"
[cache]
exact = false
[prices."up/m"]
input = 1.0
output = 2.0
[ledger]
url = "sqlite:///ledger.db"
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
        toml = _TOML.format(port=port, in_flight=_IN_FLIGHT)
        (Path(folder) / "pointsman.toml").write_text(toml, "utf-8")
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


def _load(server: Served, per_s: float, seconds: float) -> Seen:
    """Have callers ask so often, in a process of their own."""
    command = [sys.executable, "-m", "soak.g6_overload", "ask", server.base_url]
    done = subprocess.run(
        [*command, str(per_s), str(seconds)], capture_output=True, timeout=seconds + 120, check=True
    )
    return msgspec.json.decode(done.stdout, type=Seen)


async def _ask(base_url: str, per_s: float, seconds: float) -> Seen:
    """Ask at even times, whatever became of the requests before."""
    answers_ms: list[float] = []
    sheds_ms: list[float] = []
    other = unsaid = 0
    url = f"{base_url}/chat/completions"
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})

    async def one(session: aiohttp.ClientSession) -> None:
        nonlocal other, unsaid
        began_s = time.perf_counter()
        try:
            async with session.post(url, data=body) as reply:
                await reply.read()
        except (aiohttp.ClientError, TimeoutError):
            other += 1
            return
        took_ms = 1000 * (time.perf_counter() - began_s)
        match reply.status:
            case 200:
                answers_ms.append(took_ms)
            case 503:
                sheds_ms.append(took_ms)
                unsaid += "retry-after" not in reply.headers
            case _:
                other += 1

    connector = aiohttp.TCPConnector(limit=0)
    limit = aiohttp.ClientTimeout(total=60)
    tasks: list[asyncio.Task[None]] = []
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
        began_s = time.perf_counter()
        for number in range(math.ceil(per_s * seconds)):
            await asyncio.sleep(max(0.0, began_s + number / per_s - time.perf_counter()))
            tasks.append(asyncio.create_task(one(session)))
        await asyncio.gather(*tasks)
        took_s = time.perf_counter() - began_s
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
    if sys.argv[1] == "serve":
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve())
    else:
        found = asyncio.run(_ask(sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
        print(msgspec.json.encode(found).decode())
