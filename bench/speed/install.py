"""Install: every peer in an environment of its own below `.bench-peers/`, which git ignores."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench.speed.results import ROOT, said
from bench.speed.spec import Gateway, Install

PEERS = ROOT / ".bench-peers"
PATIENCE_S = 1800


def install(gateway: Gateway) -> str:
    """Install a peer where it is not yet; return why it cannot be, empty where it is there."""
    how = gateway.install
    if how is None or installed_version(PEERS / gateway.name, how):
        return ""
    if how.tool == "npm" and shutil.which("npm") is None:
        return "npm is not there; install Node.js 20 or newer"
    folder = PEERS / gateway.name
    folder.mkdir(parents=True, exist_ok=True)
    (PEERS / ".gitignore").write_text("*\n", "utf-8")
    for command in commands(how, folder):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command[0]}: {error}"[:300]
        if done.returncode:
            told = " ".join((done.stderr or done.stdout).split())
            return f"{' '.join(command[-len(how.packages) - 1 :])}: {told[-300:]}"
    return ""


def commands(how: Install, folder: Path) -> list[list[str]]:
    """Return what installs a peer into a folder, by the registry's own client."""
    if how.tool == "npm":
        quiet = ["--no-audit", "--no-fund", "--silent", *how.options]
        return [["npm", "install", *quiet, "--prefix", str(folder), *how.packages]]
    venv = folder / "venv"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", *how.options]
    return [
        [sys.executable, "-m", "venv", str(venv)],
        # Byte code is compiled, as a user's is: else the first start would do it.
        [*pip, "--disable-pip-version-check", *how.packages],
    ]


def installed_version(folder: Path, how: Install) -> str:
    """Return the version of the installed package, empty where it is not there."""
    if how.tool == "npm":
        told = folder / "node_modules" / how.version_of / "package.json"
        return str(json.loads(told.read_bytes())["version"]) if told.is_file() else ""
    ask = f"import importlib.metadata as m; print(m.version({how.version_of!r}))"
    return said(str(folder / "venv" / "bin" / "python"), "-c", ask)
