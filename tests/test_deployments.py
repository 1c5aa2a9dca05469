"""Deployments: what the settings leave open, the catalogue fills in."""

from datetime import UTC, datetime

import pytest

from pointsman.catalog import capability
from pointsman.config import (
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    TierSettings,
)
from pointsman.core.errors import ConfigError
from pointsman.core.types import CallIds, Deployment, Tier
from pointsman.deployments import price_book, resolve_tiers

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def resolved(settings: Settings) -> tuple[Tier, ...]:
    return resolve_tiers(settings, prices=price_book(settings), at=NOW)


def only(entry: str | ModelSettings, settings: Settings | None = None) -> Deployment:
    given = settings or Settings()
    (tier,) = resolved(
        Settings(
            tiers=(TierSettings("t", [entry]),), providers=given.providers, prices=given.prices
        )
    )
    return tier.deployments[0]


def test_tiers_keep_their_order_names_and_bounds():
    tiers = (
        TierSettings("a", ["openai/gpt-4o", "groq/openai/gpt-oss-20b"], 7),
        TierSettings("b", []),
    )
    a, b = resolved(Settings(tiers=tiers))
    assert (a.name, a.max_tokens, b.name, b.max_tokens) == ("a", 7, "b", None)
    assert [one.id for one in a.deployments] == ["openai/gpt-4o", "groq/openai/gpt-oss-20b"]


def test_a_known_provider_brings_everything():
    deployment = only("openai/gpt-4o-mini")
    assert deployment.dialect == "openai-chat"
    assert deployment.base_url == "https://api.openai.com/v1"
    assert deployment.api_key_env == "OPENAI_API_KEY"
    assert deployment.max_tokens_field == "max_completion_tokens"
    assert deployment.capability == capability("openai", "gpt-4o-mini")
    assert deployment.price is not None
    assert deployment.price.input_nanousd_per_mtok == 150_000_000


def test_a_providers_requests_are_marked_for_its_prompt_cache_where_that_is_stated():
    marking = Settings(providers={"openai": ProviderSettings(prompt_cache="mark")})
    assert only("openai/gpt-4o-mini", marking).has_cache_marks
    assert not only("openai/gpt-4o-mini").has_cache_marks
    assert not only("anthropic/claude-haiku-4-5", marking).has_cache_marks


def test_only_openai_itself_wants_its_own_field():
    assert only("anthropic/claude-haiku-4-5").max_tokens_field == "max_tokens"


def test_a_providers_table_stands_before_the_catalogue():
    table = ProviderSettings(base_url="http://127.0.0.1:9/v1/", api_key_env="")
    deployment = only("openai/gpt-4o", Settings(providers={"openai": table}))
    assert deployment.base_url == "http://127.0.0.1:9/v1"
    assert deployment.api_key_env == ""
    assert deployment.dialect == "openai-chat"


def test_an_unknown_provider_is_what_its_table_says():
    table = ProviderSettings(base_url="http://127.0.0.1:9/v1", api_key_env="MY_KEY")
    prices = {"mine/deep/model": PriceSettings(input=0.1, output=0.2)}
    deployment = only("mine/deep/model", Settings(providers={"mine": table}, prices=prices))
    assert (deployment.provider, deployment.model) == ("mine", "deep/model")
    assert deployment.api_key_env == "MY_KEY"
    assert deployment.price is not None
    assert deployment.price.output_nanousd_per_mtok == 200_000_000
    assert deployment.price.version.startswith("config/")


def test_a_providers_oddities_are_its_deployments():
    groq, mistral = only("groq/openai/gpt-oss-20b"), only("mistral/mistral-small-latest")
    assert groq.drops == ("logprobs", "top_logprobs", "logit_bias")
    assert groq.prompt_cache_s == 7200
    assert mistral.call_ids == CallIds(chars_max=9, chars_exact=True, pattern="[a-zA-Z0-9]+")
    assert only("deepseek/deepseek-flash").capability.json_schema is False


def test_an_address_with_variables_stays_as_it_is():
    azure = only("azure/my-gpt")
    assert azure.base_url == "https://{AZURE_OPENAI_RESOURCE}.openai.azure.com/openai/v1"
    assert (azure.auth_header, azure.max_tokens_field) == ("api-key", "max_completion_tokens")


@pytest.mark.parametrize(
    ("entry", "dialect", "base_url", "header"),
    [
        ("anthropic/claude-haiku-4-5", "anthropic", "https://api.anthropic.com/v1", "x-api-key"),
        (
            "gemini/gemini-3.8-flash",
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            "x-goog-api-key",
        ),
    ],
)
def test_a_provider_is_spoken_to_in_its_own_dialect(
    entry: str, dialect: str, base_url: str, header: str
):
    deployment = only(entry)
    assert (deployment.dialect, deployment.base_url) == (dialect, base_url)
    assert deployment.auth_header == header
    assert deployment.capability.json_schema is True


