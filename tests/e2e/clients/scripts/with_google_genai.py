"""Google's SDK."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

from typing import Any

from google import genai
from google.genai import types
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, Case, Got, get_weather, run

client = genai.Client(
    api_key=KEY,
    http_options=types.HttpOptions(base_url=ORIGIN, timeout=int(TIMEOUT_S * 1000)),
)
# The SDK calls a Python function by itself; here the loop is ours, to see what comes.
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


class Person(BaseModel):
    name: str
    age: int


def plain(case: Case) -> Got:
    whole = client.models.generate_content(**fields_of(case))
    http = whole.sdk_http_response
    headers = (http.headers if http is not None else None) or {}
    return {**of([whole]), "header": headers.get("x-pointsman-model")}


def stream(case: Case) -> Got:
    return of(list(client.models.generate_content_stream(**fields_of(case))))


def tool(case: Case, *, is_stream: bool = False, **more: Any) -> Got:
    fields = fields_of(case, tools=[get_weather], automatic_function_calling=BY_HAND, **more)
    calls: list[Any] = []
    while True:
        if is_stream:
            chunks = list(client.models.generate_content_stream(**fields))
        else:
            chunks = [client.models.generate_content(**fields)]
        parts = [part for chunk in chunks for part in parts_of(chunk)]
        made = [part.function_call for part in parts if part.function_call]
        if not made:
            return {**of(chunks), "calls": calls}
        results = []
        for call in made:
            calls.append([call.name, call.args])
            answer = {"result": get_weather(**call.args)}
            given = types.FunctionResponse(id=call.id, name=call.name, response=answer)
            results.append(types.Part(function_response=given))
        fields["contents"] += [
            types.Content(role="model", parts=parts),
            types.Content(role="user", parts=results),
        ]


def thinking(case: Case, *, is_stream: bool = False) -> Got:
    shown = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    return tool(case, is_stream=is_stream, thinking_config=shown)


def data(case: Case) -> Got:
    shape = {"response_mime_type": "application/json", "response_schema": Person}
    said: Any = client.models.generate_content(**fields_of(case, **shape))
    return {"data": said.parsed.model_dump()}


def count(case: Case) -> Got:
    counted = client.models.count_tokens(model=case["model"], contents=case["prompt"])
    return {"input_tokens": counted.total_tokens}


def fields_of(case: Case, **config: Any) -> dict[str, Any]:
    words = types.Content(role="user", parts=[types.Part(text=case["prompt"])])
    settings = types.GenerateContentConfig(system_instruction="Be brief.", **config)
    return {"model": case["model"], "contents": [words], "config": settings}


def parts_of(chunk: types.GenerateContentResponse) -> list[Any]:
    if not chunk.candidates or chunk.candidates[0].content is None:
        return []
    return [part for part in chunk.candidates[0].content.parts or () if part.text != ""]


def of(chunks: list[types.GenerateContentResponse]) -> Got:
    parts = [part for chunk in chunks for part in parts_of(chunk)]
    used: Any = chunks[-1].usage_metadata
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "model": chunks[-1].model_version,
        "input_tokens": used.prompt_token_count,
        "output_tokens": (used.candidates_token_count or 0) + (used.thoughts_token_count or 0),
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
