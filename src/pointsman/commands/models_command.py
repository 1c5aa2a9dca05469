"""`models`: what clients may ask for."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pointsman.assembly import build_routing
from pointsman.clock import SystemClock
from pointsman.commands.terminal import OK, AsJson, ConfigPath, refuse, say_json
from pointsman.config import load_settings
from pointsman.core.errors import ConfigError
from pointsman.core.prices import format_usd
from pointsman.core.types import Deployment, Snapshot

if TYPE_CHECKING:
    from rich.table import Table

_HEADINGS = (
    *("model", "context", "images", "tools", "schema"),
    *("input $/M", "output $/M", "price from", "key"),
)
_WIDTH_WITHOUT_TERMINAL = 200


def models(config: ConfigPath = None, *, json: AsJson = False) -> int:
    """List what clients may ask for: aliases, tiers and models, with abilities and prices.

    Those "also by name" stand in no tier: the catalogue's other models of the providers in use.
    Prices are in USD per million tokens.

    Example: pointsman models --json
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        snapshot = build_routing(settings, os.environ, clock=SystemClock()).snapshot
    except ConfigError as error:
        return refuse(error, json=json)
    if json:
        say_json(
            {
                "aliases": settings.routing.aliases,
                "tiers": [
                    {"name": tier.name, "models": [_facts(one) for one in tier.deployments]}
                    for tier in snapshot.tiers
                ],
                "also_by_name": [_facts(one) for one in snapshot.others],
            }
        )
    else:
        _print_models(settings.routing.aliases, snapshot)
    return OK


def _facts(deployment: Deployment) -> dict[str, object]:
    price, can = deployment.price, deployment.capability
    return {
        "model": deployment.id,
        "context_tokens": can.context_tokens,
        "images": can.images,
        "tools": can.tools,
        "json_schema": can.json_schema,
        "input_usd_per_mtok": price.input_nanousd_per_mtok / 1e9 if price else None,
        "output_usd_per_mtok": price.output_nanousd_per_mtok / 1e9 if price else None,
        "price_version": price.version if price else None,
        "api_key_env": deployment.api_key_env,
        "is_key_set": _is_key_set(deployment),
    }


def _is_key_set(deployment: Deployment) -> bool:
    return not deployment.api_key_env or bool(os.environ.get(deployment.api_key_env))


def _print_models(aliases: Sequence[str], snapshot: Snapshot) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    )
    console.print(Text(f"aliases: {', '.join(aliases) or 'none'}"))
    in_tiers = [
        ("" if index else tier.name, *_cells(deployment))
        for tier in snapshot.tiers
        for index, deployment in enumerate(tier.deployments)
    ]
    console.print(_table(("tier", *_HEADINGS), in_tiers))
    if snapshot.others:
        console.print(Text("also by name:"))
        console.print(_table(_HEADINGS, [_cells(deployment) for deployment in snapshot.others]))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if "$" in heading else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _cells(deployment: Deployment) -> tuple[str, ...]:
    price, can = deployment.price, deployment.capability
    context = "?" if can.context_tokens is None else f"{can.context_tokens:,}"
    abilities = ("?" if it is None else "yes" if it else "no" for it in _abilities(deployment))
    if not deployment.api_key_env:
        key = "none needed"
    else:
        key = f"{deployment.api_key_env} {'set' if _is_key_set(deployment) else 'NOT set'}"
    return (
        deployment.id,
        context,
        *abilities,
        format_usd(price.input_nanousd_per_mtok if price else None),
        format_usd(price.output_nanousd_per_mtok if price else None),
        price.version if price else "",
        key,
    )


def _abilities(deployment: Deployment) -> tuple[bool | None, ...]:
    can = deployment.capability
    return (can.images, can.tools, can.json_schema)
