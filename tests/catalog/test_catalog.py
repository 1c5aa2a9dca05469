"""Catalogue: every row is complete, sourced and usable."""

import tomllib
from datetime import UTC, date, datetime
from importlib.resources import files
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest

from pointsman.catalog import (
    ModelRow,
    ProviderRow,
    capability,
    model_rows,
    model_sources,
    provider_row,
    provider_rows,
)
from pointsman.core.types import Capability
from pointsman.pricing import PriceBook

SPEC_MODELS = [
    "openai/gpt-4o-mini",
    "openai/gpt-4o",
    "openai/gpt-5.4",
    "anthropic/claude-haiku-4-5",
    "anthropic/claude-sonnet-4-6",
    "anthropic/claude-opus-4-6",
]
WRITTEN_ON = date(2026, 11, 23)
PROVIDERS = pytest.mark.parametrize("row", provider_rows().values(), ids=provider_rows().keys())
MODELS = pytest.mark.parametrize(("name", "row"), model_rows().items(), ids=model_rows().keys())


@PROVIDERS
def test_a_provider_is_complete(row: ProviderRow) -> None:
    assert row.name.isascii() and row.name.islower() and row.name.isalnum()
    assert row.title
    assert row.dialect == "openai-chat"
    assert row.source_url.startswith("https://")
    assert date(2026, 1, 1) <= row.checked_on


@PROVIDERS
def test_a_provider_is_reached_over_https_with_a_key_or_is_on_this_machine(
    row: ProviderRow,
) -> None:
    url = urlsplit(row.base_url)
    assert not row.base_url.endswith("/")
    if url.scheme == "https":
        assert row.api_key_env.isupper()
        assert row.price_provider
    else:
        assert url.scheme == "http"
        assert ip_address(url.hostname or "").is_loopback
        assert not row.api_key_env


def test_no_provider_is_named_or_reached_twice() -> None:
    raw = tomllib.loads(files("pointsman.catalog").joinpath("providers.toml").read_text("utf-8"))
    for key in ("name", "base_url"):
        values = [row[key] for row in raw["providers"]]
        assert len(values) == len(set(values))


@MODELS
def test_a_model_belongs_to_a_provider_and_says_where_its_facts_are_from(
    name: str, row: ModelRow
) -> None:
    provider, _, model = name.partition("/")
    assert provider_row(provider) is not None
    assert model
    assert row.source in model_sources()


@MODELS
def test_a_models_limits_make_sense(name: str, row: ModelRow) -> None:
    assert row.context_tokens is None or 1_000 <= row.context_tokens <= 10_000_000
    assert row.max_output_tokens is None or 1_000 <= row.max_output_tokens
    if row.context_tokens is not None and row.max_output_tokens is not None:
        assert row.max_output_tokens <= row.context_tokens


def test_sources_are_dated_and_all_in_use() -> None:
    assert {row.source for row in model_rows().values()} == set(model_sources())
    for source in model_sources().values():
        assert source.url.startswith("https://")
        assert date(2026, 1, 1) <= source.checked_on <= WRITTEN_ON


@pytest.mark.parametrize("name", SPEC_MODELS)
def test_the_models_of_the_specification_are_known_and_priced(name: str) -> None:
    provider, _, model = name.partition("/")
    assert name in model_rows()
    known = capability(provider, model)
    assert known.context_tokens
    assert known.tools
    assert PriceBook().price(provider, model, datetime(2026, 11, 23, tzinfo=UTC)) is not None


@pytest.mark.parametrize(
    ("provider", "dated", "base"),
    [
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
    ],
)
def test_a_dated_name_is_read_as_its_base_name(provider: str, dated: str, base: str) -> None:
    assert capability(provider, dated) == capability(provider, base) != Capability()


def test_a_dated_name_with_its_own_row_keeps_it() -> None:
    assert capability("openai", "gpt-4o-2024-05-13").max_output_tokens == 4_096


def test_nothing_is_known_of_an_unknown_model() -> None:
    assert capability("openai", "no-such-model") == Capability()
    assert capability("nobody", "gpt-4o") == Capability()


def test_what_the_way_in_does_not_serve_no_model_behind_it_has() -> None:
    assert capability("anthropic", "claude-opus-4-6").json_schema is False
    assert capability("anthropic", "no-such-model") == Capability(json_schema=False)


def test_an_unknown_provider_has_no_row() -> None:
    assert provider_row("nobody") is None
