"""`budgets`: what stands against each budget, and what attempts of unknown cost are to count."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from pointsman.access.opening import open_keys
from pointsman.budgets import Budgets
from pointsman.clock import SystemClock
from pointsman.commands.terminal import OK, AsJson, ConfigPath, note, refuse, say, say_json
from pointsman.config import Settings, load_settings
from pointsman.core.budgets import Budget, limits_at, tightened, windows_at
from pointsman.core.errors import GatewayError, RequestError
from pointsman.core.prices import format_usd, nanousd_from_usd
from pointsman.core.types import Caller
from pointsman.ledger import BudgetRow, Ledger, Row
from pointsman.ledger.opening import is_there, open_ledger

_NS_PER_S = 1_000_000_000

budgets = App(
    name="budgets",
    help=(
        "Show what is spent and held of each budget in this UTC day and month.\n\n"
        "An attempt of which nobody knows what it was charged counts with its worst case, until\n"
        "`budgets reconcile` states its cost.\n\n"
        "Example: pointsman budgets"
    ),
)


class Standing(msgspec.Struct, frozen=True):
    """One scope in one window, in nano-USD. `limit_nanousd` None: nothing limits it (any more)."""

    scope: str
    window: str
    spent_nanousd: int
    held_nanousd: int
    limit_nanousd: int | None


@budgets.default
def show(*, config: ConfigPath = None, json: AsJson = False) -> int:
    """Show what is spent and held of each budget.

    Example: pointsman budgets --json
    """
    try:
        found = tuple(_standings(load_settings(config, os.environ, needs_keys=False)))
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json({"budgets": found})
    elif found:
        _print_standings(found)
    else:
        note("There are no budgets. [budgets] in the configuration states some, as do keys.")
    return OK


@budgets.command
def reconcile(
    request_id: Annotated[str | None, Parameter(help="The request; without it, list them.")] = None,
    *,
    cost_usd: Annotated[
        str | None, Parameter(help="What each attempt cost, in USD: 0 where nothing was charged.")
    ] = None,
    every: Annotated[
        bool, Parameter(name="--all", negative="", help="All there are, not one request's.")
    ] = False,
    config: ConfigPath = None,
    json: AsJson = False,
) -> int:
    """List the attempts of unknown cost, or state what they cost, once and for all.

    Example: pointsman budgets reconcile req_0123 --cost-usd 0.0021
    """
    try:
        cost_nanousd = _read_cost(request_id, cost_usd, every=every)
        settings = load_settings(config, os.environ, needs_keys=False)
        found = asyncio.run(_reconcile(settings, request_id, cost_nanousd))
        if request_id is not None and not found:
            raise RequestError(f"request {request_id}: has no attempt of unknown cost")
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json({"attempts": [_facts(row, cost_nanousd) for row in found]})
        return OK
    for row in found:
        facts = _facts(row, cost_nanousd)
        say("  ".join(str(value) for value in facts.values()))
    what = "of unknown cost" if cost_nanousd is None else f"cost {format_usd(cost_nanousd)} each"
    note(f"{len(found)} attempts {what}.")
    return OK


@budgets.command
def rebuild(*, config: ConfigPath = None, json: AsJson = False) -> int:
    """Compute all sums anew from the ledger's rows, should they ever differ.

    Example: pointsman budgets rebuild
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        wrong = asyncio.run(_rebuild(settings)) if is_there(settings.ledger.url) else 0
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json({"wrong": wrong})
    else:
        say(f"{wrong} sums were wrong and are right now.")
    return OK


def _standings(settings: Settings) -> Iterator[Standing]:
    """Yield what stands against each budget, stated ones first, then what only the ledger knows."""
    now_ns = SystemClock().wall_ns()
    rows: dict[tuple[str, str], BudgetRow] = {}
    if is_there(settings.ledger.url):
        rows = {(row.scope, row.window): row for row in asyncio.run(_rows(settings))}
    for limit in limits_at(_stated(settings), now_ns):
        row = rows.pop((limit.scope, limit.window), BudgetRow(limit.scope, limit.window, 0, 0))
        yield _standing(row, limit.limit_nanousd)
    for row in rows.values():
        if row.window in windows_at(now_ns):
            yield _standing(row, None)