def test_a_compatible_layer_lacks_what_it_lacks():
    table = ProviderSettings(dialect="openai-chat")
    deployment = only("anthropic/claude-haiku-4-5", Settings(providers={"anthropic": table}))
    assert (deployment.base_url, deployment.auth_header) == (
        "https://api.anthropic.com/v1",
        "authorization",
    )
    assert deployment.capability.json_schema is False
    deployment = only("gemini/gemini-3.8-flash", Settings(providers={"gemini": table}))
    assert deployment.base_url == "https://generativelanguage.googleapis.com/v1beta/openai"


def test_another_dialect_of_a_known_provider_has_its_own_address():
    table = ProviderSettings(dialect="anthropic")
    deployment = only("deepseek/deepseek-flash", Settings(providers={"deepseek": table}))
    assert deployment.dialect == "anthropic"
    assert deployment.base_url == "https://api.deepseek.com/anthropic/v1"
    assert deployment.auth_header == "x-api-key"
    assert deployment.api_key_env == "DEEPSEEK_API_KEY"
    assert deployment.price is not None


def test_openai_is_asked_in_its_other_dialect_at_the_same_address():
    table = ProviderSettings(dialect="openai-responses")
    deployment = only("openai/gpt-5.4", Settings(providers={"openai": table}))
    assert (deployment.dialect, deployment.base_url, deployment.auth_header) == (
        "openai-responses",
        "https://api.openai.com/v1",
        "authorization",
    )
    assert deployment.call_ids.chars_max == 64
    assert deployment.capability == capability("openai", "gpt-5.4")


def test_a_dialect_that_a_provider_is_not_known_to_speak_needs_an_address():
    table = ProviderSettings(dialect="gemini")
    with pytest.raises(ConfigError, match=r"add .* base_url"):
        only("groq/openai/gpt-oss-20b", Settings(providers={"groq": table}))
    table = ProviderSettings(dialect="gemini", base_url="https://gateway.example/v1beta")
    deployment = only("groq/openai/gpt-oss-20b", Settings(providers={"groq": table}))
    assert (deployment.auth_header, deployment.drops) == ("x-goog-api-key", ())


def test_a_table_overrides_header_headers_and_field():
    table = ProviderSettings(
        auth_header="API-Key", headers={"X-Title": "a"}, max_tokens_field="max_tokens"
    )
    deployment = only("openai/gpt-4o", Settings(providers={"openai": table}))
    assert (deployment.auth_header, deployment.headers) == ("api-key", {"x-title": "a"})
    assert deployment.max_tokens_field == "max_tokens"


def test_an_unknown_provider_takes_keys_as_its_dialect_usually_does():
    table = ProviderSettings(base_url="http://127.0.0.1:9/v1", dialect="anthropic")
    assert only("mine/m", Settings(providers={"mine": table})).auth_header == "x-api-key"


def test_a_price_of_the_settings_stands_before_the_catalogues():
    prices = {
        "openai/gpt-4o": PriceSettings(
            input=1.0, output=2.0, cached_input=0.0, long_cache_write=2.5, reasoning=3.0
        )
    }
    price = only("openai/gpt-4o", Settings(prices=prices)).price
    assert price is not None
    assert price.input_nanousd_per_mtok == 1_000_000_000
    assert price.cached_input_nanousd_per_mtok == 0
    assert price.cache_write_nanousd_per_mtok == 1_000_000_000
    assert price.long_cache_write_nanousd_per_mtok == 2_500_000_000
    assert price.reasoning_nanousd_per_mtok == 3_000_000_000


def test_an_entry_overrides_what_the_model_can_do():
    entry = ModelSettings(
        "openai/gpt-4o", params={"seed": 1}, context_tokens=99, images=False, json_schema=False
    )
    deployment = only(entry)
    known = capability("openai", "gpt-4o")
    assert deployment.params == {"seed": 1}
    assert deployment.capability.context_tokens == 99
    assert deployment.capability.images is False
    assert deployment.capability.json_schema is False
    assert deployment.capability.tools == known.tools
    assert deployment.capability.max_output_tokens == known.max_output_tokens


def test_nothing_known_is_nothing_claimed():
    deployment = only("ollama/some-model")
    assert deployment.price is None
    assert deployment.capability.context_tokens is None


def test_a_provider_that_nobody_places_is_an_error():
    with pytest.raises(ConfigError, match=r'"x/y": no provider "x"; add \[providers\.x\]'):
        only("x/y")
