"""Judges: who says how good an answer is, 0..1.

`[audit] judge` names one:

validators
    1 for an answer that all validators accept, 0 for any other: free, and blind to all else.
command:<command line>
    A program of the user's, run once an answer without a shell: it reads a JSON object with
    `prompt` (the conversation) and `answer`, and prints a number from 0 to 1.
tier:<name>
    A model compares the two answers, see `pairwise`.
any other name
    An entry point of the group `pointsman.judges`: a factory without arguments that returns a
    function `(prompt, answer) -> float`. It is called in a thread.

A judge that fails gives no label: nothing is ever assumed of an answer.
"""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

import msgspec

from pointsman.audit.calls import Calls
from pointsman.core.errors import ConfigError
from pointsman.core.types import Features
from pointsman.extensions import entry_points
from pointsman.validators import Ask, Draft, Validator, judge

ENTRY_POINTS = "pointsman.judges"
COMMAND_S = 60.0
_OUTPUT_BYTES_MAX = 65_536
_STOP_S = 5.0

_COMMAND, _TIER = "command:", "tier:"


class NoVerdictError(Exception):
    """A judge could not say how good an answer is; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """Two answers to one request; the same one twice where the strongest tier itself had answered.

    `prompt`: the conversation as text, the last turn last.
    """

    prompt: str
    ask: Ask
    routed: Draft
    strongest: Draft


class Judge(Protocol):
    """Says how good the answers of a case are."""

    @property
    def name(self) -> str:
        """Return the name that labels carry: no command line, which may hold secrets."""

    def worst_case_nanousd(self, features: Features, tokens_max: int, calls: Calls) -> int | None:
        """Return what judging may cost at most, None where no price is known.

        `features` are the request's; each answer has at most `tokens_max` tokens. Raises
        NoVerdictError where nobody is there to judge.
        """

    async def score(self, case: Case, calls: Calls) -> tuple[float, float]:
        """Return how good the routed and the strongest tier's answer are, 0..1 each.

        Raises NoVerdictError and GatewayError.
        """


@dataclass(frozen=True, slots=True)
class ByValidators:
    """The validators as a judge."""

    validators: tuple[Validator, ...]
    name: str = "validators"

    def worst_case_nanousd(self, features: Features, tokens_max: int, calls: Calls) -> int | None:
        """Return 0."""
        del features, tokens_max, calls
        return 0

    async def score(self, case: Case, calls: Calls) -> tuple[float, float]:
        """Return 1 for each answer that is accepted, 0 for the other; judged off the event loop."""
        del calls
        routed, strongest = await asyncio.to_thread(
            lambda: [
                judge(self.validators, draft, case.ask) for draft in (case.routed, case.strongest)
            ]
        )
        return float(routed.is_accepted), float(strongest.is_accepted)


@dataclass(frozen=True, slots=True)
class ByCommand:
    """A user's program as a judge. `words`: the command line's."""

    words: Sequence[str]
    name: str = "command"

    def worst_case_nanousd(self, features: Features, tokens_max: int, calls: Calls) -> int | None:
        """Return 0: what the program itself may spend is not known here."""
        del features, tokens_max, calls
        return 0

    async def score(self, case: Case, calls: Calls) -> tuple[float, float]:
        """Run the program for each answer."""
        del calls
        routed = await self._run(case.prompt, case.routed.text)
        if case.strongest is case.routed:
            return routed, routed
        return routed, await self._run(case.prompt, case.strongest.text)

    async def _run(self, prompt: str, answer: str) -> float:
        given = msgspec.json.encode({"prompt": storable(prompt), "answer": storable(answer)})
        try:
            status, said = await run_program(self.words, given, errors=asyncio.subprocess.DEVNULL)
        except OSError as error:
            raise NoVerdictError(f"{self.words[0]} does not start: {error.strerror}") from error
        if status:
            raise NoVerdictError(f"{self.words[0]} ended with status {status}")
        return checked(said, self.words[0])


@dataclass(frozen=True, slots=True)
class ByFunction:
    """A third party's function as a judge."""

    name: str
    function: Callable[[str, str], object]

    def worst_case_nanousd(self, features: Features, tokens_max: int, calls: Calls) -> int | None:
        """Return 0: what the function itself may spend is not known here."""
        del features, tokens_max, calls
        return 0

    async def score(self, case: Case, calls: Calls) -> tuple[float, float]:
        """Call the function for each answer."""
        del calls
        routed = await self._call(case.prompt, case.routed.text)
        if case.strongest is case.routed:
            return routed, routed
        return routed, await self._call(case.prompt, case.strongest.text)

    async def _call(self, prompt: str, answer: str) -> float:
        try:
            said = await asyncio.to_thread(self.function, prompt, answer)
        except Exception as error:  # a third party's code: whatever it raises is no verdict
            raise NoVerdictError(f"{self.name} raised {type(error).__name__}") from error
        return checked(said, self.name)


