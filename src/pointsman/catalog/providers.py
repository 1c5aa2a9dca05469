"""Providers: what is known of whom a configuration may name without saying more."""

import re
from collections.abc import Mapping
from datetime import date
from functools import cache, lru_cache
from pkgutil import get_data
from types import MappingProxyType

import msgspec

from pointsman.core.types import CallIds, Need

# The header that carries the key where a provider does not say another, by dialect. A dialect
# without one is not spoken to upstreams.
# Source: the official SDKs' clients, openai 3.54, anthropic 2.12 and google-genai 3.4 of November
# 2026. Anthropic takes a bearer too, which anthropic 2.12 sends; x-api-key is what all that speak
# its dialect take (platform.claude.com/docs/en/api/overview, read 2026-11-23).
AUTH_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "openai-chat": "authorization",
        "openai-responses": "authorization",
        "anthropic": "x-api-key",
        "gemini": "x-goog-api-key",
    }
)
_TABLE = "\n[[providers]]\n"
_ROWS_KEPT = 256
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a provider speaks one more dialect, where that differs from the row. None: as the row.

    `auth_header` "" is the one that is usual for the dialect; `lacks` and `drops` are never the
    row's.
    """

    base_url: str | None = None
    auth_header: str = ""
    lacks: tuple[Need, ...] = ()
    drops: tuple[str, ...] = ()
    call_ids: CallIds | None = None
    prompt_cache_s: float | None = None


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a provider, and how it speaks its `dialect`.

    `base_url` has no slash at its end: the dialect's paths are added to it. A `{VARIABLE}` in it
    stands for one of the environment. `api_key_env` is empty where no key is needed. `auth_header`
    carries `Bearer <key>` when it is `authorization`, else the bare key; "" is the usual one of the
    dialect. `headers` are sent with every call. `price_provider` is the provider's id in
    genai-prices, empty where it has none. `lacks`: needs that this way in does not serve, whatever
    the model could do. `max_tokens_field`: the body field that bounds a chat's answer. `call_ids`:
    which ids of tool calls it takes. `drops`: body fields that it refuses, so they are left out.
    `prompt_cache_s`: for how long its prompt cache keeps a prefix that nobody reads, 0 where it
    does not say. `ways`: the other dialects it speaks. `embedders`: its models that make
    embeddings, served where no others are configured. `note` is for people.
    `source_url` was read on `checked_on`.
    """

    name: str
    title: str
    dialect: str
    base_url: str
    api_key_env: str = ""
    auth_header: str = ""
    headers: Mapping[str, str] = {}
    price_provider: str = ""
    lacks: tuple[Need, ...] = ()
    drops: tuple[str, ...] = ()
    max_tokens_field: str = "max_tokens"
    call_ids: CallIds = CallIds()
    prompt_cache_s: float = 0.0
    ways: Mapping[str, Way] = {}
    embedders: tuple[str, ...] = ()
    note: str = ""
    source_url: str
    checked_on: date

    @property
    def dialects(self) -> tuple[str, ...]:
        """Return the dialects it is known to speak, its first choice first."""
        return (self.dialect, *self.ways)

    @property
    def key_header(self) -> str:
        """Return the header that carries the key."""
        return self.auth_header or AUTH_HEADERS.get(self.dialect, "authorization")

    def speaking(self, dialect: str) -> "ProviderRow | None":
        """Return the row as it is for one of its dialects, None for a dialect it does not speak."""
        if dialect == self.dialect:
            return self
        way = self.ways.get(dialect)
        if way is None:
            return None
        same = self.prompt_cache_s if way.prompt_cache_s is None else way.prompt_cache_s
        return msgspec.structs.replace(
            self,
            dialect=dialect,
            base_url=self.base_url if way.base_url is None else way.base_url,
            auth_header=way.auth_header,
            lacks=way.lacks,
            drops=way.drops,
            call_ids=self.call_ids if way.call_ids is None else way.call_ids,
            prompt_cache_s=same,
            ways={},
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[ProviderRow, ...]


@cache
def provider_rows() -> Mapping[str, ProviderRow]:
    """Return every known provider by name, in the catalogue's order."""
    rows = msgspec.toml.decode(_text(), type=_File).providers
    return MappingProxyType({row.name: row for row in rows})


@lru_cache(_ROWS_KEPT)
def provider_row(name: str) -> ProviderRow | None:
    """Return what is known of the provider, None where nothing is.

    Its table is decoded alone, for the whole file takes Python's decoder 15 ms.
    """
    text = _text()
    begin = text.find(f'{_TABLE}name = "{name}"\n')
    if begin < 0:
        return None
    end = text.find(_TABLE, begin + 1)
    table = text[begin:end] if end > 0 else text[begin:]
    return msgspec.toml.decode(table, type=_File).providers[0]


def url_variables(base_url: str) -> tuple[str, ...]:
    """Return the environment variables that a base URL names in braces."""
    return tuple(dict.fromkeys(_VARIABLE.findall(base_url)))


def filled_url(base_url: str, values: Mapping[str, str]) -> str:
    """Return the base URL with its variables' values, of which `is_url_part` is true.

    Raises KeyError for one without a value.
    """
    return _VARIABLE.sub(lambda match: values[match[1]], base_url)


def is_url_part(value: str) -> bool:
    """Return whether a value may stand in a URL: letters, digits and hyphens, as in a host's name.

    Source: RFC 1123, section 2.1: a label of at most 63 characters, no hyphen at either end.
    """
    return _HOST_LABEL.fullmatch(value) is not None


@cache
def _text() -> str:
    return (get_data(__package__, "providers.toml") or b"").decode()
