"""Replay session: what a replay is to cost, the question whether it may, and the run."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pointsman.attempt import Desk
from pointsman.audit.calls import Calls
from pointsman.audit.judges import judge_fault
from pointsman.clock import SystemClock
from pointsman.compare.formats import open_log
from pointsman.compare.records import LeftOut
from pointsman.core.errors import ConfigError
from pointsman.core.prices import format_usd
from pointsman.core.types import Snapshot
from pointsman.library import AsyncRouter
from pointsman.training.judging import choose_judge
from pointsman.training.replay import (
    Drawn,
    Replayed,
    draw_requests,
    estimate_judging_nanousd,
    estimate_nanousd,
    read_done,
    replay,
)

_MARGIN = 1.5  # of the estimate: what may be spent where --max-usd says nothing
_NANOUSD = 1_000_000_000
_USD_MAX = 1_000_000
_TIER_JUDGE = "tier:"

# Asks a person; returns whether to go on.
Confirm = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Replaying:
    """What `--replay` was called with. `max_usd` None: half as much again as is estimated."""

    log: Path
    judge: str
    out: Path
    limit: int
    max_usd: float | None = None


def run_replay(
    wanted: Replaying,
    router: AsyncRouter,
    confirm: Confirm,
    tick: Callable[[str], None] = lambda _: None,
) -> Replayed:
    """Replay what an earlier run has not, once the question is answered with yes.

    Raises ConfigError where it is answered with no, or something is not as it must be.
    """
    if wanted.max_usd is not None and not 0 < wanted.max_usd <= _USD_MAX:  # which nan is not
        raise ConfigError(
            f"--max-usd {wanted.max_usd:g}: give a sum above 0 and of at most {_USD_MAX:,}"
        )
    routing = router.pipeline.routing
    drawn = draw_requests(open_log(wanted.log, LeftOut()), wanted.limit)
    earlier = read_done(wanted.out)
    left = [it for it in drawn if it.id not in earlier]
    if not left:
        return Replayed()
    if fault := judge_fault(wanted.judge, routing.snapshot.names):
        raise ConfigError(f'--judge "{wanted.judge}": {fault}')
    estimate = estimate_nanousd(left, routing.snapshot) + _judging(wanted, left, routing.snapshot)
    bound = round(wanted.max_usd * _NANOUSD) if wanted.max_usd is not None else None
    spent_max = round(estimate * _MARGIN) if bound is None else bound
    told = _question(wanted, left, len(drawn), routing.snapshot, estimate, spent_max)
    if not confirm(told):
        raise ConfigError("--replay: not confirmed; nothing was sent")
    return asyncio.run(_replay(wanted, router, left, spent_max, tick))


def _judging(wanted: Replaying, left: Sequence[Drawn], snapshot: Snapshot) -> int:
    if not wanted.judge.startswith(_TIER_JUDGE):
        return 0
    tier = wanted.judge.removeprefix(_TIER_JUDGE)
    return estimate_judging_nanousd(left, snapshot, tier)


async def _replay(
    wanted: Replaying,
    router: AsyncRouter,
    left: Sequence[Drawn],
    spent_max_nanousd: int,
    tick: Callable[[str], None],
) -> Replayed:
    pipeline = router.pipeline
    routing = pipeline.routing
    desk = Desk(
        pipeline.stores.ledger,
        SystemClock(),
        pipeline.health,
        pipeline.meter,
        routing.price_of,
        lambda *_: None,
    )
    made: list[Calls] = []

    def calls(request_id: str) -> Calls:
        made.append(Calls(routing, desk, request_id))
        return made[-1]

    async with router:
        return await replay(
            left,
            routing.snapshot,
            router,
            choose_judge(wanted.judge, routing.checks.validators, routing.snapshot.names, calls),
            out=wanted.out,
            spent_max_nanousd=spent_max_nanousd,
            judged_nanousd=lambda: sum(it.charged_nanousd for it in made),
            tick=lambda count: tick(f"{count:,} of {len(left):,} requests answered"),
        )


def _question(
    wanted: Replaying,
    left: Sequence[Drawn],
    drawn: int,
    snapshot: Snapshot,
    estimate_nanousd: int,
    spent_max_nanousd: int,
) -> str:
    """Return what is going to happen, for a person to say yes to."""
    earlier = f" ({drawn - len(left):,} more are answered already)" if drawn > len(left) else ""
    is_paid = wanted.judge.startswith(_TIER_JUDGE)
    judged = ", judging included" if is_paid else ", and judging is free"
    return (
        f"{len(left):,} requests{earlier} go to each of {', '.join(snapshot.names)}: about"
        f" {format_usd(estimate_nanousd)} (estimated from their tokens{judged}); it ends before"
        f" more than {format_usd(spent_max_nanousd)} are spent. Outcomes go to {wanted.out}."
    )
