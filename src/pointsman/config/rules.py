"""Rules: what settings of the right shape must also keep to, so that they can be served."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from pointsman.audit.judges import judge_fault
from pointsman.cache import store_names
from pointsman.catalog import (
    ProviderRow,
    filled_url,
    is_url_part,
    provider_row,
    provider_rows,
    url_variables,
)
from pointsman.config.dialects import key_variable, provider_way, upstream_dialects
from pointsman.config.file_paths import find_misplaced
from pointsman.config.headers import find_header_faults
from pointsman.config.locate import KeyPath
from pointsman.config.problems import Problem, did_you_mean
from pointsman.config.secrecy import is_telling, looks_like_secret, looks_random
from pointsman.config.settings import ProviderSettings, Settings, TierBounds, split_model
from pointsman.core.errors import ConfigError
from pointsman.core.wire.openai_embeddings import SERVED_BY
from pointsman.policies.registry import policy_names
from pointsman.providers import installed_kinds

API_KEYS_ENV = "POINTSMAN_API_KEYS"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Tiers and models travel in response headers, so: visible ASCII.
_NAME = re.compile(r"[!-~]+")
_RESERVED_PARAMS = ("model", "messages", "stream")
_VALIDATORS = "pointsman.validators"
_LEDGERS = "pointsman.ledgers"


def find_faults(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with the settings themselves, whatever the environment."""
    yield from _providers(settings)
    yield from _tiers(settings)
    yield from _models(settings)
    yield from _embeddings(settings)
    yield from _routing(settings)
    yield from _prices(settings)
    yield from _validators(settings)
    yield from _audit(settings)
    yield from _ledger(settings)
    yield from _cache(settings)


