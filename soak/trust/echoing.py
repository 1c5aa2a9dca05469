"""Echoing: an upstream, on a real socket, that goes wrong in every way and repeats our key in it.

Which way is in the model's name. It keeps what it has heard, so that it can be looked through.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

# What asks for an answer that pointsman keeps, as it promises to do with an Idempotency-Key.
KEPT, KEPT_ANSWER = "kept", "this answer is kept in the ledger for a day"

_DEADLINE_S = 20.0
_KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
_RST = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Heard:
    """One call: the request line, the headers by lower-case name, and the body."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """Return the key that was sent."""
        sent = next((self.headers[n] for n in _KEY_HEADERS if n in self.headers), "")
        return sent.removeprefix("Bearer ")

    @property
    def is_stream(self) -> bool:
        return b'"stream":true' in self.body.replace(b" ", b"")


# What goes out: bytes, and whether the connection is then reset instead of closed.
Said: TypeAlias = tuple[bytes, bool]
Behaviour: TypeAlias = Callable[[Heard, str], Said]


def _reply(
    body: bytes, *, status: int = 200, kind: str = "application/json", more: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}"
    return f"{head}connection: close\r\n\r\n".encode("latin-1") + body


def _sse(*frames: object) -> bytes:
    told = [frame if isinstance(frame, str) else json.dumps(frame) for frame in frames]
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return (head + "".join(f"data: {frame}\n\n" for frame in told)).encode()


def _chunk(delta: object, finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _answered(heard: Heard, message: dict[str, object], finish: str = "stop") -> Said:
    if heard.is_stream:
        last = {**_chunk({}), "choices": [], "usage": _USAGE}
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message = {**message, "tool_calls": [{"index": 0, **calls[0]}]}
        return _sse(_chunk(message), _chunk({}, finish), last, "[DONE]"), False
    choice = {"index": 0, "message": message, "finish_reason": finish}
    whole = {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}
    return _reply(json.dumps({**whole, "usage": _USAGE}).encode()), False


def _plain(heard: Heard, answer: str) -> Said:
    return _answered(heard, {"role": "assistant", "content": answer})


def _empty(heard: Heard, _answer: str) -> Said:
    return _answered(heard, {"role": "assistant", "content": ""})


def _filtered(heard: Heard, answer: str) -> Said:
    return _answered(heard, {"role": "assistant", "content": answer}, "content_filter")


def _calling(heard: Heard, answer: str) -> Said:
    function = {"name": "look", "arguments": json.dumps({"what": answer})}
    call = {"id": "call_1", "type": "function", "function": function}
    message: dict[str, object] = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _answered(heard, message, "tool_calls")


def _refusing(status: int) -> Behaviour:
    def refuse(heard: Heard, _answer: str) -> Said:
        text = f"{status}: your key {heard.key!r} (Bearer {heard.key}) may not"
        body = {"error": {"message": text, "type": "x", "code": heard.key, "param": heard.key}}
        return _reply(json.dumps(body).encode(), status=status), False

    return refuse


def _escaped(heard: Heard, _answer: str) -> Said:
    """Repeat the key in JSON's other ways of writing it."""
    units = "".join(f"\\u{ord(c):04x}" for c in heard.key)
    php = heard.key.replace("/", "\\/")
    body = f'{{"error": {{"message": "{units} and {php}", "type": "invalid_request_error"}}}}'
    return _reply(body.encode(), status=400), False


def _html(heard: Heard, _answer: str) -> Said:
    page = f"<html>bad gateway for {heard.key}</html>".encode()
    return _reply(page, status=502, kind="text/html"), False


def _cut_json(heard: Heard, _answer: str) -> Said:
    return _reply(f'{{"choices": [{{"key": "{heard.key}'.encode()), False


def _odd_json(heard: Heard, _answer: str) -> Said:
    return _reply(json.dumps({heard.key: heard.key, "choices": heard.key}).encode()), False


def _odd_kind(heard: Heard, _answer: str) -> Said:
    return _reply(b"{}", kind=f"text/{heard.key}"), False


def _odd_encoding(heard: Heard, _answer: str) -> Said:
    return _reply(b"{}", more=f"content-encoding: {heard.key}\r\n"), False


def _odd_status_line(heard: Heard, _answer: str) -> Said:
    return f"HTTP/1.1 {heard.key} {heard.key}\r\n\r\n".encode(), False


