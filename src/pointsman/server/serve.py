"""Serve: runs the app under uvicorn until it is told to stop, then lets what runs end."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from socket import socket
from types import FrameType

import uvicorn

from pointsman.assembly import build_pipeline, build_routing
from pointsman.clock import SystemClock
from pointsman.config import Settings, check_exposure
from pointsman.core.errors import ConfigError
from pointsman.server.app import App
from pointsman.server.auth import API_KEYS_ENV, Keyring
from pointsman.server.metrics import Metrics
from pointsman.server.routes import Services

DRAIN_S = 30

log = logging.getLogger("pointsman")


class Server(uvicorn.Server):
    """uvicorn's server, which tells us where it listens and when it begins to stop."""

    def __init__(self, config: uvicorn.Config, services: Services, on_ready: Callable[[str], None]):
        super().__init__(config)
        self._services = services
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start listening, then tell the address."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._on_ready(f"http://{shown}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop: nothing new is taken, what runs may end. A second signal ends it all."""
        self._services.is_draining = True
        super().handle_exit(sig, frame)


def serve(
    settings: Settings,
    env: Mapping[str, str],
    *,
    reload: Callable[[], Settings],
    on_ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready` is told the base address once it listens.

    `reload` reads the configuration anew, on SIGHUP. Raises ConfigError before anything listens.
    """
    check_exposure(settings.server.host, env)
    keyring = Keyring(env.get(API_KEYS_ENV, ""))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, env, keyring, reload=reload, on_ready=on_ready))


async def _serve(
    settings: Settings,
    env: Mapping[str, str],
    keyring: Keyring,
    *,
    reload: Callable[[], Settings],
    on_ready: Callable[[str], None],
) -> None:
    pipeline = build_pipeline(settings, env)
    metrics = Metrics()
    pipeline.observers.append(metrics.observe)
    services = Services(pipeline=pipeline, metrics=metrics)

    def reread() -> None:
        try:
            pipeline.swap(build_routing(reload(), env, clock=SystemClock()))
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error.message)
        else:
            log.warning("the configuration has been read anew")

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reread)
    config = uvicorn.Config(
        App(services, keyring),
        host=settings.server.host,
        port=settings.server.port,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    try:
        await Server(config, services, on_ready).serve()
    finally:
        await pipeline.aclose()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, None on a platform that has no uvloop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
