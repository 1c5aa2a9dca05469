"""Configuration commands: `init` and `check`. Each returns its exit status."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pointsman.access.environment import stated_keys
from pointsman.assembly import read_tuning
from pointsman.catalog import provider_row
from pointsman.commands.discovery import LocalServer, find_servers, local_addresses
from pointsman.commands.terminal import (
    BAD_INPUT,
    OK,
    AsJson,
    ConfigPath,
    complain,
    refuse,
    say,
    say_json,
)
from pointsman.config import (
    FILE_NAME,
    PriceSettings,
    Settings,
    TierSettings,
    find_config,
    key_variable,
    load_settings,
)
from pointsman.config.environment import providers_with_keys, starter_tiers
from pointsman.config.template import Draft, configuration_text
from pointsman.core.errors import ConfigError
from pointsman.core.types import Tier
from pointsman.deployments import price_book, resolve_tiers

if TYPE_CHECKING:
    pass

_LOCAL_TIER_TOKENS = 4_096


def init(
    path: Annotated[str, Parameter(help="File to write.")] = FILE_NAME,
    *,
    force: Annotated[bool, Parameter(negative="", help="Overwrite the file if it exists.")] = False,
    json: AsJson = False,
) -> int:
    """Write a commented pointsman.toml for the provider keys and local servers found here.

    Example: pointsman init
    """
    file = Path(path).expanduser()
    if file.exists() and not force:
        fault = ConfigError(f"{path}: exists already; add --force to overwrite it")
        return refuse(fault, json=json)
    names = providers_with_keys(os.environ)
    servers = find_servers(local_addresses(os.environ))
    draft = draft_configuration(names, servers)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(configuration_text(draft), "utf-8")
    except OSError as error:
        fault = ConfigError(f"{path}: cannot be written: {error.strerror}; choose another path")
        return refuse(fault, json=json)
    if json:
        say_json(
            {
                "path": path,
                "keys": {row.api_key_env: name for name in names if (row := provider_row(name))},
                "servers": servers,
                "tiers": {tier.name: tier.models for tier in draft.tiers},
            }
        )
        return OK
    say("\n".join([f"Wrote {path}.", *(f"  {note}" for note in draft.notes), _next_step(draft)]))
    return OK


def check(config: ConfigPath = None, *, json: AsJson = False) -> int:
    """Say whether the configuration can be served, and everything that is wrong with it.

    Example: pointsman check --config pointsman.toml
    """
    problems = _key_problems()
    try:
        found = find_config(config, os.environ)
        settings = load_settings(config, os.environ)
        read_tuning(settings.routing.scorer)
    except ConfigError as error:
        return _complain_of([*error.message.splitlines(), *problems], json=json)
    if problems:
        return _complain_of(problems, json=json)
    summary = _summary(settings, str(found) if found else "")
    if json:
        say_json(summary)
    else:
        say(_summary_text(summary))
    return OK


def draft_configuration(names: Sequence[str], servers: Sequence[LocalServer]) -> Draft:
    """Return what a first configuration switches on: `names` are providers that have a key.

    With no key, the first local server's first model is the one tier. With keys, it stands by at
    the end of the cheapest tier's chain, for nobody knows how good it is.
    """
    providers: dict[str, dict[str, str]] = {name: {} for name in names}
    providers |= {server.provider: _server_keys(server) for server in servers}
    tiers = list(starter_tiers(names))
    local = [f"{server.provider}/{server.models[0]}" for server in servers]
    if local and tiers:
        first = tiers[0]
        tiers[0] = TierSettings(first.name, [*first.models, *local], first.max_tokens)
    elif local:
        tiers = [TierSettings("fast", local, _LOCAL_TIER_TOKENS)]
    return Draft(
        providers=providers,
        tiers=tuple(tiers),
        prices={name: PriceSettings(input=0.0, output=0.0) for name in local},
        notes=_notes(names, servers),
    )


def _server_keys(server: LocalServer) -> dict[str, str]:
    row = provider_row(server.provider)
    return {} if row and row.base_url == server.base_url else {"base_url": server.base_url}


def _notes(names: Sequence[str], servers: Sequence[LocalServer]) -> tuple[str, ...]:
    rows = [row for name in names if (row := provider_row(name))]
    notes = [f"Found {row.api_key_env} in the environment: {row.title}." for row in rows]
    for server in servers:
        row = provider_row(server.provider)
        title = row.title if row else server.provider
        listed = ", ".join(f"{server.provider}/{model}" for model in server.models)
        notes.append(f"Found {title} at {server.base_url}: {listed}.")
    return tuple(notes) or ("Found no provider key and no local server: nothing is switched on.",)


def _next_step(draft: Draft) -> str:
    if draft.tiers:
        return "Next: `pointsman check`, then `pointsman serve`."
    return (
        "Next: export a provider's key, such as OPENAI_API_KEY=…, or start a local server such as"
        " Ollama,\nand run `pointsman init --force` again. Or fill in [[tiers]] by hand."
        " `pointsman demo` needs neither."
    )


def _key_problems() -> list[str]:
    """Return why the server would refuse the keys that its clients are to send."""
    try:
        stated_keys(os.environ)
    except ConfigError as error:
        return error.message.splitlines()
    return []


def _complain_of(problems: Sequence[str], *, json: bool) -> int:
    if not json:
        return complain(problems)
    say_json({"ok": False, "errors": problems})
    return BAD_INPUT


@dataclass(frozen=True, slots=True)
class _Summary:
    """What `check` says of a good configuration. `keys`: variables, and whether they are set."""

    file: str
    tiers: dict[str, list[str]]
    policy: str
    keys: dict[str, bool]
    prices_unknown: list[str]
    ok: bool = True


def _summary(settings: Settings, file: str) -> _Summary:
    tiers = _tiers(settings)
    deployments = {one.id: one for tier in tiers for one in tier.deployments}
    providers = dict.fromkeys(
        [*(one.provider for one in deployments.values()), *settings.providers]
    )
    variables = [variable for name in providers if (variable := key_variable(name, settings))]
    return _Summary(
        file=file,
        tiers={tier.name: [one.id for one in tier.deployments] for tier in tiers},
        policy=settings.routing.policy,
        keys={variable: bool(os.environ.get(variable)) for variable in variables},
        prices_unknown=[name for name, one in deployments.items() if one.price is None],
    )


def _summary_text(summary: _Summary) -> str:
    keys = [f"{name} {'set' if is_set else 'NOT set'}" for name, is_set in summary.keys.items()]
    lines = [
        f"ok: {summary.file or 'no file; tiers are built from the keys in the environment'}",
        *(f"tier {name}: {', '.join(chain)}" for name, chain in summary.tiers.items()),
        f"policy: {summary.policy}",
        f"keys: {', '.join(keys) or 'none needed'}",
    ]
    if summary.prices_unknown:
        unknown = ", ".join(summary.prices_unknown)
        lines.append(f"prices unknown: {unknown}; their cost is booked as unknown, not as nothing.")
        lines.append(f'  Remedy: add [prices."{summary.prices_unknown[0]}"] with input and output.')
    return "\n".join(lines)


def _tiers(settings: Settings) -> tuple[Tier, ...]:
    return resolve_tiers(settings, prices=price_book(settings), at=datetime.now(UTC))
