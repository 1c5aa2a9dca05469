"""Claude Code, without a terminal: `claude -p`."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import json
from typing import Any

from running import KEY, ORIGIN, Case, Got, run
from tools import ran

SETTINGS = {
    "ANTHROPIC_BASE_URL": ORIGIN,
    "ANTHROPIC_API_KEY": KEY,
    # No updates, no telemetry, no error reports: it may call nobody but the server.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}


def ask(case: Case) -> Got:
    claude = ["node_modules/.bin/claude", "-p", case["prompt"], "--model", case["model"]]
    how = ["--output-format", "stream-json", "--verbose", "--allowedTools", "Bash(echo:*)"]
    told = [json.loads(line) for line in ran(*claude, *how, env=SETTINGS).splitlines()]
    last = told[-1]
    if last["is_error"]:
        return {"error": last["subtype"], "message": last["result"]}
    used = last["usage"]
    cached = used["cache_read_input_tokens"] + used["cache_creation_input_tokens"]
    models = [line["message"]["model"] for line in told if line["type"] == "assistant"]
    return {
        "text": last["result"],
        "calls": [[block["name"], block["input"]] for block in blocks(told, "tool_use")],
        "model": models[-1],
        "input_tokens": used["input_tokens"] + cached,
        "output_tokens": used["output_tokens"],
    }


def blocks(told: list[Any], kind: str) -> list[Any]:
    messages = [line["message"]["content"] for line in told if line["type"] == "assistant"]
    return [block for content in messages for block in content if block["type"] == kind]


run({"stream": ask, "tool stream": ask, "thinking stream": ask, "missing": ask})
