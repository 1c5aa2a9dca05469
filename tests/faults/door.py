"""The whole of pointsman behind a real socket, a client that sends raw bytes, and what it booked.

Only time is not real where the pipeline waits: a wait moves its clock at once.
"""

import asyncio
import json
import logging
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
from tests.faults import upstream as up
from tests.faults.spoken import Dialect, Heard
from tests.pipeline.rig import PRICES, FakeClock, until
from tests.server.connections import Listening, listening

from pointsman.access.environment import stated_keys
from pointsman.access.keyring import Keyring
from pointsman.assembly import build_routing, new_request_id
from pointsman.cache import CacheSettings, build_cache
from pointsman.config import ModelSettings, Settings, TierSettings
from pointsman.config.settings import ProviderSettings, RoutingSettings
from pointsman.ledger import Row
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.policies import SignalSettings
from pointsman.providers import Timeouts
from pointsman.router import Pipeline
from pointsman.routing import Stores
from pointsman.server.app import App
from pointsman.server.line_writer import LOGGER
from pointsman.server.metrics import Metrics
from pointsman.server.protocol import Protocol
from pointsman.server.request_log import RequestLog
from pointsman.server.routes import Services

DEADLINE_S = 20.0
LEDGER = "ledger.db"
# For who waits until it is over, and for who is not to be hurried by a busy machine.
QUICK = Timeouts(first_byte_s=0.3, reply_s=0.3, idle_s=0.3)
PATIENT = Timeouts(first_byte_s=60.0, reply_s=60.0, idle_s=60.0)
ALONE = (TierSettings("weak", ("p/weak",)),)
TWO = (TierSettings("weak", ("p/weak", "p/weak-2")),)
TIERS = (TierSettings("weak", ("p/weak",)), TierSettings("strong", ("p/strong",)))


