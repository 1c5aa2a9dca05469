"""Environment: whoever has a key has tiers, of models that are known and priced."""

from datetime import UTC, datetime

import pytest

from pointsman.catalog import model_rows, provider_row, provider_rows
from pointsman.config import check_settings, settings_from_environment
from pointsman.config.environment import STARTERS
from pointsman.core.errors import ConfigError
from pointsman.pricing import PriceBook

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize("provider", STARTERS)
def test_one_key_is_enough(provider: str):
    row = provider_row(provider)
    assert row is not None
    env = {row.api_key_env: "k"}
    settings = settings_from_environment(env)
    check_settings(settings, env)
    assert {model.split("/")[0] for tier in settings.tiers for model in map(str, tier.models)} == {
        provider
    }


def test_all_keys_make_three_tiers_with_fallbacks_across_providers():
    env = {row.api_key_env: "k" for row in provider_rows().values() if row.api_key_env}
    settings = settings_from_environment(env)
    check_settings(settings, env)
    assert [tier.name for tier in settings.tiers] == ["fast", "mid", "power"]
    assert all(len(tier.models) > 5 for tier in settings.tiers)


def test_no_key_says_what_to_do():
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*pointsman init.*pointsman demo"):
        settings_from_environment({"OPENAI_API_KEY": ""})


def test_starters_are_of_providers_that_take_a_key():
    assert set(STARTERS) <= {row.name for row in provider_rows().values() if row.api_key_env}


def test_a_key_alone_makes_no_tiers_where_nobody_knows_the_models():
    with pytest.raises(ConfigError, match="nothing to route to"):
        settings_from_environment({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_RESOURCE": "mine"})


@pytest.mark.parametrize("provider", STARTERS)
def test_starters_are_known_and_rise_in_price(provider: str):
    models = [model for model in STARTERS[provider] if model]
    prices = [PriceBook().price(provider, model, NOW) for model in models]
    rates = [price.input_nanousd_per_mtok for price in prices if price]
    assert len(rates) == len(models)
    assert rates == sorted(rates)
    if provider != "openrouter":  # the catalogue has no models of its own for it
        assert {f"{provider}/{model}" for model in models} <= set(model_rows())
