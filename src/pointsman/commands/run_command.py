"""`run`: starts a tool with the variables that point it at a running server."""

import http
import http.client
import ipaddress
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from cyclopts import Parameter

from pointsman.commands.terminal import (
    OK,
    AsJson,
    ConfigPath,
    complain,
    refuse,
    say,
    say_json,
)
from pointsman.config import API_KEYS_ENV, Settings, load_settings
from pointsman.core.errors import ConfigError, GatewayError

API_KEY_ENV = "POINTSMAN_API_KEY"
_NO_KEY = "-"  # a server without keys takes any, and most tools insist on one
_PROBE_S = 2.0
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True)
class Tool:
    """How one tool is pointed at a server.

    `variables` are set over those of `GENERAL`, "" unsets the tool's own; `arguments` go before
    the user's, which so have the last word. In both, {root} is the server's address, {base} that
    with /v1, {key} the client key, {model} the model to ask for and {small} the cheapest tier.
    `source`: where this is written, and the day it was read.
    """

    variables: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    source: str = ""


GENERAL = Tool(
    {
        "OPENAI_BASE_URL": "{base}",
        "OPENAI_API_BASE": "{base}",
        "OPENAI_API_KEY": "{key}",
        "ANTHROPIC_BASE_URL": "{root}",
        "ANTHROPIC_API_KEY": "{key}",
        "ANTHROPIC_AUTH_TOKEN": "{key}",
        "GOOGLE_GEMINI_BASE_URL": "{root}",
        "GEMINI_API_KEY": "{key}",
        "GOOGLE_API_KEY": "",  # Google's SDK would take it before the one above
        API_KEY_ENV: "{key}",
    },
    source="openai 3.54, anthropic 2.12 and google-genai 3.4, their own sources; litellm's"
    " documentation for OPENAI_API_BASE; 2026-11-23",
)
TOOLS: Mapping[str, Tool] = {
    # An own key beside the token would have it ask which one to use. The names of the models that
    # it knows all mean the routed one, but Haiku's, which it also uses for its background calls.
    "claude": Tool(
        {
            "ANTHROPIC_API_KEY": "",
            "ANTHROPIC_MODEL": "{model}",
            "ANTHROPIC_DEFAULT_OPUS_MODEL": "{model}",
            "ANTHROPIC_DEFAULT_SONNET_MODEL": "{model}",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": "{small}",
            "ANTHROPIC_SMALL_FAST_MODEL": "{small}",  # its name before 2025-09
        },
        source="code.claude.com/docs, Environment variables, Model configuration and Gateway"
        " protocol reference; 2026-11-23",
    ),
    # OPENAI_BASE_URL means nothing to it since openai/codex pull request 16720 (2026-04). Its own
    # web search runs at OpenAI, so every request would prefer a tier of OpenAI's.
    "codex": Tool(
        {},
        (
            *("-c", 'model_provider="pointsman"'),
            *("-c", 'model_providers.pointsman.name="pointsman"'),
            *("-c", 'model_providers.pointsman.base_url="{base}"'),
            *("-c", f'model_providers.pointsman.env_key="{API_KEY_ENV}"'),
            *("-c", 'model_providers.pointsman.wire_api="responses"'),
            *("-c", 'model="{model}"'),
            *("-c", 'web_search="disabled"'),
        ),
        source="openai/codex, docs/config.md, and issues 11698 and HarnessRouter/harnessrouter 150"
        " (codex 0.154); 2026-11-23",
    ),
    "aider": Tool(
        {},
        ("--model", "openai/{model}", "--weak-model", "openai/{small}"),
        source="aider.chat/docs/llms/openai-compat.html; 2026-11-23",
    ),
    "gemini": Tool(
        {"GEMINI_MODEL": "{model}"},
        source="google-gemini/gemini-cli, issue 6746, and google-genai 3.4; 2026-11-23",
    ),
}


