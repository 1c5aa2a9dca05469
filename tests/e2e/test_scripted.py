"""The scripted upstream is what the providers are: their own SDKs' types say so."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic
import pytest
from anthropic.types import ErrorResponse, Message, MessageTokensCount, RawMessageStreamEvent
from google.genai.types import CountTokensResponse, GenerateContentResponse
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from tests.e2e.scripted import chat, gemini, messages, responses
from tests.e2e.scripted.checks import Refused
from tests.e2e.scripted.script import PLAIN, Said, answer, is_own_signature, told
from tests.e2e.scripted.server import DIALECTS

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = '@call get_weather {"city": "Paris"}'
BOTH = f'{CALL}\n@call get_weather {{"city": "Oslo"}}'
REPLIES: Mapping[str, Any] = {
    "openai-chat": ChatCompletion,
    "openai-responses": Response,
    "anthropic": Message,
    "gemini": GenerateContentResponse,
}
FRAMES: Mapping[str, Any] = {
    "openai-chat": ChatCompletionChunk,
    "openai-responses": ResponseStreamEvent,
    "anthropic": RawMessageStreamEvent,
    "gemini": GenerateContentResponse,
}


def body_for(dialect: str, text: str, **more: Any) -> dict[str, Any]:
    """Return a request with the tool on offer."""
    function = {"name": "get_weather", "description": "Tell the weather."}
    match dialect:
        case "openai-chat":
            tool = {"type": "function", "function": {**function, "parameters": WEATHER}}
            said = [{"role": "user", "content": text}]
            return {"model": "able", "messages": said, "tools": [tool], **more}
        case "openai-responses":
            given = {"type": "function", **function, "parameters": WEATHER, "strict": None}
            return {"model": "able", "input": text, "tools": [given], **more}
        case "anthropic":
            offered = {**function, "input_schema": WEATHER}
            words = [{"role": "user", "content": text}]
            return {
                "model": "able",
                "max_tokens": 100,
                "messages": words,
                "tools": [offered],
                **more,
            }
        case _:
            contents = [{"role": "user", "parts": [{"text": text}]}]
            declared = {"functionDeclarations": [{**function, "parametersJsonSchema": WEATHER}]}
            return {"contents": contents, "tools": [declared], **more}


def said_to(dialect: str, text: str) -> Said:
    return answer(DIALECTS[dialect].asked(body_for(dialect, text)))


def frames_of(dialect: str, said: Said, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the data of each frame that has a type: pings and the end mark have none."""
    for frame in DIALECTS[dialect].frames(said, body):
        data = frame.decode().strip().rpartition("data: ")[2]
        if data != "[DONE]" and '"type": "ping"' not in data:
            yield json.loads(data)


