"""Anthropic's own SDK, unmodified, against the server, through upstreams of every dialect."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, MessageParam, ToolParam
from tests.e2e.dialect_server import KEY, fresh_origin, origin, real_origin, upstream
from tests.e2e.scripted.script import INPUT_TOKENS, OUTPUT_TOKENS, PLAIN, told
from tests.e2e.scripted.server import Scripted
from tests.e2e.scripted.tiers import REAL, UPSTREAMS

__all__ = ["fresh_origin", "origin", "real_origin", "upstream"]

WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Tell the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = '@call get_weather {"city": "Paris"}'
BOTH = f'{CALL}\n@call get_weather {{"city": "Oslo"}}'


@pytest.fixture
def client(origin: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=origin, api_key=KEY, max_retries=0) as client:
        yield client


def asked(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def whole(client: anthropic.Anthropic, is_stream: bool, **fields: Any) -> Message:
    """Return an answer, streamed or not."""
    fields = {"max_tokens": 200, **fields}
    if not is_stream:
        message: Message = client.messages.create(**fields)
        return message
    with client.messages.stream(**fields) as events:
        return events.get_final_message()


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_a_message(client: anthropic.Anthropic, model: str, is_stream: bool):
    message = whole(client, is_stream, model=model, messages=asked("hello"), system="Be brief.")
    assert text_of(message) == PLAIN
    assert (message.model, message.role, message.stop_reason) == (
        f"{model}/able",
        "assistant",
        "end_turn",
    )
    used = message.usage
    cached = (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
    assert (used.input_tokens + cached, used.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert cached > 0
    assert message.id.startswith("msg_")


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_parallel_calls_and_their_results(client: anthropic.Anthropic, model: str, is_stream: bool):
    def ask(messages: list[MessageParam]) -> Message:
        return whole(client, is_stream, model=model, messages=messages, tools=[WEATHER])

    first = ask(asked(BOTH))
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Oslo"}),
    ]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": said}
        for call, said in zip(calls, ("rain", "snow"), strict=True)
    ]
    history: Any = [
        *asked(BOTH),
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    assert text_of(ask(history)) == told("rain | snow")


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_thinking_through_a_tool_loop(
    client: anthropic.Anthropic, upstream: Scripted, model: str, is_stream: bool
):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    fields = {"model": model, "tools": [WEATHER], "thinking": thinking, "max_tokens": 4096}
    messages: Any = asked(f"@think So it is.\n{CALL}")
    first = whole(client, is_stream, messages=messages, **fields)
    assert first.content[0].type == "thinking"
    assert first.content[0].thinking == "So it is."
    call = first.content[-1]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    last = whole(client, is_stream, messages=messages, **fields)
    assert text_of(last) == told("rain")
    # Gemini's seal comes after the last words: a stream can only give it a later number.
    shown = [b for b in last.content if not (is_stream and b.type == "redacted_thinking")]
    assert shown[-1].type == "text"
    sent = json.dumps(upstream.book[-1].body)
    if model != "openai-chat":  # which has no place for a signature
        assert f"sig{model.title().replace('-', '')}" in sent


def test_a_conversation_moves_between_dialects(client: anthropic.Anthropic):
    """Each turn, and each step of a tool loop, is another provider's."""
    prompt = f"@think So it is.\n{CALL}"
    messages: Any = asked(prompt)
    for model in (*UPSTREAMS, *reversed(UPSTREAMS), *UPSTREAMS[1:]):
        message = whole(client, False, model=model, messages=messages, tools=[WEATHER])
        calls = [block for block in message.content if block.type == "tool_use"]
        assert calls or text_of(message) == told("rain")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls
        ]
        messages += [
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": results or prompt},
        ]


def test_an_object_by_its_schema(client: anthropic.Anthropic):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    shape = {"format": {"type": "json_schema", "schema": schema}}
    for model in UPSTREAMS:
        message = whole(
            client, False, model=model, messages=asked('@say {"a": 1}'), output_config=shape
        )
        assert json.loads(text_of(message)) == {"a": 1}


