"""An upstream that follows a script, on a real socket: it sees who hangs up on it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

DEADLINE_S = 20.0
_JSON = "application/json"


class Upstream:
    """Answers by the model's name; see `_SCRIPTS`.

    `asked` and `hung_up` have an event for each model: a call came; its caller closed before the
    answer was whole. `go_on` lets the "gated" model end its answer. `headers` are the last call's.
    """

    def __init__(self) -> None:
        self.asked = {name: threading.Event() for name in _SCRIPTS}
        self.hung_up = {name: threading.Event() for name in _SCRIPTS}
        self.go_on = threading.Event()
        self.calls: list[str] = []
        self.headers = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening, and let go of what waits."""
        self.go_on.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(DEADLINE_S)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, suppress(OSError):
            head = b""
            while (line := incoming.readline()) not in (b"\r\n", b""):
                head += line
            if not head:
                return
            length = next(
                int(h[15:]) for h in head.lower().splitlines() if h[:15] == b"content-length:"
            )
            body = json.loads(incoming.read(length))
            model = body["model"]
            self.headers = head
            self.calls.append(model)
            self.asked[model].set()
            _SCRIPTS[model](self, Talk(connection, model, is_stream=bool(body.get("stream"))))


class Talk:
    """One call: what may be said, and a wait for the caller to hang up."""

    def __init__(self, connection: socket.socket, model: str, *, is_stream: bool) -> None:
        self._connection = connection
        self.model = model
        self.is_stream = is_stream

    def reply(self, status: int, body: object) -> None:
        """Say all at once."""
        data = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {_JSON}\r\ncontent-length: {len(data)}\r\n"
        self._connection.sendall(f"{head}connection: close\r\n\r\n".encode() + data)

    def begin_stream(self) -> None:
        """Say the head of a stream and the answer's first piece."""
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        self._connection.sendall(head.encode())
        self.piece("first ")

    def piece(self, text: str) -> None:
        """Say a piece of the answer."""
        self._frame(self._chunk({"content": text}, None))

    def end_stream(self) -> None:
        """Say how the answer ended, what was used, and that it is done."""
        self._frame(self._chunk({}, "stop"))
        self._frame({**self._chunk({}, None), "choices": [], "usage": _USAGE})
        self._connection.sendall(b"data: [DONE]\n\n")

    def wait_for_hang_up(self) -> None:
        """Wait until the caller closes the connection."""
        with suppress(ConnectionResetError):
            while self._connection.recv(1024):
                pass

    def _chunk(self, delta: object, finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.model,
            "choices": [choice],
        }

    def _frame(self, chunk: object) -> None:
        self._connection.sendall(b"data: " + json.dumps(chunk).encode() + b"\n\n")


_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _plain(upstream: Upstream, talk: Talk) -> None:
    del upstream
    if talk.is_stream:
        talk.begin_stream()
        talk.end_stream()
        return
    message = {"role": "assistant", "content": "a plain answer"}
    talk.reply(
        200,
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": talk.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _USAGE,
        },
    )


def _silent(upstream: Upstream, talk: Talk) -> None:
    """Say nothing until the caller hangs up."""
    talk.wait_for_hang_up()
    upstream.hung_up[talk.model].set()


def _endless(upstream: Upstream, talk: Talk) -> None:
    """Say a first piece, and no more."""
    with suppress(BrokenPipeError, ConnectionResetError):  # the caller may be gone already
        talk.begin_stream()
        talk.wait_for_hang_up()
    upstream.hung_up[talk.model].set()


def _gated(upstream: Upstream, talk: Talk) -> None:
    """Say a first piece, and the rest when told."""
    talk.begin_stream()
    upstream.go_on.wait(DEADLINE_S)
    talk.piece("and last")
    talk.end_stream()


def _broken(upstream: Upstream, talk: Talk) -> None:
    """Break off after a first piece."""
    del upstream
    talk.begin_stream()


def _failing(upstream: Upstream, talk: Talk) -> None:
    """Be out of order."""
    del upstream
    talk.reply(503, {"error": {"message": "out of order", "type": "server_error"}})


def _tattling(upstream: Upstream, talk: Talk) -> None:
    """Refuse the key, and say which it was, as some providers do."""
    _, _, rest = upstream.headers.decode().partition("Bearer ")
    key = rest.partition("\r\n")[0]
    talk.reply(401, {"error": {"message": f"Incorrect API key provided: {key}", "type": "auth"}})


_SCRIPTS: dict[str, Callable[[Upstream, Talk], None]] = {
    "plain": _plain,
    "silent": _silent,
    "endless": _endless,
    "gated": _gated,
    "broken": _broken,
    "failing": _failing,
    "tattling": _tattling,
}


@contextmanager
def running() -> Iterator[Upstream]:
    """Run an upstream."""
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.close()


def config(upstream: Upstream, *, key_env: str = "", ledger: str = "sqlite://") -> str:
    """Return a configuration with a tier for each of the upstream's models, of the same name."""
    lines = ["[providers.up]", 'dialect = "openai-chat"', f'base_url = "{upstream.base_url}"']
    lines += [f'api_key_env = "{key_env}"', "[routing]", 'policy = "fixed:plain"']
    lines += ["[ledger]", f'url = "{ledger}"', "[server]", "log_requests = false"]
    for model in _SCRIPTS:
        lines += ["[[tiers]]", f'name = "{model}"', f'models = ["up/{model}"]']
        lines += [f'[prices."up/{model}"]', "input = 1.0", "output = 2.0"]
    return "\n".join(lines)
