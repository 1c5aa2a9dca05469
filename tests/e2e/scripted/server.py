"""The scripted upstream as a server on loopback, with a book of what it was asked."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.scripted import chat, gemini, messages, responses
from tests.e2e.scripted.checks import Refused
from tests.e2e.scripted.script import Said, answer

KEY = "scripted-upstream-key-0123456789"
DIALECTS: Mapping[str, ModuleType] = {m.DIALECT: m for m in (chat, responses, messages, gemini)}
_COUNTS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/v1/messages/count_tokens": messages.count,
    "/v1/responses/input_tokens": responses.count,
}
_ROUTES = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/messages": messages,
}
_GEMINI = re.compile(r"/v1(?:beta)?/models/([^:]+):")


@dataclass(frozen=True)
class Seen:
    """One request: `status` is what it was answered with, `refusal` why it was refused."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    status: int
    refusal: str = ""


@dataclass
class Scripted:
    """A running upstream. `base_urls` has one for each dialect."""

    origin: str
    book: list[Seen] = field(default_factory=list)

    @property
    def base_urls(self) -> dict[str, str]:
        return {
            name: f"{self.origin}/{'v1beta' if name == 'gemini' else 'v1'}" for name in DIALECTS
        }

    @property
    def refusals(self) -> list[str]:
        return [f"{seen.path}: {seen.refusal}" for seen in self.book if seen.refusal]


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run an upstream; all its threads have ended when this is left."""
    upstream = Scripted("")
    server = _Server(("127.0.0.1", 0), _Handler)
    server.upstream = upstream
    upstream.origin = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    upstream: Scripted
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def close_connections(self) -> None:
        for connection in tuple(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.server.connections.discard(self.connection)

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length))
        path = urlsplit(self.path).path
        try:
            if path in _COUNTS or path.endswith(":countTokens") or path == "/v1/embeddings":
                self._answer_at_once(path, body)
            else:
                self._answer(path, body)
        except Refused as refused:
            self._refuse(path, body, 400, str(refused))

    def _answer_at_once(self, path: str, body: dict[str, Any]) -> None:
        if path == "/v1/embeddings":
            reply = chat.embed(body)
        else:
            reply = _COUNTS.get(path, gemini.count)(body)
        self._note(path, body, 200)
        self._send(200, reply)

    def _answer(self, path: str, body: dict[str, Any]) -> None:
        named = _GEMINI.match(path)
        dialect = gemini if named else _ROUTES.get(path)
        if dialect is None:
            self._refuse(path, body, 404, f"no route {path}")
            return
        if not self._has_key(dialect.DIALECT):
            self._refuse(path, body, 401, "the key is missing or wrong")
            return
        asked = dialect.asked(self._as_of_now(dialect.DIALECT, body))
        if named and body.get("model", f"models/{named.group(1)}") != f"models/{named.group(1)}":
            raise Refused(f"model: {body['model']!r} is not the path's")
        said = answer(asked)
        self._note(path, body, said.status)
        if named:
            body = {**body, "model": named.group(1)}
        if said.status != 200:
            self._send(said.status, dialect.error(said.status, "as the script says"))
        elif asked.is_stream or path.endswith(":streamGenerateContent"):
            self._stream(dialect, said, body)
        else:
            self._send(200, dialect.reply(said, body))

    def _as_of_now(self, dialect: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return a body without what only an older version of the dialect has."""
        if dialect == "anthropic" and self.headers.get("anthropic-version") == "2023-06-01":
            return messages.without_sampling(body)
        return body

    def _has_key(self, dialect: str) -> bool:
        match dialect:
            case "anthropic":
                is_right = self.headers.get("x-api-key") == KEY
                return is_right and bool(self.headers.get("anthropic-version"))
            case "gemini":
                return self.headers.get("x-goog-api-key") == KEY
            case _:
                return self.headers.get("authorization") == f"Bearer {KEY}"

    def _stream(self, dialect: ModuleType, said: Said, body: dict[str, Any]) -> None:
        frames = list(dialect.frames(said, body))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        whole = len(frames) if not said.fault else max(1, len(frames) * 2 // 3)
        for frame in frames[:whole]:
            self._chunk(frame)
        if said.fault == "break":
            self.close_connection = True
            return
        if said.fault == "error":
            self._chunk(dialect.error_frame("as the script says"))
        self._chunk(b"")

    def _chunk(self, frame: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))

    def _refuse(self, path: str, body: dict[str, Any], status: int, why: str) -> None:
        self._note(path, body, status, why)
        dialect = gemini if _GEMINI.match(path) else _ROUTES.get(path, chat)
        self._send(status, dialect.error(status, why))

    def _note(self, path: str, body: dict[str, Any], status: int, refusal: str = "") -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.upstream.book.append(Seen(path, headers, body, status, refusal))

    def _send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
