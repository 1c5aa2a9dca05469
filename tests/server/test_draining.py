"""A server that is told to stop while it is busy (FAULTS, row 19)."""

import json
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.server import processes
from tests.server.processes import Served, chat_body, poll
from tests.server.upstreams import Upstream, config, running

CHAT = "/v1/chat/completions"
# The same server, with less patience than anybody could test.
MAIN = """
import sys
from pointsman.server import serve
serve.serve.__kwdefaults__["drain_s"] = 1.0
from pointsman.cli import main
main()
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as upstream:
        yield upstream


@pytest.fixture
def hasty(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server that gives what runs a second to end."""
    monkeypatch.setattr(processes, "MAIN", [sys.executable, "-W", "error", "-c", MAIN])
    with processes.served(tmp_path, config(upstream, ledger="sqlite:///ledger.db")) as server:
        yield server


def ends(folder: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        rows = connection.execute("SELECT state, outcome FROM ends ORDER BY state").fetchall()
        open_rows = connection.execute(
            "SELECT count(*) FROM intents AS i WHERE NOT EXISTS (SELECT 1 FROM ends AS e"
            " WHERE e.request_id = i.request_id AND e.attempt = i.attempt)"
        )
        assert open_rows.fetchone() == (0,)
    return rows


def test_what_has_not_ended_in_time_is_told_and_booked_and_the_status_is_0(
    hasty: Served, upstream: Upstream, tmp_path: Path
):
    stream_connection, stream = hasty.begin_chat(model="endless", stream=True)
    assert b"first" in stream.readline()
    waiting = hasty.connect()
    waiting.request("POST", CHAT, chat_body(model="silent"))
    assert upstream.asked["silent"].wait(10)
    hasty.signal(signal.SIGTERM)
    poll(lambda: hasty.ask("GET", "/health/ready")[0] == 503, of="the server to take no more")
    status, headers, body = hasty.ask("POST", CHAT, chat_body())
    assert (status, json.loads(body)["error"]["code"]) == (503, "draining")
    assert (headers["retry-after"], headers["x-should-retry"]) == ("1", "true")
    rest = stream.read().decode()
    assert json.loads(rest.strip().splitlines()[-1][6:])["error"]["code"] == "draining"
    assert "[DONE]" not in rest
    refused = waiting.getresponse()
    assert (refused.status, refused.headers["connection"]) == (503, "close")
    assert json.loads(refused.read())["error"]["code"] == "draining"
    stream_connection.close()
    waiting.close()
    assert hasty.ended() == 0
    assert ends(tmp_path) == [("settled", "cancelled"), ("unknown", "cancelled")]
    assert "Traceback" not in hasty.errors


@contextmanager
def let_in(server: Served, length: int) -> Iterator[socket.socket]:
    """Send the head of a request, and wait to be told to go on."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=processes.DEADLINE_S) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        yield connection


def test_a_request_that_was_let_in_may_still_send_its_body(hasty: Served, tmp_path: Path):
    body = chat_body()
    with let_in(hasty, len(body)) as connection:
        hasty.signal(signal.SIGTERM)
        poll(lambda: hasty.ask("GET", "/health/ready")[0] == 503, of="the server to take no more")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert hasty.ended() == 0
    assert ends(tmp_path) == [("settled", "answered")]


def test_a_client_that_sends_half_a_body_does_not_hold_up_the_end(hasty: Served):
    with let_in(hasty, 1000) as connection:
        connection.sendall(b"{")
        hasty.signal(signal.SIGTERM)
        assert hasty.ended() == 0
    assert "Traceback" not in hasty.errors


def test_who_hung_up_on_a_request_with_a_key_does_not_hold_up_the_end(
    hasty: Served, upstream: Upstream, tmp_path: Path
):
    connection = hasty.connect()
    connection.request("POST", CHAT, chat_body(model="silent"), {"idempotency-key": "k"})
    assert upstream.asked["silent"].wait(10)
    connection.close()
    hasty.signal(signal.SIGTERM)
    assert hasty.ended() == 0
    assert ends(tmp_path) == [("unknown", "cancelled")]
