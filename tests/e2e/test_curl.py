"""The server as curl sees it."""

import json
import shutil
import subprocess

import pytest
from tests.e2e.asks import ALICE, ALICE_JSON
from tests.e2e.conftest import KEY
from tests.server.processes import Served

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def asked(server: Served, *options: str, path: str = "/chat/completions", **body: object) -> str:
    """Return what `curl -N` prints."""
    headers = ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    done = subprocess.run(
        ["curl", "-sN", *options, *headers, server.base_url + path, "-d", json.dumps(body)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


MESSAGES = [{"role": "user", "content": ALICE}]


@curl
def test_curl_gets_a_whole_answer_with_its_headers(server: Served):
    head, _, body = asked(server, "-i", model="auto", messages=MESSAGES).partition("\n\n")
    assert head.startswith("HTTP/1.1 200")
    assert "x-pointsman-model: weak/gemma" in head
    assert json.loads(json.loads(body)["choices"][0]["message"]["content"]) == ALICE_JSON


@curl
def test_curl_gets_a_stream(server: Served):
    frames = asked(server, model="auto", messages=MESSAGES, stream=True).strip().split("\n\n")
    assert frames.pop() == "data: [DONE]"
    deltas = [json.loads(frame.removeprefix("data: "))["choices"][0]["delta"] for frame in frames]
    assert json.loads("".join(delta.get("content") or "" for delta in deltas)) == ALICE_JSON


@curl
def test_curl_gets_a_decision_and_the_metrics(server: Served):
    decision = json.loads(asked(server, path="/decide", model="auto", messages=MESSAGES))
    assert (decision["tier"], decision["model"]) == ("fast", "weak/gemma")
    whole = asked(server, "-i", model="auto", messages=MESSAGES)
    assert "x-pointsman-cost-usd" in whole


@curl
def test_a_large_body_is_announced_and_taken(server: Served):
    big = [{"role": "user", "content": "x" * 100_000}]
    told = asked(server, "-i", "-H", "Expect: 100-continue", model="auto", messages=big)
    assert told.startswith("HTTP/1.1 100")
    assert json.loads(told.rpartition("\n\n")[2])["error"]["code"]
