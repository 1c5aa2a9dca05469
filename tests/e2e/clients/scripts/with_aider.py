"""aider, without a terminal: one message, one file it may change."""

# mypy: ignore-errors
# It is for another environment, whose packages are not those of this one.

import json
from pathlib import Path

from running import KEY, ORIGIN, Case, Got, run
from tools import ran, work_folder

SETTINGS = {
    "OPENAI_API_BASE": f"{ORIGIN}/v1",
    "OPENAI_API_KEY": KEY,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
OPTIONS = (
    "--yes-always",
    "--no-git",
    "--no-show-model-warnings",
    "--no-check-update",
    "--analytics-disable",
    "--no-pretty",
    "--no-fancy-input",
    "--no-show-release-notes",
    "--no-detect-urls",
    "--map-tokens=0",
)


def ask(case: Case, *more: str) -> Got:
    file = work_folder() / "ships.txt"
    file.write_text("no ships\n")
    # A model that it knows: it would download a list of prices to look for one that it does not.
    known = {f"openai/{case['model']}": {"max_input_tokens": 100_000, "litellm_provider": "openai"}}
    metadata = work_folder() / "models.json"
    metadata.write_text(json.dumps(known))
    about = ["--model-metadata-file", metadata.name]
    message = ["--model", f"openai/{case['model']}", "--message", case["prompt"], *more]
    printed = ran("bin/aider", *OPTIONS, *about, *message, file.name, env=SETTINGS)
    if "litellm." in printed:  # it names the error of its own client, and ends well all the same
        return {"error": "printed", "message": printed}
    return {"text": printed, "data": {"file": Path(file).read_text()}}


def plain(case: Case) -> Got:
    return ask(case, "--no-stream")


run({"plain": plain, "stream": ask, "missing": ask})
