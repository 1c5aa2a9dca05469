"""Rules: what settings of the right shape must also keep to, so that they can be served."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping

from pointsman.access.environment import API_KEYS_ENV, has_stated_keys
from pointsman.access.opening import has_keys
from pointsman.audit.judges import judge_fault
from pointsman.cache import STORES, store_names
from pointsman.catalog import ProviderRow, provider_row, provider_rows
from pointsman.config.dialects import provider_way
from pointsman.config.file_paths import find_misplaced
from pointsman.config.keys import WORKERS_MAX
from pointsman.config.locate import KeyPath
from pointsman.config.problems import Problem, did_you_mean
from pointsman.config.provider_rules import (
    find_provider_faults,
    find_provider_lacks,
    variable_fault,
)
from pointsman.config.settings import ProviderSettings, Settings, TierBounds, split_model
from pointsman.core.errors import ConfigError
from pointsman.core.wire.openai_embeddings import SERVED_BY
from pointsman.extensions import entry_points
from pointsman.keeping import ALSO
from pointsman.ledger.opening import sqlite_file
from pointsman.policies.registry import is_policy, policy_names
from pointsman.providers.clients import is_installed

# Tiers and models travel in response headers, so: visible ASCII.
_NAME = re.compile(r"[!-~]+")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/]+")
_RESERVED_PARAMS = ("model", "messages", "input", "contents", "stream")
_VALIDATORS = "pointsman.validators"
_LEDGERS = "pointsman.ledgers"


def find_faults(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with the settings themselves, whatever the environment."""
    yield from find_provider_faults(settings)
    yield from _server(settings)
    yield from _tiers(settings)
    yield from _models(settings)
    yield from _embeddings(settings)
    yield from _routing(settings)
    yield from _prices(settings)
    yield from _validators(settings)
    yield from _audit(settings)
    yield from _budgets(settings)
    yield from _ledger(settings)
    yield from _cache(settings)


