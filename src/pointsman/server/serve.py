"""Serve: runs the app until it is told to stop, then lets what runs end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from pointsman.access.environment import stated_keys
from pointsman.access.keyring import Keyring
from pointsman.access.opening import open_keys
from pointsman.assembly import build_pipeline, build_routing
from pointsman.clock import SystemClock
from pointsman.config import Settings, check_exposure
from pointsman.core.errors import ConfigError
from pointsman.server.app import App
from pointsman.server.bodies import Limits
from pointsman.server.metrics import Metrics
from pointsman.server.origins import origins_of
from pointsman.server.protocol import Protocol
from pointsman.server.request_log import RequestLog, written_to
from pointsman.server.routes import Services
from pointsman.server.telling import log_stray
from pointsman.server.upkeep import kept_tidy

DRAIN_S = 30.0
_LAST_WORDS_S = 2
# libuv takes one connection for each round of its loop and each socket that listens, so that a busy
# server would leave them waiting. Source: libuv's pull request 3696, read 2026-11-23.
_ACCEPTS = 16
_BACKLOG = 2048

log = logging.getLogger("pointsman")


class Server:
    """Listens until it is told to stop, and then lets what runs end."""

    def __init__(
        self, app: App, connections_max: int, *, drain_s: float, on_ready: Callable[[str], None]
    ) -> None:
        self._app = app
        self._connections_max = connections_max
        self._drain_s = drain_s
        self._on_ready = on_ready
        self._connections: set[Protocol] = set()
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()

    async def run(self, listener: socket.socket) -> None:
        """Take connections until `stop`, having told the address."""
        listeners = [listener, *(listener.dup() for _ in range(_ACCEPTS - 1))]
        servers = [
            await self._loop.create_server(self._connected, sock=each, backlog=_BACKLOG)
            for each in listeners
        ]
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self._on_ready(f"http://{shown}:{port}")
        await self._stopping.wait()
        end = self._loop.call_later(self._drain_s, self._app.stop)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_s + _LAST_WORDS_S):
                    await self._drain(servers)
        finally:
            end.cancel()
            for connection in tuple(self._connections):
                connection.transport.abort()

    def stop(self) -> None:
        """Begin to stop. A second time breaks off what runs."""
        if self._stopping.is_set():
            self._app.stop()
        self._app.services.is_draining = True
        self._stopping.set()

    async def _drain(self, servers: Sequence[asyncio.Server]) -> None:
        """Let what runs end, then close. Meanwhile a load balancer is told, not cut off."""
        await self._app.wait_idle()
        for server in servers:
            server.close()
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
    stated = stated_keys(env)
    keyring = Keyring(stated, open_keys(settings.ledger.url), SystemClock())
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(
            _serve(settings, env, keyring, reload=reload, on_ready=on_ready, drain_s=drain_s)
        )


async def _serve(
    settings: Settings,
    env: Mapping[str, str],
    keyring: Keyring,
    *,
    reload: Callable[[], Settings],
    on_ready: Callable[[str], None],
    drain_s: float,
) -> None:
    asyncio.get_running_loop().set_exception_handler(log_stray)
    listener = _listen(settings.server.host, settings.server.port)
    pipeline = build_pipeline(settings, env)
    metrics = Metrics()
    pipeline.observers.append(metrics.observe)
    services = Services(pipeline=pipeline, metrics=metrics)
    request_log = RequestLog(SystemClock()) if settings.server.log_requests else None
    if request_log is not None:
        pipeline.observers.append(request_log.observe)

    def reread() -> None:
        try:
            pipeline.swap(build_routing(reload(), env, clock=SystemClock()))
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error.message)
        else:
            log.warning("the configuration has been read anew")

    if hasattr(signal, "SIGHUP"):  # Windows has none
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reread)
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
    )
    connections_max = server_settings.connections_max
    server = Server(app, connections_max, drain_s=drain_s, on_ready=on_ready)
    try:
        with ExitStack() as stack:
            if request_log is not None:
                request_log.write = stack.enter_context(written_to(sys.stderr))
            async with kept_tidy(pipeline.stores):
                gc.collect()
                gc.freeze()  # what is there now stays; looking through it takes tens of ms
                with _told_by_signals(server.stop):
                    await server.run(listener)
    finally:
        await keyring.close()
        await pipeline.aclose()


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
