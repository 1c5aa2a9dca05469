"""Prices: exact arithmetic, one rounding, and a worst case that is never exceeded."""

from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.prices import (
    ContextTier,
    Price,
    cost_nanousd,
    dearest_rates,
    format_usd,
    worst_case_nanousd,
)
from pointsman.core.usage import Usage

RATES = st.integers(min_value=0, max_value=10**12)
TOKENS = st.integers(min_value=0, max_value=3_000_000)
PriceOrTier = TypeVar("PriceOrTier", Price, ContextTier)


def rates() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "input_nanousd_per_mtok": RATES,
            "cached_input_nanousd_per_mtok": RATES,
            "cache_write_nanousd_per_mtok": RATES,
            "output_nanousd_per_mtok": RATES,
            "reasoning_nanousd_per_mtok": st.none() | RATES,
            "long_cache_write_nanousd_per_mtok": st.none() | RATES,
        }
    )


@st.composite
def prices(draw: st.DrawFn) -> Price:
    starts = sorted(draw(st.sets(TOKENS, max_size=3)))
    return Price(
        **draw(rates()),
        per_request_nanousd=draw(RATES),
        tiers=tuple(ContextTier(above_input_tokens=start, **draw(rates())) for start in starts),
        version="test",
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    cached, short, long, fresh, reasoning, plain = (draw(TOKENS) for _ in range(6))
    return Usage(
        input_tokens=cached + short + long + fresh,
        cached_input_tokens=cached,
        cache_write_tokens=short + long,
        long_cache_write_tokens=long,
        output_tokens=reasoning + plain,
        reasoning_tokens=reasoning,
    )


def flat(rate: int, **more: Any) -> Price:
    return Price(
        input_nanousd_per_mtok=rate,
        cached_input_nanousd_per_mtok=rate,
        cache_write_nanousd_per_mtok=rate,
        output_nanousd_per_mtok=rate,
        version="test",
        **more,
    )


@pytest.mark.parametrize(
    ("rate", "tokens", "expected"),
    [(1, 499_999, 0), (1, 500_000, 1), (1, 1_499_999, 1), (1, 1_500_000, 2), (150_000_000, 1, 150)],
)
def test_a_cost_is_rounded_half_up(rate: int, tokens: int, expected: int) -> None:
    assert cost_nanousd(Usage(input_tokens=tokens), flat(rate)) == expected


def test_a_cost_is_rounded_once_over_all_kinds_of_tokens() -> None:
    usage = Usage(input_tokens=600_000, cached_input_tokens=300_000, output_tokens=300_000)
    assert cost_nanousd(usage, flat(1)) == 1  # 0.9; by parts it would be 0.3 + 0.3 + 0.3 -> 0


def test_each_kind_of_token_has_its_own_rate() -> None:
    price = Price(
        input_nanousd_per_mtok=1_000_000,
        cached_input_nanousd_per_mtok=10_000_000,
        cache_write_nanousd_per_mtok=100_000_000,
        output_nanousd_per_mtok=1_000_000_000,
        reasoning_nanousd_per_mtok=10_000_000_000,
        long_cache_write_nanousd_per_mtok=7_000_000,
        per_request_nanousd=900_000,
        version="test",
    )
    usage = Usage(
        input_tokens=6,
        cached_input_tokens=2,
        cache_write_tokens=3,
        long_cache_write_tokens=1,
        output_tokens=9,
        reasoning_tokens=5,
    )
    assert cost_nanousd(usage, price) == 900_000 + 1 + 20 + 200 + 7 + 4_000 + 50_000


def test_a_tier_holds_for_the_whole_request_once_its_threshold_is_passed() -> None:
    tier = ContextTier(
        above_input_tokens=200_000,
        input_nanousd_per_mtok=2_000_000,
        cached_input_nanousd_per_mtok=2_000_000,
        cache_write_nanousd_per_mtok=2_000_000,
        output_nanousd_per_mtok=4_000_000,
    )
    price = flat(1_000_000, tiers=(tier,))
    assert cost_nanousd(Usage(input_tokens=200_000, output_tokens=1), price) == 200_001
    assert cost_nanousd(Usage(input_tokens=200_001, output_tokens=1), price) == 400_006


def test_impossible_usage_is_never_a_refund() -> None:
    usage = Usage(input_tokens=1, cached_input_tokens=5, output_tokens=1, reasoning_tokens=5)
    assert cost_nanousd(usage, flat(1_000_000)) == 10
    usage = Usage(input_tokens=5, cache_write_tokens=5, long_cache_write_tokens=9)
    price = flat(1_000_000, long_cache_write_nanousd_per_mtok=3_000_000)
    assert cost_nanousd(usage, price) == 27


@given(usage=usages(), price=prices())
def test_without_a_rate_of_its_own_an_hours_write_costs_what_any_does(
    usage: Usage, price: Price
) -> None:
    def without_own(rates: PriceOrTier) -> PriceOrTier:
        return msgspec.structs.replace(rates, long_cache_write_nanousd_per_mtok=None)

    plain = without_own(price)
    plain = msgspec.structs.replace(plain, tiers=tuple(map(without_own, price.tiers)))
    short = msgspec.structs.replace(usage, long_cache_write_tokens=0)
    assert cost_nanousd(usage, plain) == cost_nanousd(short, plain) == cost_nanousd(short, price)


@given(usage=usages(), price=prices(), rate=RATES)
def test_an_hours_write_costs_its_own_rate_more(usage: Usage, price: Price, rate: int) -> None:
    price = msgspec.structs.replace(price, tiers=(), long_cache_write_nanousd_per_mtok=rate)
    short = msgspec.structs.replace(usage, long_cache_write_tokens=0)
    more = usage.long_cache_write_tokens * (rate - price.cache_write_nanousd_per_mtok)
    apart = cost_nanousd(usage, price) - cost_nanousd(short, price)
    assert abs(apart * 1_000_000 - more) <= 1_000_000


@given(price=prices())
def test_no_tokens_cost_the_request_alone(price: Price) -> None:
    assert cost_nanousd(Usage(), price) == price.per_request_nanousd


@given(usage=usages(), price=prices(), more=st.integers(0, 10**6))
def test_more_output_never_costs_less(usage: Usage, price: Price, more: int) -> None:
    longer = msgspec.structs.replace(usage, output_tokens=usage.output_tokens + more)
    assert cost_nanousd(longer, price) >= cost_nanousd(usage, price)


@given(usage=usages(), price=prices(), more=st.integers(0, 10**6))
def test_more_input_never_costs_less_within_a_tier(usage: Usage, price: Price, more: int) -> None:
    single_tier = msgspec.structs.replace(price, tiers=())
    longer = msgspec.structs.replace(usage, input_tokens=usage.input_tokens + more)
    assert cost_nanousd(longer, single_tier) >= cost_nanousd(usage, single_tier)


@given(one=usages(), other=usages(), price=prices())
def test_costs_add_up_but_for_rounding_where_there_are_no_tiers(
    one: Usage, other: Usage, price: Price
) -> None:
    price = msgspec.structs.replace(price, tiers=(), per_request_nanousd=0)
    both = Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        cached_input_tokens=one.cached_input_tokens + other.cached_input_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
        long_cache_write_tokens=one.long_cache_write_tokens + other.long_cache_write_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
    )
    apart = cost_nanousd(one, price) + cost_nanousd(other, price)
    assert abs(cost_nanousd(both, price) - apart) <= 1


