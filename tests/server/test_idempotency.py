"""Idempotency-Key: one call, one bill and the same bytes, however often a request is sent."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.doors import CHAT, SCRIPT, TOML, Client, Reply, chat_body, opened
from tests.server.test_streaming import Slow

from pointsman.core.errors import (
    UpstreamRejected,
    UpstreamReset,
    UpstreamUnavailable,
)
from pointsman.core.events import Event
from pointsman.core.types import Request, Step
from pointsman.ledger.outcomes import KEPT_S, Claim, KeptOutcome
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.server import idempotency

KEYS = "one:0123456789abcdef,two:fedcba9876543210"
ONE = {"authorization": "Bearer 0123456789abcdef"}
TWO = {"authorization": "Bearer fedcba9876543210"}
# The cache would answer the second one too, and prove nothing.
KEYED = {"idempotency-key": "k1", "x-pointsman-cache": "off"}
PATHS = {
    "openai-chat": (CHAT, chat_body(model="fast")),
    "openai-responses": ("/v1/responses", b'{"model":"fast","input":"hi"}'),
    "anthropic": (
        "/v1/messages",
        b'{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
    ),
    "gemini": (
        "/v1beta/models/fast:generateContent",
        b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}',
    ),
}


def told(reply: Reply) -> tuple[int, bytes, dict[str, str]]:
    """Return a reply but for the header that says it was sent again."""
    headers = {n: v for n, v in reply.headers.items() if n != "x-pointsman-idempotent"}
    return reply.status, reply.body, headers


def is_replayed(reply: Reply) -> bool:
    return reply.headers.get("x-pointsman-idempotent") == "replayed"


def bills(client: Client) -> list[int | None]:
    return [row.settlement.cost_nanousd for row in client.pipeline.stores.ledger.rows()]


async def until_free(client: Client, *ask: Any) -> Reply:
    """Ask until no other request with the key is at work."""
    async with asyncio.timeout(10):
        while (reply := await client.ask(*ask)).status == 409:
            assert reply.headers["retry-after"] == "1"
            assert reply.headers["x-should-retry"] == "true"
    return reply


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_the_second_time_the_reply_is_the_first_ones(dialect: str, is_stream: bool):
    path, body = PATHS[dialect]
    if is_stream and dialect == "gemini":
        path = "/v1beta/models/fast:streamGenerateContent?alt=sse"
    elif is_stream:
        body = body[:-1] + b',"stream":true}'
    async with opened() as client:
        first = await client.ask("POST", path, body, KEYED)
        again = [await client.ask("POST", path, body, KEYED) for _ in range(3)]
        assert len(client.upstream.calls) == len(bills(client)) == 1
    assert first.status == 200
    assert not is_replayed(first)
    assert all(map(is_replayed, again))
    assert [told(reply) for reply in again] == [told(first)] * 3
    assert first.is_whole and all(reply.is_whole for reply in again)


@given(waves=st.lists(st.integers(1, 8), min_size=1, max_size=4), is_stream=st.booleans())
def test_any_number_at_once_is_one_call_and_one_bill(waves: list[int], is_stream: bool):
    async def run() -> None:
        body = chat_body(model="fast", stream=is_stream)
        async with opened() as client:
            replies: list[Reply] = []
            for wave in waves:
                asked = [client.ask("POST", CHAT, body, KEYED) for _ in range(wave)]
                replies += await asyncio.gather(*asked)
            replies.append(await until_free(client, "POST", CHAT, body, KEYED))
            assert len(client.upstream.calls) == len(bills(client)) == 1
        good = [reply for reply in replies if reply.status != 409]
        assert {reply.status for reply in good} == {200}
        assert {reply.body for reply in good} == {good[0].body}
        assert sum(not is_replayed(reply) for reply in good) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        pytest.param(CHAT, chat_body("other", model="fast"), {}, id="body"),
        pytest.param(CHAT, chat_body(model="fast") + b" ", {}, id="a space more"),
        pytest.param(CHAT, chat_body(model="fast"), {"x-pointsman-tier": "power"}, id="header"),
        pytest.param("/v1/embeddings", chat_body(model="fast"), {}, id="route"),
        pytest.param(f"{CHAT}?x=1", chat_body(model="fast"), {}, id="query"),
    ],
)
async def test_another_request_with_the_key_is_422(path: str, body: bytes, more: dict[str, str]):
    async with opened() as client:
        first = await client.ask("POST", CHAT, chat_body(model="fast"), KEYED)
        other = await client.ask("POST", path, body, KEYED | more)
        assert len(client.upstream.calls) == 1
        again = await client.ask("POST", CHAT, chat_body(model="fast"), KEYED)
    assert other.status == 422
    assert other.error()["code"] == "idempotency_key_reused"
    assert other.headers["x-should-retry"] == "false"
    assert told(again) == told(first)


async def test_while_the_first_is_at_work_the_second_is_409(monkeypatch: pytest.MonkeyPatch):
    slow, begun = Slow(), asyncio.Event()
    body = chat_body(model="fast", stream=True)
    async with opened() as client:
        monkeypatch.setattr(client.upstream, "call", slow.call)
        first = asyncio.create_task(client.ask("POST", CHAT, body, KEYED, begun=begun))
        await begun.wait()
        refused = await client.ask("POST", CHAT, body, KEYED)
        assert refused.error()["code"] == "idempotency_in_flight"
        assert (refused.status, refused.headers["retry-after"]) == (409, "1")
        slow.go_on.set()
        whole = await first
        again = await client.ask("POST", CHAT, body, KEYED)
    assert told(again) == told(whole)


async def test_anothers_same_key_is_a_key_of_its_own():
    body = chat_body(model="fast")
    async with opened(keys=KEYS) as client:
        mine = await client.ask("POST", CHAT, body, KEYED | ONE)
        theirs = await client.ask("POST", CHAT, body, KEYED | TWO)
        different = await client.ask("POST", CHAT, chat_body("x", model="fast"), KEYED | TWO)
        assert len(client.upstream.calls) == 2
    assert not is_replayed(theirs)
    assert mine.headers["x-request-id"] != theirs.headers["x-request-id"]
    assert different.status == 422


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_outcomes_survive_a_restart(tmp_path: Path, is_stream: bool):
    toml = TOML.replace("sqlite://", f"sqlite:///{tmp_path}/ledger.db")
    body = chat_body(model="fast", stream=is_stream)
    async with opened(toml=toml) as client:
        first = await client.ask("POST", CHAT, body, KEYED)
    async with opened(toml=toml) as client:
        again = await client.ask("POST", CHAT, body, KEYED)
        assert client.upstream.calls == []
        assert len(bills(client)) == 1
    assert is_replayed(again)
    assert told(again) == told(first)


async def test_a_client_that_hangs_up_finds_its_answer_when_it_asks_again(
    monkeypatch: pytest.MonkeyPatch,
):
    slow, begun, gone = Slow(), asyncio.Event(), asyncio.Event()
    body = chat_body(model="fast", stream=True)
    async with opened() as client:
        monkeypatch.setattr(client.upstream, "call", slow.call)
        first = asyncio.create_task(
            client.ask("POST", CHAT, body, KEYED, begun=begun, hang_up=gone)
        )
        await begun.wait()
        gone.set()
        assert (await client.ask("POST", CHAT, body, KEYED)).status == 409
        slow.go_on.set()
        await first
        again = await client.ask("POST", CHAT, body, KEYED)
        assert len(bills(client)) == 1
    assert again.frames()[-1] == "[DONE]"


DOWN = Scripted(error=UpstreamUnavailable("x"))
REJECTED = Scripted(
    error=UpstreamRejected("no", status=422, body=b'{"error":{"message":"no such parameter"}}')
)


async def test_an_upstreams_refusal_of_the_request_is_its_outcome():
    async with opened({"small": [REJECTED, "now it would"]}) as client:
        first = await client.ask("POST", CHAT, chat_body(model="fake/small"), KEYED)
        again = await client.ask("POST", CHAT, chat_body(model="fake/small"), KEYED)
        assert len(client.upstream.calls) == 1
    assert (first.status, again.status) == (422, 422)
    assert told(again) == told(first)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param([DOWN, DOWN], 503, id="upstream"),
        pytest.param([], 400, id="our own"),
    ],
)
async def test_after_a_failure_the_key_is_free_again(script: Sequence[Any], status: int):
    body = chat_body(model="fake/small") if script else b"{}"
    async with opened({"small": [*script, "at last"]}) as client:
        failed = await client.ask("POST", CHAT, body, KEYED)
        good = await client.ask("POST", CHAT, chat_body(model="fake/small"), KEYED)
    assert failed.status == status
    assert good.status == 200
    assert not is_replayed(good)


async def test_a_stream_that_broke_off_is_no_outcome(monkeypatch: pytest.MonkeyPatch):
    broken, body = Slow(UpstreamReset("gone")), chat_body(model="fast", stream=True)
    broken.go_on.set()
    async with opened() as client:
        with monkeypatch.context() as patched:
            patched.setattr(client.upstream, "call", broken.call)
            first = await client.ask("POST", CHAT, body, KEYED)
        good = await client.ask("POST", CHAT, body, KEYED)
    assert b"upstream_reset" in first.body
    assert not is_replayed(good)
    assert good.frames()[-1] == "[DONE]"


async def test_a_server_that_stops_frees_the_keys_of_what_it_breaks_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    toml = TOML.replace("sqlite://", f"sqlite:///{tmp_path}/ledger.db")
    slow, begun = Slow(), asyncio.Event()
    body = chat_body(model="fast", stream=True)
    async with opened(toml=toml) as client:
        monkeypatch.setattr(client.upstream, "call", slow.call)
        first = asyncio.create_task(client.ask("POST", CHAT, body, KEYED, begun=begun))
        await begun.wait()
        client.app.stop()
        assert b"draining" in (await first).body
    async with opened(toml=toml) as client:
        assert (await client.ask("POST", CHAT, body, KEYED)).frames()[-1] == "[DONE]"


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_what_is_too_large_is_not_kept_and_says_so(
    monkeypatch: pytest.MonkeyPatch, is_stream: bool
):
    monkeypatch.setattr(idempotency, "OUTCOME_BYTES_MAX", 10)
    body = chat_body(model="fast", stream=is_stream)
    async with opened() as client:
        replies = [await client.ask("POST", CHAT, body, KEYED) for _ in range(2)]
        assert len(client.upstream.calls) == 2
    said = [reply.headers.get("x-pointsman-idempotent") for reply in replies]
    assert said == [None if is_stream else "too-large"] * 2


@pytest.mark.parametrize("key", ["", "k" * 256, "k\u00e9", "a\tb"])
async def test_a_key_that_is_none_is_400_and_calls_nobody(key: str):
    async with opened() as client:
        reply = await client.ask("POST", CHAT, chat_body(), KEYED | {"idempotency-key": key})
        assert client.upstream.calls == []
    assert reply.status == 400
    assert "Idempotency-Key" in reply.error()["message"]


@pytest.mark.parametrize("path", ["/v1/decide", "/v1/messages/count_tokens"])
async def test_routes_that_call_no_model_do_not_mind_the_key(path: str):
    body = b'{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    async with opened() as client:
        for text in (body, body + b" "):
            assert (await client.ask("POST", path, text, KEYED)).status == 200


class Wall:
    """A clock on the wall."""

    now_ns = 1_000_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


OUTCOME = KeptOutcome(status=200, headers=(("a", "b"),), body=b"\x00body")


async def test_after_a_day_the_key_is_free_and_the_row_goes(tmp_path: Path):
    wall = Wall()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    outcomes = ledger.outcomes(wall)
    claim = await outcomes.claim("t", "k", b"1")
    assert isinstance(claim, Claim)
    assert await outcomes.keep(claim, OUTCOME)
    wall.now_ns += KEPT_S * 10**9 - 1
    await outcomes.sweep()
    assert await outcomes.claim("t", "k", b"1") == OUTCOME
    wall.now_ns += 1
    later = await outcomes.claim("t", "k", b"2")
    assert isinstance(later, Claim)
    assert not await outcomes.keep(claim, OUTCOME), "the first one's time is over"
    assert await outcomes.keep(later, OUTCOME)
    wall.now_ns += KEPT_S * 10**9 + 1
    await outcomes.sweep()
    await ledger.close()


async def test_a_claim_of_a_process_that_died_counts_for_nothing(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    claimed = await ledger.outcomes(Wall()).claim("t", "k", b"1")
    assert isinstance(claimed, Claim)
    dead = "UPDATE runs SET pid = 999999999, started = 'never'"
    ledger._connection.execute(dead)  # as if this process had been killed
    other = SqliteLedger(path)
    assert isinstance(await other.outcomes(Wall()).claim("t", "k", b"2"), Claim)
    await other.close()
    await ledger.close()


async def test_the_claim_of_a_living_process_holds_for_another_one(tmp_path: Path):
    ledger, other = (SqliteLedger(tmp_path / "ledger.db") for _ in range(2))
    claim = await ledger.outcomes(Wall()).claim("t", "k", b"1")
    assert isinstance(claim, Claim)
    with pytest.raises(Exception, match="still at work"):
        await other.outcomes(Wall()).claim("t", "k", b"1")
    assert await ledger.outcomes(Wall()).keep(claim, OUTCOME)
    assert await other.outcomes(Wall()).claim("t", "k", b"1") == OUTCOME
    await ledger.close()
    await other.close()


class Failing(FakeProvider):
    """Looks at the ledger's file while it is called."""

    def __init__(self, ledger: Path) -> None:
        super().__init__(SCRIPT)
        self.ledger = ledger
        self.claimed: list[int] = []

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        other = SqliteLedger(self.ledger)
        rows = other._connection.execute("SELECT count(*) FROM outcomes WHERE status IS NULL")
        self.claimed += [count for (count,) in rows.fetchall()]
        await other.close()
        async for event in super().call(request, step):
            yield event


async def test_the_claim_is_durable_before_anything_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    toml = TOML.replace("sqlite://", f"sqlite:///{tmp_path}/ledger.db")
    looking = Failing(tmp_path / "ledger.db")
    async with opened(toml=toml) as client:
        monkeypatch.setattr(client.upstream, "call", looking.call)
        reply = await client.ask("POST", CHAT, chat_body(model="fast"), KEYED)
    assert looking.claimed == [1]
    assert json.loads(reply.body)["choices"]
