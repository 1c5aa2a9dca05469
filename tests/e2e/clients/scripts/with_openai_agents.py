"""OpenAI's agents SDK, on responses and on chat completions."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import asyncio
from typing import Any

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, Case, Got, get_weather, run

set_tracing_disabled(True)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def agent_for(case: Case, calls: list[Any] | None = None, **fields: Any) -> Agent[Any]:
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        assert calls is not None
        calls.append(["get_weather", {"city": city}])
        return get_weather(city)

    client = openai.AsyncOpenAI(
        base_url=f"{ORIGIN}/v1", api_key=KEY, timeout=TIMEOUT_S, max_retries=0
    )
    is_chat = case["dialect"] == "openai-chat"
    kind: Any = OpenAIChatCompletionsModel if is_chat else OpenAIResponsesModel
    settings: dict[str, Any] = {"include_usage": True}
    if not is_chat:
        settings = {"store": False, "response_include": ["reasoning.encrypted_content"]}
    return Agent(
        name="Teller",
        instructions="Be brief.",
        model=kind(model=case["model"], openai_client=client),
        model_settings=ModelSettings(**settings),
        tools=[] if calls is None else [function_tool(weather, name_override="get_weather")],
        **fields,
    )


def plain(case: Case) -> Got:
    return of(Runner.run_sync(agent_for(case), case["prompt"]))


def stream(case: Case) -> Got:
    return asyncio.run(streamed(agent_for(case), case))


def tool(case: Case) -> Got:
    calls: list[Any] = []
    said = Runner.run_sync(agent_for(case, calls), case["prompt"])
    return {"text": said.final_output, "calls": calls}


def tool_stream(case: Case) -> Got:
    calls: list[Any] = []
    got = asyncio.run(streamed(agent_for(case, calls), case))
    return {"text": got["text"], "calls": calls}


async def streamed(agent: Agent[Any], case: Case) -> Got:
    running = Runner.run_streamed(agent, case["prompt"])
    text = ""
    async for event in running.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    assert text == running.final_output
    return of(running)


def data(case: Case) -> Got:
    said = Runner.run_sync(agent_for(case, output_type=Person), case["prompt"])
    return {"data": said.final_output.model_dump()}


def of(answer: Any) -> Got:
    used = answer.context_wrapper.usage
    return {
        "text": answer.final_output,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
    }


run(
    {
        "plain": plain,
        "stream": stream,
        "tool": tool,
        "tool stream": tool_stream,
        "thinking": tool,
        "thinking stream": tool_stream,
        "data": data,
        "missing": plain,
    }
)
