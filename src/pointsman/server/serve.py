"""Serve: runs the app under uvicorn until it is told to stop, then lets what runs end."""

import asyncio
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import FrameType

import uvicorn

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

log = logging.getLogger("pointsman")


class Server(uvicorn.Server):
    """uvicorn's server, which tells us where it listens, and stops as we want it to."""

    def __init__(
        self, app: App, config: uvicorn.Config, *, drain_s: float, on_ready: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._drain_s = drain_s
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then tell the address."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self._on_ready(f"http://{shown}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what runs end, and after `drain_s` break it off; then close the listeners.

        Meanwhile the app refuses what is new: a load balancer is told, not cut off.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._drain_s
        loop.call_later(self._drain_s, self._app.stop)
        await self._app.wait_idle()
        left_s = max(0, math.ceil(end_s - loop.time()))
        self.config.timeout_graceful_shutdown = left_s + _LAST_WORDS_S
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop. A second signal breaks off what runs.

        uvicorn's own would have the signal kill the process once it has stopped: before the ledger
        is closed, and with another exit status than 0.
        """
        del sig, frame
        if self.should_exit:
            self._app.stop()
        self._app.services.is_draining = True
        self.should_exit = True


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
    config = _configured(app, server_settings.connections_max)
    server = Server(app, config, drain_s=drain_s, on_ready=on_ready)
    try:
        with ExitStack() as stack:
            if request_log is not None:
                request_log.write = stack.enter_context(written_to(sys.stderr))
            async with kept_tidy(pipeline.stores):
                gc.collect()
                gc.freeze()  # what is there now stays; looking through it takes tens of ms
                await server.serve(
                    sockets=[listener, *(listener.dup() for _ in range(_ACCEPTS - 1))]
                )
    finally:
        await keyring.close()
        await pipeline.aclose()


def _configured(app: App, connections_max: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_bounded_protocol(app, connections_max),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",  # that somebody sent what is no HTTP is no news
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )


def _bounded_protocol(app: App, most: int) -> type[Protocol]:
    class Bounded(Protocol):
        """Takes so many connections and no more, and of requests what the app has room for."""

        connections_max = most
        turned_away = staticmethod(app.turned_away)

    return Bounded


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
