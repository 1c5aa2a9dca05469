"""Command line tools: each is run in a folder of its own, with nobody's settings."""

import atexit
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

HOME = Path(os.environ.get("E2E_HOME", "."))  # where the tool is installed
TIMEOUT_S = 120.0


class Failed(Exception):
    """The tool ended with an error; what it printed."""


@cache
def work_folder() -> Path:
    """Return the folder that the tool works in: outside any repository, for they look for one."""
    folder = Path(mkdtemp(prefix="pointsman-e2e-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def ran(program: str, *arguments: str, env: Mapping[str, str]) -> str:
    """Return what a tool printed to standard output. Raises Failed.

    Claude Code and Codex tell of a failure in what they print, so it is returned all the same
    where there is some.
    """
    home = HOME / "home"
    home.mkdir(exist_ok=True)
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home)}
    done = subprocess.run(
        [HOME / program, *arguments],
        cwd=work_folder(),
        env={**own, "NO_COLOR": "1", "TERM": "dumb", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode and not done.stdout.strip():
        raise Failed(done.stderr)
    return done.stdout
