"""Mock upstream: a model server that answers at once, cheap enough never to be the bottleneck.

One process, a protocol written by hand on asyncio. It speaks OpenAI's chat completions and
Anthropic's messages, whole or streamed; GET /v1/models lists names, GET /stats counts requests and
connections. What a stream looks like is set at the start, or in the model's name after two hyphens
(`mock--chunks-20--delay-5`), which passes any gateway:

    latency N   milliseconds before an answer begins
    chunks N    pieces of content in a stream
    delay N     milliseconds between two pieces

Run: python -m bench.speed.mock_upstream [--port 9900] [--chunks 100] [--delay 5]
"""

import argparse
import asyncio
import json
import re
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import uvloop

CREATED = 1_700_000_000
KNOB = re.compile(r"--(latency|chunks|delay)-([0-9.]+)")
HEADS_KEPT = 4096
# A text that no check of an answer finds fault with: it neither repeats itself nor breaks off.
TEXT = (
    "The queue filled up because one worker held a lock on the jobs table while it waited for a "
    "slow disk. Other workers then timed out, retried at the same moment, and doubled the load. "
    "Customers saw late e-mails between nine and half past ten, but nothing was lost. Three things "
    "should follow: Maria adds an index on the state column this week, Jonas puts jitter into "
    "every retry loop, and the on-call team is called when any lock is older than thirty seconds. "
    "Until that is done, restarting the oldest worker by hand clears such a jam within a minute."
)
WORDS = TEXT.split()
PROMPT_TOKENS = 375


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model answers: its name, milliseconds of latency, chunks, milliseconds between."""

    model: str
    latency_ms: float = 0.0
    chunks: int = 100
    delay_ms: float = 0.0

    def named(self, model: str) -> "Plan":
        """Return the plan of a model, with what its name says."""
        said = dict(KNOB.findall(model))
        return replace(
            self,
            model=model,
            latency_ms=float(said.get("latency", self.latency_ms)),
            chunks=int(said.get("chunks", self.chunks)),
            delay_ms=float(said.get("delay", self.delay_ms)),
        )


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def reply(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}x-request-id: req_mock\r\n\r\n".encode() + body


def framed(data: bytes) -> bytes:
    """Return one chunk of HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\nx-request-id: req_mock\r\ntransfer-encoding: chunked\r\n\r\n"
)


def usage(completion_tokens: int) -> dict[str, object]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


@lru_cache(maxsize=1024)
def openai_answer(plan: Plan) -> bytes:
    message = {"role": "assistant", "content": TEXT[: TEXT.index(".") + 1], "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return reply(
        "200 OK",
        encoded(
            {
                "id": "chatcmpl-mock0123456789abcdef",
                "object": "chat.completion",
                "created": CREATED,
                "model": plan.model,
                "choices": [choice],
                "usage": usage(30),
                "system_fingerprint": "fp_mock",
            }
        ),
    )


@lru_cache(maxsize=1024)
def anthropic_answer(plan: Plan) -> bytes:
    return reply(
        "200 OK",
        encoded(
            {
                "id": "msg_mock0123456789abcdef",
                "type": "message",
                "role": "assistant",
                "model": plan.model,
                "content": [{"type": "text", "text": TEXT[: TEXT.index(".") + 1]}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": 30},
            }
        ),
    )


def words(count: int) -> list[str]:
    """Return `count` words, each with its space; the last one ends a sentence."""
    text = [WORDS[place % len(WORDS)] for place in range(count)]
    if text:
        text[-1] = text[-1].rstrip(".,:;") + "."
    return [word if place == 0 else f" {word}" for place, word in enumerate(text)]


@lru_cache(maxsize=1024)
def openai_events(plan: Plan, with_usage: bool) -> tuple[bytes, ...]:
    """Return a stream's writes: the role, each word, the end."""

    def event(choices: list[object], **more: object) -> bytes:
        body = {
            "id": "chatcmpl-mock0123456789abcdef",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": plan.model,
            "system_fingerprint": "fp_mock",
            "choices": choices,
            **({"usage": None} if with_usage else {}),
            **more,
        }
        return framed(b"data: " + encoded(body) + b"\n\n")

    def choice(delta: dict[str, str], finish: str | None = None) -> list[object]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    end = event(choice({}, "stop"))
    if with_usage:
        end += event([], usage=usage(plan.chunks))
    return (
        event(choice({"role": "assistant", "content": ""})),
        *(event(choice({"content": word})) for word in words(plan.chunks)),
        end + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n",
    )


@lru_cache(maxsize=1024)
def anthropic_events(plan: Plan, _with_usage: bool) -> tuple[bytes, ...]:
    """Return a stream's writes, as `openai_events`."""

    def event(kind: str, **more: object) -> bytes:
        return framed(f"event: {kind}\ndata: ".encode() + encoded({"type": kind, **more}) + b"\n\n")

    message: dict[str, object] = {
        "id": "msg_mock0123456789abcdef",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": plan.model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": 1},
    }
    start = event("message_start", message=message)
    start += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    end = event("content_block_stop", index=0)
    end += event(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": plan.chunks},
    )
    return (
        start + event("ping"),
        *(
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            for word in words(plan.chunks)
        ),
        end + event("message_stop") + b"0\r\n\r\n",
    )


@dataclass(frozen=True, slots=True)
class Head:
    """What the mock reads of a request's head."""

    method: bytes
    path: bytes
    length: int
    is_chunked: bool
    is_last: bool