async def run_program(
    words: Sequence[str], given: bytes, *, errors: int | None = None
) -> tuple[int, str]:
    """Run a program on `given`; return its status and what it printed, without blanks around it.

    `errors`: where its standard error goes, None for ours. It gets a session of its own, so that
    what it started ends with it when it must be stopped. Raises OSError where it does not start,
    NoVerdictError where it takes or prints too much.
    """
    transport, heard = await asyncio.get_running_loop().subprocess_exec(
        _Heard, *words, stderr=errors, start_new_session=True
    )
    try:
        pipe = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        pipe.write(given)
        pipe.close()  # once all is written
        async with asyncio.timeout(COMMAND_S):
            await heard.end.wait()
    except TimeoutError as error:
        raise NoVerdictError(f"{words[0]} took more than {COMMAND_S:g} s") from error
    finally:
        if not heard.is_whole:
            await _stop(transport, heard)
        transport.close()
    if not heard.is_whole:
        raise NoVerdictError(f"{words[0]} printed more than {_OUTPUT_BYTES_MAX:,} bytes")
    return transport.get_returncode() or 0, heard.output.decode("utf-8", "replace").strip()


def load_judge(name: str) -> ByFunction:
    """Return the judge of an installed package. Raises ConfigError."""
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            return ByFunction(name, point.load()())
        except Exception as error:  # a third party's code: whatever it raises stops the start
            raise ConfigError(
                f'audit.judge = "{name}": loading {point.value} failed: {error!r};'
                " mend or remove its package"
            ) from error
    raise ConfigError(f'audit.judge = "{name}": {judge_fault(name, ())}')


def judge_fault(spec: str, tiers: Sequence[str]) -> str:
    """Return what is wrong with the name of a judge, "" where nothing is."""
    if spec == "validators":
        return ""
    if spec.startswith(_COMMAND):
        try:
            has_words = bool(shlex.split(spec.removeprefix(_COMMAND)))
        except ValueError:
            return "a quotation mark is not closed"
        return "" if has_words else "names no program; write command:./judge.py"
    if spec.startswith(_TIER):
        name = spec.removeprefix(_TIER)
        known = ", ".join(tiers)
        return "" if name in tiers else f'no tier has the name "{name}"; there are: {known}'
    installed = sorted(entry_points(group=ENTRY_POINTS).names)
    if spec in installed:
        return ""
    return (
        "no such judge; there are: validators, tier:<tier>, command:<command line>, and of"
        f" installed packages: {', '.join(installed) or 'none'}"
    )


def checked(said: object, who: str) -> float:
    """Return a score as a number. Raises NoVerdictError for what is none from 0 to 1."""
    try:
        score = float(said) if isinstance(said, str | int | float) else -1.0
    except ValueError:
        score = -1.0
    if not 0.0 <= score <= 1.0:
        raise NoVerdictError(f"{who} said {str(said)[:40]!r}, and not a number from 0 to 1")
    return score


def storable(text: str) -> str:
    """Return text that JSON can carry: half a surrogate pair is replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


class _Heard(asyncio.SubprocessProtocol):
    """What a program has printed. `end`: it has ended and said all, or has said too much."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.end, self.exited = asyncio.Event(), asyncio.Event()
        self._is_silent = False

    @property
    def is_whole(self) -> bool:
        """Return whether it has ended by itself and everything it printed is known."""
        is_over = self._is_silent and self.exited.is_set()
        return is_over and len(self.output) <= _OUTPUT_BYTES_MAX

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what was printed, unless there is too much already."""
        del fd
        if len(self.output) <= _OUTPUT_BYTES_MAX:
            self.output += data
        if len(self.output) > _OUTPUT_BYTES_MAX:
            self.end.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Take note where it was the standard output: nothing more will come."""
        del exc
        self._is_silent = self._is_silent or fd == 1
        self._note_end()

    def process_exited(self) -> None:
        """Take note; a child of the program may still hold its output open."""
        self.exited.set()
        self._note_end()

    def _note_end(self) -> None:
        if self._is_silent and self.exited.is_set():
            self.end.set()


async def _stop(transport: asyncio.SubprocessTransport, heard: _Heard) -> None:
    """Kill a program with all that it started, and wait a moment until it is gone.

    Its pipes are not waited for: what has left its session may hold them open for ever.
    """
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            transport.kill()
        else:
            os.killpg(transport.get_pid(), signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_STOP_S):
            await heard.exited.wait()
