"""Command line: one command a line. Each lives in `commands/` and loads when it is called."""

import sys

from cyclopts import App

from pointsman._version import __version__

COMMANDS = {
    "init": ("config_commands", "Write a first pointsman.toml for what is found here."),
    "check": ("config_commands", "Say whether the configuration can be served."),
    "models": ("config_commands", "List what clients may ask for, with prices."),
    "serve": ("serve_command", "Serve the OpenAI-compatible HTTP API."),
    "route": ("route_commands", "Send one prompt and print the answer."),
    "explain": ("route_commands", "Say where a prompt would go, and why."),
    "report": ("report_command", "Show what was spent and saved."),
    "compare": ("compare_command", "Compare strategies over a log."),
    "demo": ("demo_command", "Run two real local models through the router."),
}


def build_app() -> App:
    """Return the root command with all others, none of them loaded."""
    app = App(
        name="pointsman",
        help="Sends each LLM request to the cheapest model that will answer it well.",
        version=__version__,
    )
    app.register_install_completion_command()
    for name, (module, help_line) in COMMANDS.items():
        app.command(f"pointsman.commands.{module}:{name}", name=name, help=help_line)
    return app


def main() -> None:
    """Run the command line; exits with the command's status."""
    try:
        status = build_app()(result_action="return_value")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is left half-done\n")
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
