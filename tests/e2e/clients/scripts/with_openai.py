"""OpenAI's SDK: chat completions and responses."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import json
from typing import Any

import openai
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, WEATHER_SCHEMA, Case, Got, get_weather, run

client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, timeout=TIMEOUT_S, max_retries=0)
ABOUT = {"name": "get_weather", "description": "Tell the weather.", "parameters": WEATHER_SCHEMA}
CHAT_TOOL: Any = {"type": "function", "function": ABOUT}
RESPONSES_TOOL: Any = {"type": "function", "strict": True, **ABOUT}


class Person(BaseModel):
    name: str
    age: int


def plain(case: Case) -> Got:
    if case["dialect"] == "openai-chat":
        raw = client.chat.completions.with_raw_response.create(**chat(case))
        return {**of_chat(raw.parse()), "header": raw.headers.get("x-pointsman-model")}
    whole = client.responses.with_raw_response.create(**responses(case))
    return {**of_response(whole.parse()), "header": whole.headers.get("x-pointsman-model")}


def stream(case: Case) -> Got:
    if case["dialect"] == "openai-chat":
        return of_chat(streamed_chat(case))
    with client.responses.stream(**responses(case)) as events:
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        got = of_response(events.get_final_response())
    assert got["text"] == text
    return got


def streamed_chat(case: Case, **fields: Any) -> Any:
    options = {"include_usage": True}
    with client.chat.completions.stream(**chat(case), stream_options=options, **fields) as events:
        for _ in events:
            pass
        return events.get_final_completion()


def tool(case: Case, *, is_stream: bool = False) -> Got:
    if case["dialect"] == "openai-chat":
        return chat_tool(case, is_stream=is_stream)
    fields = responses(case, tools=[RESPONSES_TOOL], include=["reasoning.encrypted_content"])
    calls: list[Any] = []
    while True:
        if is_stream:
            with client.responses.stream(**fields) as events:
                whole: Any = events.get_final_response()
        else:
            whole = client.responses.create(**fields)
        made = [item for item in whole.output if item.type == "function_call"]
        if not made:
            return {**of_response(whole), "calls": calls}
        fields["input"] += [item.to_dict() for item in whole.output]
        for call in made:
            given = json.loads(call.arguments)
            calls.append([call.name, given])
            output = {"type": "function_call_output", "call_id": call.call_id}
            fields["input"].append({**output, "output": get_weather(**given)})


def chat_tool(case: Case, *, is_stream: bool) -> Got:
    fields = chat(case, tools=[CHAT_TOOL])
    calls: list[Any] = []
    while True:
        if is_stream:
            pieces = list(client.chat.completions.create(stream=True, **fields))
            message = joined(pieces)
        else:
            whole = client.chat.completions.create(**fields)
            message = whole.choices[0].message.model_dump(exclude_none=True)
        if not message.get("tool_calls"):
            return {"text": message["content"], "calls": calls}
        fields["messages"].append(message)
        for call in message["tool_calls"]:
            given = json.loads(call["function"]["arguments"])
            calls.append([call["function"]["name"], given])
            answer = {"role": "tool", "tool_call_id": call["id"]}
            fields["messages"].append({**answer, "content": get_weather(**given)})


def joined(chunks: list[Any]) -> dict[str, Any]:
    """Join a stream's deltas as its documentation says."""
    text, calls = "", {}
    for delta in (choice.delta for chunk in chunks for choice in chunk.choices):
        text += delta.content or ""
        for part in delta.tool_calls or ():
            call = calls.setdefault(part.index, {"id": part.id, "type": "function"})
            function = call.setdefault("function", {"name": part.function.name, "arguments": ""})
            function["arguments"] += part.function.arguments or ""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    return {**message, "tool_calls": list(calls.values())} if calls else message


def data(case: Case) -> Got:
    if case["dialect"] == "openai-chat":
        parsed: Any = client.chat.completions.parse(**chat(case), response_format=Person)
        return {"data": parsed.choices[0].message.parsed.model_dump()}
    said: Any = client.responses.parse(**responses(case), text_format=Person)
    return {"data": said.output_parsed.model_dump()}


def chat(case: Case, **fields: Any) -> dict[str, Any]:
    words = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": case["prompt"]},
    ]
    return {"model": case["model"], "messages": words, **fields}


def responses(case: Case, **fields: Any) -> dict[str, Any]:
    words = [{"role": "user", "content": case["prompt"]}]
    return {
        "model": case["model"],
        "input": words,
        "instructions": "Be brief.",
        "store": False,
        **fields,
    }


def of_chat(whole: Any) -> Got:
    return {
        "text": whole.choices[0].message.content,
        "model": whole.model,
        "input_tokens": whole.usage.prompt_tokens,
        "output_tokens": whole.usage.completion_tokens,
    }


def of_response(whole: Any) -> Got:
    return {
        "text": whole.output_text,
        "model": whole.model,
        "input_tokens": whole.usage.input_tokens,
        "output_tokens": whole.usage.output_tokens,
    }


run(
    {
        "plain": plain,
        "stream": stream,
        "tool": tool,
        "tool stream": lambda case: tool(case, is_stream=True),
        "thinking": tool,
        "thinking stream": lambda case: tool(case, is_stream=True),
        "data": data,
        "missing": plain,
    }
)
