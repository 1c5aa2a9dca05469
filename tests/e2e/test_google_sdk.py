"""Google's own SDK, unmodified, against the server, through upstreams of every dialect."""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel
from tests.e2e.dialect_server import KEY, fresh_origin, origin, real_origin, upstream
from tests.e2e.scripted.script import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    PLAIN,
    REASONING_TOKENS,
    told,
)
from tests.e2e.scripted.server import Scripted
from tests.e2e.scripted.tiers import REAL, UPSTREAMS

__all__ = ["fresh_origin", "origin", "real_origin", "upstream"]

CALL = '@call get_weather {"city": "Paris"}'
BOTH = f'{CALL}\n@call get_weather {{"city": "Oslo"}}'
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


class Ship(BaseModel):
    name: str
    masts: int


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


def client_of(address: str, key: str = KEY) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=address))


@pytest.fixture
def client(origin: str) -> Iterator[genai.Client]:
    with client_of(origin) as client:
        yield client


def user(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


class Whole:
    """An answer, of one response or of the chunks of a stream."""

    def __init__(self, chunks: Sequence[types.GenerateContentResponse]) -> None:
        contents = [c.candidates[0].content for c in chunks if c.candidates]
        parts = [part for content in contents if content for part in content.parts or ()]
        self.parts = [part for part in parts if part.text != "" or part.thought_signature]
        self.text = "".join(p.text for p in self.parts if p.text and not p.thought)
        self.thought = "".join(p.text for p in self.parts if p.text and p.thought)
        self.calls = [part.function_call for part in self.parts if part.function_call]
        last = chunks[-1]
        assert last.candidates and last.usage_metadata
        self.finish = last.candidates[0].finish_reason
        self.usage = last.usage_metadata
        self.model = last.model_version


def whole(client: genai.Client, is_stream: bool, model: str, contents: Any, **config: Any) -> Whole:
    """Return an answer, streamed or not."""
    settings = types.GenerateContentConfig(automatic_function_calling=BY_HAND, **config)
    fields: dict[str, Any] = {"model": model, "contents": contents, "config": settings}
    if is_stream:
        return Whole(list(client.models.generate_content_stream(**fields)))
    return Whole([client.models.generate_content(**fields)])


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_an_answer(client: genai.Client, model: str, is_stream: bool):
    answer = whole(client, is_stream, model, "hello", system_instruction="Be brief.")
    assert (answer.text, answer.model) == (PLAIN, f"{model}/able")
    assert answer.finish == types.FinishReason.STOP
    used = answer.usage
    assert (used.prompt_token_count, used.candidates_token_count) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert used.total_token_count == INPUT_TOKENS + OUTPUT_TOKENS
    assert used.cached_content_token_count


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_parallel_calls_and_their_results(client: genai.Client, model: str, is_stream: bool):
    first = whole(client, is_stream, model, [user(BOTH)], tools=[get_weather])
    assert [(call.name, call.args) for call in first.calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Oslo"}),
    ]
    results = [
        types.FunctionResponse(id=call.id, name=call.name, response={"output": said})
        for call, said in zip(first.calls, ("rain", "snow"), strict=True)
    ]
    history = [
        user(BOTH),
        types.Content(role="model", parts=first.parts),
        types.Content(role="user", parts=[types.Part(function_response=r) for r in results]),
    ]
    assert whole(client, is_stream, model, history, tools=[get_weather]).text == told("rain | snow")


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_thoughts_through_a_tool_loop(
    client: genai.Client, upstream: Scripted, model: str, is_stream: bool
):
    shown = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    fields: dict[str, Any] = {"tools": [get_weather], "thinking_config": shown}
    prompt = f"@think So it is.\n{CALL}"
    first = whole(client, is_stream, model, [user(prompt)], **fields)
    assert first.thought == "So it is."
    assert first.usage.thoughts_token_count == REASONING_TOKENS
    call = first.calls[0]
    result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "rain"})
    history = [
        user(prompt),
        types.Content(role="model", parts=first.parts),
        types.Content(role="user", parts=[types.Part(function_response=result)]),
    ]
    assert whole(client, is_stream, model, history, **fields).text == told("rain")
    if model != "openai-chat":  # which has no place for a signature
        assert f"sig{model.title().replace('-', '')}" in json.dumps(upstream.book[-1].body)


