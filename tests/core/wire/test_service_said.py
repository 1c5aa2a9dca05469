"""What each dialect's answers say of how they were served, streamed and whole."""

import json
from collections.abc import Iterable

import pytest
from tests.core.wire.replies import built

from pointsman.core.usage import NOT_SAID, Service
from pointsman.core.wire import CODECS

PREMIUM, USUAL = Service(True), Service(False)


def chat(tier: object) -> tuple[object, list[object]]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    message = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    delta = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
    return (
        {"choices": [message], "usage": usage, "service_tier": tier},
        [{"choices": [delta], "service_tier": tier}, {"choices": [], "usage": usage}],
    )


def responses(tier: object) -> tuple[object, list[object]]:
    response = {"id": "r", "status": "completed", "output": [], "service_tier": tier}
    response |= {"usage": {"input_tokens": 1, "output_tokens": 1}}
    opened = {"type": "response.created", "response": {"id": "r", "service_tier": "auto"}}
    return response, [opened, {"type": "response.completed", "response": response}]


def messages(tier: object, speed: object = None) -> tuple[object, list[object]]:
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": tier, "speed": speed}
    message = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    return message, [
        {"type": "message_start", "message": message},
        end | {"usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]


def gemini(tier: object) -> tuple[object, list[object]]:
    part = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 1, "serviceTier": tier}
    reply = {"candidates": [part], "usageMetadata": usage}
    return reply, [reply]


def streamed(dialect: str, pieces: Iterable[object]) -> Service:
    decoder = CODECS[dialect].stream_decoder()
    body = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)
    return built([*decoder.feed(body), *decoder.finish()]).service


@pytest.mark.parametrize(
    ("dialect", "answer", "service"),
    [
        ("openai-chat", chat("priority"), PREMIUM),
        ("openai-chat", chat("default"), USUAL),
        ("openai-chat", chat(None), NOT_SAID),
        ("openai-chat", chat({"of": "another kind"}), NOT_SAID),
        ("openai-responses", responses("priority"), PREMIUM),
        ("openai-responses", responses("flex"), USUAL),
        ("openai-responses", responses(None), NOT_SAID),
        ("anthropic", messages("standard", "fast"), Service(False, True)),
        ("anthropic", messages("priority"), PREMIUM),
        ("anthropic", messages("standard", "standard"), Service(False, False)),
        ("anthropic", messages(None), NOT_SAID),
        ("gemini", gemini("priority"), PREMIUM),
        ("gemini", gemini("standard"), USUAL),
        ("gemini", gemini(None), NOT_SAID),
    ],
)
def test_it_is_read_from_streams_and_whole_replies(dialect, answer, service):
    whole, pieces = answer
    events = CODECS[dialect].decode_reply(json.dumps(whole).encode())
    assert built(events).service == service
    assert streamed(dialect, pieces) == service
