"""G1: nothing lost and nothing doubled when the process is killed, at the ledger and over HTTP.

What the judge goes by is written down outside the process that dies: a pipe's bytes outlive their
writer, and the fake upstream keeps a book of its own.
"""

import argparse
import asyncio
import itertools
import json
import logging
import os
import select
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import msgspec
from aiohttp import web
from tests.ledger.attempts import SETTLED, intent
from tests.server.processes import Served

from pointsman.ledger import Row
from pointsman.ledger.sqlite import SqliteLedger
from soak import Figure

KILLS, OPERATIONS = 1_000, 1_000_000
HTTP_KILLS, HTTP_REQUESTS = 100, 20_000
RECOVERY_S_MAX = 2.0
_AT_ONCE = 64
_LIFE = 10_000_000
_RECORD = struct.Struct("<BQ")
_OPENED, _CALLED, _SETTLED = range(3)
_LATE_S = 60.0


def measure(scale: float = 1.0, *, seed: int = 0) -> list[Figure]:
    """Return what of the ledger's operations, and of requests over HTTP, was lost or doubled."""
    with tempfile.TemporaryDirectory() as folder:
        core = crash_ledger(
            Path(folder) / "core.db",
            kills=max(2, round(KILLS * scale)),
            operations=max(2_000, round(OPERATIONS * scale)),
            rng=Random(seed),
        )
        http = asyncio.run(
            crash_server(
                Path(folder),
                kills=max(2, round(HTTP_KILLS * scale)),
                requests=max(200, round(HTTP_REQUESTS * scale)),
                rng=Random(seed),
            )
        )
    return [core.figure("ledger core"), http.figure("over HTTP"), core.recovery("ledger core")]


@dataclass
class Verdict:
    """What a judge found. `operations`: what was promised to somebody before a kill."""

    kills: int = 0
    operations: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest_start_s: float = 0.0

    def figure(self, where: str) -> Figure:
        """Return the verdict as one row."""
        faults = (*self.lost, *self.doubled, *self.wrong)
        told = f"{len(self.lost)} / {len(self.doubled)} / {len(self.wrong)} of {self.operations:,}"
        told += f" with {self.kills:,} SIGKILLs"
        if faults:
            told += f"; first: {faults[0]}"
        return Figure(
            "G1", f"crash, {where}: lost / doubled / wrong sum", "0 / 0 / 0", told, not faults
        )

    def recovery(self, where: str) -> Figure:
        """Return how long the slowest start after a kill took, the judge's last one included."""
        reached = f"{self.slowest_start_s:.2f} s"
        return Figure(
            "row 20",
            f"{where}: slowest opening after a kill",
            f"{RECOVERY_S_MAX:g} s",
            reached,
            self.slowest_start_s <= RECOVERY_S_MAX,
        )


# The ledger alone: a child books as fast as it can and is killed at a random record.


def crash_ledger(path: Path, *, kills: int, operations: int, rng: Random) -> Verdict:
    """Kill the ledger's process again and again, then compare its rows with what was told."""
    verdict = Verdict(kills=kills)
    called: set[int] = set()
    settled: set[int] = set()
    for life in range(kills):
        left = kills - life
        aim = max(1, round((operations - verdict.operations) / left * rng.uniform(0.2, 1.8)))
        for kind, number in _one_life(path, life, records=aim):
            if kind == _OPENED:
                verdict.slowest_start_s = max(verdict.slowest_start_s, number / 1e6)
            else:
                verdict.operations += 1
                (called if kind == _CALLED else settled).add(number)
    began_s = time.monotonic()
    ledger = _opened(path)
    verdict.slowest_start_s = max(verdict.slowest_start_s, time.monotonic() - began_s)
    judge_core(ledger.rows(), called, settled, verdict)
    asyncio.run(ledger.close())
    return verdict


