"""In process: lets an SDK's HTTP client end up in the pipeline, without a socket or a server."""

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import ModuleType
from typing import Any, TypeVar

from pointsman.assembly import new_request_id
from pointsman.router import Pipeline
from pointsman.server.app import run_route
from pointsman.server.auth import Keyring
from pointsman.server.exchange import Exchange, Headers
from pointsman.server.metrics import Metrics
from pointsman.server.routes import Services

_QUEUE_PIECES_MAX = 64
_Result = TypeVar("_Result")


def client_module() -> ModuleType:
    """Return the HTTP library that the installed SDKs use: httpx2, or httpx where they are older.

    Raises ModuleNotFoundError where there is neither.
    """
    name = "httpx2" if importlib.util.find_spec("httpx2") else "httpx"
    return importlib.import_module(name)


class Door:
    """Runs the server's routes on a pipeline for callers in the same process."""

    def __init__(self, pipeline: Pipeline) -> None:
        metrics = Metrics()
        pipeline.observers.append(metrics.observe)
        self._services = Services(pipeline=pipeline, metrics=metrics)

    async def open(self, exchange: Exchange) -> "OpenReply":
        """Start a request and wait for its reply's head."""
        reply = OpenReply()
        work = run_route(self._services, Keyring(""), exchange, reply)
        await reply.begin(work)
        return reply


class OpenReply:
    """A reply that is still coming. Close it to stop the work behind it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = ()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE_PIECES_MAX)
        self._head = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start the work and wait until it has sent its head."""
        self._task = asyncio.create_task(self._run(work))
        try:
            await self._head.wait()
        except BaseException:
            await self.aclose()
            raise

    async def start(self, status: int, headers: Headers) -> None:
        """Take the status and the headers."""
        self.status, self.headers = status, headers
        self._head.set()

    async def send(self, body: bytes) -> None:
        """Take more of the body; waits while nobody reads."""
        if body:
            await self._pieces.put(body)

    async def piece(self) -> bytes | None:
        """Return more of the body, None at its end."""
        return await self._pieces.get()

    async def aclose(self) -> None:
        """Stop the work if it still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        await self._pieces.put(None)


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

            async def aclose(self) -> None:
                await reply.aclose()

        return http.Response(reply.status, headers=list(reply.headers), stream=Pieces())

    async def __aenter__(self) -> "AsyncTransport":
        """Return the transport."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: the router is closed by its owner."""

    async def aclose(self) -> None:
        """Do nothing: the router is closed by its owner."""


class BlockingTransport:
    """What an httpx Client sends through. The pipeline runs on `loop`, in another thread."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop

    def handle_request(self, request: Any) -> Any:
        """Answer one request."""
        http = client_module()
        reply = self._run(self._door.open(_exchange(request, request.read())))
        run = self._run

        class Pieces(http.SyncByteStream):  # type: ignore[misc, name-defined]
            """The reply's body."""

            def __iter__(self) -> Iterator[bytes]:
                while (piece := run(reply.piece())) is not None:
                    yield piece

            def close(self) -> None:
                run(reply.aclose())

        return http.Response(reply.status, headers=list(reply.headers), stream=Pieces())

    def __enter__(self) -> "BlockingTransport":
        """Return the transport."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the router is closed by its owner."""

    def close(self) -> None:
        """Do nothing: the router is closed by its owner."""

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def _exchange(request: Any, body: bytes) -> Exchange:
    return Exchange(
        method=request.method,
        path=request.url.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        request_id=new_request_id(),
    )
