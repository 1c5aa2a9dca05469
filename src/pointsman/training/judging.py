"""Judging: how good each tier's answer to a replayed request is, 0..1.

`--judge` names who says so: validators, tier:<name>, or an installed judge, as `audit.judges` has
them; and command:<command line>, a program that is run once an answer, without a shell. It reads a
JSON object with `prompt`, `answer`, `tier` and `model`, and prints a number from 0 to 1, or prints
nothing and ends with status 0 for a good answer, 1 for a bad one.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pointsman.audit.calls import Calls
from pointsman.audit.judges import Case, Judge, NoVerdictError, checked, run_program, storable
from pointsman.audit.registry import build_judge
from pointsman.core.errors import GatewayError
from pointsman.core.types import Answer, Decision, Features, Request
from pointsman.validators import Ask, Draft, Validator

_COMMAND = "command:"


class AnswerJudge(Protocol):
    """Says how good the answers of several tiers to one request are."""

    async def qualities(
        self, request: Request, features: Features, answers: Sequence[Answer]
    ) -> tuple[float | None, ...]:
        """Return one quality an answer, cheapest tier first; None where there is no verdict."""


@dataclass(frozen=True, slots=True)
class ByProgram:
    """A user's program. `words`: its command line's."""

    words: Sequence[str]

    async def qualities(
        self, request: Request, features: Features, answers: Sequence[Answer]
    ) -> tuple[float | None, ...]:
        """Run the program for each answer."""
        del features
        said = [await self._quality(as_text(request), answer) for answer in answers]
        return tuple(said)

    async def _quality(self, prompt: str, answer: Answer) -> float | None:
        try:
            return await self._run(prompt, answer)
        except NoVerdictError:
            return None

    async def _run(self, prompt: str, answer: Answer) -> float:
        given = {
            "prompt": storable(prompt),
            "answer": storable(answer.content),
            "tier": answer.tier,
            "model": answer.model,
        }
        try:
            status, said = await run_program(self.words, msgspec.json.encode(given))
        except OSError as error:
            raise GatewayError(
                f"--judge: {self.words[0]} does not start: {error.strerror}; name a program"
            ) from error
        if said and status == 0:
            return checked(said, self.words[0])
        if not said and status in (0, 1):
            return 1.0 - status
        raise NoVerdictError(f"{self.words[0]} ended with status {status}")


@dataclass(frozen=True, slots=True)
class ByComparison:
    """A judge of audits, who sees each answer beside the strongest tier's."""

    judge: Judge
    calls: Callable[[str], Calls]

    async def qualities(
        self, request: Request, features: Features, answers: Sequence[Answer]
    ) -> tuple[float | None, ...]:
        """Return the verdicts; the strongest tier's quality is that of the first comparison."""
        strongest = answers[-1]
        qualities: list[float | None] = []
        best: float | None = None
        for answer in answers[:-1]:
            quality, of_strongest = await self._compare(request, features, answer, strongest)
            qualities.append(quality)
            best = of_strongest if best is None else best
        return (*qualities, best)

    async def _compare(
        self, request: Request, features: Features, answer: Answer, strongest: Answer
    ) -> tuple[float | None, float | None]:
        case = Case(
            prompt=as_text(request),
            ask=Ask(
                features=features,
                decision=Decision(tier=answer.tier, reason="replayed"),
                response_format=request.response_format,
            ),
            routed=_draft(answer),
            strongest=_draft(strongest),
        )
        try:
            return await self.judge.score(case, self.calls(answer.request_id))
        except (NoVerdictError, GatewayError):
            return None, None


def choose_judge(
    spec: str,
    validators: tuple[Validator, ...],
    tiers: Sequence[str],
    calls: Callable[[str], Calls],
) -> AnswerJudge:
    """Return the judge that `--judge` names, which `judge_fault` has no fault to find with.

    Raises ConfigError where an installed one cannot be loaded.
    """
    if spec.startswith(_COMMAND):
        return ByProgram(tuple(shlex.split(spec.removeprefix(_COMMAND))))
    return ByComparison(build_judge(spec, validators, tiers), calls)


def as_text(request: Request) -> str:
    """Return what was said; a single turn without its role."""
    turns = [f"[{turn.role}]\n{turn.text}" for turn in request.turns]
    if request.system:
        turns.insert(0, f"[system]\n{request.system}")
    return request.turns[0].text if len(turns) == 1 and request.turns else "\n\n".join(turns)


def _draft(answer: Answer) -> Draft:
    return Draft(
        text=answer.content,
        reasoning=answer.reasoning,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
    )
