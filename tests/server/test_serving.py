"""The server as a process: its start, its signals, its end, and what it writes meanwhile."""

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.server.processes import Served, chat_body, poll, run, served
from tests.server.upstreams import Upstream, config, running

from pointsman.cli import main

CHAT = "/v1/chat/completions"
CANARY = "sk-canary-0123456789abcdefghij"
BEARER = "bearer-canary-0123456789"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as upstream:
        yield upstream


def ends(folder: Path) -> list[tuple[str, str]]:
    """Return how each attempt in the ledger ended."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master")]
        (ends,) = [name for name in tables if name.startswith("end")]
        return list(connection.execute(f"select state, outcome from {ends}"))


def is_draining(server: Served) -> bool:
    return server.ask("GET", "/health/ready")[0] == 503


def test_a_stream_in_flight_ends_well_after_sigterm(upstream: Upstream, tmp_path: Path):
    toml = config(upstream, ledger="sqlite:///ledger.db")
    with served(tmp_path, toml) as server:
        connection, reply = server.begin_chat(model="gated", stream=True)
        assert b"first" in reply.readline()
        server.signal(signal.SIGTERM)
        poll(lambda: is_draining(server), of="the server to take no more")
        upstream.go_on.set()
        rest = reply.read().decode()
        connection.close()
        assert "and last" in rest
        assert rest.rstrip().endswith("data: [DONE]")
        assert server.ended() == 0
    assert ends(tmp_path) == [("settled", "answered")]
    assert server.errors.count("\n") == 1, server.errors


def test_who_asks_while_the_server_drains_is_told_and_not_cut_off(
    upstream: Upstream, tmp_path: Path
):
    with served(tmp_path, config(upstream)) as server, closing(server.connect()) as idle:
        idle.request("GET", "/v1/models")
        assert idle.getresponse().read()
        connection, reply = server.begin_chat(model="gated", stream=True)
        assert b"first" in reply.readline()
        server.signal(signal.SIGTERM)
        poll(lambda: is_draining(server), of="the server to take no more")
        idle.request("POST", CHAT, chat_body())  # on the connection that was kept
        refused = idle.getresponse()
        assert json.loads(refused.read())["error"]["code"] == "draining"
        assert refused.will_close
        status, headers, body = server.ask("POST", CHAT, chat_body())
        assert (status, refused.status) == (503, 503)
        assert json.loads(body)["error"]["code"] == "draining"
        assert (headers["retry-after"], headers["connection"]) == ("1", "close")
        assert server.ask("GET", "/health/live")[0] == 200
        upstream.go_on.set()
        assert reply.read().decode().rstrip().endswith("data: [DONE]")
        connection.close()
        assert server.ended() == 0
    assert upstream.calls == ["gated"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_breaks_off_what_runs_and_says_so(
    upstream: Upstream, tmp_path: Path, number: signal.Signals
):
    toml = config(upstream, ledger="sqlite:///ledger.db")
    with served(tmp_path, toml) as server:
        connection, reply = server.begin_chat(model="endless", stream=True)
        assert b"first" in reply.readline()
        server.signal(number)
        poll(lambda: is_draining(server), of="the server to take no more")
        server.signal(number)
        rest = reply.read().decode()
        connection.close()
        assert json.loads(rest.strip().splitlines()[-1][6:])["error"]["code"] == "draining"
        assert "[DONE]" not in rest
        assert server.ended() == 0
    assert upstream.hung_up["endless"].wait(10)
    assert ends(tmp_path) == [("settled", "cancelled")]
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_with_status_0_and_without_a_word(
    upstream: Upstream, tmp_path: Path, number: signal.Signals
):
    with served(tmp_path, config(upstream)) as server, closing(server.connect()) as idle:
        idle.request("GET", "/v1/models")
        assert idle.getresponse().read()  # a connection that is kept holds nothing up
        server.signal(number)
        began_s = time.monotonic()
        assert server.ended() == 0
        assert time.monotonic() - began_s < 5
    assert server.errors.startswith("pointsman listens on http://127.0.0.1:")
    assert server.errors.count("\n") == 1, server.errors


def test_sighup_reads_a_good_file_anew_and_keeps_the_old_for_a_bad_one(
    upstream: Upstream, tmp_path: Path
):
    toml = config(upstream)
    with served(tmp_path, toml) as server:

        def tiers() -> set[str]:
            listed = json.loads(server.ask("GET", "/v1/models")[2])["data"]
            return {m["id"] for m in listed if m["owned_by"] == "pointsman"}

        before = tiers()
        (tmp_path / "pointsman.toml").write_text(toml.replace('"plain"', '"renamed"', 1))
        server.signal(signal.SIGHUP)
        server.wait_for("stays as it was", of="the bad file to be told")  # fixed:plain is gone
        assert tiers() == before
        assert server.ask("POST", CHAT, chat_body())[0] == 200
        for bad in ("[[tiers]", "[serverr]\nx = 1", "\xff"):
            told = server.errors.count("stays as it was")
            (tmp_path / "pointsman.toml").write_text(bad, "latin-1")
            server.signal(signal.SIGHUP)
            poll(lambda told=told: server.errors.count("stays as it was") > told, of="the error")
        (tmp_path / "pointsman.toml").unlink()
        server.signal(signal.SIGHUP)
        poll(lambda: server.errors.count("stays as it was") == 5, of="the error")
        assert tiers() == before
        renamed = toml.replace('name = "broken"', 'name = "renamed"')
        (tmp_path / "pointsman.toml").write_text(renamed)
        server.signal(signal.SIGHUP)
        server.wait_for("has been read anew", of="the good file to be read")
        assert tiers() == before - {"broken"} | {"renamed"}
        assert server.ask("POST", CHAT, chat_body(model="renamed"))[0] in {200, 502}
        assert server.stop() == 0
    assert "Traceback" not in server.errors


@dataclass
class Refused:
    """How `pointsman serve` refuses to start: in this process, as it never comes to listen."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, toml: str, *arguments: str, **env: str) -> str:
        """Return what is told on standard error."""
        (self.folder / "pointsman.toml").write_text(toml)
        self.monkeypatch.chdir(self.folder)
        for name in [*os.environ]:
            if name.endswith("_KEY") or name.startswith("POINTSMAN_"):
                self.monkeypatch.delenv(name)
        for name, value in env.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(sys, "argv", ["pointsman", "serve", *arguments])
        with pytest.raises(SystemExit) as raised:
            main()
        assert raised.value.code == 2
        written = self.capsys.readouterr()
        assert written.out == ""
        assert "Traceback" not in written.err
        lines = written.err.splitlines()
        assert len(lines) == len(set(lines)) >= 1
        return written.err


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    return Refused(tmp_path, monkeypatch, capsys)


