"""Several workers as processes: one port, and what they share, lose and tell together."""

import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.server.processes import Served, bare_environment, chat_body, poll, run, served
from tests.server.test_serving import Refused, refused
from tests.server.upstreams import Upstream, config, running

from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.core.grants import Grant

CHAT = "/v1/chat/completions"
OFF = {"x-pointsman-cache": "off"}
FULL: dict[str, Any] = {"max_tokens": 50, "headers": OFF}

__all__ = ["refused"]  # a fixture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as upstream:
        yield upstream


class Talk:
    """A connection that is kept, and the worker that has it."""

    def __init__(self, server: Served) -> None:
        self.connection = server.connect()
        self.connection.connect()
        self._port = self.connection.sock.getsockname()[1]
        self.pid = 0

    def ask(
        self, text: str = "hello", headers: dict[str, str] | None = None, **fields: Any
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Ask for a chat completion."""
        return self.get("POST", CHAT, chat_body(text, **fields), headers)

    def get(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None
    ) -> tuple[int, dict[str, str], Any]:
        self.connection.request(method, path, body, headers or {})
        reply = self.connection.getresponse()
        told, data = {n.lower(): v for n, v in reply.getheaders()}, reply.read()
        return reply.status, told, json.loads(data) if data[:1] in b"{[" else data.decode()

    def find_worker(self, pids: set[int]) -> None:
        """Note whose connection it is, by its socket's number."""
        theirs = f":{self._port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        numbers = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(theirs)}
        for pid in pids:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    if str(link.readlink()) in numbers:
                        self.pid = pid
                except OSError:
                    continue


def workers_of(server: Served) -> set[int]:
    pid = server.process.pid
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(word) for word in words}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def pair(server: Served) -> Iterator[tuple[Talk, Talk]]:
    """Have a connection to each of two workers."""
    pids, found = workers_of(server), dict[int, Talk]()
    with ExitStack() as stack:
        for _ in range(50):
            talk = Talk(server)
            stack.callback(talk.connection.close)
            assert talk.get("GET", "/health/ready")[0] == 200
            talk.find_worker(pids)
            found.setdefault(talk.pid, talk)
            if len(found) == 2:
                break
        assert found.keys() == pids
        one, two = found.values()
        yield one, two


@contextmanager
def two_workers(
    folder: Path, upstream: Upstream, more: str = "", env: dict[str, str] | None = None
) -> Iterator[Served]:
    toml = config(upstream, ledger="sqlite:///ledger.db")
    toml = toml.replace("[server]", "[server]\nworkers = 2") + more
    with served(folder, toml, env) as server:
        yield server


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return list(connection.execute(query))


def total(text: str, series: str) -> float:
    return sum(float(v) for v in re.findall(rf"^{series}{{[^}}]*}} (.*)$", text, re.MULTILINE))


def test_two_workers_share_port_cache_idempotency_figures_and_reloads_and_end_together(
    upstream: Upstream, tmp_path: Path
):
    with two_workers(tmp_path, upstream) as server, pair(server) as (one, two):
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert "Threads:\t1\n" in status  # what is forked has one
        assert one.ask("a")[1]["x-pointsman-cache"] == "miss"
        assert two.ask("a")[1]["x-pointsman-cache"] == "hit"
        assert two.ask("b")[1]["x-pointsman-cache"] == "miss"
        assert one.ask("b")[1]["x-pointsman-cache"] == "hit"
        key = {"idempotency-key": "once", **OFF}
        with ThreadPoolExecutor(2) as pool:
            told = [pool.submit(talk.ask, "a", key) for talk in (one, two)]
            assert {each.result()[0] for each in told} <= {200, 409}
        again = [talk.ask("a", key) for talk in (one, two)]
        assert [status for status, _, _ in again] == [200, 200]
        assert again[0][2] == again[1][2]
        assert upstream.calls == ["plain"] * 3  # "a", "b", and the key's own
        texts = [talk.get("GET", "/metrics")[2] for talk in (one, two)]
        assert [total(text, "pointsman_attempts_total") for text in texts] == [5, 5]
        assert texts[0].count("# TYPE pointsman_attempts_total counter") == 1

        file, workers = tmp_path / "pointsman.toml", workers_of(server)
        toml = file.read_text()
        file.write_text(toml.replace('name = "broken"', 'name = "renamed"'))
        server.signal(signal.SIGHUP)
        server.wait_for("has been read anew", of="the good file to be read")
        file.write_text("[[tiers]")
        server.signal(signal.SIGHUP)
        server.wait_for("stays as it was", of="the bad file to be told")
        for talk in (one, two):
            names = {model["id"] for model in talk.get("GET", "/v1/models")[2]["data"]}
            assert "renamed" in names
            assert "broken" not in names
        assert server.stop() == 0
    lines = server.errors.splitlines()
    assert len(lines) == 3, server.errors
    assert lines[0].startswith("pointsman listens on http://127.0.0.1:")
    assert not any(is_running(pid) for pid in workers)