def _one_life(path: Path, life: int, *, records: int) -> list[tuple[int, int]]:
    """Fork a child that books, kill it after so many records, return all that it has written."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            asyncio.run(_book(path, life, writer))
        finally:
            os._exit(1)
    os.close(writer)
    data = bytearray()
    until_s = time.monotonic() + _LATE_S
    while len(data) < records * _RECORD.size:
        if not select.select([reader], [], [], max(0.0, until_s - time.monotonic()))[0]:
            break
        piece = os.read(reader, 65_536)
        if not piece:
            break
        data += piece
    os.kill(child, signal.SIGKILL)
    while piece := os.read(reader, 65_536):
        data += piece
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"the child ended by itself, status {status}; see its traceback above")
    whole = len(data) - len(data) % _RECORD.size
    return list(_RECORD.iter_unpack(data[:whole]))


async def _book(path: Path, life: int, writer: int) -> None:
    began_s = time.monotonic()
    ledger = _opened(path)
    os.write(writer, _RECORD.pack(_OPENED, round((time.monotonic() - began_s) * 1e6)))
    numbers = itertools.count(life * _LIFE)

    async def client() -> None:
        while True:
            number = next(numbers)
            await ledger.reserve(intent(f"r{number}", at_ns=number))
            os.write(writer, _RECORD.pack(_CALLED, number))  # from here on it may cost money
            cost = msgspec.structs.replace(SETTLED, cost_nanousd=_cost(number))
            await ledger.settle(f"r{number}", 1, cost)
            os.write(writer, _RECORD.pack(_SETTLED, number))  # the client has its last byte

    await asyncio.gather(*(client() for _ in range(_AT_ONCE)))


def _opened(path: Path) -> SqliteLedger:
    """Return the ledger; that attempts were lost is the point, and no news a thousand times."""
    log = logging.getLogger("pointsman.ledger")
    log.setLevel(logging.ERROR)
    try:
        return SqliteLedger(path)
    finally:
        log.setLevel(logging.NOTSET)


def _cost(number: int) -> int:
    return number % 1_000_003 + 1


def judge_core(rows: Iterator[Row], called: set[int], settled: set[int], verdict: Verdict) -> None:
    """Compare: each call has a row, each promise an end of the right cost, and nothing is open."""
    seen: Counter[int] = Counter()
    for row in rows:
        number = int(row.intent.request_id[1:])
        seen[number] += 1
        end = row.settlement
        if end.state == "settled" and end.cost_nanousd != _cost(number):
            verdict.wrong.append(f"r{number} costs {end.cost_nanousd}")
        if end.state == "reserved" or (number in settled and end.state != "settled"):
            verdict.lost.append(f"r{number} is {end.state}")
        if end.state == "settled" and number not in called:
            verdict.wrong.append(f"r{number} is settled and was never called")
    verdict.lost += [f"r{number} has no row" for number in called | settled if number not in seen]
    verdict.doubled += [
        f"r{number} has {count} rows" for number, count in seen.items() if count > 1
    ]


# The whole server: a real process between real sockets, judged by the upstream's own book.

_CONFIG = """
[cache]
exact = false
[ledger]
url = "sqlite:///crash.db"
[routing]
policy = "fixed:only"
[providers.fake]
dialect = "openai-chat"
base_url = "{base_url}"
api_key_env = ""
[[tiers]]
name = "only"
models = ["fake/model"]
[prices."fake/model"]
input = 1.0
output = 2.0
"""


@dataclass
class Upstream:
    """Answers, and keeps its own book: how often each request has reached it."""

    rng: Random
    calls: Counter[int] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = int(body["messages"][-1]["content"].split()[-1])
        self.calls[number] += 1
        await asyncio.sleep(self.rng.uniform(0, 0.02))
        usage: dict[str, int] = {
            "prompt_tokens": tokens_in(number),
            "completion_tokens": tokens_out(number),
        }
        usage["total_tokens"] = sum(usage.values())
        base: dict[str, object] = {"id": f"c{number}", "created": 1, "model": "model"}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "Fine."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
            return web.json_response(whole)
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        with suppress(ConnectionError):  # whoever asked has been killed
            await self._stream(reply, request, base, usage)
        return reply

    async def _stream(
        self,
        reply: web.StreamResponse,
        request: web.Request,
        base: dict[str, object],
        usage: dict[str, int],
    ) -> None:
        await reply.prepare(request)
        chunk = {**base, "object": "chat.completion.chunk"}
        for delta, reason in (({"role": "assistant", "content": "Fine."}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            await reply.write(_sse({**chunk, "choices": [choice]}))
        await reply.write(_sse({**chunk, "choices": [], "usage": usage}) + b"data: [DONE]\n\n")


class Answered:
    """The requests whose whole answers have come."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._upto = 0
        self._is_there = asyncio.Event()

    def add(self, number: int) -> None:
        self.numbers.add(number)
        if len(self.numbers) >= self._upto:
            self._is_there.set()

    async def reached(self, upto: int) -> None:
        """Wait until there are so many."""
        self._upto = upto
        self._is_there.clear()
        await self._is_there.wait()


