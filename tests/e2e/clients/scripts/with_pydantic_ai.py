"""Pydantic AI: its OpenAI (chat and responses), Anthropic and Google models."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import asyncio
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from running import KEY, ORIGIN, Case, Got, get_weather, run


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def agent_for(case: Case, calls: list[Any] | None = None, **fields: Any) -> Agent[None, Any]:
    def weather(city: str) -> str:
        assert calls is not None
        calls.append(["get_weather", {"city": city}])
        return get_weather(city)

    agent = Agent(model_for(case), system_prompt="Be brief.", retries=0, **fields)
    if calls is not None:
        agent.tool_plain(weather, name="get_weather")
    return agent


def model_for(case: Case) -> Any:
    name = case["model"]
    match case["dialect"]:
        case "openai-chat":
            return OpenAIChatModel(name, provider=openai_provider())
        case "openai-responses":
            return OpenAIResponsesModel(name, provider=openai_provider())
        case "anthropic":
            return AnthropicModel(name, provider=AnthropicProvider(base_url=ORIGIN, api_key=KEY))
        case _:
            return GoogleModel(name, provider=GoogleProvider(base_url=ORIGIN, api_key=KEY))


def openai_provider() -> OpenAIProvider:
    return OpenAIProvider(base_url=f"{ORIGIN}/v1", api_key=KEY)


def plain(case: Case) -> Got:
    return of(agent_for(case).run_sync(case["prompt"]))


def stream(case: Case) -> Got:
    return asyncio.run(streamed(agent_for(case), case))


def tool(case: Case) -> Got:
    calls: list[Any] = []
    return {"text": agent_for(case, calls).run_sync(case["prompt"]).output, "calls": calls}


def tool_stream(case: Case) -> Got:
    calls: list[Any] = []
    got = asyncio.run(streamed(agent_for(case, calls), case))
    return {"text": got["text"], "calls": calls}


async def streamed(agent: Agent[None, Any], case: Case) -> Got:
    async with agent.run_stream(case["prompt"]) as answer:
        text = "".join([piece async for piece in answer.stream_text(delta=True)])
        used = answer.usage
        return {
            "text": text,
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
        }


def data(case: Case) -> Got:
    said = agent_for(case, output_type=Person).run_sync(case["prompt"])
    return {"data": said.output.model_dump()}


def of(answer: Any) -> Got:
    used = answer.usage
    return {
        "text": answer.output,
        "model": answer.all_messages()[-1].model_name,
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
