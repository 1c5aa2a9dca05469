"""Serve: runs the app until it is told to stop, then lets what runs end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass

from pointsman.access.environment import stated_keys
from pointsman.access.keyring import Keyring
from pointsman.access.opening import open_keys
from pointsman.assembly import build_pipeline, build_routing
from pointsman.clock import SystemClock
from pointsman.config import Settings, check_exposure, check_workers
from pointsman.core.errors import ConfigError
from pointsman.routing import Routing
from pointsman.server.acceptor import BACKLOG, Acceptor
from pointsman.server.app import App
from pointsman.server.bodies import Limits
from pointsman.server.line_writer import written_to
from pointsman.server.metrics import Metrics
from pointsman.server.origins import origins_of
from pointsman.server.protocol import Protocol
from pointsman.server.request_log import RequestLog
from pointsman.server.routes import Services
from pointsman.server.seat import Seat, following
from pointsman.server.telling import log_stray
from pointsman.server.upkeep import kept_tidy
from pointsman.server.workers import Crew

DRAIN_S = 30.0
_LAST_WORDS_S = 2
# libuv takes one connection for each round of its loop and each socket that listens, so that a busy
# server would leave them waiting. Source: libuv's pull request 3696, read 2026-11-23.
_ACCEPTS = 16

log = logging.getLogger("pointsman")


class Server:
    """Listens until it is told to stop, and then lets what runs end.

    `seat`: of the worker that it is, None where it serves alone.
    """

    def __init__(
        self,
        app: App,
        connections_max: int,
        *,
        drain_s: float,
        on_ready: Callable[[], None],
        seat: Seat | None = None,
    ) -> None:
        self._app = app
        self._connections_max = connections_max
        self._drain_s = drain_s
        self.on_ready = on_ready
        self._seat = seat
        self._connections: set[Protocol] = set()
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()

    async def run(self, listener: socket.socket) -> None:
        """Take connections until `drain`, having told so."""
        close = await self._listen(listener)
        self.on_ready()
        await self._stopping.wait()
        end = self._loop.call_later(self._drain_s, self._app.stop)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_s + _LAST_WORDS_S):
                    await self._end(close)
        finally:
            end.cancel()
            for connection in tuple(self._connections):
                connection.transport.abort()

    def drain(self) -> None:
        """Begin to stop."""
        self._app.services.is_draining = True
        self._stopping.set()

    def stop(self) -> None:
        """Break off what runs."""
        self._app.stop()

    def heed_signal(self) -> None:
        """Begin to stop. A second signal breaks off what runs.

        Of several workers only the first process has that done: Ctrl-C reaches them all, and some
        supervisors signal them all.
        """
        if self._stopping.is_set() and self._seat is None:
            self.stop()
        self.drain()

    async def _listen(self, listener: socket.socket) -> Callable[[], None]:
        """Begin to take connections; return what ends that."""
        if self._seat is not None:
            joint, count = self._seat.joint, self._connections.__len__
            acceptor = Acceptor(
                listener, self._seat.places, joint.place, make=self._connected, count=count
            )
            return acceptor.close
        servers = [
            await self._loop.create_server(self._connected, sock=each, backlog=BACKLOG)
            for each in (listener, *(listener.dup() for _ in range(_ACCEPTS - 1)))
        ]

        def close() -> None:
            for server in servers:
                server.close()

        return close

    async def _end(self, close: Callable[[], None]) -> None:
        """Let what runs end, then close. Meanwhile a load balancer is told, not cut off."""
        await self._app.wait_idle()
        close()
        for connection in tuple(self._connections):
            connection.shut()
        if self._connections:  # their last words are on their way
            await asyncio.wait([connection.closed for connection in self._connections])

    def _connected(self) -> Protocol:
        protocol = Protocol(self._app, self._connections)
        protocol.connections_max = self._connections_max
        return protocol


def serve(
    settings: Settings,
    env: Mapping[str, str],
    *,
    reload: Callable[[], Settings],
    on_ready: Callable[[str], None],
    drain_s: float = DRAIN_S,
) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready` is told the base address once it listens.

    `reload` reads the configuration anew, on SIGHUP. `drain_s`: how long what runs may go on after
    the signal. Raises ConfigError before anything listens, or where it cannot listen.
    """
    check_exposure(settings, env)
    check_workers(settings)
    stated_keys(env)  # what is wrong with them is told before anything listens
    listener = _listen(settings.server.host, settings.server.port)

    def tell_ready() -> None:
        on_ready(_address(listener))

    def work(seat: Seat, settings: Settings) -> None:
        _run(
            settings, env, listener, reload=reload, on_ready=tell_ready, drain_s=drain_s, seat=seat
        )

    if settings.server.workers > 1:
        crew = Crew(settings, work, reload=reload, on_ready=tell_ready, drain_s=drain_s)
        with listener:
            crew.run()
    else:
        _run(settings, env, listener, reload=reload, on_ready=tell_ready, drain_s=drain_s)


