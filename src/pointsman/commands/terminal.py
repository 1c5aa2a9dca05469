"""Terminal: what all commands share in how they take options and speak."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import msgspec
from cyclopts import Parameter

from pointsman.core.errors import GatewayError

OK, FAILED, BAD_INPUT = 0, 1, 2

# Told how far something is.
Tick: TypeAlias = Callable[[int], None]

ConfigPath = Annotated[
    str | None,
    Parameter(
        help="Configuration file; without it $POINTSMAN_CONFIG, ./pointsman.toml, and so on."
    ),
]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for machines.")]


def say(text: str) -> None:
    """Print a line, or several, for whoever reads the result."""
    sys.stdout.write(f"{text}\n")


def say_json(value: object) -> None:
    """Print a value as indented JSON."""
    say(msgspec.json.format(msgspec.json.encode(value)).decode())


def note(text: str) -> None:
    """Print a line beside the result, on standard error."""
    sys.stderr.write(f"{text}\n")


def say_error(error: GatewayError) -> None:
    """Print an error for machines, where they read the result: `{"error": {...}}`."""
    told = {"message": error.message, "code": error.code, "attempts": error.attempts}
    say_json({"error": told})


def refuse(error: GatewayError, *, json: bool) -> int:
    """Print why nothing was done, for machines or for people; return the status of bad input."""
    if json:
        say_error(error)
        return BAD_INPUT
    return complain(error.message.splitlines())


def complain(problems: Sequence[str]) -> int:
    """Print what is wrong on standard error; return the exit status of bad input."""
    for problem in problems:
        note(problem)
    return BAD_INPUT


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Tick]:
    """Show a bar on a terminal, on standard error; nothing elsewhere. `total` None: not known."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda completed: progress.update(task, completed=completed)
