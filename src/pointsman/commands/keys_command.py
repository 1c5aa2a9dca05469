"""`keys`: makes, lists, revokes and rotates the keys that clients send."""

import os
from contextlib import closing
from typing import Annotated

from cyclopts import App, Parameter

from pointsman.access import Key, KeyStore
from pointsman.access.environment import has_stated_keys, stated_keys
from pointsman.access.opening import has_keys, open_keys
from pointsman.assembly import build_routing
from pointsman.clock import SystemClock
from pointsman.commands.key_grants import (
    Bounds,
    read_expiry,
    read_grace_ns,
    told_time,
)
from pointsman.commands.terminal import OK, AsJson, ConfigPath, note, refuse, say, say_json
from pointsman.config import Settings, load_settings
from pointsman.core.errors import ConfigError, GatewayError, RequestError
from pointsman.core.grants import CLIENT_SCOPES, Grant
from pointsman.core.prices import format_usd
from pointsman.ledger.opening import is_there

_ONCE = "This is the only time that it is shown; all that is kept of it is a digest."

Name = Annotated[str, Parameter(help="The key's name, and so its tenant's: a-z, 0-9, '.-_'.")]

keys = App(
    name="keys",
    help=(
        "Make, list, revoke and rotate the keys that clients send.\n\n"
        "A key's name is its tenant: cache, conversations and budgets go by it. It is given once,\n"
        "so that nobody inherits them. A running server takes a change within a second.\n"
        "Each command prints JSON for machines with --json.\n\n"
        "Example: pointsman keys create web --tier fast --daily-usd 5"
    ),
)