def tokens_in(number: int) -> int:
    """Return how many tokens the upstream says request `number` had."""
    return 10 + number % 7


def tokens_out(number: int) -> int:
    """Return how many tokens the upstream says its answer had."""
    return 5 + number % 11


def _sse(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@asynccontextmanager
async def _serving(upstream: Upstream) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def crash_server(folder: Path, *, kills: int, requests: int, rng: Random) -> Verdict:
    """Kill a real server again and again under load, then compare its ledger with the books."""
    verdict = Verdict(kills=kills)
    upstream, whole = Upstream(Random(rng.random())), Answered()
    numbers = itertools.count()
    async with _serving(upstream) as base_url:
        (folder / "pointsman.toml").write_text(_CONFIG.format(base_url=base_url))
        for life in range(kills):
            aim = max(
                1, round((requests - len(whole.numbers)) / (kills - life) * rng.uniform(0.5, 1.5))
            )
            server = await asyncio.to_thread(Served, folder, None)
            await _until_killed(server, numbers, whole, upto=len(whole.numbers) + aim)
    verdict.operations = len(whole.numbers)
    ledger = _opened(folder / "crash.db")
    _judge_http(ledger.rows(), upstream.calls, whole, verdict)
    await ledger.close()
    return verdict


async def _until_killed(
    server: Served, numbers: Iterator[int], whole: Answered, *, upto: int
) -> None:
    """Let clients ask until so many answers have come in all, and kill the server under them."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url = f"{server.base_url}/chat/completions"
        clients = [
            asyncio.create_task(_client(session, url, numbers, whole)) for _ in range(_AT_ONCE)
        ]
        with suppress(TimeoutError):
            await asyncio.wait_for(whole.reached(upto), _LATE_S)
        server.process.kill()
        await asyncio.gather(*clients)
    await asyncio.to_thread(server.process.wait)
    for stream in (server.process.stdout, server.process.stderr):
        assert stream is not None
        with closing(stream):
            pass


async def _client(
    session: aiohttp.ClientSession, url: str, numbers: Iterator[int], whole: Answered
) -> None:
    """Ask one thing after the other until the server is gone; note what was answered whole."""
    while True:
        number = next(numbers)
        is_stream = bool(number % 2)
        body = {
            "model": "auto",
            "messages": [{"role": "user", "content": f"This is number {number}"}],
            "stream": is_stream,
        }
        try:
            headers = {"x-pointsman-tags": f"n={number}"}
            async with session.post(url, json=body, headers=headers) as reply:
                text = await reply.text()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return
        if reply.status != 200:
            raise RuntimeError(f"request {number} was refused: {reply.status} {text[:200]}")
        if not is_stream or text.endswith("data: [DONE]\n\n"):
            whole.add(number)


def _judge_http(
    rows: Iterator[Row], calls: Counter[int], whole: Answered, verdict: Verdict
) -> None:
    by_number: dict[int, list[Row]] = {}
    for row in rows:
        by_number.setdefault(int(json.loads(row.intent.tags)["n"]), []).append(row)
    for number, count in calls.items():
        found = by_number.get(number, [])
        if len(found) < count:
            verdict.lost.append(f"n={number} was called {count} times and has {len(found)} rows")
        if sum(row.settlement.state == "settled" for row in found) > count:
            verdict.doubled.append(f"n={number} is settled more often than it was called")
    for number, found in by_number.items():
        cost = 1000 * tokens_in(number) + 2000 * tokens_out(number)
        ends = [row.settlement for row in found]
        if any(end.state == "reserved" for end in ends):
            verdict.lost.append(f"n={number} is still open")
        exact = [end for end in ends if end.state == "settled" and not end.usage.is_estimated]
        if any(end.cost_nanousd != cost for end in exact):
            verdict.wrong.append(f"n={number} costs {[end.cost_nanousd for end in exact]}")
        if number in whole.numbers and [end.outcome for end in exact] != ["answered"]:
            verdict.lost.append(f"n={number} was answered and is {[end.state for end in ends]}")
    verdict.lost += [
        f"n={number} has no row" for number in whole.numbers if number not in by_number
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for told in measure(given.scale, seed=given.seed):
        print(told)
    sys.exit(0)
