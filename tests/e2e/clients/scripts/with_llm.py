"""`llm`, the command line tool, with the server as one of its OpenAI-compatible models."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import json
from typing import Any

from running import KEY, ORIGIN, Case, Got, run
from tools import Failed, ran, work_folder

FUNCTION = '''
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"
'''


def ask(case: Case, *options: str) -> Got:
    folder = work_folder() / "llm"
    folder.mkdir(exist_ok=True)
    about = {"model_id": "served", "model_name": case["model"], "api_base": f"{ORIGIN}/v1"}
    about |= {"supports_tools": True, "supports_schema": True, "api_key_name": "pointsman"}
    (folder / "extra-openai-models.yaml").write_text(json.dumps([about]))
    env = {"LLM_USER_PATH": str(folder)}
    try:
        printed = ran("bin/llm", case["prompt"], "-m", "served", "--key", KEY, *options, env=env)
    except Failed as failed:
        return {"error": "exit status", "message": str(failed)}
    logged: list[Any] = json.loads(ran("bin/llm", "logs", "--json", "-n", "1", env=env))
    last = logged[0]
    return {
        "text": printed.strip(),
        "input_tokens": last["input_tokens"],
        "output_tokens": last["output_tokens"],
    }


def plain(case: Case) -> Got:
    return ask(case, "--no-stream")


def tool(case: Case, *options: str) -> Got:
    said = ask(case, "--functions", FUNCTION, "--td", *options)
    return {"text": said["text"].splitlines()[-1]} if "text" in said else said


def tool_whole(case: Case) -> Got:
    return tool(case, "--no-stream")


def data(case: Case) -> Got:
    said = ask(case, "--schema", "name, age int", "--no-stream")
    return {"data": json.loads(said["text"])} if "text" in said else said


run(
    {
        "plain": plain,
        "stream": ask,
        "tool": tool_whole,
        "tool stream": tool,
        "data": data,
        "missing": plain,
    }
)
