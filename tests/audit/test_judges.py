"""Judges: validators, programs and functions; what fails is no verdict."""

import asyncio
import fcntl
import os
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.core.builders import features
from tests.pipeline.rig import until

from pointsman.audit import build_judge
from pointsman.audit.judges import ByCommand, ByFunction, Case, Judge, NoVerdictError
from pointsman.core.errors import ConfigError
from pointsman.core.types import Decision
from pointsman.validators import Ask, Draft, ValidationSettings, build_validators

VALIDATORS = build_validators(ValidationSettings())
TIERS = ("weak", "strong")


def case(routed: str = "A fine answer.", strongest: str = "Another one.") -> Case:
    ask = Ask(features=features("Say hello."), decision=Decision(tier="weak", reason=""))
    drafts = [Draft(text=text, finish_reason="stop") for text in (routed, strongest)]
    return Case("Say hello.", ask, drafts[0], drafts[1])


async def scored(judge: Judge, given: Case) -> tuple[float, float]:
    """Score with a judge that makes no upstream calls."""
    return await judge.score(given, None)  # type: ignore[arg-type]


def program(code: str) -> Judge:
    return build_judge(f"command:{shlex.join([sys.executable, '-c', code])}", (), TIERS)


async def test_validators_give_1_to_what_they_accept_and_0_to_the_rest():
    judge = build_judge("validators", VALIDATORS, TIERS)
    assert judge.name == "validators"
    assert await scored(judge, case(routed="")) == (0.0, 1.0)
    assert await scored(judge, case(strongest="")) == (1.0, 0.0)


async def test_a_program_reads_prompt_and_answer_and_prints_a_score():
    judge = program(
        "import json, sys; it = json.load(sys.stdin);"
        "print(0.5 * (it['prompt'] == 'Say hello.') + 0.5 * ('fine' in it['answer']))"
    )
    assert judge.name == "command"
    assert await scored(judge, case()) == (1.0, 0.5)


async def test_one_answer_for_both_sides_is_judged_once():
    asked = []

    def count(prompt: str, answer: str) -> float:
        asked.append((prompt, answer))
        return 0.25

    both = case()
    same = Case(both.prompt, both.ask, both.routed, both.routed)
    assert await scored(ByFunction("count", count), same) == (0.25, 0.25)
    assert asked == [("Say hello.", "A fine answer.")]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('good')", "said 'good', and not a number from 0 to 1"),
        ("print(1.5)", "'1.5', and not a number"),
        ("print('nan')", "'nan', and not a number"),
        ("", "said ''"),
        ("raise SystemExit(3)", "ended with status 3"),
    ],
)
async def test_a_program_that_gives_no_score_gives_no_verdict(code: str, says: str):
    with pytest.raises(NoVerdictError, match=says):
        await scored(program(code), case())


async def test_a_program_that_does_not_start_gives_no_verdict():
    with pytest.raises(NoVerdictError, match="/no/such/program does not start"):
        await scored(ByCommand(("/no/such/program",)), case())


async def test_a_cancelled_program_is_stopped(tmp_path):
    wrote, told = tmp_path / "wrote", tmp_path / "told"
    code = (
        "import os, pathlib, signal;"
        f"pathlib.Path({str(wrote)!r}).write_text(str(os.getpid()));"
        f"os.rename({str(wrote)!r}, {str(told)!r}); signal.pause()"
    )
    task = asyncio.create_task(scored(program(code), case()))
    await until(told.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


# Holds a lock, and the standard output of whoever started it, for as long as it lives.
CHILD = """
import fcntl, os, signal
lock = open({lock!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
os.mkdir({told!r})
signal.pause()
"""


def with_child(folder: Path, then: str) -> Judge:
    """Return a judge that starts the child, and then waits for it or ends."""
    child = CHILD.format(lock=str(folder / "lock"), told=str(folder / "told"))
    start = f"child = subprocess.Popen([sys.executable, '-c', {child!r}])"
    return program(f"import subprocess, sys\n{start}\n{then}")


def is_free(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("then", ["child.wait()", "print('0.5')"], ids=["waits", "ends"])
async def test_a_cancelled_program_takes_its_children_along(tmp_path, then: str):
    task = asyncio.create_task(scored(with_child(tmp_path, then), case()))
    await until((tmp_path / "told").exists)
    assert not is_free(tmp_path / "lock")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    await until(lambda: is_free(tmp_path / "lock"))


async def test_a_program_that_holds_its_output_open_is_stopped_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr("pointsman.audit.judges.COMMAND_S", 0.5)
    with pytest.raises(NoVerdictError, match=r"took more than 0\.5 s"):
        await asyncio.wait_for(scored(with_child(tmp_path, "child.wait()"), case()), 30)


async def test_a_program_that_prints_without_end_gives_no_verdict():
    code = "while True: print('1' * 10_000)"
    with pytest.raises(NoVerdictError, match="printed more than 65,536 bytes"):
        await asyncio.wait_for(scored(program(code), case()), 30)


async def test_a_program_need_not_read_what_it_is_given():
    long = case(routed="word " * 200_000)
    assert await scored(program("print(1)"), long) == (1.0, 1.0)


@pytest.mark.parametrize("said", [None, "high", 2, -0.1, [1]], ids=str)
async def test_a_function_that_gives_no_score_gives_no_verdict(said: object):
    with pytest.raises(NoVerdictError, match="mine said"):
        await scored(ByFunction("mine", lambda _prompt, _answer: said), case())


async def test_a_function_that_raises_gives_no_verdict_and_quotes_nothing():
    def fail(prompt: str, answer: str) -> float:
        raise ValueError(f"secret {prompt}")

    with pytest.raises(NoVerdictError, match=r"^mine raised ValueError$"):
        await scored(ByFunction("mine", fail), case())


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nobody", r"no such judge; there are: validators, tier:<tier>"),
        ("tier:best", r'no tier has the name "best"; there are: weak, strong'),
        ("command:", "names no program"),
        ("command:it's", "a quotation mark is not closed"),
    ],
)
def test_a_judge_that_cannot_be_is_refused_with_the_remedy(spec: str, says: str):
    with pytest.raises(ConfigError, match=says):
        build_judge(spec, (), TIERS)


def test_a_judge_of_an_installed_package_is_found_by_its_name(monkeypatch):
    class Points(list[SimpleNamespace]):
        @property
        def names(self) -> set[str]:
            return {"exact"}

    point = SimpleNamespace(value="mine:make", load=lambda: lambda: lambda _prompt, _answer: 1.0)
    monkeypatch.setattr("pointsman.audit.judges.entry_points", lambda **_: Points([point]))
    judge = build_judge("exact", (), TIERS)
    assert judge.name == "exact" and isinstance(judge, ByFunction)
    assert judge.function("p", "a") == 1.0