def run(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True, help="After --.")],
    config: ConfigPath = None,
    model: Annotated[str | None, Parameter(help="Model to ask for; else the first alias.")] = None,
    print_only: Annotated[
        bool, Parameter(name="--print", negative="", help="Show the variables, and run nothing.")
    ] = False,
    json: AsJson = False,
) -> int:
    """Run a tool with the variables that point it at the running server.

    Knows Claude Code, Codex, aider and the Gemini CLI; any other gets the variables that the
    official SDKs read. The tool's exit status is this command's. With --json the variables and the
    command are printed and nothing is run.

    Example: pointsman run -- claude -p "what does this project do?"
    """
    if not command:
        return complain(["run: no command; write it after --, as in: pointsman run -- claude"])
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        root = server_root(settings)
        variables, line = pointed(
            command,
            root=root,
            key=client_key(os.environ),
            model=model or default_model(settings),
            small=settings.tiers[0].name,
        )
        if json:
            say_json({"variables": variables, "command": line})
            return OK
        if print_only:
            return _show(variables, line)
        check_running(root)
    except GatewayError as error:
        return refuse(error, json=json)
    return _start(variables, line)


def pointed(
    command: tuple[str, ...], *, root: str, key: str, model: str, small: str
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the variables to set, "" for one that must be empty, and the command to run."""
    tool = TOOLS.get(PurePath(command[0]).stem.lower(), Tool({}))
    names = {"{root}": root, "{base}": f"{root}/v1", "{key}": key}
    names |= {"{model}": model, "{small}": small}

    def filled(text: str) -> str:
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    wanted = {**GENERAL.variables, **tool.variables}
    variables = {name: filled(text) for name, text in wanted.items()}
    return variables, (command[0], *map(filled, tool.arguments), *command[1:])


def client_key(env: Mapping[str, str]) -> str:
    """Return the key that the tool is to send: the user's, or the first that the server knows."""
    known = (part.strip().rpartition(":")[2] for part in env.get(API_KEYS_ENV, "").split(","))
    return env.get(API_KEY_ENV) or next(filter(None, known), _NO_KEY)


def default_model(settings: Settings) -> str:
    """Return the name that means "you choose", else the strongest tier's."""
    aliases = [alias for alias in settings.routing.aliases if alias != "*"]
    if aliases:
        return aliases[0]
    return "auto" if settings.routing.aliases else settings.tiers[-1].name


def server_root(settings: Settings) -> str:
    """Return the address of the configured server, as a client on this machine calls it."""
    host = settings.server.host.strip("[]")
    with suppress(ValueError):  # a name
        address = ipaddress.ip_address(host)
        host = _LOOPBACK[address.version] if address.is_unspecified else host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{settings.server.port}"


def check_running(root: str) -> None:
    """Raise ConfigError, saying what to do, where no server answers at an address."""
    address = root.removeprefix("http://")
    try:
        with closing(http.client.HTTPConnection(address, timeout=_PROBE_S)) as connection:
            connection.request("GET", "/health/live")
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(
            f"no server answers at {root} ({error}); start one with `pointsman serve`, in another"
            " terminal and with the same configuration"
        ) from error
    if status != http.HTTPStatus.OK:
        raise ConfigError(
            f"what answers at {root} is no pointsman: /health/live gave {status}; set [server] port"
            " to where yours listens"
        )


def _show(variables: Mapping[str, str], line: tuple[str, ...]) -> int:
    for name, value in variables.items():
        say(f"export {name}={shlex.quote(value)}")
    say(shlex.join(line))
    return OK


def _start(variables: Mapping[str, str], line: tuple[str, ...]) -> int:
    """Become the tool, or, where a process cannot, run it; return its exit status."""
    if shutil.which(line[0]) is None:
        return complain([f'run: there is no command "{line[0]}"; install it, or say where it is'])
    env = {**os.environ, **variables}
    sys.stdout.flush()
    if os.name == "posix":
        os.execvpe(line[0], line, env)  # noqa: S606 - what the user asks to run
    return subprocess.run(line, env=env, check=False).returncode  # noqa: S603 - the same