@dataclass
class Got:
    """A reply, as far as it came. `is_whole`: it ended as HTTP wants it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]


class Wire:
    """One connection of a client, with one request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.got = Got()

    async def head(self) -> Got:
        """Read up to the body."""
        line, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        self.got.status = int(line.split(" ")[1])
        pairs = [header.split(": ", 1) for header in rest]
        self.got.headers = {name.lower(): value for name, value in pairs}
        assert len(pairs) == len(self.got.headers), "no header comes twice"
        return self.got

    async def more(self, until_seen: bytes) -> Got:
        """Read a chunked body until it holds these bytes."""
        while until_seen not in self.got.body and await self._chunk():
            pass
        return self.got

    async def rest(self) -> Got:
        """Read to the end, whichever that is."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            if not self.got.status:
                await self.head()
            if "content-length" in self.got.headers:
                length = int(self.got.headers["content-length"])
                self.got.body = await self.reader.readexactly(length)
                self.got.is_whole = True
            else:
                while await self._chunk():
                    pass
        self.leave()
        return self.got

    def leave(self) -> None:
        """Close the connection."""
        self.writer.close()

    async def _chunk(self) -> bool:
        size = int((await self.reader.readuntil(b"\r\n")).decode(), 16)
        self.got.body += (await self.reader.readexactly(size + 2))[:size]
        self.got.is_whole = not size
        return bool(size)


class Jumping(FakeClock):
    """A clock whose wall time may be set back or forward, as of a machine whose clock is."""

    ahead_s = 0.0

    def wall_ns(self) -> int:
        return super().wall_ns() + int(self.ahead_s * 1e9)


@dataclass
class Door:
    """What a cell works with. `lines` are those of the request log."""

    dialect: Dialect
    is_stream: bool
    pipeline: Pipeline
    app: App
    clock: Jumping
    server: Listening
    upstream: up.Upstream
    settings: Settings
    lines: list[dict[str, Any]]
    asked: int = 0
    wires: list[Wire] = field(default_factory=list)

    async def begin(
        self,
        text: str = "",
        *,
        model: str = "auto",
        headers: Mapping[str, str] | None = None,
        is_slow: bool = False,
    ) -> Wire:
        """Send a request; without a `text` it is like no other.

        `is_slow`: the client's machine takes little before it is read.
        """
        self.asked += 1
        body = self.dialect.request(
            text or f"Say hello, number {self.asked}.", model=model, is_stream=self.is_stream
        )
        wire = await connected(self.server.port, is_slow=is_slow)
        self.wires.append(wire)
        wire.writer.write(request_bytes(self.dialect, body, headers))
        return wire

    async def ask(
        self,
        text: str = "",
        *,
        model: str = "auto",
        headers: Mapping[str, str] | None = None,
        on_content: asyncio.Event | None = None,
    ) -> Got:
        """Send a request and read all that comes; `on_content` is set when all the text has."""
        async with asyncio.timeout(DEADLINE_S):
            wire = await self.begin(text, model=model, headers=headers)
            if on_content is not None:
                await wire.head()
                await wire.more(b"there.")
                on_content.set()
            return await wire.rest()

    def heard(self, got: Got) -> Heard:
        """Return what the client reads in a 200."""
        assert got.status == 200, (got.status, got.body)
        kind = "text/event-stream; charset=utf-8" if self.is_stream else "application/json"
        assert got.headers["content-type"] == kind
        return self.dialect.heard(got.body, is_stream=self.is_stream)

    async def rows(self, got: Got | None = None) -> list[Row]:
        """Return the attempts, of one request or of all, once what was queued is written."""
        ledger = self.pipeline.stores.ledger
        await ledger.book_feedback("nobody", "", 0.0, 0)
        wanted = None if got is None else got.request_id
        return [row for row in ledger.rows() if wanted in (None, row.intent.request_id)]

    async def booked(self, got: Got | None = None) -> list[tuple[str, str, str]]:
        """Return (model, state, error) of each attempt; each has exactly one end."""
        rows = await self.rows(got)
        if got is not None:
            assert [row.intent.attempt for row in rows] == list(range(1, len(rows) + 1))
        assert all(row.settlement.outcome != "pending" for row in rows)
        return [
            (row.intent.deployment.partition("/")[2], row.settlement.state, row.settlement.error)
            for row in rows
        ]

    @contextmanager
    def reserving(self) -> Iterator[asyncio.Event]:
        """Yield what is set once the ledger has been asked to take an intent."""
        reached, ledger = asyncio.Event(), self.pipeline.stores.ledger
        reserve = ledger.reserve

        async def noted(*given: Any) -> Any:
            reached.set()
            return await reserve(*given)

        with patch.object(ledger, "reserve", noted):
            yield reached

    def with_models(self, models: Sequence[str | ModelSettings]) -> Settings:
        """Return the settings with other models in the first tier."""
        first, *others = self.settings.tiers
        tiers = (TierSettings(first.name, tuple(models)), *others)
        return msgspec.structs.replace(self.settings, tiers=tiers)

    def tasks(self) -> set[asyncio.Task[Any]]:
        """Return all that run, but for those of the upstream."""
        return asyncio.all_tasks() - self.upstream.tasks

    @property
    def in_flight(self) -> int:
        """Return how many requests have been let in and have not ended."""
        return self.app.in_flight

    async def until(self, claim: Callable[[], object]) -> None:
        """Let others run until the claim holds."""
        await until(claim)

    async def until_let_go(self) -> None:
        """Wait until the upstream has no connection left open that a reply was cut on."""
        await until(lambda: all(seen.was_closed for seen in self.upstream.seen if seen.was_cut))


def request_bytes(dialect: Dialect, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a request as it goes over the wire; the server closes after its reply."""
    lines = [f"POST {dialect.path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def connected(port: int, *, is_slow: bool = False) -> Wire:
    """Connect a client."""
    connection = socket.socket()
    connection.setblocking(False)
    if is_slow:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    return Wire(*await asyncio.open_connection(sock=connection))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have another process hold the lock of the ledger in a folder."""
    with closing(sqlite3.connect(folder / LEDGER, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def opened(
    dialect: Dialect,
    is_stream: bool,
    folder: Path,
    script: Mapping[str, up.Behaviour | Sequence[up.Behaviour]],
    *,
    tiers: Sequence[TierSettings] = ALONE,
    timeouts: Timeouts = PATIENT,
    base_url: str = "",
    protocol: type[Protocol] = Protocol,
    cache: CacheSettings = CacheSettings(),  # noqa: B008 - frozen
    busy_s: float = 2.0,
) -> AsyncIterator[Door]:
    """Serve on a scripted upstream of the client's own dialect, with a ledger in a folder.

    `base_url`: of the provider, "" for the upstream's own.
    """
    async with up.upstream(**script) as upstream:
        stated = ProviderSettings(
            base_url=base_url or upstream.base_url, dialect=dialect.name, api_key_env=""
        )
        settings = Settings(
            providers={"p": stated},
            tiers=tuple(tiers),
            routing=RoutingSettings(policy="signals", signals=SignalSettings(default="weak")),
            prices=PRICES,
            timeouts=timeouts,
            cache=cache,
        )
        clock = Jumping()
        routing = build_routing(settings, {}, clock=clock)
        ledger = SqliteLedger(folder / LEDGER, busy_s=busy_s)
        stores = Stores(
            ledger=ledger,
            cache=build_cache(cache),
            caching=cache,
            outcomes=ledger.outcomes(clock.wall_ns),
        )
        pipeline = Pipeline(routing, stores, clock=clock, rng=Random(1), new_id=new_request_id)
        async with pipeline:
            metrics, log = Metrics(), RequestLog(clock)
            pipeline.observers += [metrics.observe, log.observe]
            keyring = Keyring(stated_keys({}), None, clock)
            app = App(Services(pipeline=pipeline, metrics=metrics), keyring, log=log)
            with _logged() as lines:
                async with listening(app, protocol) as server:
                    door = Door(
                        dialect, is_stream, pipeline, app, clock, server, upstream, settings, lines
                    )
                    try:
                        yield door
                    finally:
                        for wire in door.wires:
                            wire.leave()
            await keyring.close()


@contextmanager
def _logged() -> Iterator[list[dict[str, Any]]]:
    """Keep the request log's lines."""
    lines: list[dict[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(record.getMessage()))

    logger, handler = logging.getLogger(LOGGER), Keeping()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
