"""Prices: what a deployment charges, and what an attempt costs, exact to the nano-USD."""

from datetime import date
from decimal import Decimal
from functools import cached_property

import msgspec

from pointsman.core.usage import Usage

STATED = "config/"  # how the version of a price begins that the configuration states
_TOKENS_PER_MTOK = 1_000_000
_HALF = _TOKENS_PER_MTOK // 2  # for rounding
_NANOUSD_PER_USD = 1_000_000_000
_USD_PLACES_MIN = 2
_USD_PLACES_MAX = 9
_DIGITS_BELOW_A_USD = 3


class ContextTier(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The rates of a request with more than `above_input_tokens` tokens of input, cached included.

    They hold for the whole request, not only for the tokens past the threshold.
    Rates are as those of `Price`.

    Source: `TieredPrices` of genai-prices 0.2.3, read 2026-11-23.
    """

    above_input_tokens: int
    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    reasoning_nanousd_per_mtok: int | None = None
    long_cache_write_nanousd_per_mtok: int | None = None

    @cached_property
    def dearest(self) -> tuple[int, int]:
        """Return the most that a token of input and one of output can cost in this tier."""
        return _dearest_input(self, has_long_writes=True), _dearest_output(self)


class Price(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What one model at one provider charges, as read from one source.

    Rates are nano-USD (1e-9 USD) per million tokens, each >= 0; `reasoning` None means billed as
    output, `long_cache_write` (what is written for an hour) None as any other cache write. `tiers`
    are sorted by `above_input_tokens`; none of them applies below the first.
    `version` is the short id that a ledger row keeps, such as `genai-prices/0.2.3` or
    `config/1f0c93ab`. `checked_on` is None where the source gives no date.
    """

    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    reasoning_nanousd_per_mtok: int | None = None
    long_cache_write_nanousd_per_mtok: int | None = None
    per_request_nanousd: int = 0
    tiers: tuple[ContextTier, ...] = ()
    version: str
    source_url: str = ""
    checked_on: date | None = None

    @cached_property
    def is_stated(self) -> bool:
        """Return whether the configuration states it, rather than a list of prices."""
        return self.version.startswith(STATED)

    @cached_property
    def has_write_rate(self) -> bool:
        """Return whether what is written to the prompt cache costs other than fresh input."""
        every: tuple[Price | ContextTier, ...] = (self, *self.tiers)
        return any(it.cache_write_nanousd_per_mtok != it.input_nanousd_per_mtok for it in every)

    @cached_property
    def dearest(self) -> tuple[int, int]:
        """Return the most that a token of input and one of output can cost below all tiers."""
        return _dearest_input(self, has_long_writes=True), _dearest_output(self)


def cost_nanousd(usage: Usage, price: Price) -> int:
    """Return the cost of one attempt in nano-USD, rounded half up once.

    Where an upstream claims more of a part than of the whole (cached and cache-write tokens of the
    input, long ones of the cache-write tokens, reasoning of the output), the remainder counts as
    none rather than as a refund.

    Source: the provider's price page, `price.source_url`.
    """
    read, written = usage.cached_input_tokens, usage.cache_write_tokens
    long, reasoned = usage.long_cache_write_tokens, usage.reasoning_tokens
    rates = _rates_at(price, usage.input_tokens) if price.tiers else price
    if read or written or long:
        exact = (
            max(0, usage.input_tokens - read - written) * rates.input_nanousd_per_mtok
            + read * rates.cached_input_nanousd_per_mtok
            + max(0, written - long) * rates.cache_write_nanousd_per_mtok
            + long * _long_cache_write(rates)
        )
    else:
        exact = usage.input_tokens * rates.input_nanousd_per_mtok
    if rates.reasoning_nanousd_per_mtok is None:
        exact += max(usage.output_tokens, reasoned) * rates.output_nanousd_per_mtok
    else:
        exact += max(0, usage.output_tokens - reasoned) * rates.output_nanousd_per_mtok
        exact += reasoned * rates.reasoning_nanousd_per_mtok
    return price.per_request_nanousd + (exact + _HALF) // _TOKENS_PER_MTOK


def worst_case_nanousd(price: Price, *, input_tokens: int, output_tokens: int) -> int:
    """Return the most that an attempt within these token counts can cost, in nano-USD.

    Every token is billed at the dearest rate it could meet: nothing read from the prompt cache
    unless that is dearer, all written to it if that is dearer, for an hour if that is dearer still,
    at the dearest tier in reach.
    """
    input_rate, output_rate = price.dearest
    dearest = input_tokens * input_rate + output_tokens * output_rate
    for tier in price.tiers:
        if input_tokens > tier.above_input_tokens:
            input_rate, output_rate = tier.dearest
            dearest = max(dearest, input_tokens * input_rate + output_tokens * output_rate)
    return price.per_request_nanousd + (dearest + _HALF) // _TOKENS_PER_MTOK


def dearest_rates(price: Price, *, has_long_writes: bool = False) -> tuple[int, int]:
    """Return the most that a token of input and one of output can cost, nano-USD per million.

    `has_long_writes`: the request asks that what is written to the prompt cache be kept for an
    hour, which nothing is that does not ask.
    """
    rates: tuple[Price | ContextTier, ...] = (price, *price.tiers)
    return (
        max(_dearest_input(rate, has_long_writes=has_long_writes) for rate in rates),
        max(map(_dearest_output, rates)),
    )


def dearest_cached(price: Price) -> int:
    """Return the most that a token from the prompt cache can cost, nano-USD per million."""
    rates: tuple[Price | ContextTier, ...] = (price, *price.tiers)
    return max(rate.cached_input_nanousd_per_mtok for rate in rates)


def format_usd(nanousd: int | None) -> str:
    """Return an amount for people: cents from a dollar up, three digits below, None "unknown".

    >>> [format_usd(n) for n in (123_000, 1_234_500_000_000, 0, None)]
    ['$0.000123', '$1,234.50', '$0.00', 'unknown']
    """
    if nanousd is None:
        return "unknown"
    usd = Decimal(abs(nanousd)).scaleb(-9)
    places = _DIGITS_BELOW_A_USD - 1 - usd.adjusted() if 0 < usd < 1 else _USD_PLACES_MIN
    whole, _, decimals = f"{usd:,.{min(places, _USD_PLACES_MAX)}f}".partition(".")
    shown = decimals.rstrip("0").ljust(_USD_PLACES_MIN, "0")
    return f"{'-' if nanousd < 0 else ''}${whole}.{shown}"


def nanousd_from_usd(usd: Decimal) -> int:
    """Return USD as nano-USD, rounded half up. `usd` is finite and >= 0."""
    return int(usd * _NANOUSD_PER_USD + Decimal("0.5"))


def _rates_at(price: Price, input_tokens: int) -> Price | ContextTier:
    for tier in reversed(price.tiers):
        if input_tokens > tier.above_input_tokens:
            return tier
    return price


def _long_cache_write(rates: Price | ContextTier) -> int:
    stated = rates.long_cache_write_nanousd_per_mtok
    return rates.cache_write_nanousd_per_mtok if stated is None else stated


def _dearest_input(rates: Price | ContextTier, *, has_long_writes: bool) -> int:
    return max(
        rates.input_nanousd_per_mtok,
        rates.cached_input_nanousd_per_mtok,
        rates.cache_write_nanousd_per_mtok,
        _long_cache_write(rates) if has_long_writes else 0,
    )


def _dearest_output(rates: Price | ContextTier) -> int:
    return max(rates.output_nanousd_per_mtok, rates.reasoning_nanousd_per_mtok or 0)