@keys.command
def create(
    name: Name,
    *,
    bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
    expires: Annotated[
        str | None, Parameter(help="A span such as 30d, or a UTC day or time; else never.")
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
) -> int:
    """Make a key and print it, this once. Nobody can read it again; `keys rotate` makes another.

    An option that takes several is given once for each of them.

    Example: pointsman keys create web --tier fast --tier mid --daily-usd 5 --tag team=web
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        now_ns = SystemClock().wall_ns()
        tiers, models = _known_names(settings)
        grant = bounds.grant(tiers=tiers, models=models)
        expires_ns = read_expiry(expires, now_ns)
        if name in stated_keys(os.environ).names:
            raise RequestError(f'key "{name}": the environment has one of the name; take another')
        is_first = not has_stated_keys(os.environ) and not has_keys(settings.ledger.url)
        with closing(_store(settings)) as store:
            secret = store.create(name, grant, now_ns=now_ns, expires_ns=expires_ns)
    except GatewayError as error:
        return refuse(error, json=json)
    if is_first:
        note("It is the first: servers of this ledger took everybody, and now ask for a key.")
    return _tell_secret(name, secret, json=json, more={"grant": grant, "expires": expires_ns})


@keys.command(name="list")
def list_keys(*, config: ConfigPath = None, json: AsJson = False) -> int:
    """List the keys there are and were, with what they may do. Their secrets nobody knows.

    Example: pointsman keys list
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        found: tuple[Key, ...] = ()
        with closing(_store(settings)) as store:
            if is_there(settings.ledger.url):
                found = store.read().keys
    except GatewayError as error:
        return refuse(error, json=json)
    now_ns = SystemClock().wall_ns()
    if json:
        say_json({"keys": [_facts(key, now_ns) for key in found]})
    elif found:
        _print_table(found, now_ns)
    else:
        note("There are no keys. `pointsman keys create NAME` makes one.")
    return OK


@keys.command
def revoke(name: Name, *, config: ConfigPath = None, json: AsJson = False) -> int:
    """End a key for ever. Running servers refuse it within a second; what it began goes on.

    Example: pointsman keys revoke web
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        with closing(_existing(settings, name)) as store:
            revoked = store.revoke(name, now_ns=SystemClock().wall_ns())
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json({"name": name, "revoked": told_time(revoked.revoked_ns)})
    else:
        say(f'Key "{name}" is revoked since {told_time(revoked.revoked_ns)}.')
    return OK


@keys.command
def rotate(
    name: Name,
    *,
    grace: Annotated[
        str, Parameter(help="How long the old one is taken too, such as 24h; 0: it ends at once.")
    ] = "0",
    config: ConfigPath = None,
    json: AsJson = False,
) -> int:
    """Give a key another secret and print it, this once; its name and all else stay.

    Example: pointsman keys rotate web --grace 24h
    """
    try:
        grace_ns = read_grace_ns(grace)
        settings = load_settings(config, os.environ, needs_keys=False)
        now_ns = SystemClock().wall_ns()
        old_until_ns = now_ns + grace_ns if grace_ns else None
        with closing(_existing(settings, name)) as store:
            secret = store.rotate(name, now_ns=now_ns, old_until_ns=old_until_ns)
    except GatewayError as error:
        return refuse(error, json=json)
    return _tell_secret(name, secret, json=json, more={"old_until": old_until_ns})


def _known_names(settings: Settings) -> tuple[set[str], set[str]]:
    """Return the names of all tiers and of all models that are configured."""
    routing = build_routing(settings, os.environ, clock=SystemClock())
    tiers = (*routing.snapshot.tiers, *routing.embedders.tiers)
    models = {deployment.id for tier in tiers for deployment in tier.deployments}
    others = {deployment.id for deployment in routing.snapshot.others}
    return {tier.name for tier in tiers}, models | others


def _store(settings: Settings) -> KeyStore:
    """Return the store of the ledger's keys. Raises ConfigError where it keeps none."""
    store = open_keys(settings.ledger.url)
    if store is None:
        raise ConfigError(
            f'[ledger] url "{settings.ledger.url}": keeps no keys; set it to a file, such as'
            ' "sqlite:///pointsman.db", or set POINTSMAN_API_KEYS instead'
        )
    return store


def _existing(settings: Settings, name: str) -> KeyStore:
    """Return the store where there is one: looking for a key is no reason to make a file."""
    store = _store(settings)
    if not is_there(settings.ledger.url):
        raise RequestError(f"key {name[:80]!r}: there is none; see `pointsman keys list`")
    return store


def _tell_secret(name: str, secret: str, *, json: bool, more: dict[str, object]) -> int:
    """Print a new secret: alone on standard output, so that a script can take it."""
    times = {"expires", "old_until"}
    told = {k: told_time(v) if k in times and isinstance(v, int) else v for k, v in more.items()}
    if json:
        say_json({"name": name, "secret": secret, **told})
        return OK
    note(f'Key "{name}". {_ONCE}')
    if told.get("old_until"):
        note(f"The old one is taken until {told['old_until']}.")
    if told.get("expires"):
        note(f"It expires at {told['expires']}.")
    say(secret)
    return OK


def _state(key: Key, now_ns: int) -> str:
    if key.revoked_ns is not None:
        return "revoked"
    return "expired" if key.expires_ns is not None and key.expires_ns <= now_ns else "active"


def _facts(key: Key, now_ns: int) -> dict[str, object]:
    is_rotating = key.old_until_ns is not None and key.old_until_ns > now_ns
    return {
        "name": key.name,
        "state": _state(key, now_ns),
        "created": told_time(key.created_ns),
        "expires": told_time(key.expires_ns),
        "revoked": told_time(key.revoked_ns),
        "old_until": told_time(key.old_until_ns) if is_rotating else None,
        "grant": key.grant,
    }


def _print_table(found: tuple[Key, ...], now_ns: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("key", "state", "created", "ends", "may use", "limits", "tags"):
        table.add_column(heading)
    for key in found:
        ends = told_time(key.revoked_ns) or told_time(key.expires_ns) or "never"
        cells = (key.name, _state(key, now_ns), told_time(key.created_ns) or "", ends)
        table.add_row(*(Text(cell) for cell in (*cells, *_told_grant(key.grant))))
    Console(width=None if os.isatty(1) else 200).print(table)


def _told_grant(grant: Grant | None) -> tuple[str, str, str]:
    """Return what a key may use, its limits and its tags, in words."""
    if grant is None:
        return "cannot be read", "", ""
    scopes = "" if grant.scopes == CLIENT_SCOPES else f"; scopes {', '.join(sorted(grant.scopes))}"
    limits: dict[str, int | None] = {
        "requests/min": grant.requests_per_minute,
        "tokens/min": grant.tokens_per_minute,
        "at once": grant.concurrency,
    }
    limits |= {f"calls of {name} a day": most for name, most in grant.tier_calls_per_day.items()}
    money = {"a day": grant.day_nanousd, "a month": grant.month_nanousd}
    told = [f"{value:,} {unit}" for unit, value in limits.items() if value is not None]
    told += [f"{format_usd(value)} {unit}" for unit, value in money.items() if value is not None]
    tags = ", ".join(f"{name}={value}" for name, value in sorted(grant.tags.items()))
    return (", ".join((*grant.tiers, *grant.models)) or "all") + scopes, ", ".join(told), tags