def test_a_refused_start_ends_the_process_with_status_2(tmp_path: Path):
    (tmp_path / "pointsman.toml").write_text("[[tiers]")
    done = run("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pointsman.toml, line 1: not valid TOML")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_are_let_in_by_key_or_not_at_all(upstream: Upstream, refused: Refused, host: str):
    told = refused(config(upstream), "--host", host, "--port", "0")
    assert host in told
    assert "POINTSMAN_API_KEYS" in told


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("keys", [",", " , ", "short", "a:aaaaaaaaaa,a:bbbbbbbbbb"])
def test_keys_that_are_none_stop_the_start(
    upstream: Upstream, refused: Refused, keys: str, host: str
):
    told = refused(config(upstream), "--host", host, "--port=0", POINTSMAN_API_KEYS=keys)
    assert "POINTSMAN_API_KEYS" in told


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[[tiers]", "line 1"),
        ("[sever]\n", "sever"),
        ('[[tiers]]\nname = "a"\nmodels = []\n', "models"),
        ('[[tiers]]\nname = "a"\nmodels = ["openai/gpt-4o"]\n', "OPENAI_API_KEY"),
        ("", "nothing to route to"),
        ("[server]\nport = 99999\n", "port"),
    ],
)
def test_a_bad_file_stops_the_start_and_is_told_once(refused: Refused, toml: str, named: str):
    assert named in refused(toml)


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_is_none_is_told(upstream: Upstream, refused: Refused, port: str):
    assert port in refused(config(upstream), f"--port={port}")


