"""The request log: what a line says, what it never says, and that nobody can forge one."""

import asyncio
import io
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.doors import CHAT, TOML, Client, chat_body, opened
from tests.server.processes import served
from tests.server.test_idempotency import KEYED
from tests.server.test_streaming import Slow
from tests.server.upstreams import config, running

from pointsman.clock import SystemClock
from pointsman.core.errors import UpstreamUnavailable
from pointsman.providers.fake import Scripted
from pointsman.server import line_writer
from pointsman.server.line_writer import LOGGER, joined, one_line, written_to
from pointsman.server.request_log import PlainFormatter, RequestLog

KEY = "secret-key-0123456789"
EVIL = 'x\r\n{"event":"request"}\n\x1b[2J\x7f\x00\u2028\u2029\x85\udcff'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What has been written, once the test has asked for it."""
    stream = io.StringIO()
    with written_to(stream):
        yield stream


def logged(client: Client) -> Client:
    """Return a client whose app and pipeline write the log."""
    log = RequestLog(SystemClock())
    client.app._log = log
    client.pipeline.observers.append(log.observe)
    return client


async def said(stream: io.StringIO, count: int) -> list[dict[str, Any]]:
    """Return the lines, once there are as many as expected."""
    async with asyncio.timeout(10):
        while True:
            if stream.getvalue().count("\n") >= count:
                break
            await asyncio.sleep(0.005)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(found) == count
    return found


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_a_request_has_a_line_and_so_has_each_attempt(lines: io.StringIO, is_stream: bool):
    down = Scripted(error=UpstreamUnavailable("x"))
    async with opened({"small": [down, "here"]}, keys=f"me:{KEY}") as client:
        headers = {"authorization": f"Bearer {KEY}"}
        reply = await logged(client).chat(
            "the prompt", model="fake/small", stream=is_stream, headers=headers
        )
        failed, good, request = await said(lines, 3)
    assert reply.status == 200
    assert (failed["event"], failed["outcome"], failed["code"]) == (
        "attempt",
        "failed",
        "upstream_unavailable",
    )
    assert (good["state"], good["outcome"], good["attempt"]) == ("settled", "answered", 2)
    assert (good["input_tokens"], good["output_tokens"], good["cost_nanousd"]) == (10, 5, 20_000)
    assert {line["request_id"] for line in (failed, good, request)} == {
        reply.headers["x-request-id"]
    }
    assert {line["key"] for line in (failed, good, request)} == {"me"}
    assert (request["event"], request["status"], request["code"]) == ("request", 200, "")
    assert (request["method"], request["path"]) == ("POST", CHAT)
    assert (request["model"], request["cache"]) == ("fake/small", "miss")
    assert request["attempts"] == 2
    assert request["cost_nanousd"] is None, "nobody knows what the failed one cost"
    assert request["ms"] >= 0
    for secret in ("the prompt", "here", KEY):
        assert secret not in lines.getvalue()


async def test_hits_and_replays_say_what_they_are(lines: io.StringIO):
    async with opened() as client:
        logged(client)
        for headers in ({}, {}, KEYED, KEYED):
            await client.chat(model="fast", headers=headers)
        found = await said(lines, 7)
    requests = [line for line in found if line["event"] == "request"]
    assert [line["cache"] for line in requests] == ["miss", "hit", "off", "off"]
    assert [line.get("idempotent") for line in requests] == [None, None, None, "replayed"]
    assert [line["attempts"] for line in requests] == [1, 0, 1, 0]
    assert [line["cost_nanousd"] for line in requests] == [20_000, 0, 20_000, 0]


async def test_what_is_refused_has_a_line_too_with_its_code(lines: io.StringIO):
    async with opened(keys=f"me:{KEY}") as client:
        logged(client)
        headers = {"authorization": f"Bearer {KEY}"}
        await client.chat()
        await client.ask("GET", "/nowhere", b"", headers)
        await client.ask("POST", CHAT, b"{}", headers)
        await client.ask("POST", CHAT, b"", {"content-length": "99999999999", **headers})
        await client.ask("POST", CHAT, b"", {"origin": "https://evil.example"})
        found = await said(lines, 5)
    assert [(line["status"], line["code"], line["key"]) for line in found] == [
        (401, "invalid_api_key", ""),
        (404, "route_not_found", ""),
        (400, "invalid_request", "me"),
        (413, "request_too_large", "me"),
        (403, "origin_refused", ""),
    ]


async def test_who_hangs_up_is_499(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    slow, begun, gone = Slow(), asyncio.Event(), asyncio.Event()
    async with opened() as client:
        monkeypatch.setattr(client.upstream, "call", slow.call)
        body = chat_body(model="fast", stream=True)
        headers = {"x-pointsman-cache": "off"}
        ask = logged(client).ask("POST", CHAT, body, headers, begun=begun, hang_up=gone)
        asking = asyncio.create_task(ask)
        await begun.wait()
        gone.set()
        await asking
        attempt, request = await said(lines, 2)
    assert attempt["outcome"] == "cancelled"
    assert request["status"] == 499


async def test_probes_have_no_line(lines: io.StringIO):
    async with opened() as client:
        for path in ("/health/live", "/health/ready", "/", "/v1/models"):
            await logged(client).ask("GET", path)
        (only,) = await said(lines, 1)
    assert only["path"] == "/v1/models"


async def test_a_path_cannot_forge_a_line(lines: io.StringIO):
    path = "/v1/models/" + EVIL
    async with opened() as client:
        await logged(client).ask("GET", path)
        await client.ask("GET", "/" + "a" * 5000)
        first, second = await said(lines, 2)
    assert first["path"] == path
    assert len(second["path"]) == 200
    text = lines.getvalue()
    assert all(c == "\n" or " " <= c <= "~" for c in text)


@given(text=st.text())
def test_a_line_is_one_line_of_visible_ascii_whatever_is_in_it(text: str):
    line = one_line({"path": text, text: [text]})
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["path"] == text or text == "path"


@given(texts=st.lists(st.text(), max_size=4))
def test_many_lines_at_once_are_the_same_as_one_by_one(texts: list[str]):
    lines = [{"path": text} for text in texts]
    assert joined([*lines]) == "".join(f"{one_line(line)}\n" for line in lines)


@given(text=st.text(), trace=st.text())
def test_a_log_record_is_one_line_and_a_trace_is_indented(text: str, trace: str):
    try:
        raise ValueError(trace)
    except ValueError:
        info = sys.exc_info()
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "said %s", (text,), info)
    first, *rest = PlainFormatter("%(message)s").format(record).split("\n")
    assert first.isprintable() and first.startswith("said ")
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


class Stuck(io.StringIO):
    """A pipe that nobody reads, until somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.go_on.wait(30)
        return super().write(text)


