"""Environment: tiers for those who have provider keys but no configuration yet."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pointsman.catalog import is_url_part, provider_rows, url_variables
from pointsman.config.settings import ProviderSettings, Settings, TierSettings
from pointsman.core.errors import ConfigError

# One model of a provider for the tiers fast, mid and power; "" where it has none of that class. A
# provider without an entry has no models that everyone who has its key can call, or none that are
# known well enough: whoever wants one names it in a tier.
# Chosen from the catalogue and the prices of genai-prices 0.2.3 on 2026-11-23.
STARTERS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "openai": ("gpt-6-luna", "gpt-6-sol", "gpt-6-astra"),
        "anthropic": ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"),
        "gemini": ("gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-4-argon"),
        "openrouter": (
            "openai/gpt-5.6-luna",
            "anthropic/claude-sonnet-5.5",
            "anthropic/claude-opus-5.5",
        ),
        "groq": ("openai/gpt-oss-20b", "openai/gpt-oss-120b", ""),
        "mistral": ("mistral-small-latest", "mistral-medium-latest", "mistral-large-latest"),
        "deepseek": ("deepseek-flash", "deepseek-v4-pro", ""),
        "xai": ("", "grok-4.3", "grok-4.7"),
        "together": ("Qwen/Qwen3.5-9B", "zai-org/GLM-5.2", "moonshotai/Kimi-K3"),
        "fireworks": (
            "accounts/fireworks/models/gpt-oss-20b",
            "accounts/fireworks/models/glm-5p2",
            "accounts/fireworks/models/kimi-k3",
        ),
        "cerebras": ("", "gpt-oss-120b", ""),
        "cohere": ("command-r7b-12-2024", "command-a-03-2025", ""),
        "moonshot": ("", "kimi-k2.6", "kimi-k3"),
        "zai": ("", "glm-4.7", "glm-5.2"),
    }
)
# Room for an answer and its reasoning, but not for a runaway.
_TIERS = (("fast", 4_096), ("mid", 8_192), ("power", 16_384))

NO_TIERS = (
    "nothing to route to: no [[tiers]], and no provider key in the environment. Export one, such"
    " as OPENAI_API_KEY=…, run `pointsman init` to write a pointsman.toml, or `pointsman demo` to"
    " try it without any key"
)


def settings_from_environment(env: Mapping[str, str]) -> Settings:
    """Return settings whose tiers hold the starter models of every provider that has a key.

    Raises ConfigError when none has.
    """
    names = providers_with_keys(env)
    if not names:
        raise ConfigError(NO_TIERS)
    return Settings(
        providers={name: ProviderSettings() for name in names}, tiers=starter_tiers(names)
    )


def providers_with_keys(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the catalogue's providers that have starters and whose key, and whatever else their
    address needs, is in the environment, in the catalogue's order.
    """
    return tuple(
        row.name
        for row in provider_rows().values()
        if row.api_key_env
        and env.get(row.api_key_env)
        and row.name in STARTERS
        and all(is_url_part(env.get(name, "")) for name in url_variables(row.base_url))
    )


def starter_tiers(providers: Iterable[str]) -> tuple[TierSettings, ...]:
    """Return the tiers that have a model at one of `providers`; the first one's is the primary."""
    names = tuple(providers)
    tiers = []
    for index, (tier, max_tokens) in enumerate(_TIERS):
        models = [f"{name}/{STARTERS[name][index]}" for name in names if STARTERS[name][index]]
        if models:
            tiers.append(TierSettings(tier, models, max_tokens))
    return tuple(tiers)
