"""Catalogue: every model's row is sourced and makes sense, and says what it can do."""

from datetime import UTC, date, datetime

import pytest

from pointsman.catalog import (
    ModelRow,
    capability,
    model_rows,
    model_sources,
    provider_row,
    provider_rows,
)
from pointsman.core.types import Capability, Need
from pointsman.pricing import PriceBook

SPEC_MODELS = [
    "openai/gpt-4o-mini",
    "openai/gpt-4o",
    "openai/gpt-5.4",
    "anthropic/claude-haiku-4-5",
    "anthropic/claude-sonnet-4-6",
    "anthropic/claude-opus-4-6",
]
FACTS = [field for field in ModelRow.__struct_fields__ if field != "source"]
WRITTEN_ON = date(2026, 11, 23)
MODELS = pytest.mark.parametrize(("name", "row"), model_rows().items(), ids=model_rows().keys())


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
    known = capability("openai", "gpt-4o", [Need.JSON_SCHEMA])
    assert (known.json_schema, known.tools) == (False, True)
    assert capability("nobody", "gpt-4o", [Need.TOOLS]) == Capability(tools=False)


@pytest.mark.parametrize(
    ("provider", "model", "sampling", "reasoning"),
    [
        ("openai", "gpt-4o", True, False),
        ("openai", "gpt-5.4", False, True),
        ("openai", "o3", False, True),
        ("anthropic", "claude-haiku-4-5", True, True),
        ("anthropic", "claude-opus-4-6", True, True),
        ("anthropic", "claude-opus-4-7", False, True),
        ("anthropic", "claude-sonnet-5-5", False, True),
        ("gemini", "gemini-3.8-flash", True, True),
        ("openai", "no-such-model", None, None),
    ],
)
def test_it_is_known_who_takes_a_temperature_and_who_reasons(
    provider: str, model: str, sampling: bool | None, reasoning: bool | None
) -> None:
    known = capability(provider, model)
    assert (known.sampling, known.reasoning) == (sampling, reasoning)


def test_an_unknown_provider_has_no_row() -> None:
    assert provider_row("nobody") is None


def test_a_row_read_alone_is_the_row_of_the_whole_file():
    for name, row in provider_rows().items():
        assert provider_row(name) == row
    for name, facts in model_rows().items():
        provider, _, model = name.partition("/")
        found = capability(provider, model)
        assert all(getattr(found, field) == getattr(facts, field) for field in FACTS), name
    assert provider_row("nix") is None
    assert capability("openai", 'nix" = {') == Capability()
