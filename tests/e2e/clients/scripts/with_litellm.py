"""litellm as a client: its OpenAI (chat and responses), Anthropic and Gemini providers."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import json
from typing import Any

import litellm
from running import KEY, ORIGIN, TIMEOUT_S, WEATHER_SCHEMA, Case, Got, get_weather, run

litellm.telemetry = False
ABOUT = {"name": "get_weather", "description": "Tell the weather.", "parameters": WEATHER_SCHEMA}
TOOL = {"type": "function", "function": ABOUT}


def plain(case: Case) -> Got:
    return of(litellm.completion(**fields_of(case)))


def stream(case: Case) -> Got:
    return of(streamed(fields_of(case, stream_options={"include_usage": True})))


def streamed(fields: dict[str, Any]) -> Any:
    return litellm.stream_chunk_builder(list(litellm.completion(**fields, stream=True)))


def tool(case: Case, *, is_stream: bool = False) -> Got:
    fields, calls = fields_of(case, tools=[TOOL]), []
    while True:
        whole: Any = streamed(fields) if is_stream else litellm.completion(**fields)
        message = whole.choices[0].message
        if not message.tool_calls:
            return {"text": message.content, "calls": calls}
        fields["messages"].append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            given = json.loads(call.function.arguments)
            calls.append([call.function.name, given])
            answer = {"role": "tool", "tool_call_id": call.id}
            fields["messages"].append({**answer, "content": get_weather(**given)})


def fields_of(case: Case, **fields: Any) -> dict[str, Any]:
    provider, base = {
        "openai-chat": ("openai", f"{ORIGIN}/v1"),
        "openai-responses": ("openai/responses", f"{ORIGIN}/v1"),
        "anthropic": ("anthropic", ORIGIN),
    }[case["dialect"]]
    words = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": case["prompt"]},
    ]
    return {
        "model": f"{provider}/{case['model']}",
        "api_base": base,
        "api_key": KEY,
        "messages": words,
        "timeout": TIMEOUT_S,
        "num_retries": 0,
        **fields,
    }


def of(whole: Any) -> Got:
    return {
        "text": whole.choices[0].message.content,
        "model": whole.model,
        "input_tokens": whole.usage.prompt_tokens,
        "output_tokens": whole.usage.completion_tokens,
    }


run(
    {
        "plain": plain,
        "stream": stream,
        "tool": tool,
        "tool stream": lambda case: tool(case, is_stream=True),
        "missing": plain,
    }
)