def test_a_port_in_use_is_told(upstream: Upstream, refused: Refused):
    port = upstream.base_url.rpartition(":")[2].removesuffix("/v1")
    told = refused(config(upstream), "--port", port)
    assert port in told
    assert "in use" in told


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_hangs_up_ends_the_call_upstream(
    upstream: Upstream, tmp_path: Path, is_stream: bool
):
    with served(tmp_path, config(upstream, ledger="sqlite:///ledger.db")) as server:
        for cache in ("on", "off"):
            upstream.asked["silent"].clear()
            upstream.hung_up["silent"].clear()
            connection = server.connect()
            body = chat_body(model="silent", stream=is_stream)
            connection.request("POST", CHAT, body, {"x-pointsman-cache": cache})
            assert upstream.asked["silent"].wait(10)
            connection.close()
            assert upstream.hung_up["silent"].wait(10)
        assert server.stop() == 0
    assert ends(tmp_path) == [("unknown", "cancelled")] * 2
    assert server.errors.count("\n") == 1, server.errors


def test_a_client_that_hangs_up_in_a_stream_ends_the_call_upstream(
    upstream: Upstream, tmp_path: Path
):
    with served(tmp_path, config(upstream, ledger="sqlite:///ledger.db")) as server:
        connection, reply = server.begin_chat(model="endless", stream=True)
        assert b"first" in reply.readline()
        reply.close()
        connection.close()
        assert upstream.hung_up["endless"].wait(10)
        assert server.stop() == 0
    assert ends(tmp_path) == [("settled", "cancelled")]
    assert server.errors.count("\n") == 1, server.errors


def test_an_upstream_that_breaks_off_is_told_in_the_stream(upstream: Upstream, tmp_path: Path):
    with served(tmp_path, config(upstream)) as server:
        connection, reply = server.begin_chat(model="broken", stream=True)
        body = reply.read().decode()
        connection.close()
        assert reply.status == 200
        last = json.loads(body.strip().splitlines()[-1].removeprefix("data: "))
        assert last["error"]["code"] == "upstream_reset"
        assert "[DONE]" not in body
        assert server.stop() == 0


def test_one_connection_serves_many_requests(upstream: Upstream, tmp_path: Path):
    with served(tmp_path, config(upstream)) as server, closing(server.connect()) as connection:
        for number in range(20):
            kind = {"stream": True} if number % 2 else {}
            connection.request("POST", CHAT, chat_body(f"ask {number % 5}", **kind))
            reply = connection.getresponse()
            assert reply.status == 200
            assert reply.read()
            assert not reply.will_close
        connection.request("POST", CHAT, b"{}")
        reply = connection.getresponse()
        assert (reply.status, reply.will_close) == (400, False)
        assert b"error" in reply.read()
        connection.request("HEAD", "/health/ready")
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (200, b"")
        connection.request("GET", "/v1/models")
        assert connection.getresponse().read().startswith(b'{"object"')


