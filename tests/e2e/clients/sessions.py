"""One client at work: its script is run once for all cases of one dialect."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.e2e.clients.catalogue import SCRIPTS, Client
from tests.e2e.clients.scripts.running import MARK
from tests.e2e.clients.tasks import Asked

CASE_S = 60.0  # for the slowest of them, Claude Code and Codex


def answers(
    client: Client, asked: Sequence[Asked], *, origin: str, key: str
) -> dict[Asked, dict[str, Any]]:
    """Return what came for each case; where the script broke off, its last words as an error."""
    done = subprocess.run(
        command(client),
        input="".join(f"{case.line}\n" for case in asked),
        cwd=client.folder,
        env=environment(client, origin=origin, key=key),
        capture_output=True,
        text=True,
        timeout=CASE_S * (len(asked) + 1),
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    came = [json.loads(line.removeprefix(MARK)) for line in lines]
    last_words = {"error": f"exit status {done.returncode}", "message": done.stderr[-2000:]}
    missing = [last_words] * (len(asked) - len(came))
    return dict(zip(asked, came + missing, strict=True))


def command(client: Client) -> list[str]:
    script = SCRIPTS / client.script
    if client.is_tool:
        return [sys.executable, str(script)]
    if client.kind == "python":
        return [str(client.folder / "bin" / "python"), str(script)]
    # node looks for modules beside the script.
    for name in ("running.mjs", client.script):
        shutil.copyfile(SCRIPTS / name, client.folder / name)
    return ["node", client.script]


def environment(client: Client, *, origin: str, key: str) -> dict[str, str]:
    """Return an environment without anybody's keys and settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "E2E_ORIGIN": origin,
        "E2E_KEY": key,
        "E2E_HOME": str(client.folder),
        "E2E_PROVIDER": client.provider,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AI_SDK_LOG_WARNINGS": "false",
    }