def test_a_stream_that_takes_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(line_writer, "WAITING_LINES_MAX", 10)
    stream, log = Stuck(), logging.getLogger(LOGGER)
    with written_to(stream):
        for number in range(100):
            log.info("%d", number)
        stream.go_on.set()
        while "9\n" not in stream.getvalue():
            time.sleep(0.001)
        log.info("last")
    found = stream.getvalue().splitlines()
    assert found[:10] == [str(number) for number in range(10)]
    assert found[-1] == "last"
    (told,) = (json.loads(line) for line in found if "dropped" in line)
    assert told["lines"] == 100 - (len(found) - 2)


def test_a_stream_that_stays_stuck_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(line_writer, "_FINISH_S", 0.01)
    stream = Stuck()
    with written_to(stream):
        logging.getLogger(LOGGER).info("x")
    assert stream.getvalue() == ""
    stream.go_on.set()


HOSTILE = [
    "a\r\nx-evil: 1",
    "a\nSet-Cookie: b",
    "\u560d\u560aevil",
    "a\x00b",
    "a\x7f\x1b[31m",
    "é" * 9,
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_nothing_that_a_client_says_becomes_a_header(text: str):
    toml = TOML + '[routing]\npolicy = "signals"\naliases = ["*"]\n'
    async with opened(toml=toml) as client:
        replies = [
            await client.chat(text, model=text),
            await client.chat(text, model=f"auto:{text}"),
            await client.ask("GET", f"/v1/models/{text}"),
            await client.ask("GET", f"/{text}", b"", {"anthropic-version": "1"}),
            await client.ask("POST", "/v1/decide", chat_body(text, model=text)),
        ]
    latin = text.encode("utf-8").decode("latin-1")
    names = ("x-pointsman-tags", "x-pointsman-tier", "x-pointsman-session", "idempotency-key")
    async with opened() as client:
        replies += [await client.chat("hi", headers={name: latin}) for name in names]
    for reply in replies:
        for name, value in reply.headers.items():
            assert name.isascii() and value.isascii() and value.isprintable(), (name, value)
        assert not {"x-evil", "set-cookie"} & set(reply.headers)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_the_server_writes_it_unless_told_not_to(tmp_path: Path):
    with running() as upstream:
        toml = config(upstream).replace("log_requests = false", "log_requests = true")
        with served(tmp_path, toml) as server:
            with closing(server.connect()) as connection:
                connection.request("POST", CHAT, chat_body("the prompt"))
                assert connection.getresponse().read()
            assert server.stop() == 0
        _, attempt, request = server.errors.splitlines()
    assert json.loads(attempt)["model"] == "up/plain"
    assert json.loads(request)["status"] == 200
    assert "the prompt" not in server.errors
