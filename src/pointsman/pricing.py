"""Pricing: finds the price of a model, first in the configuration, then in genai-prices.

genai-prices is imported when it is first asked: with pydantic and its table that took 0.3 s on two
cores, 2026-11-23 (`python -X importtime -c "import genai_prices.data"`). Its bundled data is read
as it stands and never refreshed from the network: the same release books the same prices.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from pointsman.catalog import provider_row
from pointsman.core.prices import STATED, ContextTier, Price, nanousd_from_usd

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

Usd: TypeAlias = Decimal | float | int | str

# A million tokens for a million dollars: what a request costs at that still fits the ledger's 64
# bits, at a billion tokens too.
USD_PER_MTOK_MAX = 1_000_000

_MODELS_MAX = 4096
_FREE_SUFFIX = ":free"
_BASE = -1  # below the threshold of every context tier
# What Anthropic's models charge for a prompt-cache write that is kept for an hour, as a multiple of
# their input, whoever serves them: genai-prices lacks it for some who do. Source:
# platform.claude.com/docs/en/build-with-claude/prompt-caching ("Pricing") and
# openrouter.ai/docs/features/prompt-caching, read 2026-11-23.
_CLAUDE = "claude"
_CLAUDE_LONG_WRITE_FACTOR = 2


class PriceBook:
    """Prices by provider and model.

    `overrides` maps `provider/model` to the price to use instead of any other.
    `price_providers` maps a provider's name to its id in genai-prices, empty for one that is not
    there; the default is the catalogue's. A name that the map lacks is looked up as it is.
    """

    def __init__(
        self,
        overrides: Mapping[str, Price] = MappingProxyType({}),
        *,
        price_providers: Mapping[str, str] | None = None,
    ) -> None:
        self._overrides = dict(overrides)
        self._price_providers = price_providers
        self._quotes: dict[tuple[str, str], _Quote | None] = {}

    def price(self, provider: str, model: str, at: datetime) -> Price | None:
        """Return the price in force at `at` (a naive time is UTC), None where none is known.

        Prices that change on a day or by the time of day are resolved anew for each call.
        """
        override = self._overrides.get(f"{provider}/{model}")
        if override is not None:
            return override
        quote = self._quote(provider, model)
        return quote.at(at) if quote else None

    def _quote(self, provider: str, model: str) -> "_Quote | None":
        key = (provider, model)
        if key not in self._quotes:
            if len(self._quotes) >= _MODELS_MAX:  # names come from clients too
                self._quotes.clear()
            self._quotes[key] = _find_quote(self._price_provider(provider), model)
        return self._quotes[key]

    def _price_provider(self, provider: str) -> str:
        if self._price_providers is not None:
            return self._price_providers.get(provider, provider)
        row = provider_row(provider)
        return row.price_provider if row else provider


def price_from_usd_per_mtok(
    *,
    input: Usd,
    output: Usd,
    cached_input: Usd | None = None,
    cache_write: Usd | None = None,
    long_cache_write: Usd | None = None,
    reasoning: Usd | None = None,
) -> Price:
    """Return a price from USD per million tokens, as the configuration states it.

    A float is read as it prints, so 0.15 is exactly 0.15. A rate left out is the input's for
    cached and cache-write tokens, the cache-write tokens' for those kept for an hour, the output's
    for reasoning tokens.

    Raises ValueError where a rate is negative or not a number.
    """
    rates = _Rates(
        input_nanousd_per_mtok=_configured("input", input),
        cached_input_nanousd_per_mtok=_configured("cached_input", cached_input, input),
        cache_write_nanousd_per_mtok=_configured("cache_write", cache_write, input),
        output_nanousd_per_mtok=_configured("output", output),
        reasoning_nanousd_per_mtok=(
            None if reasoning is None else _configured("reasoning", reasoning)
        ),
        long_cache_write_nanousd_per_mtok=(
            None if long_cache_write is None else _configured("long_cache_write", long_cache_write)
        ),
    )
    values = ",".join(str(rate) for rate in rates.values())
    digest = hashlib.sha256(values.encode()).hexdigest()[:8]
    return Price(**rates, version=f"{STATED}{digest}")


class _Rates(TypedDict):
    """The rates that `Price` and `ContextTier` share, nano-USD per million tokens."""

    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    reasoning_nanousd_per_mtok: int | None
    long_cache_write_nanousd_per_mtok: int | None


@dataclass(frozen=True, slots=True)
class _Quote:
    """A model of genai-prices, with those of its prices that were already converted."""

    info: "ModelInfo"
    version: str
    source_url: str
    _converted: "dict[int, Price | None]" = field(default_factory=dict)

    def at(self, when: datetime) -> Price | None:
        raw = self.info.get_prices(when)
        if id(raw) not in self._converted:  # `info` keeps them alive: an id is never reused
            self._converted[id(raw)] = self._convert(raw)
        return self._converted[id(raw)]

    def _convert(self, raw: "ModelPrice") -> Price | None:
        """Return `raw` as our price, None where it says nothing about tokens.

        genai-prices leaves a price empty both for free models and for withdrawn ones, so only a
        name that ends in OpenRouter's `:free` is taken to be free.
        """
        is_empty = all(rate is None for rate in vars(raw).values())
        if raw.input_mtok is None and not (is_empty and self.info.id.endswith(_FREE_SUFFIX)):
            return None
        return Price(
            **_rates(raw, self.info.id, _BASE),
            per_request_nanousd=nanousd_from_usd(_usd(raw.requests_kcount, _BASE) / 1000),
            tiers=tuple(
                ContextTier(above_input_tokens=start, **_rates(raw, self.info.id, start))
                for start in _tier_starts(raw)
            ),
            version=self.version,
            source_url=self.source_url,
        )


def _find_quote(price_provider: str, model: str) -> _Quote | None:
    if not price_provider:
        return None
    from genai_prices import __version__

    providers = _genai_providers()
    provider = providers.get(price_provider)
    if provider is None:
        return None
    info = provider.find_model(model, all_providers=list(providers.values()))
    if info is None:
        return None
    urls = provider.pricing_urls or [""]
    return _Quote(info=info, version=f"genai-prices/{__version__}", source_url=urls[0])


@cache
def _genai_providers() -> Mapping[str, "Provider"]:
    """Return the bundled providers by id: not the snapshot that an updater elsewhere may swap."""
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


def _rates(raw: "ModelPrice", model: str, start: int) -> _Rates:
    """Return the rates above `start` tokens of input; what has no rate is billed as its parent."""
    cached, written, reasoning = (
        raw.cache_read_mtok,
        raw.cache_write_mtok,
        raw.output_reasoning_mtok,
    )
    return _Rates(
        input_nanousd_per_mtok=_nanousd(raw.input_mtok, start),
        cached_input_nanousd_per_mtok=_nanousd(raw.input_mtok if cached is None else cached, start),
        cache_write_nanousd_per_mtok=_nanousd(
            raw.input_mtok if written is None else written, start
        ),
        output_nanousd_per_mtok=_nanousd(raw.output_mtok, start),
        reasoning_nanousd_per_mtok=None if reasoning is None else _nanousd(reasoning, start),
        long_cache_write_nanousd_per_mtok=_long_cache_write(raw, model, start),
    )


def _long_cache_write(raw: "ModelPrice", model: str, start: int) -> int | None:
    stated = raw.cache_write_1h_mtok
    if stated is None and _CLAUDE in model and raw.cache_write_mtok is not None:
        return _nanousd(raw.input_mtok, start) * _CLAUDE_LONG_WRITE_FACTOR
    return None if stated is None else _nanousd(stated, start)


def _tier_starts(raw: "ModelPrice") -> list[int]:
    tiered = (rate for rate in vars(raw).values() if hasattr(rate, "tiers"))
    return sorted({tier.start for rate in tiered for tier in rate.tiers})


def _nanousd(rate: "Decimal | TieredPrices | None", start: int) -> int:
    return nanousd_from_usd(_usd(rate, start))


def _usd(rate: "Decimal | TieredPrices | None", start: int) -> Decimal:
    """Return the rate for input of more than `start` tokens, 0 where there is none."""
    if rate is None or isinstance(rate, Decimal):
        return rate or Decimal(0)
    reached = [tier.price for tier in rate.tiers if tier.start <= start]
    return reached[-1] if reached else rate.base


def _configured(name: str, usd: Usd | None, otherwise: Usd = 0) -> int:
    value = otherwise if usd is None else usd
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or not 0 <= exact <= USD_PER_MTOK_MAX:
        raise ValueError(
            f"price {name} = {str(value)[:40]}: must be a number of USD per million tokens,"
            f" 0 to {USD_PER_MTOK_MAX:,}"
        )
    return nanousd_from_usd(exact)
