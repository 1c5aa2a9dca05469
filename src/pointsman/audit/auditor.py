"""Auditor: has a share of the answers checked against the strongest tier, after they have gone out.

The floor is a promise about all requests of a group whose threshold decided. So of these the same
share is drawn whether they went down or not: one that the strongest tier answered counts with its
own quality on both sides and calls nobody, one that went down is asked again of the strongest tier.
A sample is given up, of either kind alike, where too many audits run or the day's money is spent:
what is left stays a fair sample.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from random import Random

from pointsman.attempt import Desk, Job
from pointsman.audit.allowance import DAY_NS, Allowance
from pointsman.audit.calls import Calls
from pointsman.audit.drawn import Audited, Auditing, Drawn, draw
from pointsman.audit.judges import NoVerdictError
from pointsman.audit.readings import encode_reading
from pointsman.audit.watch import Standing, Watch
from pointsman.clock import Clock
from pointsman.core.errors import GatewayError, LedgerUnavailable
from pointsman.core.prices import format_usd
from pointsman.core.secret import unsaid
from pointsman.gate import Committed
from pointsman.ledger import AUDIT, AuditLabel, Ledger

AT_ONCE_MAX = 4
_NANOUSD_PER_USD = 1e9

log = logging.getLogger("pointsman")


class Auditor:
    """Draws, pays and counts. `on_step` is told of the steps whenever a threshold goes down.

    One of several `workers` of a server spends its part of the day's money. It tells of each label
    by `on_label`, and where it hears of another's, `reread` has it count.

    Belongs to one event loop. Close it before the providers and the ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        rng: Random,
        on_step: Callable[[Mapping[str, int]], None],
        *,
        workers: int = 1,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._rng = rng
        self._on_step = on_step
        self._workers = workers
        self.on_label: Callable[[], None] = _nobody
        self._watch = Watch("")
        self._allowance: Allowance | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rereads: set[asyncio.Task[None]] = set()
        self._counting = asyncio.Lock()
        self._told_at_ns: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Return how many audits are under way."""
        return len(self._tasks)

    def standings(self) -> tuple[Standing, ...]:
        """Return what is known of each group that has a label."""
        return self._watch.standings()

    def adopt(self, audit: Auditing) -> Mapping[str, int]:
        """Take a new configuration; return the steps that the audits so far have come to.

        They hold while the configuration says the same of the floor, audits switched off or not.
        """
        self._told_at_ns.clear()
        limit_nanousd = round(audit.settings.daily_usd * _NANOUSD_PER_USD) // self._workers
        try:
            if audit.regime != self._watch.regime:
                self._watch = Watch(audit.regime)  # stands if the labels cannot be read
                self._watch = Watch(audit.regime, self._ledger.audits())
            if self._allowance is None and audit.settings.share > 0:
                since_ns = self._clock.wall_ns() - DAY_NS
                self._allowance = Allowance(limit_nanousd, self._spent(since_ns))
        except LedgerUnavailable as error:
            log.error("audit: what earlier audits found cannot be read: %s", error.message)
        if self._allowance is not None:
            self._allowance.limit_nanousd = limit_nanousd
        return self._watch.steps

    def consider(self, job: Job, scene: Audited, desk: Desk, committed: Committed) -> None:
        """Draw an answer that has ended whole, or do not. Never waits."""
        share, allowance = scene.audit.settings.share, self._allowance
        if share <= 0 or allowance is None or not job.decision.group:
            return
        if self._rng.random() < share and len(self._tasks) < AT_ONCE_MAX:
            calls = Calls(scene, desk, job.request.caller.request_id)
            task = asyncio.create_task(self._audit(job, scene, committed, calls, allowance))
            self._tasks.add(task)
            task.add_done_callback(self._forget)

    def begin_reread(self) -> None:
        """Begin to count what other workers have found."""
        task = asyncio.create_task(self.reread())
        self._rereads.add(task)
        task.add_done_callback(self._rereads.discard)

    async def reread(self) -> None:
        """Count what other workers have found, from the ledger."""
        async with self._counting:
            before, regime = self._watch.steps, self._watch.regime
            try:
                watch = await asyncio.to_thread(lambda: Watch(regime, self._ledger.audits()))
            except LedgerUnavailable as error:
                log.error("audit: what other workers found cannot be read: %s", error.message)
                return
            if regime == self._watch.regime:  # no reload has come between
                self._watch = watch
        if self._watch.steps != before:
            self._on_step(self._watch.steps)

    async def aclose(self) -> None:
        """Stop what is under way; its calls are booked as cancelled."""
        tasks = (*self._tasks, *self._rereads)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spent(self, since_ns: int) -> list[tuple[int, int]]:
        """Return (time, nano-USD) of each earlier attempt; the worst case where nobody knows.

        Of several workers each counts an even part of it, for nobody knows whose it was.
        """
        spent = []
        for row in self._ledger.rows(since_ns=since_ns, policy=AUDIT):
            cost = row.settlement.cost_nanousd
            worst = row.intent.worst_case_nanousd or 0
            nanousd = worst if cost is None else cost
            spent.append((row.intent.at_ns, -(-nanousd // self._workers)))
        return spent

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an audit failed in the router", exc_info=unsaid(error))

    async def _audit(
        self, job: Job, scene: Audited, committed: Committed, calls: Calls, allowance: Allowance
    ) -> None:
        """Have a drawn answer judged within the day's money, and count its label."""
        drawn = draw(job, scene, committed, calls)
        if drawn is None:
            return
        try:
            worst = drawn.worst_case_nanousd()
            if worst is None or not allowance.reserve(worst, self._clock.wall_ns()):
                self._tell_of_money(drawn, worst)
                return
            try:
                scores = await drawn.scores()
            finally:
                allowance.settle(worst, calls.charged_nanousd, self._clock.wall_ns())
            await self._count(drawn, scores)
        except (GatewayError, NoVerdictError) as error:
            log.warning("audit of %s: no label: %s", job.request.caller.request_id, error)

    async def _count(self, drawn: Drawn, scores: tuple[float, float]) -> None:
        """Book a label, then count it: a restart that reads the labels comes to the same steps.

        Raises LedgerUnavailable; then it does not count.
        """
        reading = encode_reading(drawn.job.features)
        async with self._counting:
            label = drawn.label(scores, self._clock.wall_ns())
            if label.regime != self._watch.regime:
                return
            before = self._watch.steps.get(label.group, 0)
            label = self._watch.counted(label)
            await self._ledger.book_audit(label, reading)
            self._watch.add(label)
        self.on_label()
        if label.steps_after > before:
            _tell_of_step(label)
            self._on_step(self._watch.steps)

    def _tell_of_money(self, drawn: Drawn, worst_nanousd: int | None) -> None:
        """Log why nothing is audited, each reason once a day."""
        name = drawn.step.deployment.id
        if worst_nanousd is None:
            reason, text = "price", f"the price of {name} or of the judge is not known; add it"
        else:
            reason = "money"
            text = (
                f"an audit may cost {format_usd(worst_nanousd)}, and less is left of"
                f" audit.daily_usd = {drawn.audit.settings.daily_usd:g}"
            )
        now_ns = self._clock.wall_ns()
        if now_ns - self._told_at_ns.get(reason, -DAY_NS) >= DAY_NS:
            self._told_at_ns[reason] = now_ns
            log.warning("audit: none is made: %s", text)


def _nobody() -> None:
    """Tell nobody: there is one process."""


def _tell_of_step(label: AuditLabel) -> None:
    log.warning(
        'audit: in the group "%s" the answers keep less than %.0f%% of the strongest tier\'s'
        " quality; its threshold is lowered (step %d)",
        label.group,
        label.floor * 100,
        label.steps_after,
    )