def find_lacks(settings: Settings, env: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what the environment lacks for serving these settings."""
    yield from _missing_keys(settings, env)
    yield from _missing_addresses(settings, env)
    yield from find_misplaced(settings)
    host = settings.server.host
    if text := _exposure(host, env):
        yield Problem(("server", "host"), text, host)


def check_exposure(host: str, env: Mapping[str, str]) -> None:
    """Raise ConfigError where others could reach the server and no key would keep them out."""
    if text := _exposure(host, env):
        raise ConfigError(f'server.host = "{host}": {text}')


def _providers(settings: Settings) -> Iterator[Problem]:
    for name, provider in settings.providers.items():
        path: KeyPath = ("providers", name)
        if not _NAME.fullmatch(name) or set(name) & set("/:"):
            yield Problem(
                path, 'a provider\'s name is visible ASCII without "/" and ":"; rename it'
            )
        yield from _address(path, name, provider)
        if provider.kind and provider.kind not in installed_kinds():
            known = ", ".join(installed_kinds()) or "none"
            yield Problem(
                (*path, "kind"), f"no such kind of provider; installed: {known}", provider.kind
            )
        if provider.api_key_env and (text := _variable_fault(provider.api_key_env)):
            yield Problem((*path, "api_key_env"), text)
        yield from find_header_faults(path, provider)


def _address(path: KeyPath, name: str, provider: ProviderSettings) -> Iterator[Problem]:
    """Yield what is wrong with where the provider is and what it speaks there."""
    row, dialects = provider_row(name), upstream_dialects()
    if provider.dialect is not None and provider.dialect not in dialects:
        known, near = ", ".join(dialects), did_you_mean(provider.dialect, dialects)
        yield Problem(
            (*path, "dialect"), f"no such dialect; there are: {known}.{near}", provider.dialect
        )
    if provider.base_url is not None:
        if text := _url_fault(provider.base_url):
            yield Problem((*path, "base_url"), text, provider.base_url)
    elif row is None:
        yield Problem(
            (*path, "base_url"),
            f'is missing, and the catalogue has no "{name}"; say where its API begins, such as'
            f' base_url = "http://127.0.0.1:8081/v1".{did_you_mean(name, provider_rows())}',
        )
    elif provider.dialect in dialects and not provider_way(name, provider).base_url:
        yield Problem(
            (*path, "dialect"),
            f"the catalogue knows {row.title} to speak {', '.join(row.dialects)}; choose one of"
            " them, or say in base_url where it speaks this one",
            provider.dialect,
        )


def _url_fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, has_user, _ = parts.hostname, "@" in parts.netloc, parts.port
    except ValueError:
        return "is not a URL; write it as http://host:port/v1"
    if parts.scheme not in {"http", "https"} or not host:
        return "must begin with http:// or https:// and name a host"
    if has_user:
        return "must not hold a user or password; name the variable of the key in api_key_env"
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return "must not hold a query or fragment: leave out what begins with ? or #"
    if any(character.isspace() or not character.isprintable() for character in url):
        return "must not hold blanks"
    if set(filled_url(url, dict.fromkeys(url_variables(url), "x"))) & set("{}"):
        return "must not hold braces, but for the name of an environment variable: {AWS_REGION}"
    if any(is_telling(name) for name in url_variables(url)):
        return "must not hold a secret; name the variable of the key in api_key_env"
    return ""


def _variable_fault(name: str) -> str:
    """Return what is wrong with the name; whoever pastes a key here must not see it printed."""
    if not _VARIABLE.fullmatch(name) or looks_random(name) or looks_like_secret(name):
        return (
            "must be the name of an environment variable, such as OPENAI_API_KEY; if this is the"
            " key itself, export it under such a name, take it out of the file and renew it"
        )
    return ""


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
    known = policy_names()
    name, colon, argument = policy.partition(":")
    known_names = {one.partition(":")[0] for one in known}
    has_fault = name not in known_names or (colon and not argument)
    if has_fault or (colon and name in known and name in {"learned", "signals", "cascade"}):
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


def _ledger(settings: Settings) -> Iterator[Problem]:
    url = settings.ledger.url
    scheme, _, rest = url.partition("://")
    known = ["sqlite", *sorted({point.name for point in entry_points(group=_LEDGERS)})]
    if scheme.lower() not in known or "://" not in url:
        text = f'must begin with one of {", ".join(known)}, such as "sqlite:///pointsman.db"'
        yield Problem(("ledger", "url"), text, url)
    elif scheme.lower() == "sqlite" and rest and not rest.startswith("/"):
        text = f'a path follows three slashes; write "sqlite:///{rest}"'
        yield Problem(("ledger", "url"), text, url)
    elif scheme.lower() == "sqlite" and set(rest) & set("?#"):
        yield Problem(("ledger", "url"), '"?" and "#" mean nothing here; leave them out', url)


def _cache(settings: Settings) -> Iterator[Problem]:
    cache = settings.cache
    known = store_names()
    path: KeyPath = ("cache", "store")
    if cache.store and cache.store not in known:
        text = f"no such store; there are: {', '.join(known)}.{did_you_mean(cache.store, known)}"
        yield Problem(path, text, cache.store)
    elif cache.store == "sqlite" and not cache.path:
        yield Problem(path, "needs a file; set cache.path", cache.store)
    elif cache.store == "memory" and cache.path:
        yield Problem(path, "keeps no file; take out this or cache.path", cache.store)


def _missing_keys(settings: Settings, env: Mapping[str, str]) -> Iterator[Problem]:
    reported: set[str] = set()
    for index, tier in enumerate(settings.tiers):
        for position, entry in enumerate(tier.entries):
            name, _ = split_model(entry.model)
            variable = key_variable(name, settings)
            if not variable or env.get(variable) or name in reported or _variable_fault(variable):
                continue
            reported.add(name)
            text = (
                f'{variable} is not set, and provider "{name}" needs it;'
                f" export {variable}=… or take the provider's models out of the tiers"
            )
            is_stated = settings.providers.get(name, ProviderSettings()).api_key_env is not None
            if is_stated:
                yield Problem(("providers", name, "api_key_env"), text, variable)
            else:
                yield Problem(("tiers", index, "models", position), text, entry.model)


def _missing_addresses(settings: Settings, env: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the variables of base URLs that are not set, or hold what no URL should."""
    reported: set[tuple[str, str]] = set()
    for index, tier in enumerate(settings.tiers):
        for position, entry in enumerate(tier.entries):
            name, _ = split_model(entry.model)
            stated = settings.providers.get(name, ProviderSettings())
            base_url = provider_way(name, stated).base_url
            for variable in url_variables(base_url):
                value = env.get(variable, "")
                if is_url_part(value) or (name, variable) in reported:
                    continue
                reported.add((name, variable))
                fault = "must be letters, digits and hyphens alone" if value else "is not set"
                text = (
                    f'{variable} {fault}, and the address of provider "{name}", {base_url}, needs'
                    f" it; export {variable}=… or take the provider's models out of the tiers"
                )
                is_stated = stated.base_url is not None
                path: KeyPath = ("tiers", index, "models", position)
                yield Problem(("providers", name, "base_url") if is_stated else path, text)


def _exposure(host: str, env: Mapping[str, str]) -> str:
    if _is_loopback(host) or env.get(API_KEYS_ENV, "").strip():
        return ""
    return (
        "anyone who reaches this address could spend your money; set"
        f" {API_KEYS_ENV} to the keys that clients must send, or listen on 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
