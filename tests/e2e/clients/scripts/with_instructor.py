"""instructor: objects out of chat completions, responses and Anthropic's messages."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

from typing import Any

import anthropic
import instructor
import openai
from pydantic import BaseModel
from running import KEY, ORIGIN, TIMEOUT_S, Case, Got, run


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def client_for(case: Case) -> Any:
    if case["dialect"] == "anthropic":
        maker = anthropic.Anthropic(base_url=ORIGIN, api_key=KEY, timeout=TIMEOUT_S, max_retries=0)
        return instructor.from_anthropic(maker)
    asker = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, timeout=TIMEOUT_S, max_retries=0)
    return instructor.from_openai(asker)


def data(case: Case) -> Got:
    person, whole = client_for(case).chat.completions.create_with_completion(**fields_of(case))
    return {"data": person.model_dump(), "model": whole.model}


def data_stream(case: Case) -> Got:
    parts = list(client_for(case).chat.completions.create_partial(**fields_of(case)))
    return {"data": parts[-1].model_dump()}


def fields_of(case: Case) -> dict[str, Any]:
    return {
        "model": case["model"],
        "messages": [{"role": "user", "content": case["prompt"]}],
        "response_model": Person,
        "max_tokens": 200,
        "max_retries": 1,
    }


run({"data": data, "data stream": data_stream, "missing": data})
