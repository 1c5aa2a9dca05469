"""`pointsman serve` as a process of its own, and what a client says to it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEADLINE_S = 30.0
MAIN = [sys.executable, "-W", "error", "-c", "from pointsman.cli import main; main()"]


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> Any:
    """Run a command to its end; its output is text."""
    done = subprocess.run(
        [*MAIN, *arguments],
        cwd=cwd,
        env=bare_environment(env),
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_S * 2,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def bare_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment without anybody's keys and settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(env or {})


class Served:
    """A running server. `errors` is what it has written to standard error so far."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None) -> None:
        self.process = subprocess.Popen(
            [*MAIN, "serve", "--port", "0", "--config", "pointsman.toml"],
            cwd=folder,
            env=bare_environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("listens on", of="the server to listen")
        words = next(line for line in self._lines if "listens on" in line).split()
        self.base_url = next(word for word in words if word.startswith("http://")).rstrip(";")
        self.address = urlsplit(self.base_url).netloc

    @property
    def errors(self) -> str:
        return "".join(self._lines)

    def wait_for(self, text: str, *, of: str) -> None:
        """Wait until the server has written a text."""
        poll(lambda: text in self.errors or self.process.poll() is not None, of)
        assert text in self.errors, self.errors

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.ended()

    def ended(self) -> int:
        """Wait for its end and return its exit status."""
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, {n.lower(): v for n, v in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def begin_chat(self, **fields: Any) -> tuple[http.client.HTTPConnection, Any]:
        """Ask for a chat completion; return the connection and its reply once it has begun."""
        connection = self.connect()
        connection.request("POST", "/v1/chat/completions", chat_body(**fields))
        return connection, connection.getresponse()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=DEADLINE_S)

    def raw(self, data: bytes) -> bytes:
        """Send bytes and return all that comes until the server closes."""
        host, _, port = self.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    def is_listening(self) -> bool:
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)


def chat_body(text: str = "hello", **fields: Any) -> bytes:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return json.dumps(body | fields).encode()


@contextmanager
def served(folder: Path, toml: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve a configuration from a folder; the process is stopped in the end."""
    (folder / "pointsman.toml").write_text(toml, "utf-8")
    server = Served(folder, env)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.ended()


def poll(is_so: Any, of: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {of}"
        time.sleep(0.01)