def _run(
    settings: Settings,
    env: Mapping[str, str],
    listener: socket.socket,
    *,
    reload: Callable[[], Settings],
    on_ready: Callable[[], None],
    drain_s: float,
    seat: Seat | None = None,
) -> None:
    """Serve in this process, which may be one of several workers."""
    keyring = Keyring(stated_keys(env), open_keys(settings.ledger.url), SystemClock())
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(
            _serve(
                settings,
                env,
                keyring,
                listener,
                reload=reload,
                on_ready=on_ready,
                drain_s=drain_s,
                seat=seat,
            )
        )


async def _serve(
    settings: Settings,
    env: Mapping[str, str],
    keyring: Keyring,
    listener: socket.socket,
    *,
    reload: Callable[[], Settings],
    on_ready: Callable[[], None],
    drain_s: float,
    seat: Seat | None,
) -> None:
    asyncio.get_running_loop().set_exception_handler(log_stray)
    joint = seat.joint if seat else None
    pipeline = build_pipeline(settings, env, joint=joint)
    metrics = Metrics()
    pipeline.observers.append(metrics.observe)
    services = Services(pipeline=pipeline, metrics=metrics)
    request_log = RequestLog(SystemClock()) if settings.server.log_requests else None
    if request_log is not None:
        pipeline.observers.append(request_log.observe)
    server_settings = settings.server
    app = App(
        services,
        keyring,
        Limits(
            in_flight_max=server_settings.in_flight_max,
            wait_max_s=server_settings.wait_max_s,
        ),
        origins_of(server_settings.host, server_settings.hosts, server_settings.origins),
        request_log,
        joint=joint,
    )
    try:
        async with AsyncExitStack() as stack:
            if request_log is not None:
                request_log.write = stack.enter_context(written_to(sys.stderr))
            if joint is None or joint.is_first:
                await stack.enter_async_context(kept_tidy(pipeline.stores))
            server = Server(
                app, settings.server.connections_max, drain_s=drain_s, on_ready=on_ready, seat=seat
            )
            worked = Worked(server, services, env)
            if seat is not None:
                follower = await stack.enter_async_context(following(seat, worked))
                services.sums, server.on_ready = follower.sums, follower.tell_ready
                pipeline.audits.on_label = follower.tell_label
            else:
                _reload_on_hangup(worked, reload)
            gc.collect()
            gc.freeze()  # what is there now stays; looking through it takes tens of ms
            with _told_by_signals(server.heed_signal):
                await server.run(listener)
    finally:
        await keyring.close()
        await pipeline.aclose()


@dataclass(frozen=True, slots=True)
class Worked:
    """A server, as far as it is told what to do from without."""

    server: Server
    services: Services
    env: Mapping[str, str]

    def drain(self) -> None:
        """Begin to stop."""
        self.server.drain()

    def stop(self) -> None:
        """Break off what runs."""
        self.server.stop()

    def prepared(self, settings: Settings) -> Routing:
        """Return what it would go by. Raises ConfigError."""
        return build_routing(settings, self.env, clock=SystemClock())

    def adopt(self, routing: Routing) -> None:
        """Go by it."""
        self.services.pipeline.swap(routing)

    def reread(self) -> None:
        """Begin to count the labels of other workers' audits."""
        self.services.pipeline.audits.begin_reread()

    def figures(self) -> bytes:
        """Return what it has counted, in Prometheus' text format."""
        return self.services.figures()


def _reload_on_hangup(worked: Worked, reload: Callable[[], Settings]) -> None:
    def reread() -> None:
        try:
            worked.adopt(worked.prepared(reload()))
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error.message)
        else:
            log.warning("the configuration has been read anew")

    if hasattr(signal, "SIGHUP"):  # Windows has none
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reread)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


@contextmanager
def _told_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call `stop`, and no longer end the process themselves."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not take connections yet. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name == "posix":  # elsewhere it would let another process listen here too
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"server: cannot listen on {host}:{port}: {reason}; choose another [server] host or"
            " port; port 0 takes any that is free"
        ) from error
    return listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, None on a platform that has no uvloop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
