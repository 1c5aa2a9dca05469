"""Pricing: finds the price of a model, first in the configuration, then in the catalogue's list.

The list is shipped and never refreshed from the network: the same release books the same prices.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import TypeAlias, TypedDict

from pointsman.catalog import ListPrice, find_list_price, provider_row
from pointsman.core.prices import STATED, Price, nanousd_from_usd

Usd: TypeAlias = Decimal | float | int | str

# A million tokens for a million dollars: what a request costs at that still fits the ledger's 64
# bits, at a billion tokens too.
USD_PER_MTOK_MAX = 1_000_000

_MODELS_MAX = 4096


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
        self._quotes: dict[tuple[str, str], ListPrice | None] = {}

    def price(self, provider: str, model: str, at: datetime) -> Price | None:
        """Return the price in force at `at` (a naive time is UTC), None where none is known.

        Prices that change on a day or by the time of day are resolved anew for each call.
        """
        override = self._overrides.get(f"{provider}/{model}")
        if override is not None:
            return override
        quote = self._quote(provider, model)
        return quote.at(at) if quote else None

    def _quote(self, provider: str, model: str) -> ListPrice | None:
        key = (provider, model)
        if key not in self._quotes:
            if len(self._quotes) >= _MODELS_MAX:  # names come from clients too
                self._quotes.clear()
            self._quotes[key] = find_list_price(self._price_provider(provider), model)
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
    """The rates that the configuration states, nano-USD per million tokens."""

    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    reasoning_nanousd_per_mtok: int | None
    long_cache_write_nanousd_per_mtok: int | None


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