PROMPTS = {
    "plain": "hello",
    "call": CALL,
    "parallel": BOTH,
    "thinking": f"@think So it is.\n{CALL}",
    "json": 'Write @say {"a": 1}',
    "cut": "@cut",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_answers_are_of_the_sdks_types(dialect: str, prompt: str):
    body, said = body_for(dialect, prompt), said_to(dialect, prompt)
    named = {"model": "able", **body}
    pydantic.TypeAdapter(REPLIES[dialect]).validate_python(DIALECTS[dialect].reply(said, named))
    frame_type = pydantic.TypeAdapter(FRAMES[dialect])
    seen = list(frames_of(dialect, said, named))
    assert len(seen) > 1
    for frame in seen:
        frame_type.validate_python(frame)


def test_errors_and_counts_are_of_the_sdks_types():
    ErrorResponse.model_validate(messages.error(429, "slow down"))
    counted = body_for("anthropic", "hello")
    with pytest.raises(Refused):
        messages.count(counted)
    del counted["max_tokens"]
    MessageTokensCount.model_validate(messages.count(counted))
    CountTokensResponse.model_validate(gemini.count(body_for("gemini", "hello")))
    assert responses.count(body_for("openai-responses", "hello"))["input_tokens"] > 0
    embedded = chat.embed({"model": "able", "input": ["a", "b"]})
    assert len(CreateEmbeddingResponse.model_validate(embedded).data) == 2


def test_the_prompt_says_what_is_answered():
    assert said_to("openai-chat", "hello").text == PLAIN
    both = said_to("anthropic", BOTH)
    assert [json.loads(call.arguments)["city"] for call in both.calls] == ["Paris", "Oslo"]
    assert len({call.id for call in both.calls}) == 2
    assert both.text == ""
    assert said_to("gemini", 'x @say {"a": [1, 2]} y').text == '{"a": [1, 2]}'
    assert said_to("gemini", "x @say hello there\nmore").text == "hello there"
    assert said_to("openai-responses", "@fail 429").status == 429
    assert said_to("openai-chat", '@call unknown {"a": 1}').text == PLAIN


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_result_is_told_and_no_tool_called_again(dialect: str):
    said = said_to(dialect, CALL)
    history = {
        "openai-chat": [
            {"role": "user", "content": CALL},
            chat.reply(said, {"model": "able"})["choices"][0]["message"],
            {"role": "tool", "tool_call_id": said.calls[0].id, "content": "rain"},
        ],
        "openai-responses": [
            {"role": "user", "content": CALL},
            *responses.reply(said, {"model": "able"})["output"],
            {"type": "function_call_output", "call_id": said.calls[0].id, "output": "rain"},
        ],
        "anthropic": [
            {"role": "user", "content": CALL},
            {"role": "assistant", "content": messages.reply(said, {"model": "able"})["content"]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": said.calls[0].id, "content": "rain"}
                ],
            },
        ],
        "gemini": [
            {"role": "user", "parts": [{"text": CALL}]},
            gemini.reply(said, {})["candidates"][0]["content"],
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "get_weather", "response": {"result": "rain"}}}
                ],
            },
        ],
    }
    field = {"gemini": "contents", "openai-responses": "input"}.get(dialect, "messages")
    body = body_for(dialect, CALL) | {field: history[dialect]}
    assert answer(DIALECTS[dialect].asked(body)) == Said(text=told("rain"))
    unanswered = body | {field: history[dialect][:-1]}
    if dialect != "gemini":  # which tells an unanswered call only by what follows it
        with pytest.raises(Refused):
            DIALECTS[dialect].asked(unanswered)


REFUSED = {
    "an unknown field": ("anthropic", {"frequency_penalty": 1}),
    "a wrong type": ("openai-chat", {"temperature": "warm"}),
    "a part of no type": ("openai-chat", {"messages": [{"role": "user", "content": [{"a": 1}]}]}),
    "an item of no type": ("openai-responses", {"input": [{"role": "user", "content": [{}]}]}),
    "a part of another dialect": ("gemini", {"contents": [{"parts": [{"type": "text"}]}]}),
    "a small budget": ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 5}}),
    "a foreign signature": (
        "anthropic",
        {
            "messages": [
                {"role": "user", "content": "x"},
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "y", "signature": "sigGemini1"}],
                },
                {"role": "user", "content": "z"},
            ]
        },
    ),
}


def test_google_is_asked_with_every_field_that_its_sdk_writes_beside_the_contents():
    fields = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"temperature": 1},
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "safetySettings": [],
        "cachedContent": "cachedContents/a",
        "labels": {"team": "red"},
        "serviceTier": "flex",
        "continuationToken": "YWJj",
        "store": False,
    }
    assert DIALECTS["gemini"].asked(body_for("gemini", "hello", **fields)).text == "hello"
    with pytest.raises(Refused):
        DIALECTS["gemini"].asked(body_for("gemini", "hello", service_tier_of="flex"))


@pytest.mark.parametrize(("dialect", "fields"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_providers_refuse_is_refused(dialect: str, fields: dict[str, Any]):
    with pytest.raises(Refused):
        DIALECTS[dialect].asked(body_for(dialect, "x") | fields)


def test_reasoning_is_signed_for_its_own_dialect():
    block = messages.reply(Said(reasoning="So it is."), {"model": "able"})["content"][0]
    assert is_own_signature("anthropic", block["signature"])
    assert not is_own_signature("gemini", block["signature"])