def test_rates_of_a_key_hold_over_both_workers(upstream: Upstream, tmp_path: Path):
    with closing(SqliteKeys(str(tmp_path / "ledger.db"))) as keys:
        secrets = [
            keys.create(name, grant, now_ns=time.time_ns(), expires_ns=None)
            for name, grant in (
                ("few", Grant(requests_per_minute=3)),
                ("one", Grant(concurrency=1)),
                ("tokens", Grant(tokens_per_minute=40)),
            )
        ]
    few, alone, tokens = ({"authorization": f"Bearer {secret}", **OFF} for secret in secrets)
    with two_workers(tmp_path, upstream) as server, pair(server) as (one, two):
        told = [talk.ask(headers=few)[0] for talk in (one, two, two, one, two)]
        assert told == [200, 200, 200, 429, 429]

        stream, reply = server.connect(), None
        stream.request("POST", CHAT, chat_body(model="gated", stream=True), alone)
        reply = stream.getresponse()
        assert b"first" in reply.readline()
        assert [talk.ask(headers=alone)[0] for talk in (one, two)] == [429, 429]
        upstream.go_on.set()
        assert b"[DONE]" in reply.read()
        stream.close()
        poll(lambda: one.ask(headers=alone)[0] == 200, of="room for the key's next request")
        assert two.ask(headers=alone)[0] == 200

        asked = [talk.ask(headers=tokens, max_tokens=10) for talk in (one, two, one, two, one)]
        statuses = [status for status, _, _ in asked]
        assert statuses == sorted(statuses)  # each takes 15: after two or three there is no room
        assert {200, 429} == set(statuses)
        assert server.stop() == 0


def test_a_budget_is_never_passed_by_two_workers_and_told_of_once(
    upstream: Upstream, tmp_path: Path
):
    heard: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    env = {"HOOK": f"http://127.0.0.1:{hook.server_port}/"}
    # An answer costs 10 + 2 x 5 = 20 micro-USD, and may cost 130 at most.
    limit = 1_000
    more = f'\n[budgets]\ndaily_usd = {limit / 1e6}\nwebhook_env = "HOOK"\nwarn_share = 0.5\n'
    with two_workers(tmp_path, upstream, more, env) as server, pair(server) as talks:

        def work(number: int) -> list[int]:
            talk = Talk(server) if number > 1 else talks[number]
            statuses = [talk.ask(f"ask {number} {n}", **FULL)[0] for n in range(12)]
            talk.connection.close()
            return statuses

        with ThreadPoolExecutor(6) as pool:
            statuses = [status for told in pool.map(work, range(6)) for status in told]
        assert set(statuses) == {200, 429}
        while statuses[-1] == 200 or statuses.count(200) * 20 < limit - 130:
            statuses.append(talks[len(statuses) % 2].ask(f"last {len(statuses)}", **FULL)[0])
            assert len(statuses) < 200
        poll(lambda: {event["threshold"] for event in heard} == {0.5, 1.0}, of="the webhook")
        assert server.stop() == 0
    hook.shutdown()
    hook.server_close()
    assert len(heard) == 2
    (spent,) = rows(tmp_path, "select sum(cost_nanousd) from ends")[0]
    assert spent == statuses.count(200) * 20_000 <= limit * 1_000