def test_an_answer_that_is_cut(client: anthropic.Anthropic):
    for model in UPSTREAMS:
        assert whole(client, True, model=model, messages=asked("@cut")).stop_reason == "max_tokens"


def test_tokens_are_counted(client: anthropic.Anthropic):
    for model in UPSTREAMS:
        counted = client.messages.count_tokens(model=model, messages=asked("hello " * 50))
        assert 20 <= counted.input_tokens <= 200


def test_models_are_listed(client: anthropic.Anthropic):
    listed = list(client.models.list(limit=5))
    assert {model.id for model in listed} >= {"auto", *UPSTREAMS}
    assert {model.type for model in listed} == {"model"}
    assert client.models.retrieve(UPSTREAMS[0]).id == UPSTREAMS[0]


def test_errors_are_the_sdks_own(client: anthropic.Anthropic):
    def ask(**fields: Any) -> Message:
        given = {"model": "anthropic", "max_tokens": 10, "messages": asked("x"), **fields}
        message: Message = client.messages.create(**given)
        return message

    with pytest.raises(anthropic.NotFoundError) as missing:
        ask(model="claude-nix")
    assert missing.value.type == "not_found_error"
    assert "claude-nix" in missing.value.message
    assert missing.value.request_id is not None
    with pytest.raises(anthropic.BadRequestError) as bad:
        ask(max_tokens=-1)
    assert bad.value.type == "invalid_request_error"
    with pytest.raises(anthropic.AuthenticationError) as denied:
        client.with_options(api_key="wrong-key-0123456789").messages.create(
            model="anthropic", max_tokens=10, messages=asked("x")
        )
    assert denied.value.type == "authentication_error"


FAILURES: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    429: anthropic.RateLimitError,
    500: anthropic.ServiceUnavailableError,
}


@pytest.mark.parametrize(("status", "expected"), FAILURES.items())
def test_an_upstreams_failure_is_the_sdks_own(
    fresh_origin: str, status: int, expected: type[anthropic.APIStatusError]
):
    with anthropic.Anthropic(base_url=fresh_origin, api_key=KEY, max_retries=0) as client:
        for model, is_stream in product(UPSTREAMS, (False, True)):
            with pytest.raises(expected):
                whole(client, is_stream, model=f"{model}-faulty", messages=asked(f"@fail {status}"))


@pytest.mark.parametrize("fault", ["@break", "@error"])
def test_a_broken_stream_is_an_error(fresh_origin: str, fault: str):
    text = f"{fault}\n@say one two three four five six seven eight nine ten"
    with anthropic.Anthropic(base_url=fresh_origin, api_key=KEY, max_retries=0) as client:
        for model in UPSTREAMS:
            with pytest.raises(anthropic.APIStatusError) as raised:
                whole(client, True, model=f"{model}-faulty", messages=asked(text))
            assert raised.value.type in {"api_error", "overloaded_error"}, raised.value


async def test_on_an_event_loop(origin: str):
    async with anthropic.AsyncAnthropic(base_url=origin, api_key=KEY, max_retries=0) as client:
        for model in UPSTREAMS:
            message = await client.messages.create(
                model=model, max_tokens=50, messages=asked("hello")
            )
            assert text_of(message) == PLAIN
            async with client.messages.stream(
                model=model, max_tokens=50, messages=asked("hello")
            ) as events:
                assert "".join([text async for text in events.text_stream]) == PLAIN


@pytest.mark.parametrize("model", REAL)
def test_a_real_model(real_origin: str, model: str):
    with anthropic.Anthropic(base_url=real_origin, auth_token=KEY) as client:
        for is_stream in (False, True):
            message = whole(
                client,
                is_stream,
                model=model,
                messages=asked("What is the capital of France? Answer in one word."),
                max_tokens=24,
            )
            assert text_of(message).strip()
            assert message.model == f"{model}/smollm2"
            assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 5
            assert message.usage.output_tokens > 0
        counted = client.messages.count_tokens(model=model, messages=asked("hello"))
        assert counted.input_tokens > 0
