"""Every row of the catalogue keeps the contract: sourced, reachable, and free of secrets."""

import re
import tomllib
from datetime import date
from importlib.resources import files
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from genai_prices.data import providers as genai_providers

from pointsman.catalog import (
    AUTH_HEADERS,
    ProviderRow,
    filled_url,
    is_url_part,
    provider_rows,
    url_variables,
)
from pointsman.config import ProviderSettings, upstream_dialects
from pointsman.config.headers import find_header_faults
from pointsman.config.secrecy import find_secrets, is_telling
from pointsman.core.types import Need
from pointsman.core.wire.history import valid_call_id

ISSUE_NAMES = {
    "openai",
    "anthropic",
    "gemini",
    "azure",
    "bedrock",
    "openrouter",
    "groq",
    "mistral",
    "deepseek",
    "xai",
    "together",
    "fireworks",
    "cerebras",
    "cohere",
    "ollama",
    "llamacpp",
    "vllm",
    "lmstudio",
}
PRICE_PROVIDERS = {provider.id for provider in genai_providers}
# Needs of which a filter knows through a model's capability; others belong to a dialect.
ROW_NEEDS = {Need.IMAGES, Need.TOOLS, Need.JSON_SCHEMA}
# What no request can do without.
NEEDED_FIELDS = {"contents", "input", "max_tokens", "messages", "model", "stream", "tools"}

ROWS = pytest.mark.parametrize("row", provider_rows().values(), ids=provider_rows().keys())
WAYS = pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=f"{row.name}-{dialect}")
        for row in provider_rows().values()
        for dialect in row.dialects
        if (way := row.speaking(dialect))
    ],
)


def test_the_providers_that_users_ask_for_are_there():
    assert set(provider_rows()) >= ISSUE_NAMES
    assert len(provider_rows()) >= 24


@ROWS
def test_a_row_is_named_and_sourced(row: ProviderRow):
    assert row.name.isascii() and row.name.islower() and row.name.isalnum()
    assert row.title
    assert urlsplit(row.source_url).scheme == "https"
    assert row.checked_on >= date(2026, 1, 1)
    assert not row.note or row.note.endswith(".")


@ROWS
def test_a_row_speaks_dialects_that_exist(row: ProviderRow):
    assert row.dialect in upstream_dialects()
    assert set(row.ways) <= set(AUTH_HEADERS) - {row.dialect}
    assert row.speaking("morse") is None


@ROWS
def test_a_rows_prices_can_be_looked_up(row: ProviderRow):
    assert not row.price_provider or row.price_provider in PRICE_PROVIDERS


@ROWS
def test_a_row_is_reached_over_https_with_a_key_or_is_on_this_machine(row: ProviderRow):
    if is_local(row):
        assert not row.api_key_env and not row.price_provider
    else:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", row.api_key_env)


@WAYS
def test_a_way_has_an_address_that_holds_no_secret(way: ProviderRow):
    filled = filled_url(way.base_url, dict.fromkeys(url_variables(way.base_url), "x"))
    url = urlsplit(filled)
    assert url.scheme == ("http" if is_local(way) else "https")
    assert url.hostname and "@" not in url.netloc
    assert not url.query and not url.fragment and not filled.endswith("/")
    assert not set(filled) & set("{} ")
    assert not any(is_telling(name) for name in url_variables(way.base_url))


@WAYS
def test_a_way_is_spoken_as_the_settings_would_allow(way: ProviderRow):
    stated = ProviderSettings(auth_header=way.key_header, headers=way.headers)
    assert not [*find_header_faults(("providers", way.name), stated)]
    assert way.max_tokens_field in {"max_tokens", "max_completion_tokens"}
    assert set(way.lacks) <= ROW_NEEDS
    assert not set(way.drops) & NEEDED_FIELDS
    assert list(way.drops) == sorted(set(way.drops), key=way.drops.index)
    assert way.prompt_cache_s >= 0


@WAYS
@pytest.mark.parametrize("made", ["", "call_" + "a" * 60, "functions.search:0", "ключ"])
def test_a_way_takes_the_ids_that_are_made_for_it(way: ProviderRow, made: str):
    rule = way.call_ids
    given = valid_call_id(made, rule)
    assert re.fullmatch(rule.pattern, given) and len(given) <= rule.chars_max
    assert valid_call_id(given, rule) == given


def test_no_provider_is_named_or_reached_twice_and_none_holds_a_key():
    raw = tomllib.loads(files("pointsman.catalog").joinpath("providers.toml").read_text("utf-8"))
    assert not [*find_secrets(raw)]
    for key in ("name", "base_url"):
        values = [row[key] for row in raw["providers"]]
        assert len(values) == len(set(values))


def test_a_way_keeps_what_it_does_not_say_otherwise():
    row = provider_rows()["azure"]
    way = row.speaking("openai-responses")
    assert way is not None
    assert (way.base_url, way.api_key_env) == (row.base_url, row.api_key_env)
    assert (way.dialect, way.key_header, way.call_ids.chars_max) == (
        "openai-responses",
        "api-key",
        64,
    )


@pytest.mark.parametrize(
    ("value", "may"),
    [
        ("my-resource", True),
        ("us-east-1", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("a.b", False),
        ("evil.example/", False),
        ("a@b", False),
        ("a\n", False),
        ("ключ", False),
    ],
)
def test_only_a_label_may_stand_in_an_address(value: str, may: bool):
    assert is_url_part(value) is may


def is_local(row: ProviderRow) -> bool:
    try:
        return ip_address(urlsplit(row.base_url).hostname or "").is_loopback
    except ValueError:
        return False
