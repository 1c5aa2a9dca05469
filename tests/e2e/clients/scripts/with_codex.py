"""Codex CLI, without a terminal: `codex exec`."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import json

from running import KEY, ORIGIN, Case, Got, run
from tools import ran

PROVIDER = (
    f'{{name="pointsman",base_url="{ORIGIN}/v1",env_key="POINTSMAN_KEY",wire_api="responses"}}'
)


def ask(case: Case) -> Got:
    codex = ["node_modules/.bin/codex", "exec", "--json", "--ephemeral", "--skip-git-repo-check"]
    settings = ["model_provider=pointsman", f"model_providers.pointsman={PROVIDER}"]
    if case["model"] != "openai-responses":
        # Its web search is run by OpenAI alone; `pointsman run` says so too.
        settings.append('web_search="disabled"')
    settings += ["check_for_update_on_startup=false", "analytics.enabled=false"]
    settings += ["features.apps=false", "features.plugins=false"]
    options = [option for setting in settings for option in ("-c", setting)]
    limits = ["--sandbox", "read-only", "--model", case["model"]]
    printed = ran(*codex, *options, *limits, case["prompt"], env={"POINTSMAN_KEY": KEY})
    told = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    failed = [line for line in told if line["type"] == "turn.failed"]
    if failed:
        return {"error": "turn.failed", "message": failed[0]["error"]["message"]}
    items = [line["item"] for line in told if line["type"] == "item.completed"]
    used = told[-1]["usage"]
    return {
        "text": next(item["text"] for item in items if item["type"] == "agent_message"),
        "calls": [
            [item["type"], item["aggregated_output"]]
            for item in items
            if item["type"] == "command_execution"
        ],
        "input_tokens": used["input_tokens"],
        "output_tokens": used["output_tokens"],
    }


run({"stream": ask, "tool stream": ask, "thinking stream": ask, "missing": ask})
