"""Provider rules: what a provider's table must keep to, and what it needs of the environment."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from pointsman.catalog import (
    filled_url,
    is_url_part,
    provider_row,
    provider_rows,
    url_variables,
)
from pointsman.config.dialects import key_variable, provider_way, upstream_dialects
from pointsman.config.headers import find_header_faults
from pointsman.config.keys import LIMIT_S_MAX
from pointsman.config.locate import KeyPath
from pointsman.config.problems import Problem, did_you_mean
from pointsman.config.secrecy import is_telling, looks_like_secret, looks_random
from pointsman.config.settings import ProviderSettings, Settings, split_model
from pointsman.core.wire.prompt import EFFORTS
from pointsman.core.wire.prompt_cache_key import PROMPT_CACHE_KEY
from pointsman.providers import installed_kinds

# Gemini's explicit caches are made by calls of their own.
_MARKED_DIALECTS = ("anthropic", "openai-chat", "openai-responses")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[!-~]+")
# RFC 3986, section 3.2.2, without escapes and what no host's name has; `_` for Docker's names.
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?")


def find_provider_faults(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with the providers' tables, whatever the environment."""
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
        if provider.api_key_env and (text := variable_fault(provider.api_key_env)):
            yield Problem((*path, "api_key_env"), text)
        yield from _prompt_cache(path, name, provider)
        yield from find_header_faults(path, provider)
    yield from _timeouts(settings)


def find_provider_lacks(settings: Settings, env: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what the environment lacks for calling the providers that are in use."""
    reported: set[tuple[str, str]] = set()
    for path, model in _used(settings):
        name, _ = split_model(model)
        for find in (_missing_key, _missing_address):
            for variable, problem in find(model, path, settings, env):
                if (name, variable) not in reported:
                    reported.add((name, variable))
                    yield problem


def variable_fault(name: str) -> str:
    """Return what is wrong with the name; whoever pastes a key here must not see it printed."""
    if not _VARIABLE.fullmatch(name) or looks_random(name) or looks_like_secret(name):
        return (
            "must be the name of an environment variable, such as OPENAI_API_KEY; if this is the"
            " key itself, export it under such a name, take it out of the file and renew it"
        )
    return ""


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


def _prompt_cache(path: KeyPath, name: str, provider: ProviderSettings) -> Iterator[Problem]:
    """Yield the wish for marks where the provider is spoken to without any."""
    way = provider_way(name, provider)
    if provider.prompt_cache == "mark" and (
        way.dialect not in _MARKED_DIALECTS or PROMPT_CACHE_KEY in way.drops
    ):
        yield Problem(
            (*path, "prompt_cache"),
            f"this provider takes no marks in the dialect {way.dialect}, where its prompt cache, if"
            " it has one, works by itself; leave this out",
            provider.prompt_cache,
        )


def _url_fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, has_user, _ = parts.hostname, "@" in parts.netloc, parts.port
    except ValueError:
        return "is not a URL; write it as http://host:port/v1"
    if parts.scheme not in {"http", "https"} or not host:
        return "must begin with http:// or https:// and name a host"
    if not host.isascii():
        return 'must name its host in ASCII: write "bücher.example" as "xn--bcher-kva.example"'
    if has_user:
        return "must not hold a user or password; name the variable of the key in api_key_env"
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return "must not hold a query or fragment: leave out what begins with ? or #"
    if any(character.isspace() or not character.isprintable() for character in url):
        return "must not hold blanks"
    if "\\" in url:
        return "must not hold a backslash: write / instead"
    if set(filled_url(url, dict.fromkeys(url_variables(url), "x"))) & set("{}"):
        return "must not hold braces, but for the name of an environment variable: {AWS_REGION}"
    filled = filled_url(parts.netloc, dict.fromkeys(url_variables(parts.netloc), "x"))
    if not _PLACE.fullmatch(filled):
        return (
            "must name a host of letters, digits, dots and hyphens, or an address, and then"
            " at most a port: http://host:8080/v1"
        )
    if any(is_telling(name) for name in url_variables(url)):
        return "must not hold a secret; name the variable of the key in api_key_env"
    return ""


def _timeouts(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with the limits by effort."""
    path: KeyPath = ("timeouts", "first_byte_by_effort")
    for effort, limit_s in settings.timeouts.first_byte_by_effort.items():
        if effort not in EFFORTS:
            known, near = ", ".join(EFFORTS), did_you_mean(effort, EFFORTS)
            yield Problem((*path, effort), f"no such effort; there are: {known}.{near}", effort)
        if not 0 < limit_s <= LIMIT_S_MAX:
            text = f"must be more than 0, at most {LIMIT_S_MAX:g} seconds"
            yield Problem((*path, effort), text, limit_s)


def _used(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Yield every model that is named, and where."""
    for index, tier in enumerate(settings.tiers):
        for position, entry in enumerate(tier.entries):
            yield ("tiers", index, "models", position), entry.model
    for position, model in enumerate(settings.embeddings.models):
        yield ("embeddings", "models", position), model


def _missing_key(
    model: str, path: KeyPath, settings: Settings, env: Mapping[str, str]
) -> Iterator[tuple[str, Problem]]:
    """Yield the variable of its provider's key where that is not set."""
    name, _ = split_model(model)
    variable = key_variable(name, settings)
    if not variable or env.get(variable) or variable_fault(variable):
        return
    text = (
        f'{variable} is not set, and provider "{name}" needs it;'
        f" export {variable}=… or take the provider's models out of {_place(path)}"
    )
    is_stated = settings.providers.get(name, ProviderSettings()).api_key_env is not None
    if is_stated:
        yield variable, Problem(("providers", name, "api_key_env"), text, variable)
    else:
        yield variable, Problem(path, text, model)


def _missing_address(
    model: str, path: KeyPath, settings: Settings, env: Mapping[str, str]
) -> Iterator[tuple[str, Problem]]:
    """Yield the variables of its base URL that are not set, or hold what no URL should."""
    name, _ = split_model(model)
    stated = settings.providers.get(name, ProviderSettings())
    base_url = provider_way(name, stated).base_url
    for variable in url_variables(base_url):
        value = env.get(variable, "").strip()
        if is_url_part(value):
            continue
        fault = "must be letters, digits and hyphens alone" if value else "is not set"
        text = (
            f'{variable} {fault}, and the address of provider "{name}", {base_url}, needs'
            f" it; export {variable}=… or take the provider's models out of {_place(path)}"
        )
        is_stated = stated.base_url is not None
        yield variable, Problem(("providers", name, "base_url") if is_stated else path, text)


def _place(path: KeyPath) -> str:
    return "the tiers" if path[0] == "tiers" else f"[{path[0]}]"
