"""Deployments: turns the tiers of the settings into what the router calls."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from pointsman.catalog import ProviderRow, capability
from pointsman.config import (
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    key_variable,
    provider_way,
    split_model,
)
from pointsman.core.errors import ConfigError
from pointsman.core.prices import Price
from pointsman.core.types import Capability, Deployment, Tier
from pointsman.core.wire.openai_embeddings import SERVED_BY
from pointsman.pricing import PriceBook, price_from_usd_per_mtok


def resolve_tiers(settings: Settings, *, prices: PriceBook, at: datetime) -> tuple[Tier, ...]:
    """Return the tiers with all that is known of their deployments, priced as at `at`.

    Raises ConfigError for a provider that neither the settings nor the catalogue place.
    """
    return tuple(
        Tier(
            name=tier.name,
            deployments=tuple(
                resolve_deployment(entry, settings, prices=prices, at=at) for entry in tier.entries
            ),
            max_tokens=tier.max_tokens,
        )
        for tier in settings.tiers
    )


def resolve_embedders(
    settings: Settings, providers: Iterable[str], *, prices: PriceBook, at: datetime
) -> tuple[Tier, ...]:
    """Return what makes embeddings: a tier for each bare model name, called by it.

    Where the settings name none, those that the catalogue has for `providers`. Raises ConfigError.
    """
    chains: dict[str, list[Deployment]] = {}
    for name in settings.embeddings.models or _known_embedders(settings, providers):
        made = resolve_deployment(ModelSettings(name), settings, prices=prices, at=at)
        chains.setdefault(made.model, []).append(made)
    return tuple(Tier(name=model, deployments=tuple(chain)) for model, chain in chains.items())


def _known_embedders(settings: Settings, providers: Iterable[str]) -> Iterator[str]:
    for provider in sorted(providers):
        way = provider_way(provider, settings.providers.get(provider, ProviderSettings()))
        if way.dialect in SERVED_BY:
            yield from (f"{provider}/{model}" for model in way.embedders)


def resolve_deployment(
    entry: ModelSettings, settings: Settings, *, prices: PriceBook, at: datetime
) -> Deployment:
    """Return one deployment: what the entry says, else the provider's table, else the catalogue.

    Raises ConfigError for a provider that neither the settings nor the catalogue place.
    """
    provider, model = split_model(entry.model)
    stated = settings.providers.get(provider, ProviderSettings())
    way = provider_way(provider, stated)
    if not way.base_url:
        raise ConfigError(
            f'"{entry.model}": no provider "{provider}";'
            f" add [providers.{provider}] with its base_url"
        )
    return Deployment(
        provider=provider,
        model=model,
        dialect=way.dialect,
        base_url=way.base_url,
        api_key_env=key_variable(provider, settings),
        auth_header=way.key_header,
        headers=way.headers,
        max_tokens_field=way.max_tokens_field,
        call_ids=way.call_ids,
        prompt_cache_s=way.prompt_cache_s,
        has_cache_marks=stated.prompt_cache == "mark",
        is_private=stated.private,
        first_byte_s=entry.first_byte_s,
        drops=way.drops,
        params=entry.params,
        price=prices.price(provider, model, at),
        capability=_capability(entry, way, model),
    )


def price_book(settings: Settings) -> PriceBook:
    """Return the prices of the catalogue, overridden by those of the settings."""
    return PriceBook({name: _price(stated) for name, stated in settings.prices.items()})


def _price(stated: PriceSettings) -> Price:
    return price_from_usd_per_mtok(
        input=stated.input,
        output=stated.output,
        cached_input=stated.cached_input,
        cache_write=stated.cache_write,
        long_cache_write=stated.long_cache_write,
        reasoning=stated.reasoning,
    )


def _capability(entry: ModelSettings, way: ProviderRow, model: str) -> Capability:
    known = capability(way.name, model, way.lacks)
    stated = {
        "context_tokens": entry.context_tokens,
        "images": entry.images,
        "tools": entry.tools,
        "json_schema": entry.json_schema,
    }
    changes = {name: value for name, value in stated.items() if value is not None}
    return msgspec.structs.replace(known, **changes)
