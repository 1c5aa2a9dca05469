"""Auditor: has a share of the answers checked against the strongest tier, after they have gone out.

The floor is a promise about all requests of a group whose threshold decided. So of these the same
share is drawn whether they went down or not: one that the strongest tier answered counts with its
own quality on both sides and calls nobody, one that went down is asked again of the strongest tier.
A sample is given up, of either kind alike, where too many audits run or the day's money is spent:
what is left stays a fair sample.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from pointsman.attempt import Desk, Job
from pointsman.audit.allowance import DAY_NS, Allowance
from pointsman.audit.calls import Calls, Scene
from pointsman.audit.judges import Case, Judge, NoVerdictError
from pointsman.audit.readings import encode_reading
from pointsman.audit.settings import AuditSettings
from pointsman.audit.watch import Standing, Watch
from pointsman.core.decision import Policy
from pointsman.core.errors import GatewayError, LedgerUnavailable
from pointsman.core.prices import format_usd
from pointsman.core.types import Need, Request, Step
from pointsman.gate import Committed
from pointsman.ledger import AUDIT, AuditLabel, Ledger
from pointsman.validators import Ask, Draft

AT_ONCE_MAX = 4
# What is longer is not audited: neither a judge nor a reader of its verdict would do it justice.
ANSWER_CHARS_MAX = 100_000
PROMPT_CHARS_MAX = 100_000

log = logging.getLogger("pointsman")


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


class Auditor:
    """Draws, checks and counts. `on_step` is told of the steps whenever a threshold goes down.

    Belongs to one event loop. Close it before the providers and the ledger.
    """

    def __init__(
        self, ledger: Ledger, rng: Random, on_step: Callable[[Mapping[str, int]], None]
    ) -> None:
        self._ledger = ledger
        self._rng = rng
        self._on_step = on_step
        self._watch = Watch("")
        self._allowance: Allowance | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._counting = asyncio.Lock()
        self._told: set[str] = set()

    @property
    def count(self) -> int:
        """Return how many audits are under way."""
        return len(self._tasks)

    def standings(self) -> tuple[Standing, ...]:
        """Return what is known of each group that has a label."""
        return self._watch.standings()

    def adopt(self, audit: Auditing, now_ns: int) -> Mapping[str, int]:
        """Take a new configuration; return the steps that the audits so far have come to.

        They hold while the configuration says the same of the floor, audits switched off or not.
        """
        self._told.clear()
        limit_nanousd = round(audit.settings.daily_usd * 1e9)
        try:
            if audit.regime != self._watch.regime:
                self._watch = Watch(audit.regime)  # stands if the labels cannot be read
                self._watch = Watch(audit.regime, self._ledger.audits())
            if self._allowance is None and audit.settings.share > 0:
                self._allowance = Allowance(limit_nanousd, self._spent_since(now_ns - DAY_NS))
        except LedgerUnavailable as error:
            log.error("audit: earlier audits cannot be read, so none are made: %s", error.message)
        if self._allowance is not None:
            self._allowance.limit_nanousd = limit_nanousd
        return self._watch.steps

    def consider(self, job: Job, scene: Audited, desk: Desk, committed: Committed) -> None:
        """Draw an answer that has ended whole, or do not; never waits, and never raises."""
        share, allowance = scene.audit.settings.share, self._allowance
        if share <= 0 or allowance is None or not job.decision.group:
            return
        if self._rng.random() >= share or len(self._tasks) >= AT_ONCE_MAX:
            return
        if _is_fit(job, committed):
            self._start(self._audit(job, scene, desk, committed, allowance))

    async def aclose(self) -> None:
        """Stop what is under way; its calls are booked as cancelled."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spent_since(self, since_ns: int) -> list[tuple[int, int]]:
        """Return (time, nano-USD) of each earlier attempt; the worst case where nobody knows."""
        spent = []
        for row in self._ledger.rows(since_ns=since_ns, policy=AUDIT):
            cost = row.settlement.cost_nanousd
            worst = row.intent.worst_case_nanousd or 0
            spent.append((row.intent.at_ns, worst if cost is None else cost))
        return spent

    def _start(self, audit: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(audit)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an audit failed in the router", exc_info=error)

    async def _audit(
        self, job: Job, scene: Audited, desk: Desk, committed: Committed, allowance: Allowance
    ) -> None:
        request_id = job.request.caller.request_id
        calls = Calls(scene, desk, request_id)
        names, audit = scene.snapshot.names, scene.audit
        step = calls.step(job.features, names[-1], audit.settings.max_tokens)
        if step is None:
            return
        reserved = self._reserved(job, step, audit, calls, allowance, desk.clock.wall_ns())
        if reserved is None:
            return
        routed = committed.answer
        is_down = committed.step.tier != step.tier
        try:
            strongest = await _shadow(job, step, calls) if is_down else routed
            case = Case(_conversation(job.request), _ask(job), routed, strongest)
            scores = await audit.judge.score(case, calls)
        except (GatewayError, NoVerdictError) as error:
            log.warning("audit of %s: no label: %s", request_id, error)
            return
        finally:
            allowance.settle(reserved, calls.charged_nanousd, desk.clock.wall_ns())
        answered_by = committed.step.deployment.id
        await self._count(
            job,
            AuditLabel(
                request_id=request_id,
                at_ns=desk.clock.wall_ns(),
                regime=audit.regime,
                group=job.decision.group,
                steps=audit.steps.get(job.decision.group, 0),
                steps_after=0,
                floor=audit.floor,
                judge=audit.judge.name,
                routed=answered_by,
                strongest=step.deployment.id if is_down else answered_by,
                quality_routed=scores[0],
                quality_strongest=scores[1],
            ),
        )

    def _reserved(
        self,
        job: Job,
        step: Step,
        audit: Auditing,
        calls: Calls,
        allowance: Allowance,
        now_ns: int,
    ) -> int | None:
        """Return what the audit may cost at most, taken from the day's money; None: not for it."""
        tokens_max = job.features.max_tokens or step.max_tokens or audit.settings.max_tokens
        judging = audit.judge.worst_case_nanousd(job.features, tokens_max, calls)
        if step.worst_case_nanousd is None or judging is None:
            self._tell_once(
                f"audit: what {step.deployment.id} or the judge may cost is not known, so"
                " audit.daily_usd cannot hold it, and nothing is audited; add its price"
            )
            return None
        worst = step.worst_case_nanousd + judging
        if allowance.reserve(worst, now_ns):
            return worst
        self._tell_once(
            f"audit: an audit may cost {format_usd(worst)}, and of audit.daily_usd ="
            f" {audit.settings.daily_usd:g} less is left; none is made until it fits again"
        )
        return None

    def _tell_once(self, text: str) -> None:
        what = text[:30]
        if what not in self._told:
            self._told.add(what)
            log.warning(text)

    async def _count(self, job: Job, label: AuditLabel) -> None:
        """Book a label, then count it: a restart that reads the labels comes to the same steps."""
        reading = encode_reading(job.features)
        async with self._counting:
            if label.regime != self._watch.regime:
                return
            before = self._watch.steps.get(label.group, 0)
            label = self._watch.counted(label)
            try:
                await self._ledger.book_audit(label, reading)
            except LedgerUnavailable as error:
                log.warning("audit of %s: no label: %s", label.request_id, error.message)
                return
            self._watch.add(label)
        if label.steps_after > before:
            log.warning(
                'audit: in the group "%s" the answers keep less than %.0f%% of the strongest'
                " tier's quality; its threshold is lowered (step %d)",
                label.group,
                label.floor * 100,
                label.steps_after,
            )
            self._on_step(self._watch.steps)


def _is_fit(job: Job, committed: Committed) -> bool:
    """Return whether the answer is one that can be compared."""
    answer = committed.answer
    return (
        not job.features.is_tool_loop
        and Need.IMAGES not in job.features.needs
        and answer.finish_reason == "stop"
        and not answer.tool_calls
        and 0 < len(answer.text) <= ANSWER_CHARS_MAX
    )


async def _shadow(job: Job, step: Step, calls: Calls) -> Draft:
    """Return the strongest tier's answer. Raises GatewayError; NoVerdictError for half a one."""
    answer = await calls.make(job.request, job.features, step, name=AUDIT, outcome="audited")
    if answer.finish_reason != "stop" or answer.tool_calls:
        raise NoVerdictError(f"{step.deployment.id} did not end its answer as a text")
    return answer


def _ask(job: Job) -> Ask:
    return Ask(
        features=job.features,
        decision=job.decision,
        response_format=job.request.response_format,
    )


def _conversation(request: Request) -> str:
    """Return what was said, the end of it where it is long; a single turn without its role."""
    turns = [f"[{turn.role}]\n{turn.text}" for turn in request.turns]
    if request.system:
        turns.insert(0, f"[system]\n{request.system}")
    said = request.turns[0].text if len(turns) == 1 and request.turns else "\n\n".join(turns)
    return said[-PROMPT_CHARS_MAX:]
