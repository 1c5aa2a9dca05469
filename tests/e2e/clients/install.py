"""Install the clients: `python -m tests.e2e.clients.install [NAME…]`, from the project's folder.

What is installed already, in the versions of clients.toml, is left alone. A client that cannot be
installed is named with the reason and left out; its tests are skipped by name.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.clients.catalogue import Client, clients

PYTHON = sys.executable
UV = Path(sys.executable).with_name("uv")


class NotInstalled(Exception):
    """An installation that failed, and why."""


def main(names: Sequence[str]) -> None:
    wanted = [c for c in clients() if not c.environment and (not names or c.name in names)]
    for number, client in enumerate(wanted, start=1):
        say(f"[{number}/{len(wanted)}] {client.name} {client.version}: ")
        if client.is_installed:
            say("there\n")
            continue
        start = time.monotonic()
        try:
            install(client)
            say(f"installed in {time.monotonic() - start:.0f} s\n")
        except (NotInstalled, OSError) as error:
            say(f"NOT installed: {error}\n")


def install(client: Client) -> None:
    """Make a client's environment anew. Raises NotInstalled."""
    shutil.rmtree(client.folder, ignore_errors=True)
    client.folder.mkdir(parents=True)
    if client.kind == "python":
        # Without this project's own settings, which leave packages out.
        uv = [str(UV), "--no-config", "--quiet"]
        run(client, [*uv, "venv", "--python", PYTHON, "--clear", "."])
        run(client, [*uv, "pip", "install", "--python", ".", *client.packages])
    else:
        (client.folder / "package.json").write_text('{"private": true}\n', "utf-8")
        quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--save-exact"]
        run(client, ["npm", "install", *quiet, *client.packages])
    client.marker.write_text(client.pins, "utf-8")


def run(client: Client, command: list[str]) -> None:
    done = subprocess.run(
        command,
        cwd=client.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalled(lines[-1] if lines else f"exit status {done.returncode}")


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
