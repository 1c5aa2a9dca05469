"""In process: lets an SDK's HTTP client end up in the pipeline, without a socket or a server."""

import asyncio
import importlib
import importlib.util
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import ModuleType
from typing import Any, Protocol, TypeVar

import msgspec

from pointsman.assembly import new_request_id
from pointsman.router import Pipeline
from pointsman.server.app import check_taking, read_query
from pointsman.server.exchange import Exchange, Headers
from pointsman.server.headers import id_headers
from pointsman.server.metrics import Metrics
from pointsman.server.reply import Reply
from pointsman.server.routes import Found, Services, check_method, find_route
from pointsman.server.telling import run_route, tell_of

_PIECES_MAX = 64
_CLOSED = "the router was closed before the answer had come"
_Result = TypeVar("_Result")


class Run(Protocol):
    """Runs work on the pipeline's event loop, from a thread that has none."""

    def __call__(self, work: Coroutine[Any, Any, _Result], /) -> _Result:
        """Return what the work returns."""


def client_module() -> ModuleType:
    """Return the HTTP library that the installed SDKs use: httpx2, or httpx where they are older.

    Raises ModuleNotFoundError where there is neither.
    """
    name = "httpx2" if importlib.util.find_spec("httpx2") else "httpx"
    return importlib.import_module(name)


class Door:
    """Runs the server's routes on a pipeline for callers in the same process.

    Whoever has the pipeline is its operator: no key is asked for, and no limit of one holds.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        metrics = Metrics()
        pipeline.observers.append(metrics.observe)
        self._services = Services(pipeline=pipeline, metrics=metrics)

    async def open(self, exchange: Exchange) -> "OpenReply":
        """Start a request and wait for its reply's head."""
        found = find_route(exchange.path, exchange.headers)
        reply = OpenReply(id_headers(found.dialect, exchange.request_id))
        exchange = msgspec.structs.replace(exchange, named=found.named)
        await reply.begin(self._answer(found, exchange, reply))
        return reply

    async def _answer(self, found: Found, exchange: Exchange, reply: "OpenReply") -> None:
        try:
            route = check_method(found, exchange.method, exchange.path)
            check_taking(self._services, route)
            await run_route(self._services, route, exchange, reply, dialect=found.dialect)
        except Exception as error:  # nobody else would tell the client
            tell_of(reply, error, exchange.request_id, found.dialect)


class OpenReply(Reply):
    """A reply that is still coming. Close it to stop the work behind it.

    `is_over`: no work is behind it any more; `is_broken`: that was stopped before its end.
    """

    def __init__(self, ids: Headers) -> None:
        self.ids = ids
        self.is_over = False
        self.is_broken = False
        self._pieces: deque[bytes] = deque()
        self._head = asyncio.Event()
        self._grown = asyncio.Event()
        self._read_on = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start the work and wait until it has sent its head, or has ended without one."""
        self._task = asyncio.create_task(self._run(work))
        try:
            await self._head.wait()
        except BaseException:  # a cancelled reader too ends the request
            await self.aclose()
            raise

    @property
    def is_slow(self) -> bool:
        """Return whether too much waits for its reader."""
        return len(self._pieces) >= _PIECES_MAX

    def write(self, body: bytes) -> None:
        """Take more of the body."""
        if body:
            self._pieces.append(body)
            self._grown.set()

    async def drained(self) -> None:
        """Wait while nobody reads."""
        while self.is_slow:
            self._read_on.clear()
            await self._read_on.wait()

    async def piece(self) -> bytes | None:
        """Return more of the body, None at its end."""
        while not self._pieces:
            if self.is_over:
                return None
            self._grown.clear()
            await self._grown.wait()
        self._read_on.set()
        return self._pieces.popleft()

    async def aclose(self) -> None:
        """Stop the work if it still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _open(self, status: int, headers: dict[str, str]) -> None:
        self._head.set()

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BaseException:  # a cancelled one too is no whole answer
            self.is_broken = True
            raise
        finally:
            self.is_over = True
            self._head.set()
            self._grown.set()


class AsyncTransport:
    """What an httpx AsyncClient sends through. Lives on the event loop of its pipeline."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def handle_async_request(self, request: Any) -> Any:
        """Answer one request."""
        http = client_module()
        reply = await self._door.open(_exchange(request, await request.aread()))

        class Pieces(http.AsyncByteStream):  # type: ignore[misc, name-defined]
            """The reply's body."""

            async def __aiter__(self) -> AsyncIterator[bytes]:
                while (piece := await reply.piece()) is not None:
                    yield piece
                if reply.is_broken:
                    raise http.ReadError(_CLOSED)

            async def aclose(self) -> None:
                await reply.aclose()

        return _response(http, reply, Pieces())

    async def __aenter__(self) -> "AsyncTransport":
        """Return the transport."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: the router is closed by its owner."""

    async def aclose(self) -> None:
        """Do nothing: the router is closed by its owner."""


class BlockingTransport:
    """What an httpx Client sends through. `run` runs work on the pipeline's loop, in a thread."""

    def __init__(self, door: Door, run: Run) -> None:
        self._door = door
        self._run = run

    def handle_request(self, request: Any) -> Any:
        """Answer one request."""
        http, run = client_module(), self._run
        reply = run(self._door.open(_exchange(request, request.read())))

        class Pieces(http.SyncByteStream):  # type: ignore[misc, name-defined]
            """The reply's body."""

            def __iter__(self) -> Iterator[bytes]:
                while (piece := run(reply.piece())) is not None:
                    yield piece
                if reply.is_broken:
                    raise http.ReadError(_CLOSED)

            def close(self) -> None:
                if not reply.is_over:
                    run(reply.aclose())

        return _response(http, reply, Pieces())

    def __enter__(self) -> "BlockingTransport":
        """Return the transport."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the router is closed by its owner."""

    def close(self) -> None:
        """Do nothing: the router is closed by its owner."""


def _response(http: ModuleType, reply: OpenReply, pieces: object) -> Any:
    if not reply.has_started:
        raise http.ReadError(_CLOSED)
    return http.Response(reply.status, headers=list(reply.headers.items()), stream=pieces)


def _exchange(request: Any, body: bytes) -> Exchange:
    return Exchange(
        method=request.method,
        path=request.url.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        request_id=new_request_id(),
        query=read_query(request.url.query.decode("ascii")),
    )
