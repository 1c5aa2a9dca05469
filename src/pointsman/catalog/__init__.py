"""Catalogue: dated, sourced facts about providers and models, shipped with the package."""

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from pointsman.core.types import Capability, Need

_DATED = re.compile(r"-20\d{2}(-\d{2}-\d{2}|\d{4})$")


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a provider.

    `base_url` has no slash at its end: the dialect's paths are added to it. `api_key_env` is empty
    where no key is needed. `auth_header` carries `Bearer <key>` when it is `authorization`, else
    the bare key. `price_provider` is the provider's id in genai-prices, empty where it has none.
    `lacks`: needs that this way in does not serve, whatever the model could do.
    `max_tokens_field`: the body field that bounds the answer.
    `source_url` was read on `checked_on`.
    """

    name: str
    title: str
    dialect: str
    base_url: str
    api_key_env: str = ""
    auth_header: str = "authorization"
    price_provider: str = ""
    lacks: tuple[Need, ...] = ()
    max_tokens_field: str = "max_tokens"
    source_url: str
    checked_on: date


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where facts about models come from, and the day they were as stated."""

    title: str
    url: str
    checked_on: date


class ModelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one model at one provider. None means not known.

    `source` is a key of `model_sources()`.
    """

    source: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    images: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None


class _ProvidersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[ProviderRow, ...]


class _ModelsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, Source]
    models: dict[str, ModelRow]


@cache
def provider_rows() -> Mapping[str, ProviderRow]:
    """Return every known provider by name, in the catalogue's order."""
    file = msgspec.toml.decode(_read("providers.toml"), type=_ProvidersFile)
    return MappingProxyType({row.name: row for row in file.providers})


def provider_row(name: str) -> ProviderRow | None:
    """Return what is known of the provider, None where nothing is."""
    return provider_rows().get(name)


def model_rows() -> Mapping[str, ModelRow]:
    """Return every known model by `provider/model`, in the catalogue's order."""
    return MappingProxyType(_models_file().models)


def model_sources() -> Mapping[str, Source]:
    """Return the sources that model rows name."""
    return MappingProxyType(_models_file().sources)


def capability(provider: str, model: str) -> Capability:
    """Return what the model can do at this provider, None in every field that is not known.

    A dated name without a row of its own, such as `gpt-4o-2024-08-06`, is read as its base name.
    """
    rows = _models_file().models
    row = rows.get(f"{provider}/{model}") or rows.get(f"{provider}/{_DATED.sub('', model)}")
    lacks = _lacks(provider)
    return Capability(
        context_tokens=row.context_tokens if row else None,
        max_output_tokens=row.max_output_tokens if row else None,
        images=False if Need.IMAGES in lacks else row.images if row else None,
        tools=False if Need.TOOLS in lacks else row.tools if row else None,
        json_schema=False if Need.JSON_SCHEMA in lacks else row.json_schema if row else None,
    )


def _lacks(provider: str) -> tuple[Need, ...]:
    row = provider_row(provider)
    return row.lacks if row else ()


@cache
def _models_file() -> _ModelsFile:
    return msgspec.toml.decode(_read("models.toml"), type=_ModelsFile)


def _read(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()