def _standing(row: BudgetRow, limit_nanousd: int | None) -> Standing:
    return Standing(row.scope, row.window, row.nanousd, row.held_nanousd, limit_nanousd)


def _stated(settings: Settings) -> tuple[Budget, ...]:
    stated = Budgets.of(settings.budgets, {})
    of_keys: list[Budget] = []
    store = open_keys(settings.ledger.url) if is_there(settings.ledger.url) else None
    if store is not None:
        with closing(store):
            for key in store.read().keys:
                if key.grant is not None and key.revoked_ns is None:
                    of_keys += stated.of_caller(Caller(tenant=key.name, grant=key.grant))
    return tightened((*stated.stated, *of_keys))


async def _rows(settings: Settings) -> tuple[BudgetRow, ...]:
    ledger = _ledger(settings)
    try:
        return tuple(ledger.budgets())
    finally:
        await ledger.close()


async def _rebuild(settings: Settings) -> int:
    ledger = _ledger(settings)
    try:
        return await ledger.rebuild_budgets()
    finally:
        await ledger.close()


async def _reconcile(
    settings: Settings, request_id: str | None, cost_nanousd: int | None
) -> tuple[Row, ...]:
    """Return the attempts of unknown cost, of one request or of all; state it where it is given."""
    if not is_there(settings.ledger.url):
        return ()
    ledger = _ledger(settings)
    try:
        found = tuple(
            row
            for row in ledger.rows(state="unknown")
            if row.settlement.cost_nanousd is None and request_id in (None, row.intent.request_id)
        )
        if cost_nanousd is not None:
            for row in found:
                await ledger.reconcile(row.intent.request_id, row.intent.attempt, cost_nanousd)
        return found
    finally:
        await ledger.close()


def _ledger(settings: Settings) -> Ledger:
    return open_ledger(settings.ledger.url, durability=settings.ledger.durability)


def _read_cost(request_id: str | None, cost_usd: str | None, *, every: bool) -> int | None:
    """Return the cost in nano-USD, None where nothing is to be stated. Raises RequestError."""
    if request_id is not None and every:
        raise RequestError("a request and --all: only one of them can be meant; leave one out")
    if (request_id is not None or every) and cost_usd is None:
        raise RequestError("--cost-usd is missing; write 0 where nothing was charged")
    if cost_usd is None:
        return None
    if request_id is None and not every:
        raise RequestError("--cost-usd of what? name a request, or say --all")
    try:
        cost = Decimal(cost_usd)
    except InvalidOperation:
        cost = Decimal("NaN")
    if not cost.is_finite() or cost < 0:
        raise RequestError(f"--cost-usd {cost_usd}: must be a number of USD, 0 or more")
    return nanousd_from_usd(cost)


def _facts(row: Row, cost_nanousd: int | None) -> dict[str, object]:
    intent = row.intent
    at = datetime.fromtimestamp(intent.at_ns // _NS_PER_S, UTC)
    counted = intent.worst_case_nanousd if cost_nanousd is None else cost_nanousd
    return {
        "request_id": intent.request_id,
        "attempt": intent.attempt,
        "at": at.isoformat(timespec="seconds"),
        "key": intent.key,
        "deployment": intent.deployment,
        "why": row.settlement.error or row.settlement.outcome,
        "counts_nanousd": counted,
    }


def _print_standings(found: Sequence[Standing]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for name in ("budget", "window (UTC)", "spent", "held", "limit", "used"):
        table.add_column(name, justify="left" if name[0] in "bw" else "right")
    for each in found:
        used = each.spent_nanousd + each.held_nanousd
        limit = each.limit_nanousd
        table.add_row(
            each.scope,
            each.window,
            format_usd(each.spent_nanousd),
            format_usd(each.held_nanousd),
            "none" if limit is None else format_usd(limit),
            f"{used / limit:.0%}" if limit else "",
        )
    Console().print(table)