def parse_head(text: bytes) -> Head:
    lines = text.split(b"\r\n")
    method, path, _ = lines[0].split(b" ", 2)
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines[1:])
    }
    return Head(
        method=method,
        path=path.split(b"?")[0],
        length=int(headers.get(b"content-length", b"0")),
        is_chunked=b"chunked" in headers.get(b"transfer-encoding", b"").lower(),
        is_last=headers.get(b"connection", b"").lower() == b"close",
    )


def dechunked(data: bytes, start: int) -> tuple[bytes, int] | None:
    """Return a chunked body and where it ends, or None while it is not whole."""
    parts: list[bytes] = []
    while (line_end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:line_end].split(b";")[0], 16)
        begin = line_end + 2
        if len(data) < begin + size + 2:
            return None
        if size == 0:
            return b"".join(parts), begin + 2
        parts.append(data[begin : begin + size])
        start = begin + size + 2
    return None


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, pipelined ones kept until their turn."""

    def __init__(self, plan: Plan, seen: Counter[str]) -> None:
        self._plan = plan
        self._seen = seen
        self._heads: dict[bytes, Head] = {}
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seen["connections"] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_busy = True
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while not self._is_busy and self._buffer:
            if not self._take():
                return

    def _take(self) -> bool:
        """Begin to answer the next request; False while it is not whole."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        text = self._buffer[:end]
        head = self._heads.get(text)
        if head is None:
            head = parse_head(text)
            if len(self._heads) < HEADS_KEPT:
                self._heads[text] = head
        start = end + 4
        if head.is_chunked:
            found = dechunked(self._buffer, start)
            if found is None:
                return False
            body, stop = found
        else:
            stop = start + head.length
            if len(self._buffer) < stop:
                return False
            body = self._buffer[start:stop]
        self._buffer = self._buffer[stop:]
        self._is_busy = True
        self._is_last = head.is_last
        self._answer(head, body)
        return True

    def _answer(self, head: Head, body: bytes) -> None:
        if head.path == b"/stats":
            self._send(reply("200 OK", encoded(dict(self._seen))))
            return
        self._seen["requests"] += 1
        is_openai = head.path.endswith(b"/chat/completions")
        if head.method != b"POST" or not (is_openai or head.path.endswith(b"/messages")):
            names = [{"id": "mock", "object": "model", "created": CREATED, "owned_by": "mock"}]
            self._send(reply("200 OK", encoded({"object": "list", "data": names})))
            return
        plan = planned(self._plan, body)
        if is_true(body, b'"stream"'):
            make = openai_events if is_openai else anthropic_events
            events = make(plan, is_true(body, b'"include_usage"'))
            self._after(plan.latency_ms, lambda: self._stream(plan, events))
        else:
            answer = openai_answer(plan) if is_openai else anthropic_answer(plan)
            self._after(plan.latency_ms, lambda: self._send(answer))

    def _after(self, latency_ms: float, act: Callable[[], None]) -> None:
        if latency_ms:
            self._timer = self._loop.call_later(latency_ms / 1e3, act)
        else:
            act()

    def _send(self, data: bytes) -> None:
        self._transport.write(data)
        self._timer = None
        if self._is_last:
            self._transport.close()
            return
        self._is_busy = False
        if self._buffer:
            self._loop.call_soon(self.data_received, b"")

    def _stream(self, plan: Plan, events: tuple[bytes, ...]) -> None:
        if not plan.delay_ms:
            self._send(STREAM_HEAD + b"".join(events))
            return
        self._transport.write(STREAM_HEAD + events[0])
        self._step(plan.delay_ms / 1e3, events, 1, self._loop.time())

    def _step(self, delay_s: float, events: tuple[bytes, ...], place: int, began_s: float) -> None:
        if place + 1 == len(events):
            self._send(events[place])
            return
        self._transport.write(events[place])
        due_s = began_s + delay_s * place
        self._timer = self._loop.call_at(due_s, self._step, delay_s, events, place + 1, began_s)


def planned(base: Plan, body: bytes) -> Plan:
    """Return the plan of the model that a body names; bodies are not parsed, only searched."""
    start = body.rfind(b'"model"')
    if start < 0:
        return base
    start = body.index(b'"', start + 7) + 1
    return named_plan(base, body[start : body.index(b'"', start)])


@lru_cache(maxsize=1024)
def named_plan(base: Plan, model: bytes) -> Plan:
    return base.named(model.decode())


def is_true(body: bytes, key: bytes) -> bool:
    """Whether the last occurrence of a key in a body has the value true."""
    start = body.rfind(key)
    end = start + len(key)
    return start >= 0 and body[end : end + 8].lstrip(b" :\t\r\n").startswith(b"true")


async def serve(plan: Plan, port: int) -> None:
    """Serve until cancelled; port 0 is any free one. Prints the port, when it listens."""
    seen = Counter({"requests": 0, "connections": 0})
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(plan, seen), "127.0.0.1", port, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.mock_upstream")
    parser.add_argument("--port", type=int, default=9900)
    parser.add_argument("--latency", type=float, default=0.0, help="ms")
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.0, help="ms between chunks")
    given = parser.parse_args()
    plan = Plan("mock", given.latency, given.chunks, given.delay)
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(plan, given.port))


if __name__ == "__main__":
    main()
