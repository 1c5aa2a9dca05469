"""Dialects: how a provider is spoken to, from its table in the settings and its catalogue row."""

from datetime import date

import msgspec

from pointsman.catalog import AUTH_HEADERS, ProviderRow, provider_row
from pointsman.config.settings import ProviderSettings, Settings
from pointsman.core.wire import CODECS

_USUAL = "openai-chat"


def upstream_dialects() -> tuple[str, ...]:
    """Return the dialects that a provider can be spoken to in."""
    return tuple(name for name in CODECS if name in AUTH_HEADERS)


def key_variable(name: str, settings: Settings) -> str:
    """Return the environment variable that holds the provider's key, "" where it needs none."""
    stated = settings.providers.get(name, ProviderSettings()).api_key_env
    row = provider_row(name)
    return stated if stated is not None else row.api_key_env if row else ""


def provider_way(name: str, stated: ProviderSettings) -> ProviderRow:
    """Return how the provider is spoken to: its table first, then the catalogue.

    `base_url` is "" where neither says where it is. In a dialect that the catalogue does not know
    it to speak, what is known of its other dialects counts for nothing.
    """
    row = provider_row(name)
    dialect = stated.dialect or (row.dialect if row else _USUAL)
    way = (row.speaking(dialect) if row else None) or _nothing_known(name, dialect)
    return msgspec.structs.replace(
        way,
        base_url=(way.base_url if stated.base_url is None else stated.base_url).rstrip("/"),
        auth_header=(stated.auth_header or way.key_header).lower(),
        headers={**way.headers, **{key.lower(): value for key, value in stated.headers.items()}},
        max_tokens_field=stated.max_tokens_field or way.max_tokens_field,
    )


def _nothing_known(name: str, dialect: str) -> ProviderRow:
    return ProviderRow(
        name=name,
        title=name,
        dialect=dialect,
        base_url="",
        source_url="",
        checked_on=date.min,
    )