def test_pipelined_requests_are_answered_in_order(upstream: Upstream, tmp_path: Path):
    with served(tmp_path, config(upstream)) as server:
        body = chat_body()
        chat = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
            CHAT.encode(),
            len(body),
            body,
        )
        models = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n"
        received = server.raw(
            chat + models + b"\r\n" + chat + models + b"connection: close\r\n\r\n"
        )
        assert server.stop() == 0
    assert received.count(b"HTTP/1.1 200") == 4
    order = [received.find(b"chat.completion"), received.find(b'"list"')]
    assert order == sorted(order)
    assert received.count(b"chat.completion") == received.count(b'"object":"list"') == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET / HTTP/9\r\n\r\n", 400, id="version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, id="TLS"),
        pytest.param(
            b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="length and chunked",
        ),
        pytest.param(
            b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\n"
            b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            400,
            id="two lengths",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-a: a\x00b\r\n\r\n", 400, id="NUL"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, id="CONNECT"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, id="long line"),
        pytest.param(
            b"GET / HTTP/1.1\r\nx-a: " + b"a" * 17_000 + b"\r\n\r\n", 431, id="long header"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(101)) + b"\r\n",
            431,
            id="many headers",
        ),
    ],
)  # fmt: skip
def test_what_is_no_sound_request_is_refused_and_the_connection_closed(
    shared: Served, data: bytes, status: int
):
    received = shared.raw(data)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    error = json.loads(body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["request_id"]
    assert b"\r\nx-request-id: %b\r\n" % error["request_id"].encode() in head
    assert shared.ask("GET", "/health/ready")[0] == 200


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "nix"])
def test_an_offer_to_upgrade_is_declined(shared: Served, upgrade: str):
    headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": upgrade, "http2-settings": "x"}
    assert shared.ask("POST", CHAT, chat_body(), headers)[0] == 200
    assert shared.ask("GET", "/v1/models", None, headers)[0] == 200
    assert shared.ask("POST", CHAT, None, headers)[0] == 400
    with closing(shared.connect()) as connection:
        for _ in range(3):  # in pieces, without a stated length, on one connection
            body = chat_body()
            connection.request("POST", CHAT, iter([body[:9], body[9:]]), headers)
            assert connection.getresponse().read().startswith(b'{"id"')
            connection.request("GET", "/v1/models", None, headers)
            assert connection.getresponse().read().startswith(b'{"object"')


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all that leave it as it was."""
    with running() as upstream, served(tmp_path_factory.mktemp("shared"), config(upstream)) as it:
        yield it
        assert it.stop() == 0
        assert it.errors.count("\n") == 1, it.errors


def test_secrets_are_nowhere_but_where_they_belong(upstream: Upstream, tmp_path: Path):
    env = {"UP_KEY": CANARY, "POINTSMAN_API_KEYS": f"me:{BEARER}", "PYTHONASYNCIODEBUG": "1"}
    toml = config(upstream, key_env="UP_KEY", ledger="sqlite:///ledger.db")
    headers, seen = {"authorization": f"Bearer {BEARER}"}, b""
    with served(tmp_path, toml + '\n[cache]\npath = "cache.db"\n', env) as server:
        for model in ("plain", "broken", "nix"):
            for is_stream in (True, False):
                body = chat_body(model=model, stream=is_stream)
                status, told, content = server.ask("POST", CHAT, body, headers)
                seen += str((status, told)).encode() + content
        assert CANARY.encode() in upstream.headers
        assert BEARER.encode() not in upstream.headers
        seen += b"".join(server.ask("GET", p, None, headers)[2] for p in ("/metrics", "/v1/models"))
        assert server.stop() == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"ledger.db", "cache.db"} <= {path.name for path in files}
    seen += server.errors.encode() + b"".join(path.read_bytes() for path in files)
    assert b"first " in seen
    assert CANARY.encode() not in seen
    assert BEARER.encode() not in seen


def test_a_key_that_an_upstream_repeats_does_not_reach_the_client(
    upstream: Upstream, tmp_path: Path
):
    toml = config(upstream, key_env="UP_KEY")
    with served(tmp_path, toml, {"UP_KEY": CANARY}) as server:
        status, _, content = server.ask("POST", CHAT, chat_body(model="tattling"))
        assert server.stop() == 0
    assert status == 502
    assert json.loads(content)["error"]["code"] == "upstream_auth"
    assert CANARY.encode() not in content + server.errors.encode()