def test_a_killed_worker_loses_what_it_had_at_work_and_nothing_that_was_acknowledged(
    upstream: Upstream, tmp_path: Path
):
    with two_workers(tmp_path, upstream) as server, pair(server) as (doomed, other):
        streams = []
        for talk in (doomed, other):
            body = chat_body(model="gated", stream=True)
            talk.connection.request("POST", CHAT, body, {"x-request": str(talk.pid), **OFF})
            streams.append(talk.connection.getresponse())
            assert b"first" in streams[-1].readline()
        answered: list[str] = []
        is_over = threading.Event()

        def load() -> None:
            talk = Talk(server)
            while not is_over.is_set():
                try:
                    status, told, _ = talk.ask(headers=OFF)
                except (OSError, http.client.HTTPException):
                    talk.connection.close()
                    continue
                assert status == 200
                answered.append(told["x-request-id"])
            talk.connection.close()

        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            poll(lambda: len(answered) > 20, of="answers")
            os.kill(doomed.pid, signal.SIGKILL)
            before = len(answered)
            server.wait_for("another takes its place", of="the death to be told")
            poll(lambda: len(workers_of(server) - {doomed.pid}) == 2, of="another worker")
            poll(lambda: len(answered) > before + 20, of="more answers")
            is_over.set()
            for each in loads:
                each.result()
        with pair(server) as (one, two):  # the new one serves
            assert {one.ask()[0], two.ask()[0]} == {200}
            figures = [talk.get("GET", "/metrics")[2] for talk in (one, two)]
        lost = rows(tmp_path, "select request_id from ends where outcome = 'lost'")
        assert 1 <= len(lost) <= 5  # the stream, and what its loads had at work
        upstream.go_on.set()
        assert b"[DONE]" in streams[1].read()
        assert server.stop() == 0
    assert "SIGKILL; another takes its place" in server.errors
    ids = {
        name for (name,) in rows(tmp_path, "select request_id from ends where outcome = 'answered'")
    }
    assert set(answered) <= ids
    assert not rows(
        tmp_path,
        "select 1 from intents left join ends using (request_id, attempt) where state is null",
    )
    # A scrape knows what the dead one had told, and all of the others'.
    assert figures[0].count("# HELP pointsman_attempts_total") == 1
    assert total(figures[1], "pointsman_attempts_total") >= 20


def test_all_drain_and_a_second_signal_breaks_off(upstream: Upstream, tmp_path: Path):
    with two_workers(tmp_path, upstream) as server, pair(server) as (one, two):
        for talk, model in ((one, "gated"), (two, "endless")):
            talk.connection.request("POST", CHAT, chat_body(model=model, stream=True))
        gated, endless = (talk.connection.getresponse() for talk in (one, two))
        assert b"first" in gated.readline()
        assert b"first" in endless.readline()
        server.signal(signal.SIGTERM)
        poll(lambda: server.ask("GET", "/health/ready")[0] == 503, of="the drain")
        assert server.ask("POST", CHAT, chat_body())[0] == 503
        upstream.go_on.set()
        assert gated.read().decode().rstrip().endswith("data: [DONE]")
        server.signal(signal.SIGTERM)
        assert b"draining" in endless.read()
        assert server.ended() == 0
    assert server.errors.count("\n") == 1, server.errors


def test_workers_end_when_their_first_process_is_killed(upstream: Upstream, tmp_path: Path):
    with two_workers(tmp_path, upstream) as server:
        workers = workers_of(server)
        assert len(workers) == 2
        server.process.kill()
        server.ended()
        poll(lambda: not any(map(is_running, workers)), of="the workers' end")
        assert not server.is_listening()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers=0"], "server.workers = 0: must be 1 to 256"),
        (
            ["--workers=2"],
            "server.workers = 2: several workers need a ledger that all can write to",
        ),
    ],
)
def test_workers_that_cannot_be_stop_the_start(
    upstream: Upstream, refused: Refused, words: list[str], told: str
):
    assert told in refused(config(upstream), "--port=0", *words)


@pytest.mark.parametrize("value", ["0", "257", '"auto"', "1.5", "-1", "true"])
def test_a_number_of_workers_that_is_none_is_told_with_its_place(
    upstream: Upstream, refused: Refused, value: str
):
    toml = config(upstream).replace("[server]", f"[server]\nworkers = {value}")
    assert re.search(r"line \d+: server.workers", refused(toml))


def test_what_workers_cannot_open_is_told_once(upstream: Upstream, tmp_path: Path):
    (tmp_path / "pointsman.toml").write_text(config(upstream, ledger="sqlite:///ledger.db"))
    (tmp_path / "ledger.db").write_text("no ledger, but somebody's notes of many years" * 100)
    done = run("serve", "--workers", "3", "--port", "0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ledger.db" in done.stderr
    assert done.stderr.count("\n") == 1


GIVES_UP = """
import os, sys
from pointsman.server import serve, workers
workers.WAITS_S = (0.01,) * 3
serve._run = lambda *_, **__: os._exit(7)
from pointsman.cli import main
main()
"""


def test_a_server_whose_workers_die_at_once_again_and_again_gives_up(
    upstream: Upstream, tmp_path: Path
):
    (tmp_path / "pointsman.toml").write_text(config(upstream, ledger="sqlite:///ledger.db"))
    done = subprocess.run(
        [sys.executable, "-c", GIVES_UP, "serve", "--workers", "2", "--port", "0"],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("has ended with status 7; another takes its place") == 3
    assert "as did 3 before it at once; the server gives up" in done.stderr