@given(usage=usages(), price=prices(), more=TOKENS)
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    usage: Usage, price: Price, more: int
) -> None:
    bound = worst_case_nanousd(
        price, input_tokens=usage.input_tokens + more, output_tokens=usage.output_tokens + more
    )
    assert cost_nanousd(usage, price) <= bound


def test_the_worst_case_writes_the_cache_and_reads_none_of_it() -> None:
    price = Price(
        input_nanousd_per_mtok=4_000_000,
        cached_input_nanousd_per_mtok=400_000,
        cache_write_nanousd_per_mtok=5_000_000,
        output_nanousd_per_mtok=20_000_000,
        version="test",
    )
    assert worst_case_nanousd(price, input_tokens=10, output_tokens=10) == 50 + 200
    hourly = msgspec.structs.replace(price, long_cache_write_nanousd_per_mtok=8_000_000)
    assert worst_case_nanousd(hourly, input_tokens=10, output_tokens=10) == 80 + 200


def test_the_dearest_rates_have_an_hours_writes_where_they_are_asked_for() -> None:
    price = flat(1_000, long_cache_write_nanousd_per_mtok=2_000)
    assert dearest_rates(price) == (1_000, 1_000)
    assert dearest_rates(price, has_long_writes=True) == (2_000, 1_000)


@given(usage=usages(), price=prices())
def test_no_token_costs_more_than_the_dearest_rates(usage: Usage, price: Price) -> None:
    price = msgspec.structs.replace(price, per_request_nanousd=0)
    usage = msgspec.structs.replace(usage, reasoning_tokens=0)
    short = msgspec.structs.replace(usage, long_cache_write_tokens=0)
    for used, has_long_writes in ((usage, True), (short, False)):
        of_input, of_output = dearest_rates(price, has_long_writes=has_long_writes)
        bound = used.input_tokens * of_input + used.output_tokens * of_output
        assert cost_nanousd(used, price) * 1_000_000 <= bound + 500_000


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123, "$0.000000123"),
        (123_456, "$0.000123"),
        (12_000_000, "$0.012"),
        (500_000_000, "$0.50"),
        (999_999_999, "$1.00"),
        (1_234_567_890, "$1.23"),
        (1_234_500_000_000, "$1,234.50"),
        (-2_500_000, "-$0.0025"),
    ],
)
def test_amounts_are_shown_with_as_many_digits_as_they_need(
    nanousd: int | None, shown: str
) -> None:
    assert format_usd(nanousd) == shown


@given(price=prices())
def test_a_price_survives_json(price: Price) -> None:
    assert msgspec.json.decode(msgspec.json.encode(price), type=Price) == price
