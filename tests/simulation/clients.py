"""Clients: they ask the real App as a server would, read slowly, leave, and ask again."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.server.doors import Source
from tests.simulation.plan import KEYS, MAX_TOKENS, Ask

from pointsman.server.app import App
from pointsman.server.bodies import Incoming
from pointsman.server.parser import Head
from pointsman.server.reply import Reply

_PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
}
_FINISHED = {"response.completed", "response.incomplete"}


@dataclass
class Got:
    """What came of one request. `is_whole`: the server has ended its reply.

    `left_s`: when the client has gone. `lagged_s`: how long it has held things up itself.
    """

    ask: Ask
    life: int
    began_s: float
    ended_s: float | None = None
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    is_whole: bool = False
    left_s: float | None = None
    has_crashed: bool = False
    is_over: bool = False
    lagged_s: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def error_code(self) -> str:
        """Return the code of a refusal in OpenAI's shape, or its type in Anthropic's."""
        if self.status == 200 or not self.is_whole:
            return ""
        error = json.loads(self.body)["error"]
        return str(error.get("code") or error.get("type"))


@dataclass(frozen=True, slots=True)
class Read:
    """An answer as a client reads it. `is_clean`: it says itself that it is whole."""

    text: str
    is_clean: bool
    has_error: bool


async def ask(app: App, got: Got) -> None:
    """Send one request and keep what comes."""
    wanted, loop = got.ask, asyncio.get_running_loop()
    incoming = Incoming(
        Head("POST", _PATHS[wanted.dialect], "", _headers(wanted)), Source(), body_of(wanted)
    )
    reply = Heard(got, incoming)
    timer = None
    if wanted.leaves_after_s is not None:
        timer = loop.call_later(wanted.leaves_after_s, reply.leave)
    incoming.task = asyncio.create_task(app.handle(incoming, reply))
    try:
        await asyncio.wait((incoming.task,))  # who leaves at the very end cancels it
        if not incoming.task.cancelled():
            incoming.task.result()
    finally:
        if timer is not None:
            timer.cancel()
        got.ended_s, got.is_over = loop.time(), True


class Heard(Reply):
    """A reply as its client hears it, until it leaves."""

    def __init__(self, got: Got, incoming: Incoming) -> None:
        self._got = got
        self._incoming = incoming
        self._gone = asyncio.Event()
        self._parts = 0
        self._lag_s = 0.0

    @property
    def is_slow(self) -> bool:
        return self._lag_s > 0

    def leave(self) -> None:
        if self._got.left_s is None:
            self._got.left_s = asyncio.get_running_loop().time()
        self._gone.set()
        self._incoming.hang_up()

    def write(self, body: bytes) -> None:
        if self._is_heard():
            self._got.pieces.append(body)
            self._lag_s = self._got.ask.lag_s * (len(body) % 7) / 7
            self._count_part()

    async def drained(self) -> None:
        wait_s, self._lag_s = self._lag_s, 0.0
        self._got.lagged_s += wait_s
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._gone.wait()

    def finish(self) -> None:
        super().finish()
        if self._is_heard():
            self._got.is_whole = True
            self._count_part()

    def _open(self, status: int, headers: dict[str, str]) -> None:
        if self._is_heard():
            self._got.status, self._got.headers = status, headers
            self._parts = -1
            self._count_part()

    def _is_heard(self) -> bool:
        return self._got.left_s is None and not self._got.has_crashed

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts == self._got.ask.leaves_after_parts:
            self.leave()


def body_of(wanted: Ask) -> bytes:
    """Return the body of a request: its group tells the upstream whose call it is."""
    text = f"[g{wanted.group}] Tell me of rivers and of stones."
    body: dict[str, object] = {"model": wanted.model, "stream": wanted.is_stream}
    match wanted.dialect:
        case "openai-responses":
            body |= {"input": text, "max_output_tokens": MAX_TOKENS, "store": False}
        case _:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": MAX_TOKENS}
    return json.dumps(body).encode()


def read(got: Got) -> Read:
    """Read a 200's body."""
    if not got.is_stream:
        return _read_reply(got.ask.dialect, json.loads(got.body))
    text, is_clean, has_error = "", False, False
    for line in got.body.decode().splitlines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            is_clean = True
            continue
        frame = json.loads(data)
        kind = frame.get("type", "")
        text += _delta(got.ask.dialect, frame)
        is_clean = is_clean or kind == "message_stop" or kind in _FINISHED
        has_error = has_error or bool(frame.get("error")) or kind in {"error", "response.failed"}
    return Read(text, is_clean, has_error)


def _delta(dialect: str, frame: dict[str, Any]) -> str:
    match dialect:
        case "openai-chat":
            choices = frame.get("choices") or [{}]
            return (choices[0].get("delta") or {}).get("content") or ""
        case "openai-responses":
            return frame["delta"] if frame.get("type") == "response.output_text.delta" else ""
        case _:
            return (frame.get("delta") or {}).get("text") or ""


def _read_reply(dialect: str, body: dict[str, Any]) -> Read:
    match dialect:
        case "openai-chat":
            text = body["choices"][0]["message"]["content"] or ""
        case "openai-responses":
            parts = [part for item in body["output"] for part in item.get("content", ())]
            text = "".join(part.get("text", "") for part in parts)
        case _:
            text = "".join(block.get("text", "") for block in body["content"])
    return Read(text, is_clean=True, has_error=False)


def _headers(wanted: Ask) -> dict[str, str]:
    headers = {
        "host": "localhost",
        "content-length": str(len(body_of(wanted))),
        "authorization": f"Bearer {KEYS[wanted.key]}",
        "x-pointsman-tags": f"group={wanted.group}",
        "x-pointsman-cache": wanted.cache,
    }
    if wanted.once:
        headers["idempotency-key"] = wanted.once
    return headers
