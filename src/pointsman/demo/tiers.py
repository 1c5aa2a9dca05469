"""Tiers: the demo's configuration, two local models priced as hosted ones stand in for them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from pointsman.config import (
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    TierSettings,
)
from pointsman.ledger import LedgerSettings
from pointsman.pricing import PriceBook

FAST: Final = "local-1/gemma"
POWER: Final = "local-2/smollm2"
DEAD: Final = "dead/gemma"
STAND_INS: Final[Mapping[str, str]] = {FAST: "openai/gpt-4o-mini", POWER: "openai/gpt-5.4"}

_DISCARD_URL = "http://127.0.0.1:9/v1"  # nothing listens on the discard port: RFC 863
_GREEDY = {"temperature": 0, "seed": 1}
_NANOUSD_PER_USD = 1e9


def demo_settings(
    fast_url: str, power_url: str, ledger: Path, *, at: datetime, has_dead_first: bool = False
) -> Settings:
    """Return the settings; `has_dead_first` puts a deployment that nobody serves before `fast`."""
    params: Mapping[str, Mapping[str, object]] = {
        FAST: _GREEDY,
        POWER: {**_GREEDY, "repeat_penalty": 1.05},
        DEAD: {},
    }
    chains = {"fast": [FAST], "power": [POWER]}
    if has_dead_first:
        chains["fast"].insert(0, DEAD)
    return Settings(
        providers={
            "local-1": ProviderSettings(base_url=fast_url, api_key_env=""),
            "local-2": ProviderSettings(base_url=power_url, api_key_env=""),
            "dead": ProviderSettings(base_url=_DISCARD_URL, api_key_env=""),
        },
        tiers=tuple(
            TierSettings(name, [ModelSettings(model, params=params[model]) for model in chain])
            for name, chain in chains.items()
        ),
        prices={model: _price(stand_in, at) for model, stand_in in STAND_INS.items()},
        ledger=LedgerSettings(url=f"sqlite:///{ledger}"),
    )


def _price(stand_in: str, at: datetime) -> PriceSettings:
    provider, _, model = stand_in.partition("/")
    price = PriceBook().price(provider, model, at)
    assert price is not None, "the catalogue's tests see to it that the stand-ins have prices"
    return PriceSettings(
        input=_usd(price.input_nanousd_per_mtok),
        output=_usd(price.output_nanousd_per_mtok),
        cached_input=_usd(price.cached_input_nanousd_per_mtok),
    )


def _usd(nanousd: int) -> float:
    return nanousd / _NANOUSD_PER_USD
