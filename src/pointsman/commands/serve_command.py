"""`serve`: the HTTP server."""

import logging
import os
import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pointsman.commands.terminal import FAILED, OK, AsJson, ConfigPath, note, refuse, say
from pointsman.config import Settings, load_settings
from pointsman.core.errors import ConfigError, LedgerUnavailable
from pointsman.server.request_log import PlainFormatter
from pointsman.server.serve import serve as run_server
from pointsman.server.workers import WorkersLost


def serve(
    *,
    config: ConfigPath = None,
    host: Annotated[str | None, Parameter(help="Address to listen on; else [server] host.")] = None,
    port: Annotated[int | None, Parameter(help="Port, 0 for any; else [server] port.")] = None,
    workers: Annotated[
        int | None, Parameter(help="Processes that serve; else [server] workers.")
    ] = None,
    json: AsJson = False,
) -> int:
    """Serve the APIs of OpenAI, Anthropic and Google, until SIGTERM or Ctrl-C.

    With --json, one line on standard output tells the address once it takes requests.

    Example: pointsman serve --config pointsman.toml --port 4117
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])

    def load() -> Settings:
        settings = load_settings(config, os.environ)
        listening = {"host": host, "port": port, "workers": workers}
        stated = {name: value for name, value in listening.items() if value is not None}
        return msgspec.structs.replace(
            settings, server=msgspec.structs.replace(settings.server, **stated)
        )

    try:
        run_server(load(), os.environ, reload=load, on_ready=_announce_json if json else _announce)
    except (ConfigError, LedgerUnavailable) as error:
        return refuse(error, json=json)
    except WorkersLost as error:
        note(f"pointsman: {error}")
        return FAILED
    return OK


def _announce(address: str) -> None:
    note(f"pointsman listens on {address}/v1; give it to your client as its base URL. Ctrl-C ends.")


def _announce_json(address: str) -> None:
    say(msgspec.json.encode({"address": f"{address}/v1"}).decode())
    sys.stdout.flush()  # whoever waits for it reads a pipe