def _odd_header(heard: Heard, _answer: str) -> Said:
    return f"HTTP/1.1 200 OK\r\n{heard.key} \x00: {heard.key}\r\n\r\n".encode(), False


def _no_http(heard: Heard, _answer: str) -> Said:
    return f"{heard.key}\r\n\r\n".encode(), False


def _odd_chunk(heard: Heard, _answer: str) -> Said:
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked"
    return f"{head}\r\n\r\n{heard.key}\r\n{heard.key}\r\n".encode(), False


def _redirecting(heard: Heard, _answer: str) -> Said:
    where = f"http://127.0.0.1:9/?key={heard.key}"
    return _reply(b"", status=307, more=f"location: {where}\r\n"), False


def _waiting(heard: Heard, _answer: str) -> Said:
    return _reply(b"{}", status=429, more=f"retry-after: {heard.key}\r\n"), False


def _reset(_heard: Heard, _answer: str) -> Said:
    return b"", True


def _reset_later(heard: Heard, answer: str) -> Said:
    if heard.is_stream:
        return _sse(_chunk({"role": "assistant", "content": answer})), True
    return _reply(b"{" * 100).replace(b"length: 100", b"length: 900"), True


def _failing_in_stream(heard: Heard, answer: str) -> Said:
    error = {"error": {"message": f"no longer: {heard.key}", "code": heard.key}}
    return _sse(_chunk({"role": "assistant", "content": answer}), error), False


def _failing_at_once(heard: Heard, _answer: str) -> Said:
    return _sse({"error": {"message": f"overloaded: {heard.key}", "type": heard.key}}), False


def _garbled(heard: Heard, answer: str) -> Said:
    return _sse(_chunk({"content": answer}), f'{{"{heard.key}": '), False


def _garbled_at_once(heard: Heard, _answer: str) -> Said:
    return _sse(f'{{"{heard.key}": '), False


BEHAVIOURS: Mapping[str, Behaviour] = {
    "plain": _plain,
    "empty": _empty,
    "filtered": _filtered,
    "calling": _calling,
    **{f"says-{s}": _refusing(s) for s in (400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529)},
    "escaped": _escaped,
    "html": _html,
    "cut-json": _cut_json,
    "odd-json": _odd_json,
    "odd-kind": _odd_kind,
    "odd-encoding": _odd_encoding,
    "odd-status-line": _odd_status_line,
    "odd-header": _odd_header,
    "odd-chunk": _odd_chunk,
    "no-http": _no_http,
    "redirecting": _redirecting,
    "waiting": _waiting,
    "reset": _reset,
    "reset-later": _reset_later,
    "failing-in-stream": _failing_in_stream,
    "failing-at-once": _failing_at_once,
    "garbled": _garbled,
    "garbled-at-once": _garbled_at_once,
}


class Echoing:
    """Listens on loopback. `heard`: every call so far. Answers are `answer`."""

    def __init__(self, answer: str) -> None:
        self.heard: list[Heard] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_DEADLINE_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(_DEADLINE_S)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            heard = _read(connection)
            if heard is None:
                return
            self.heard.append(heard)
            said, is_reset = _behaviour(heard)(heard, self._answer)
            connection.sendall(said)
            if is_reset:
                threading.Event().wait(0.05)  # what was sent may arrive first
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)


def _behaviour(heard: Heard) -> Behaviour:
    """Return how to answer: as the model's name says up to its dot; a webhook is refused."""
    with suppress(ValueError, AttributeError):
        name = json.loads(heard.body).get("model", "").partition(".")[0]
        if name == KEPT:
            return lambda heard, _answer: _plain(heard, KEPT_ANSWER)
        return BEHAVIOURS.get(name, _refusing(500))
    return _refusing(500)


def _read(connection: socket.socket) -> Heard | None:
    with connection.makefile("rb") as incoming:
        lines: list[str] = []
        while (line := incoming.readline()) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1").rstrip("\r\n"))
        if not lines:
            return None
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = incoming.read(int(headers.get("content-length", "0")))
    return Heard(lines[0], headers, body)


@contextmanager
def echoing(answer: str) -> Iterator[Echoing]:
    """Run an upstream."""
    upstream = Echoing(answer)
    try:
        yield upstream
    finally:
        upstream.close()
