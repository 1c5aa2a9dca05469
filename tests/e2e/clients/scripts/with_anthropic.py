"""Anthropic's SDK."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

from typing import Any

import anthropic
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, WEATHER_SCHEMA, Case, Got, get_weather, run

client = anthropic.Anthropic(base_url=ORIGIN, api_key=KEY, timeout=TIMEOUT_S, max_retries=0)
TOOL = {"name": "get_weather", "description": "Tell the weather.", "input_schema": WEATHER_SCHEMA}


class Person(BaseModel):
    name: str
    age: int


def plain(case: Case) -> Got:
    raw = client.messages.with_raw_response.create(**fields_of(case))
    return {**of(raw.parse()), "header": raw.headers.get("x-pointsman-model")}


def stream(case: Case) -> Got:
    with client.messages.stream(**fields_of(case)) as events:
        text = "".join(events.text_stream)
        got = of(events.get_final_message())
    assert got["text"] == text
    return got


def tool(case: Case, *, is_stream: bool = False, **more: Any) -> Got:
    fields = fields_of(case, tools=[TOOL], **more)
    calls: list[Any] = []
    while True:
        if is_stream:
            with client.messages.stream(**fields) as events:
                whole: Any = events.get_final_message()
        else:
            whole = client.messages.create(**fields)
        if whole.stop_reason != "tool_use":
            return {**of(whole), "calls": calls}
        results = []
        for call in (block for block in whole.content if block.type == "tool_use"):
            calls.append([call.name, call.input])
            answer = {"type": "tool_result", "tool_use_id": call.id}
            results.append({**answer, "content": get_weather(**call.input)})
        fields["messages"] += [
            {"role": "assistant", "content": whole.content},
            {"role": "user", "content": results},
        ]


def thinking(case: Case, *, is_stream: bool = False) -> Got:
    budget = {"type": "enabled", "budget_tokens": 1024}
    return tool(case, is_stream=is_stream, thinking=budget, max_tokens=4096)


def data(case: Case) -> Got:
    said: Any = client.messages.parse(**fields_of(case), output_format=Person)
    return {"data": said.parsed_output.model_dump()}


def count(case: Case) -> Got:
    fields = fields_of(case, tools=[TOOL])
    del fields["max_tokens"]
    return {"input_tokens": client.messages.count_tokens(**fields).input_tokens}


def fields_of(case: Case, **fields: Any) -> dict[str, Any]:
    return {
        "model": case["model"],
        "max_tokens": 200,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": case["prompt"]}],
        **fields,
    }


def of(whole: Any) -> Got:
    used = whole.usage
    cached = (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
    return {
        "text": "".join(block.text for block in whole.content if block.type == "text"),
        "model": whole.model,
        "input_tokens": used.input_tokens + cached,
        "output_tokens": used.output_tokens,
    }


run(
    {
        "plain": plain,
        "stream": stream,
        "tool": tool,
        "tool stream": lambda case: tool(case, is_stream=True),
        "thinking": thinking,
        "thinking stream": lambda case: thinking(case, is_stream=True),
        "data": data,
        "count": count,
        "missing": plain,
    }
)
