"""LlamaIndex: OpenAILike, its class for servers that speak chat completions."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, Case, Got, get_weather, run


class Person(BaseModel):
    """A person."""

    name: str
    age: int


TOOL = FunctionTool.from_defaults(get_weather)


def model_for(case: Case) -> OpenAILike:
    return OpenAILike(
        model=case["model"],
        api_base=f"{ORIGIN}/v1",
        api_key=KEY,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=100_000,
        timeout=TIMEOUT_S,
        max_retries=0,
    )


def plain(case: Case) -> Got:
    return of(model_for(case).chat(words(case)))


def stream(case: Case) -> Got:
    options = {"include_usage": True}
    chunks = list(model_for(case).stream_chat(words(case), stream_options=options))
    return {**of(chunks[-1]), "text": "".join(chunk.delta or "" for chunk in chunks)}


def tool(case: Case, *, is_stream: bool = False) -> Got:
    model, history, calls = model_for(case), words(case), []
    while True:
        if is_stream:
            whole = list(model.stream_chat_with_tools([TOOL], chat_history=history))[-1]
        else:
            whole = model.chat_with_tools([TOOL], chat_history=history)
        made = model.get_tool_calls_from_response(whole, error_on_no_tool_call=False)
        if not made:
            return {"text": whole.message.content, "calls": calls}
        history.append(whole.message)
        for call in made:
            calls.append([call.tool_name, call.tool_kwargs])
            output = str(TOOL.call(**call.tool_kwargs).raw_output)
            more = {"tool_call_id": call.tool_id}
            history.append(ChatMessage(role="tool", content=output, additional_kwargs=more))


def data(case: Case) -> Got:
    said = model_for(case).as_structured_llm(Person).chat(words(case))
    return {"data": said.raw.model_dump()}


def words(case: Case) -> list[ChatMessage]:
    return [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content=case["prompt"]),
    ]


def of(whole: Any) -> Got:
    got: Got = {"text": whole.message.content, "model": whole.raw.model}
    if whole.raw.usage is not None:
        got["input_tokens"] = whole.raw.usage.prompt_tokens
        got["output_tokens"] = whole.raw.usage.completion_tokens
    return got


run(
    {
        "plain": plain,
        "stream": stream,
        "tool": tool,
        "tool stream": lambda case: tool(case, is_stream=True),
        "data": data,
        "missing": plain,
    }
)
