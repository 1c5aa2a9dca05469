"""What a stream carries besides its events: pings while it is silent, and what was left out."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.server.doors import CHAT, SCRIPT, chat_body, opened

from pointsman.core.errors import UpstreamReset
from pointsman.core.events import Event, Finished, Started, TextDelta, UsageReport
from pointsman.core.types import Decision, Request, Step
from pointsman.core.usage import Usage
from pointsman.providers.fake import FakeProvider
from pointsman.recording import replay
from pointsman.server import chat
from pointsman.stream import AnswerStream

PING = b": ping\n\n"


class Slow(FakeProvider):
    """Says a first piece, and the rest once told; `error` in place of the rest."""

    def __init__(self, error: UpstreamReset | None = None) -> None:
        super().__init__(SCRIPT)
        self.go_on = asyncio.Event()
        self.error = error

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        yield Started(id="s", created=0, model=step.deployment.model, dialect="", is_stream=True)
        yield TextDelta("first")
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        yield TextDelta("last")
        yield UsageReport(Usage(input_tokens=1, output_tokens=2))
        yield Finished("stop")


async def stream_from(upstream: Slow, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the body of a stream that is silent until three pings have gone out."""
    pings = 0

    def ping(encoder: object) -> bytes:
        nonlocal pings
        pings += 1
        if pings == 3:
            upstream.go_on.set()
        return PING

    monkeypatch.setattr(chat, "PING_S", 0.001)
    monkeypatch.setattr("pointsman.core.wire.openai_chat.encode.ChatStreamEncoder.ping", ping)
    async with opened() as client:
        monkeypatch.setattr(client.upstream, "call", upstream.call)
        reply = await client.ask("POST", CHAT, chat_body(model="fast", stream=True))
    return reply.body


async def test_a_silent_stream_carries_pings_and_none_after_its_end(
    monkeypatch: pytest.MonkeyPatch,
):
    body = await stream_from(Slow(), monkeypatch)
    assert body.count(PING) >= 3
    assert body.index(b"first") < body.index(PING) < body.index(b"last")
    assert body.endswith(b"data: [DONE]\n\n")


async def test_no_ping_follows_the_error_that_ends_a_stream(monkeypatch: pytest.MonkeyPatch):
    body = await stream_from(Slow(UpstreamReset("gone")), monkeypatch)
    assert body.count(PING) >= 3
    assert b"upstream_reset" in body[body.rindex(b"data: ") :]
    assert PING not in body[body.rindex(b"data: ") :]


async def test_a_stream_that_is_not_silent_carries_no_ping():
    async with opened() as client:
        reply = await client.chat(stream=True)
    assert PING not in reply.body


def answering(*dropped: str) -> AnswerStream:
    return AnswerStream(
        replay([Finished("stop")]),
        decision=Decision(tier="fast", reason="so"),
        request_id="req_1",
        tier="fast",
        model="fake/small",
        attempts=1,
        cache="miss",
        is_empty=False,
        cost=lambda: None,
        dropped=dropped,
    )


@pytest.mark.parametrize(
    ("dropped", "told"),
    [
        (("top_k", "cache_control", "top_k"), "top_k,cache_control"),
        (("messages[].n\u00e4me", "a,b", "c\r\nx-evil: 1"), "messages[].n?me,a b,c  x-evil: 1"),
    ],
)
def test_what_was_left_out_is_named_once(dropped: tuple[str, ...], told: str):
    assert dict(chat.answer_headers(answering(*dropped)))["x-pointsman-dropped"] == told


def test_where_nothing_was_left_out_there_is_no_header():
    assert "x-pointsman-dropped" not in dict(chat.answer_headers(answering()))


def test_of_more_names_than_a_header_holds_the_rest_is_counted():
    names = [f"field-{number:04}" for number in range(1_000)]
    told = dict(chat.answer_headers(answering(*names)))["x-pointsman-dropped"].split(",")
    assert told[:-1] == names[: len(told) - 1]
    assert told[-1] == f"and {1_000 - len(told) + 1} more"
