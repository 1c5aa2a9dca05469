"""Keys, prompts and answers are found nowhere but where they belong, at DEBUG and amid faults.

`soak.trust` has the server, the upstream and the look; all of it runs in `make soak` (G11).
"""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from soak.trust import canaries
from soak.trust.canaries import Canaries, Found, forms
from soak.trust.echoing import KEPT_ANSWER
from tests.server.doors import opened

from pointsman.server import app
from pointsman.server.telling import log_stray

SHARE = (
    "plain", "calling", "says-400", "says-401", "escaped", "odd-status-line", "odd-header",
    "odd-chunk", "reset-later", "failing-in-stream", "garbled-at-once",
)  # fmt: skip
CANARY = "canary-41d7"


def test_no_canary_is_found(tmp_path: Path):
    found = canaries.run(tmp_path, behaviours=SHARE, commands=("check",))
    assert found.leaks == []
    assert found.requests > 6 * len(SHARE)
    assert found.calls >= 6 * len(SHARE), "every cell has reached the upstream"
    # What is looked through is what is written to: these texts belong there.
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("pointsman.db*"))
    assert KEPT_ANSWER.encode() in ledger
    assert b"fixed:plain" in ledger
    logged = (tmp_path / "debug.log").read_text("utf-8")
    for said in ("builtins.ValueError", 'validator "crashing" raised', "webhook was not reached"):
        assert said in logged


@pytest.mark.parametrize("name", list(Canaries(virtual="pm-x").keys))
def test_a_canary_is_found_in_each_form(name: str):
    canary = Canaries(virtual="pm-canary-0123456789").keys[name]
    for form in forms(canary):
        found = Found()
        found.look("here", b"before " + form + b" after", {name: canary})
        assert found.leaks == [(name, "here")]


async def test_what_fails_where_nobody_waits_is_logged_without_what_it_says(
    caplog: pytest.LogCaptureFixture,
):
    loop = asyncio.get_running_loop()
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        log_stray(loop, {"message": "it failed", "exception": error, "handle": CANARY})
    log_stray(loop, {})
    assert "it failed" in caplog.text and "builtins.ValueError" in caplog.text
    assert CANARY not in caplog.text


async def test_a_fault_before_any_route_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(text: str) -> Any:
        raise ValueError(text)

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(app, "read_query", fail)
    async with opened() as client:
        reply = await client.chat(CANARY, headers={"x-a": CANARY})
    assert reply.status == 500
    assert reply.error()["code"] == "internal_error"
    assert CANARY not in reply.body.decode() + caplog.text
