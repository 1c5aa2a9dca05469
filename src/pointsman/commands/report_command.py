"""`report`: what was spent and saved, from the ledger."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from cyclopts import Parameter

from pointsman.assembly import policy_settings
from pointsman.commands.terminal import OK, AsJson, ConfigPath, complain, refuse, say
from pointsman.config import load_settings
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.deployments import price_book, resolve_tiers
from pointsman.ledger.opening import open_ledger
from pointsman.policies import quality_proof
from pointsman.policies.registry import build_policy
from pointsman.report import Report, build_report
from pointsman.report_views import to_csv, to_json, to_terminal

_NS_PER_S = 1_000_000_000
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def report(
    *,
    by: Annotated[
        Literal["tier", "model", "key", "tag", "day"] | None,
        Parameter(help="Also sum by this."),
    ] = None,
    since: Annotated[
        str | None,
        Parameter(help="A UTC day or time, or a span such as 24h, 7d, 2w; else today."),
    ] = None,
    json: AsJson = False,
    csv: Annotated[bool, Parameter(negative="", help="Print CSV for spreadsheets.")] = False,
    config: ConfigPath = None,
) -> int:
    """Show what was spent, and what the same requests would have cost elsewhere.

    Example: pointsman report --by model --since 7d
    """
    if json and csv:
        return complain(["--json and --csv: only one of them can be printed; leave one out"])
    try:
        made = asyncio.run(_report(by, since, config))
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say(to_json(made).decode())
    elif csv:
        sys.stdout.write(to_csv(made))
    else:
        from rich.console import Console

        to_terminal(made, Console())
    return OK


def since_ns(stated: str | None, now: datetime) -> int:
    """Return a start in Unix nanoseconds: a time, a span back from `now`, None for its midnight.

    Raises ConfigError for what is neither.
    """
    if stated is None:
        start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    elif stated[:-1].isdecimal() and stated[-1:] in _UNITS:
        start = now - timedelta(**{_UNITS[stated[-1]]: int(stated[:-1])})
    else:
        try:
            start = datetime.fromisoformat(stated)
        except ValueError as error:
            raise ConfigError(
                f'--since "{stated}": write a day such as 2026-11-23, or a span such as 7d'
            ) from error
    return int(start.replace(tzinfo=start.tzinfo or UTC).timestamp()) * _NS_PER_S


async def _report(by: str | None, since: str | None, config: str | None) -> Report:
    settings = load_settings(config, os.environ, needs_keys=False)
    now = datetime.now(UTC)
    start_ns = since_ns(since, now)
    tiers = resolve_tiers(settings, prices=price_book(settings), at=now)
    policy = build_policy(settings.routing.policy, policy_settings(settings))
    ledger = open_ledger(settings.ledger.url, durability=settings.ledger.durability)
    try:
        return build_report(
            ledger.rows(since_ns=start_ns),
            tiers=tiers,
            by=by,
            since_ns=start_ns,
            audits=ledger.audits(),
            quality_proof=quality_proof(policy, tiers),
        )
    finally:
        await ledger.close()
