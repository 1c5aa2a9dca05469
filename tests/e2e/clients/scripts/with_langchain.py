"""LangChain: langchain-openai (chat completions, responses) or langchain-anthropic."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool as as_tool
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, Case, Got, get_weather, run


class Person(BaseModel):
    """A person."""

    name: str
    age: int


TOOL = as_tool(get_weather)


def model_for(case: Case, **fields: Any) -> Any:
    settings = {"model": case["model"], "timeout": TIMEOUT_S, "max_retries": 0, "api_key": KEY}
    if case["dialect"] == "anthropic":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(**settings, base_url=ORIGIN, **fields)
    from langchain_openai import ChatOpenAI

    if case["dialect"] == "openai-responses":
        fields = {"use_responses_api": True, "store": False, **fields}
        fields["include"] = ["reasoning.encrypted_content"]
    return ChatOpenAI(**settings, base_url=f"{ORIGIN}/v1", stream_usage=True, **fields)


def plain(case: Case) -> Got:
    return of(model_for(case).invoke(words(case)))


def stream(case: Case) -> Got:
    return of(summed(model_for(case).stream(words(case))))


def tool(case: Case, *, is_stream: bool = False, **fields: Any) -> Got:
    model = model_for(case, **fields).bind_tools([TOOL])
    history, calls = words(case), []
    while True:
        whole = summed(model.stream(history)) if is_stream else model.invoke(history)
        if not whole.tool_calls:
            return {**of(whole), "calls": calls}
        history.append(whole)
        for call in whole.tool_calls:
            calls.append([call["name"], call["args"]])
            history.append(TOOL.invoke(call))


def thinking(case: Case, *, is_stream: bool = False) -> Got:
    if case["dialect"] == "anthropic":
        budget = {"type": "enabled", "budget_tokens": 1024}
        return tool(case, is_stream=is_stream, thinking=budget, max_tokens=4096)
    return tool(case, is_stream=is_stream)


def data(case: Case) -> Got:
    return {"data": model_for(case).with_structured_output(Person).invoke(words(case)).model_dump()}


def words(case: Case) -> list[Any]:
    return [SystemMessage("Be brief."), HumanMessage(case["prompt"])]


def summed(chunks: Any) -> Any:
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    return whole


def of(message: Any) -> Got:
    used = message.usage_metadata
    told = message.response_metadata
    return {
        "text": message.text if isinstance(message.text, str) else message.text(),
        "model": told.get("model_name") or told.get("model"),
        "input_tokens": used["input_tokens"],
        "output_tokens": used["output_tokens"],
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
        "missing": plain,
    }
)
