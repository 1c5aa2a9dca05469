"""Command line: one command a line. Each lives in `commands/` and loads when it is called.

So does cyclopts, which takes as long to load as Python itself takes twice: the list of commands is
told without it.
"""

import gc
import os
import sys
from typing import TYPE_CHECKING

from pointsman._version import __version__

if TYPE_CHECKING:
    from cyclopts import App

_INTERRUPTED, _CUT_OFF = 130, 141
_PURPOSE = "Sends each LLM request to the cheapest model that will answer it well."
COMMANDS = {
    "init": ("config_commands", "Write a first pointsman.toml for what is found here."),
    "check": ("config_commands", "Say whether the configuration can be served."),
    "models": ("models_command", "List what clients may ask for, with prices."),
    "serve": ("serve_command", "Serve OpenAI's, Anthropic's and Google's HTTP APIs."),
    "run": ("run_command", "Run a coding agent on the running server."),
    "route": ("route_commands", "Send one prompt and print the answer."),
    "explain": ("route_commands", "Say where a prompt would go, and why."),
    "keys": ("keys_command", "Make, list, revoke and rotate clients' keys."),
    "budgets": ("budgets_command", "Show what is spent and held of budgets."),
    "cache": ("cache_command", "Show, inspect, purge and fill the cache."),
    "report": ("report_command", "Show what was spent and saved."),
    "compare": ("compare_command", "Compare strategies over a log."),
    "train": ("train_command", "Fit the scorer to your own outcomes, and certify it."),
    "evaluate": ("evaluate_command", "Say what policies are worth on labelled requests."),
    "demo": ("demo_command", "Run two real local models through the router."),
}
_OPTIONS = {
    "--help (-h)": "Display this message, or that of a command: pointsman COMMAND --help.",
    "--install-completion": "Install shell completion for this application.",
    "--version": "Display application version.",
}


def build_app(called: str = "") -> "App":
    """Return the root command with all others, none of them loaded.

    The one that is `called` tells all that its docstring says, the others one line.
    """
    from cyclopts import App

    app = App(
        name="pointsman",
        help=_PURPOSE,
        version=__version__,
        suppress_keyboard_interrupt=False,  # main tells of it
    )
    if called == "--install-completion":  # which loads what writes completions
        app.register_install_completion_command()
    for name, (module, help_line) in COMMANDS.items():
        told = None if name == called else help_line
        app.command(f"pointsman.commands.{module}:{name}", name=name, help=told)
    return app


def main() -> None:
    """Run the command line; exits with the command's status."""
    arguments = sys.argv[1:]
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is left half-done\n")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_CUT_OFF)
    sys.exit(status if isinstance(status, int) else 0)


def _run(arguments: list[str]) -> object:
    """Run a command; return its status, or anything else for 0."""
    if arguments in ([], ["--help"], ["-h"]):
        return print(_overview())
    if arguments == ["--version"]:
        return print(__version__)
    gc.disable()
    try:
        command, bound, _ = build_app(*arguments[:1]).parse_args(arguments)
    finally:
        if not gc.get_freeze_count():  # a second time would keep what the first has left behind
            gc.freeze()  # what has loaded stays: looking through it took a tenth of a start
        gc.enable()
    return command(*bound.args, **bound.kwargs)


def _overview() -> str:
    told = {name: help_line for name, (_, help_line) in sorted(COMMANDS.items())}
    width = max(map(len, (*told, *_OPTIONS)))
    commands, options = (
        "\n".join(f"  {name:{width}}  {help_line}" for name, help_line in one.items())
        for one in (told, _OPTIONS)
    )
    return f"Usage: pointsman COMMAND\n\n{_PURPOSE}\n\nCommands:\n{commands}\n\nOptions:\n{options}"
