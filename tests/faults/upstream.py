"""A scripted upstream on a real loopback socket, which writes its replies byte by byte itself.

So it can do what no HTTP server would: break off, hang, lie about lengths and types.
"""

import asyncio
import atexit
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

ID = "chatcmpl-1"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass
class Seen:
    """One request as the upstream saw it.

    `was_cut`: its connection closes before the reply does, or will once its caller has had enough;
    `was_closed`: it has been closed by the caller.
    """

    connection: int
    line: str
    headers: dict[str, str]
    body: dict[str, Any]
    was_cut: bool = False
    was_closed: bool = False


@dataclass
class Peer:
    """One exchange: what was asked, and how to answer."""

    seen: Seen
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keeps_alive: bool = False

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def chunks(self, *pieces: bytes) -> None:
        """Send pieces as HTTP chunks; an empty one ends the body."""
        for piece in pieces:
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def hang(self) -> None:
        """Say nothing until the client goes."""
        self.seen.was_cut = True
        with suppress(ConnectionError):
            await self.reader.read()
        self.seen.was_closed = True

    def reset(self) -> None:
        """Break the connection with RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Behaviour: TypeAlias = Callable[[Peer], Awaitable[None]]


@dataclass
class Upstream:
    """Answers each model by its script in turn, the last behaviour again and again."""

    script: dict[str, list[Behaviour]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    base_url: str = ""
    open_connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def calls(self, model: str) -> int:
        return sum(seen.body["model"] == model for seen in self.seen)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        number = self.connections
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while await self._exchange(number, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            self.tasks.discard(task)
            writer.close()

    async def _exchange(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (h.split(": ", 1) for h in rest)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        peer = Peer(Seen(number, line, headers, body), reader, writer)
        self.seen.append(peer.seen)
        script = self.script[body["model"]]
        await (script.pop(0) if len(script) > 1 else script[0])(peer)
        return peer.keeps_alive


@asynccontextmanager
async def upstream(**script: Behaviour | Sequence[Behaviour]) -> AsyncIterator[Upstream]:
    """Serve a script for each model until left."""
    lists = {m: [b] if callable(b) else list(b) for m, b in script.items()}
    served = Upstream(lists)
    server = await asyncio.start_server(served._serve, "127.0.0.1", 0)
    served.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield served
    finally:
        server.close()
        for task in tuple(served.tasks):
            task.cancel()
        await asyncio.gather(*served.tasks, return_exceptions=True)


def refused_url() -> str:
    """Return the address of a port on which nobody listens."""
    return f"http://127.0.0.1:{_mute().getsockname()[1]}/v1"


@cache
def _mute() -> socket.socket:
    """Return a socket that has its port, so that nobody else takes it, and does not listen."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    atexit.register(taken.close)
    return taken


# Pieces of replies.


def head(status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def stream_head() -> bytes:
    return head(200, "text/event-stream", Transfer_Encoding="chunked")


def data(chunk: Mapping[str, Any] | str) -> bytes:
    text = chunk if isinstance(chunk, str) else json.dumps(chunk, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def delta(text: str | None = None, finish_reason: str | None = None, **more: Any) -> bytes:
    message = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": message | more, "finish_reason": finish_reason}
    return data({"id": ID, "created": 1, "model": "real-name", "choices": [choice]})


def usage_chunk() -> bytes:
    return data({"id": ID, "created": 1, "model": "real-name", "choices": [], "usage": USAGE})


DONE = data("[DONE]")


def answer_body(text: str = "Hello there.", finish_reason: str = "stop", **more: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    reply = {"id": ID, "created": 1, "model": "real-name", "choices": [choice], "usage": USAGE}
    return json.dumps(reply | more).encode()


def error_body(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


# Whole behaviours.


def reply(
    status: int, body: bytes, content_type: str = "application/json", **headers: str
) -> Behaviour:
    async def behave(peer: Peer) -> None:
        peer.keeps_alive = True
        await peer.send(head(status, content_type, Content_Length=str(len(body)), **headers) + body)

    return behave


def answer(text: str = "Hello there.", finish_reason: str = "stop", **more: Any) -> Behaviour:
    """Answer as asked: streamed or not."""

    async def behave(peer: Peer) -> None:
        if peer.seen.body.get("stream"):
            pieces = text.split(" ")
            deltas = [delta(p if i == 0 else f" {p}") for i, p in enumerate(pieces) if p]
            tail = [delta(finish_reason=finish_reason), usage_chunk(), DONE]
            await stream(*deltas, *tail)(peer)
        else:
            await reply(200, answer_body(text, finish_reason, **more))(peer)

    return behave


def stream(*frames: bytes, ends: bool = True) -> Behaviour:
    """Stream these frames; `ends`: the body ends as HTTP wants it, else the connection closes."""

    async def behave(peer: Peer) -> None:
        peer.keeps_alive = ends
        await peer.send(stream_head())
        await peer.chunks(*frames)
        if ends:
            await peer.chunks(b"")

    return behave


async def hang(peer: Peer) -> None:
    """Say nothing at all."""
    await peer.hang()


async def reset(peer: Peer) -> None:
    """Break the connection before a single byte."""
    peer.reset()


def then_reset(*pieces: bytes, once: asyncio.Event | None = None) -> Behaviour:
    """Send pieces as they are, then break the connection, `once` the client has read them.

    An RST throws away what the client's side has not read yet.
    """

    async def behave(peer: Peer) -> None:
        await peer.send(*pieces)
        if once is not None:
            await once.wait()
        peer.reset()

    return behave


def then_close(*pieces: bytes) -> Behaviour:
    """Send pieces as they are, then close the connection."""

    async def behave(peer: Peer) -> None:
        await peer.send(*pieces)

    return behave


def then_hang(*pieces: bytes) -> Behaviour:
    """Send pieces as they are, then say nothing."""

    async def behave(peer: Peer) -> None:
        await peer.send(*pieces)
        await peer.hang()

    return behave


def then_ping(*pieces: bytes) -> Behaviour:
    """Stream pieces, then nothing but comments until the client goes."""

    async def behave(peer: Peer) -> None:
        await peer.send(stream_head())
        await peer.chunks(*pieces)
        gone = asyncio.create_task(peer.hang())
        while not gone.done():
            with suppress(ConnectionError):
                await peer.chunks(b": ping\n\n")
            await asyncio.wait({gone}, timeout=0.02)

    return behave
