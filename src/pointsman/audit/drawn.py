"""Drawn: one answer that is audited: the strongest tier's to the same request, and the verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pointsman.attempt import Job
from pointsman.audit.calls import Calls, Scene
from pointsman.audit.judges import Case, Judge, NoVerdictError
from pointsman.audit.settings import AuditSettings
from pointsman.core.decision import Policy
from pointsman.core.plan import step_worst_case_nanousd
from pointsman.core.types import Need, Request, Step
from pointsman.gate import Committed
from pointsman.ledger import AUDIT, AuditLabel
from pointsman.validators import Ask, Draft

# What is longer is not audited: neither a judge nor a reader of its verdict would do it justice.
ANSWER_CHARS_MAX = 100_000
PROMPT_CHARS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Auditing:
    """What one configuration says of audits.

    `floor`: share of the strongest tier's quality to keep. `regime` names all that a threshold
    rests on (tiers, floor, weights): with another one the tests begin anew. `steps`: how often each
    group's threshold has been lowered, in the policy in force; `policy_after` builds another.
    """

    settings: AuditSettings
    judge: Judge
    floor: float
    regime: str
    policy_after: Callable[[Mapping[str, int]], Policy]
    steps: Mapping[str, int]


class Audited(Scene, Protocol):
    """The routing that a request was decided by."""

    @property
    def audit(self) -> Auditing:
        """Return what it says of audits."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An answer that was drawn. `step`: the call of the strongest tier to compare it with."""

    job: Job
    audit: Auditing
    routed: Draft
    routed_step: Step
    step: Step
    calls: Calls

    @property
    def is_down(self) -> bool:
        """Return whether another tier than the strongest has answered."""
        return self.routed_step.tier != self.step.tier

    def worst_case_nanousd(self) -> int | None:
        """Return what it may cost at most, None without a price. Raises NoVerdictError.

        The same for an answer that did not go down: else the money's end would keep only such.
        """
        tokens_max = self.job.features.max_tokens or self.step.max_tokens
        assert tokens_max is not None, "Calls.step sets a bound"
        judging = self.audit.judge.worst_case_nanousd(self.job.features, tokens_max, self.calls)
        shadow = step_worst_case_nanousd(self.step, self.job.features)
        return None if shadow is None or judging is None else shadow + judging

    async def scores(self) -> tuple[float, float]:
        """Return how good the answer and the strongest tier's are, 0..1 each.

        Raises GatewayError and NoVerdictError.
        """
        strongest = await self._shadow() if self.is_down else self.routed
        ask = Ask(
            features=self.job.features,
            decision=self.job.decision,
            response_format=self.job.request.response_format,
        )
        case = Case(_conversation(self.job.request), ask, self.routed, strongest)
        return await self.audit.judge.score(case, self.calls)

    def label(self, scores: tuple[float, float], at_ns: int) -> AuditLabel:
        """Return the label of these scores, not counted yet."""
        group, answered_by = self.job.decision.group, self.routed_step.deployment.id
        return AuditLabel(
            request_id=self.job.request.caller.request_id,
            at_ns=at_ns,
            regime=self.audit.regime,
            group=group,
            steps=self.audit.steps.get(group, 0),
            steps_after=0,
            floor=self.audit.floor,
            judge=self.audit.judge.name,
            routed=answered_by,
            strongest=self.step.deployment.id if self.is_down else answered_by,
            quality_routed=scores[0],
            quality_strongest=scores[1],
        )

    async def _shadow(self) -> Draft:
        """Return the strongest tier's answer; half a one is none."""
        job = self.job
        answer = await self.calls.make(
            job.request, job.features, self.step, name=AUDIT, outcome="audited"
        )
        if answer.finish_reason != "stop" or answer.tool_calls:
            raise NoVerdictError(f"{self.step.deployment.id} did not end its answer as a text")
        return answer


def draw(job: Job, scene: Audited, committed: Committed, calls: Calls) -> Drawn | None:
    """Return the answer as one to audit, None where it cannot be compared, or with nobody now."""
    answer, audit = committed.answer, scene.audit
    is_fit = (
        answer.finish_reason == "stop"
        and not answer.tool_calls
        and 0 < len(answer.text) <= ANSWER_CHARS_MAX
        and not job.features.is_tool_loop
        and Need.IMAGES not in job.features.needs
    )
    if not is_fit:
        return None
    step = calls.step(job.features, scene.snapshot.names[-1], audit.settings.max_tokens)
    if step is None:
        return None
    return Drawn(job, audit, answer, committed.step, step, calls)


def _conversation(request: Request) -> str:
    """Return what was said, the end of it where it is long; a single turn without its role."""
    turns = [f"[{turn.role}]\n{turn.text}" for turn in request.turns]
    if request.system:
        turns.insert(0, f"[system]\n{request.system}")
    said = request.turns[0].text if len(turns) == 1 and request.turns else "\n\n".join(turns)
    return said[-PROMPT_CHARS_MAX:]
