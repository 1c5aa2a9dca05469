"""Row 17: clients that leave at every point of a request, over real sockets at both ends.

A server of its own process, an upstream and the clients here: measured is the time from a client's
going until the upstream's connection is closed, and what stays behind in the server.
"""

import asyncio
import json
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults import upstream as up
from tests.server.processes import Served

from pointsman.ledger.opening import open_ledger
from soak import Figure

CLIENTS = 1_000
GONE_MS_MAX = 250.0
_AT_ONCE = 20
_WAIT_S = 30.0
_POINTS = ("held", "headers", "json_headers", "content", "stream", "json_body", "retry")
_CONFIG = """
[providers.u]
base_url = "{url}"
dialect = "openai-chat"
api_key_env = ""
[routing]
policy = "fixed:held"
"""


@dataclass
class Watch:
    """What the upstream saw of each request, by its number."""

    reached: dict[int, asyncio.Event] = field(default_factory=dict)
    gone: dict[int, asyncio.Event] = field(default_factory=dict)
    gone_at_s: dict[int, float] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)

    def behaviour(self, *pieces: bytes) -> up.Behaviour:
        """Send pieces, tell that the request is here, and wait until its caller has gone."""

        async def behave(peer: up.Peer) -> None:
            number = self._arrived(peer)
            await peer.send(*pieces)
            self.reached[number].set()
            with suppress(ConnectionError):
                await peer.reader.read()
            self.gone_at_s[number] = time.monotonic()
            self.gone[number].set()

        return behave

    def told_to_wait(self) -> up.Behaviour:
        """Answer 429 with a time that the router waits for: then nobody calls."""

        async def behave(peer: up.Peer) -> None:
            number = self._arrived(peer)
            limited = up.error_body("slow down")
            await up.reply(429, limited, Retry_After="2", Connection="close")(peer)
            self.reached[number].set()

        return behave

    def _arrived(self, peer: up.Peer) -> int:
        number = int(peer.seen.body["messages"][-1]["content"].rpartition(" ")[2])
        self.calls[number] = self.calls.get(number, 0) + 1
        return number


def measure(scale: float = 1.0, *, seed: int = 0) -> list[Figure]:
    """Return how soon upstreams were let go of, and what was left behind."""
    clients = max(2 * len(_POINTS), round(CLIENTS * scale))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(leave(Path(folder), clients, Random(seed)))


async def leave(folder: Path, clients: int, rng: Random) -> list[Figure]:
    """Have clients come and go."""
    watch = Watch()
    head = up.stream_head()
    first = up.delta("Hello there, this is a beginning.")
    content = b"%x\r\n%b\r\n" % (len(first), first)
    script: dict[str, up.Behaviour] = {
        "held": watch.behaviour(head, content),
        "headers": watch.behaviour(),
        "json_headers": watch.behaviour(),
        "content": watch.behaviour(head),
        "stream": watch.behaviour(head, content),
        "json_body": watch.behaviour(up.head(200, Content_Length="999"), b"{"),
    }
    # A model of its own for each: one that was told to wait is not called by the next client.
    script |= {f"retry{n}": watch.told_to_wait() for n in range(clients)}
    async with up.upstream(**script) as server:
        (folder / "pointsman.toml").write_text(config(server.base_url, clients))
        served = await asyncio.to_thread(Served, folder, None)
        try:
            slots = asyncio.Semaphore(_AT_ONCE)
            warm = len(_POINTS) * clients + _POINTS.index("stream")
            await come_and_go(served, watch, slots, warm, 0.0)  # files open with their first use
            before = descriptors(served)
            waits_ms = await asyncio.gather(
                *(come_and_go(served, watch, slots, n, rng.random()) for n in range(clients))
            )
            left = await settled_descriptors(served, before)
        finally:
            await asyncio.to_thread(served.stop)
        ledger = open_ledger(f"sqlite:///{folder / 'pointsman.db'}")
        try:
            open_rows = sum(row.settlement.outcome == "pending" for row in ledger.rows())
        finally:
            await ledger.close()
    waits = [ms for ms in waits_ms if ms is not None]
    return figures(clients, waits, left - before, open_rows, watch)


def figures(
    clients: int, waits_ms: list[float], leaked: int, open_rows: int, watch: Watch
) -> list[Figure]:
    late = sum(ms > GONE_MS_MAX for ms in waits_ms)
    p99_ms = sorted(waits_ms)[int(0.99 * len(waits_ms))]
    told = f"{p99_ms:.0f} ms, {late} of {len(waits_ms):,} later, {max(waits_ms):.0f} ms at most"
    again = sum(count > 1 for count in watch.calls.values())
    return [
        Figure(
            "row 17",
            f"a client's leaving reaches the upstream, p99 of {clients:,} at {len(_POINTS)} points",
            f"<= {GONE_MS_MAX:g} ms",
            told,
            p99_ms <= GONE_MS_MAX,
        ),
        Figure(
            "row 17",
            "left behind: sockets; rows without an end; calls after the client had gone",
            "0; 0; 0",
            f"{max(0, leaked)}; {open_rows}; {again}",
            leaked <= 0 and open_rows == 0 and again == 0,
        ),
    ]


def config(url: str, clients: int) -> str:
    names = [point for point in _POINTS if point != "retry"]
    names += [f"retry{n}" for n in range(clients)]
    tiers = [f'[[tiers]]\nname = "{name}"\nmodels = ["u/{name}"]\n' for name in names]
    return _CONFIG.format(url=url) + "\n".join(tiers)


async def come_and_go(
    served: Served, watch: Watch, slots: asyncio.Semaphore, number: int, chance: float
) -> float | None:
    """Ask, leave once the upstream is where the point says; return the milliseconds until it knew.

    None where no call was under way then.
    """
    point = _POINTS[number % len(_POINTS)]
    watch.reached[number], watch.gone[number] = asyncio.Event(), asyncio.Event()
    async with slots:
        host, _, port = served.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked(point, number))
        async with asyncio.timeout(_WAIT_S):
            await watch.reached[number].wait()
            if point == "stream":
                await reader.readuntil(b"Hello")
        await asyncio.sleep(chance * 0.05)
        went_s = time.monotonic()
        if number % 2:
            writer.transport.abort()
        else:
            writer.close()
        if point == "retry":
            await asyncio.sleep(3.0)  # the wait that it was in is over then
            return None
        async with asyncio.timeout(_WAIT_S):
            await watch.gone[number].wait()
    return (watch.gone_at_s[number] - went_s) * 1000


def asked(point: str, number: int) -> bytes:
    model = {"held": "auto", "retry": f"retry{number}"}.get(point, point)
    fields = {
        "model": model,
        "messages": [{"role": "user", "content": f"Say hello to {number}"}],
        "stream": not point.startswith("json"),
    }
    body = json.dumps(fields).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1", "host: localhost", "x-pointsman-cache: off",
        "content-type: application/json", f"content-length: {len(body)}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + body


def descriptors(served: Served) -> int:
    """Return how many files and sockets the server has open."""
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


async def settled_descriptors(served: Served, before: int) -> int:
    """Return the same once it no longer falls, or has fallen far enough."""
    for _ in range(50):
        if descriptors(served) <= before:
            break
        await asyncio.sleep(0.1)
    return descriptors(served)