def test_a_conversation_moves_between_dialects(client: genai.Client):
    """Each turn, and each step of a tool loop, is another provider's."""
    prompt = f"@think So it is.\n{CALL}"
    history = [user(prompt)]
    for model in (*UPSTREAMS, *reversed(UPSTREAMS), *UPSTREAMS[1:]):
        answer = whole(client, False, model, history, tools=[get_weather])
        assert answer.calls or answer.text == told("rain")
        results = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response={"output": "rain"}
                )
            )
            for call in answer.calls
        ]
        history.append(types.Content(role="model", parts=answer.parts))
        history.append(types.Content(role="user", parts=results) if results else user(prompt))


def test_functions_are_called_by_the_sdk_itself(client: genai.Client):
    for model in UPSTREAMS:
        settings = types.GenerateContentConfig(tools=[get_weather])
        answer = client.models.generate_content(model=model, contents=CALL, config=settings)
        assert "rain in Paris" in (answer.text or "")


def test_an_object_by_its_schema(client: genai.Client):
    settings = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Ship
    )
    for model in UPSTREAMS:
        answer = client.models.generate_content(
            model=model, contents='@say {"name": "Pamir", "masts": 4}', config=settings
        )
        assert answer.parsed == Ship(name="Pamir", masts=4)


def test_an_answer_that_is_cut(client: genai.Client):
    for model in UPSTREAMS:
        assert whole(client, True, model, "@cut").finish == types.FinishReason.MAX_TOKENS


def test_tokens_are_counted(client: genai.Client):
    for model in UPSTREAMS:
        counted = client.models.count_tokens(model=model, contents="hello " * 50)
        assert counted.total_tokens is not None
        assert 20 <= counted.total_tokens <= 200


def test_models_are_listed(client: genai.Client):
    listed = {model.name for model in client.models.list(config={"page_size": 3})}
    assert listed >= {"models/auto", *(f"models/{model}" for model in UPSTREAMS)}
    assert client.models.get(model=UPSTREAMS[0]).name == f"models/{UPSTREAMS[0]}"


def test_errors_are_the_sdks_own(client: genai.Client, origin: str):
    with pytest.raises(errors.ClientError) as missing:
        client.models.generate_content(model="gemini-nix", contents="x")
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    assert "gemini-nix" in (missing.value.message or "")
    with pytest.raises(errors.ClientError) as bad:
        client.models.generate_content(
            model="gemini", contents="x", config={"max_output_tokens": -1}
        )
    assert (bad.value.code, bad.value.status) == (400, "INVALID_ARGUMENT")
    with client_of(origin, "wrong-key-0123456789") as stranger:
        with pytest.raises(errors.ClientError) as denied:
            stranger.models.generate_content(model="gemini", contents="x")
        assert (denied.value.code, denied.value.status) == (401, "UNAUTHENTICATED")


FAILURES: dict[int, tuple[type[errors.APIError], str]] = {
    400: (errors.ClientError, "INVALID_ARGUMENT"),
    429: (errors.ClientError, "RESOURCE_EXHAUSTED"),
    500: (errors.ServerError, "UNAVAILABLE"),
}


@pytest.mark.parametrize(("status", "expected"), FAILURES.items())
def test_an_upstreams_failure_is_the_sdks_own(
    fresh_origin: str, status: int, expected: tuple[type[errors.APIError], str]
):
    with client_of(fresh_origin) as client:
        for model, is_stream in product(UPSTREAMS, (False, True)):
            with pytest.raises(expected[0]) as raised:
                whole(client, is_stream, f"{model}-faulty", f"@fail {status}")
            assert raised.value.status == expected[1]


@pytest.mark.parametrize("fault", ["@break", "@error"])
def test_a_broken_stream_is_an_error(fresh_origin: str, fault: str):
    text = f"{fault}\n@say one two three four five six seven eight nine ten"
    with client_of(fresh_origin) as client:
        for model in UPSTREAMS:
            with pytest.raises(errors.APIError):
                whole(client, True, f"{model}-faulty", text)


# google-genai inherits from a class of aiohttp's that is not meant for it.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_on_an_event_loop(origin: str):
    client = client_of(origin).aio
    try:
        for model in UPSTREAMS:
            answer = await client.models.generate_content(model=model, contents="hello")
            assert answer.text == PLAIN
            stream = await client.models.generate_content_stream(model=model, contents="hello")
            assert "".join([chunk.text or "" async for chunk in stream]) == PLAIN
    finally:
        await client.aclose()


@pytest.mark.parametrize("model", REAL)
def test_a_real_model(real_origin: str, model: str):
    with client_of(real_origin) as client:
        for is_stream in (False, True):
            question = "What is the capital of France? Answer in one word."
            answer = whole(client, is_stream, model, question, max_output_tokens=24)
            assert answer.text.strip()
            assert answer.model == f"{model}/smollm2"
            assert answer.usage.prompt_token_count
            assert answer.usage.candidates_token_count