def find_lacks(settings: Settings, env: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what the environment lacks for serving these settings."""
    yield from find_provider_lacks(settings, env)
    yield from find_misplaced(settings)
    webhook = settings.budgets.webhook_env
    if webhook and not env.get(webhook, "").strip():
        text = "this environment variable is not set; export it, or leave this empty"
        if not variable_fault(webhook):
            yield Problem(("budgets", "webhook_env"), text, webhook)
    client = settings.upstream.http_client
    if not is_installed(client):
        text = f"{client} is not installed; run pip install 'pointsman[{client}]', or take this out"
        yield Problem(("upstream", "http_client"), text, client)
    if text := _exposure(settings, env):
        yield Problem(("server", "host"), text, settings.server.host)


def check_exposure(settings: Settings, env: Mapping[str, str]) -> None:
    """Raise ConfigError where others could reach the server and no key would keep them out."""
    if text := _exposure(settings, env):
        raise ConfigError(f'server.host = "{settings.server.host}": {text}')


def check_workers(settings: Settings) -> None:
    """Raise ConfigError where so many workers cannot serve these settings here."""
    if text := _workers(settings):
        raise ConfigError(f"server.workers = {settings.server.workers}: {text}")


def _server(settings: Settings) -> Iterator[Problem]:
    if text := _workers(settings):
        yield Problem(("server", "workers"), text, settings.server.workers)
    for index, host in enumerate(settings.server.hosts):
        if not _HOST.fullmatch(host):
            text = 'is no name of a host; write it without scheme and port, "gateway.example.com"'
            yield Problem(("server", "hosts", index), text, host)
    for index, origin in enumerate(settings.server.origins):
        if not _ORIGIN.fullmatch(origin):
            text = 'is no origin; write scheme, host and port, "https://app.example.com:8443"'
            yield Problem(("server", "origins", index), text, origin)


def _tiers(settings: Settings) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, tier in enumerate(settings.tiers):
        path: KeyPath = ("tiers", index, "name")
        if not _NAME.fullmatch(tier.name) or set(tier.name) & set("/:"):
            text = 'a tier\'s name is visible ASCII without "/" and ":"; rename it'
            yield Problem(path, text, tier.name)
        if tier.name in settings.routing.aliases:
            text = "is also one of routing.aliases; rename the tier or take the alias out"
            yield Problem(path, text, tier.name)
        if tier.name in seen:
            text = f"tiers[{seen[tier.name]}] has this name already; rename one of them"
            yield Problem(path, text, tier.name)
        seen.setdefault(tier.name, index)
        if not tier.models:
            text = 'the tier has no model; name one, such as "openai/gpt-4o-mini"'
            yield Problem(("tiers", index, "models"), text, tier.models)


def _models(settings: Settings) -> Iterator[Problem]:
    for index, tier in enumerate(settings.tiers):
        for position, (given, entry) in enumerate(zip(tier.models, tier.entries, strict=True)):
            path: KeyPath = ("tiers", index, "models", position)
            is_table = not isinstance(given, str)
            name_path = (*path, "model") if is_table else path
            provider, model = split_model(entry.model)
            if not provider or not model or not _NAME.fullmatch(entry.model):
                text = 'must be "provider/model", such as "openai/gpt-4o-mini"'
                yield Problem(name_path, text, entry.model)
            elif text := _provider_fault(provider, settings):
                yield Problem(name_path, text, entry.model)
            if entry.model in [earlier.model for earlier in tier.entries[:position]]:
                yield Problem(name_path, "stands in this tier already; take it out", entry.model)
            for param in _RESERVED_PARAMS:
                if param in entry.params:
                    yield Problem((*path, "params", param), "is pointsman's to set; take it out")


def _embeddings(settings: Settings) -> Iterator[Problem]:
    for position, name in enumerate(settings.embeddings.models):
        path: KeyPath = ("embeddings", "models", position)
        provider, model = split_model(name)
        if not provider or not model or not _NAME.fullmatch(name):
            text = 'must be "provider/model", such as "openai/text-embedding-3-small"'
            yield Problem(path, text, name)
        elif text := _provider_fault(provider, settings):
            yield Problem(path, text, name)
        elif _way(provider, settings).dialect not in SERVED_BY:
            text = f"embeddings need a provider of {' or '.join(sorted(SERVED_BY))}; take it out"
            yield Problem(path, text, name)


def _way(provider: str, settings: Settings) -> ProviderRow:
    return provider_way(provider, settings.providers.get(provider, ProviderSettings()))


def _provider_fault(provider: str, settings: Settings) -> str:
    if provider in settings.providers or provider_row(provider) is not None:
        return ""
    here = ", ".join(settings.providers) or "none"
    known = [*settings.providers, *provider_rows()]
    near = did_you_mean(provider, known) or f" Add [providers.{provider}] with its base_url."
    return f'no provider "{provider}"; known here: {here}, and those of the catalogue.{near}'


def _routing(settings: Settings) -> Iterator[Problem]:
    tiers = [tier.name for tier in settings.tiers]
    policy = settings.routing.policy
    name, colon, argument = policy.partition(":")
    has_fault = not is_policy(name) or (colon and not argument)
    if has_fault or (colon and name in {"learned", "signals", "cascade"}):
        known = policy_names()
        text = f"no such policy; there are: {', '.join(known)}.{did_you_mean(policy, known)}"
        yield Problem(("routing", "policy"), text, policy)
    elif name == "fixed" and argument not in tiers:
        text = f"fixed:<tier> names one of the tiers: {', '.join(tiers)}."
        yield Problem(("routing", "policy"), text + did_you_mean(argument, tiers), policy)
    for index, alias in enumerate(settings.routing.aliases):
        if not _NAME.fullmatch(alias) or ":" in alias:
            text = 'an alias is visible ASCII without ":", such as "auto"'
            yield Problem(("routing", "aliases", index), text, alias)
    for key, bounds in settings.routing.bounds.items():
        yield from _bounds(("routing", "bounds", key), bounds, tiers)
    default = settings.routing.signals.default
    if default and default not in tiers:
        text = f"no tier has this name; there are: {', '.join(tiers)}."
        yield Problem(
            ("routing", "signals", "default"), text + did_you_mean(default, tiers), default
        )


def _bounds(path: KeyPath, bounds: TierBounds, tiers: list[str]) -> Iterator[Problem]:
    for name in ("tier_min", "tier_max"):
        tier = getattr(bounds, name)
        if tier and tier not in tiers:
            text = f"no tier has this name; there are: {', '.join(tiers)}."
            yield Problem((*path, name), text + did_you_mean(tier, tiers), tier)
            return
    if bounds.tier_min and bounds.tier_max:
        weakest, strongest = tiers.index(bounds.tier_min), tiers.index(bounds.tier_max)
        if weakest > strongest:
            text = f"is stronger than tier_max, {bounds.tier_max}, so no tier is left; swap them"
            yield Problem((*path, "tier_min"), text, bounds.tier_min)


def _prices(settings: Settings) -> Iterator[Problem]:
    for name in settings.prices:
        provider, model = split_model(name)
        text = 'a price is for a "provider/model": write [prices."openai/gpt-4o-mini"]'
        if provider and model:
            text = _provider_fault(provider, settings)
        if text:
            yield Problem(("prices", name), text)


def _validators(settings: Settings) -> Iterator[Problem]:
    if not settings.validation.custom:
        return  # to look through what is installed takes as long as all the other rules
    installed = sorted({point.name for point in entry_points(group=_VALIDATORS)})
    for index, name in enumerate(settings.validation.custom):
        if name not in installed:
            there = ", ".join(installed) or "none"
            text = f"no installed package brings this validator; there are: {there}."
            yield Problem(
                ("validation", "custom", index), text + did_you_mean(name, installed), name
            )


def _audit(settings: Settings) -> Iterator[Problem]:
    judge = settings.audit.judge
    if fault := judge_fault(judge, [tier.name for tier in settings.tiers]):
        yield Problem(("audit", "judge"), fault, judge)


def _budgets(settings: Settings) -> Iterator[Problem]:
    for name in settings.budgets.tags:
        tag, equals, value = name.partition("=")
        if not (tag.strip() and equals and value.strip()):
            text = 'a tag is name=value: write [budgets.tags."team=search"]'
            yield Problem(("budgets", "tags", name), text)
    webhook = settings.budgets.webhook_env
    if webhook and variable_fault(webhook):
        text = (
            "must be the name of an environment variable, such as BUDGET_WEBHOOK; if this is the"
            " URL itself, export it under such a name, and take it out of the file"
        )
        yield Problem(("budgets", "webhook_env"), text)


def _ledger(settings: Settings) -> Iterator[Problem]:
    url = settings.ledger.url
    scheme, _, rest = url.partition("://")
    is_ours = scheme.lower() == "sqlite"
    known = ["sqlite"]
    if not is_ours:
        known += sorted({point.name for point in entry_points(group=_LEDGERS)})
    if scheme.lower() not in known or "://" not in url:
        text = f'must begin with one of {", ".join(known)}, such as "sqlite:///pointsman.db"'
        yield Problem(("ledger", "url"), text, url)
    elif is_ours and rest and not rest.startswith("/"):
        text = f'a path follows three slashes; write "sqlite:///{rest}"'
        yield Problem(("ledger", "url"), text, url)
    elif is_ours and set(rest) & set("?#"):
        yield Problem(("ledger", "url"), '"?" and "#" mean nothing here; leave them out', url)


def _cache(settings: Settings) -> Iterator[Problem]:
    cache = settings.cache
    path: KeyPath = ("cache", "store")
    if cache.store and cache.store not in STORES and cache.store not in store_names():
        known = store_names()
        text = f"no such store; there are: {', '.join(known)}.{did_you_mean(cache.store, known)}"
        yield Problem(path, text, cache.store)
    elif cache.store == "sqlite" and not cache.path:
        yield Problem(path, "needs a file; set cache.path", cache.store)
    elif cache.store == "memory" and cache.path:
        yield Problem(path, "keeps no file; take out this or cache.path", cache.store)
    for name in cache.also_keep:
        if name not in ALSO:
            text = f"no such answers; there are: {', '.join(ALSO)}.{did_you_mean(name, ALSO)}"
            yield Problem(("cache", "also_keep"), text, name)


def _workers(settings: Settings) -> str:
    workers, url = settings.server.workers, settings.ledger.url
    if not 1 <= workers <= WORKERS_MAX:
        return f"must be 1 to {WORKERS_MAX}"
    if workers == 1:
        return ""
    if not hasattr(os, "fork"):
        return "this system cannot fork processes; set it to 1"
    if url.lower().startswith("sqlite:") and sqlite_file(url) is None:
        return (
            "several workers need a ledger that all can write to, and this one is in memory; set"
            ' ledger.url to a file, "sqlite:///pointsman.db"'
        )
    return ""


def _exposure(settings: Settings, env: Mapping[str, str]) -> str:
    host, url = settings.server.host, settings.ledger.url
    if _is_loopback(host) or has_stated_keys(env) or has_keys(url):
        return ""
    return (
        "anyone who reaches this address could spend your money; make a key with `pointsman keys"
        f" create`, set {API_KEYS_ENV} to the keys that clients must send, or listen on 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
