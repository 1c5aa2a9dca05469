"""Seat: a worker's side of several: what it does at its first process's word, and asks of it."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pointsman.config import Settings
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.joint import Joint
from pointsman.routing import Routing
from pointsman.server.acceptor import Places
from pointsman.server.link import (
    Adopt,
    Ask,
    Drain,
    Frames,
    Labelled,
    Message,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Scrape,
    Stop,
    Sums,
    Told,
    framed,
)

_READ_BYTES = 65_536
_SCRAPE_S = 2.0

log = logging.getLogger("pointsman")


class Worked(Protocol):
    """A worker's server, as far as it is told what to do from without."""

    def drain(self) -> None:
        """Begin to stop; no more than that when it is said again."""

    def stop(self) -> None:
        """Break off what runs."""

    def prepared(self, settings: Settings) -> Routing:
        """Return what it would go by. Raises ConfigError."""

    def adopt(self, routing: Routing) -> None:
        """Go by it."""

    def reread(self) -> None:
        """Begin to count the labels of other workers' audits."""

    def figures(self) -> bytes:
        """Return what it has counted, in Prometheus' text format."""


@dataclass(slots=True)
class Seat:
    """One of several workers, in its own process.

    `link` leads to the first process.
    """

    joint: Joint
    places: Places
    link: socket.socket

    def refuse(self, error: GatewayError) -> None:
        """Say why there is no worker here; the process is to end."""
        self.link.setblocking(True)
        with suppress(OSError):
            self.link.sendall(framed(Refused(error.code, error.message)))


@asynccontextmanager
async def following(seat: Seat, worked: Worked) -> AsyncIterator["Follower"]:
    """Do what the first process says until the end of the block; end with it, should it die."""
    reader, writer = await asyncio.open_unix_connection(sock=seat.link)
    follower = Follower(writer, worked)
    task = asyncio.create_task(follower.follow(reader))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(OSError):
            follower.send(Told(0, worked.figures()))
            await writer.drain()
        writer.close()


class Follower:
    """Speaks with the first process."""

    def __init__(self, writer: asyncio.StreamWriter, worked: Worked) -> None:
        self._writer = writer
        self._worked = worked
        self._prepared: tuple[int, Routing] | None = None
        self._scrapes: deque[asyncio.Future[bytes]] = deque()

    def send(self, message: Message) -> None:
        """Say something."""
        self._writer.write(framed(message))

    def tell_label(self) -> None:
        """Say that an audit here has come to a label."""
        self.send(Labelled())

    def tell_ready(self) -> None:
        """Say that this worker takes connections."""
        self.send(Ready())

    async def sums(self) -> bytes:
        """Return the figures of all workers; those of this one alone where nobody answers."""
        own = self._worked.figures()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._scrapes.append(answer)
        self.send(Scrape(own))
        try:
            return await asyncio.wait_for(answer, _SCRAPE_S)
        except TimeoutError:
            with suppress(ValueError):
                self._scrapes.remove(answer)
            return own

    async def follow(self, reader: asyncio.StreamReader) -> None:
        """Obey until the first process is gone, and then end too."""
        frames = Frames()
        with suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                for message in frames.add(data):
                    self._obey(message)
        log.error("the server's first process is gone, and this worker ends with it")
        self._worked.drain()

    def _obey(self, message: Message) -> None:
        match message:
            case Prepare():
                self._prepare(message)
            case Adopt(number):
                if self._prepared is not None and self._prepared[0] == number:
                    self._worked.adopt(self._prepared[1])
                    self._prepared = None
            case Ask(number):
                self.send(Told(number, self._worked.figures()))
            case Sums(figures):
                while self._scrapes:
                    answer = self._scrapes.popleft()
                    if not answer.done():
                        answer.set_result(figures)
                        break
            case Labelled():
                self._worked.reread()
            case Drain():
                self._worked.drain()
            case Stop():
                self._worked.stop()
            case _:
                log.error("the server's first process says what no worker is told")

    def _prepare(self, asked: Prepare) -> None:
        fault = ""
        try:
            settings = msgspec.msgpack.decode(asked.settings, type=Settings)
            self._prepared = asked.number, self._worked.prepared(settings)
        except ConfigError as error:
            fault = error.message
        self.send(Prepared(asked.number, fault))
