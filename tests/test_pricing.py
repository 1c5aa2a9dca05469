"""Pricing: our prices give what genai-prices would, without the package or any network."""

import re
import subprocess
import sys
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import NamedTuple

import genai_prices
import msgspec
import pytest
from bench.build_prices import BASE, OUT, nanousd, price_list
from genai_prices.data import providers as genai_providers
from genai_prices.types import ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.catalog import find_list_price, provider_rows
from pointsman.catalog.prices import Row
from pointsman.core.prices import ContextTier, Price, cost_nanousd
from pointsman.core.usage import Usage
from pointsman.pricing import PriceBook, price_from_usd_per_mtok

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOKENS = st.integers(min_value=0, max_value=400_000)
SINCE, UNTIL = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2024, 2027))
TIMES = st.integers(int(SINCE), int(UNTIL)).map(lambda second: datetime.fromtimestamp(second, UTC))


class Mapped(NamedTuple):
    """A model of genai-prices at a provider of ours; `name` is one that finds it."""

    provider: str
    name: str
    genai_provider: Provider
    info: ModelInfo


def mapped_models() -> list[Mapped]:
    """Return every model of genai-prices whose provider the catalogue maps."""
    by_id = {provider.id: provider for provider in genai_providers}
    return [
        Mapped(row.name, name_of(info), by_id[row.price_provider], info)
        for row in provider_rows().values()
        if row.price_provider
        for info in by_id[row.price_provider].models
    ]


def name_of(info: ModelInfo) -> str:
    """Return the model's id, or where that does not match the first name that its rule holds."""
    named = re.search(r"(?:equals|starts_with|contains)='([^']+)'", repr(info.match))
    return info.id if info.is_match(info.id) or named is None else named[1]


MODELS = mapped_models()
ODD_MODELS = [
    model
    for model in MODELS
    if isinstance(model.info.prices, list)
    or re.search("Tiered|reasoning|write|requests", repr(model.info.prices))
]
BOOK = PriceBook()


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


def genai_nanousd(info: ModelInfo, provider: Provider, usage: Usage, at: datetime) -> Decimal:
    theirs = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.long_cache_write_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    price = info.calc_price(theirs, provider, genai_request_timestamp=at)
    return price.total_price * 10**9


@settings(max_examples=500, deadline=None)
@given(
    model=st.sampled_from(MODELS) | st.sampled_from(ODD_MODELS),
    usage=usages(),
    at=TIMES,
)
def test_costs_are_those_of_genai_prices(model: Mapped, usage: Usage, at: datetime) -> None:
    price = BOOK.price(model.provider, model.name, at)
    found = model.genai_provider.find_model(model.name, all_providers=genai_providers)
    assert found is not None
    if price is not None:
        if "claude" in found.id and found.get_prices(at).cache_write_1h_mtok is None:
            usage = msgspec.structs.replace(usage, long_cache_write_tokens=0)  # ours to know
        theirs = genai_nanousd(found, model.genai_provider, usage, at)
        assert abs(cost_nanousd(usage, price) - theirs) <= 1


def test_anthropics_models_charge_twice_their_input_for_an_hours_write_at_everyones() -> None:
    """Where genai-prices has the rate and where it does not: its own rates prove the rule."""
    charged = {
        (model.provider, model.info.id): price
        for model in MODELS
        if "claude" in model.info.id and "cache_write_mtok" in repr(model.info.prices)
        if (price := BOOK.price(model.provider, model.name, NOON)) is not None
    }
    assert {provider for provider, _ in charged} >= {"anthropic", "bedrock", "openrouter"}
    for price in charged.values():
        rates_of_all: tuple[Price | ContextTier, ...] = (price, *price.tiers)
        for rates in rates_of_all:
            assert rates.long_cache_write_nanousd_per_mtok == 2 * rates.input_nanousd_per_mtok


@pytest.mark.parametrize("name", ["openai/gpt-5.6-sol", "openai/gpt-4o", "minimax/MiniMax-M2"])
def test_others_have_one_rate_for_what_is_written(name: str) -> None:
    provider, _, model = name.partition("/")
    price = BOOK.price(provider, model, NOON)
    assert price is not None and price.long_cache_write_nanousd_per_mtok is None


def test_every_model_that_bills_input_tokens_has_a_price() -> None:
    unpriced = {
        f"{model.provider}/{model.name}"
        for model in MODELS
        if BOOK.price(model.provider, model.name, NOON) is None
        and "input_mtok" in repr(model.info.prices)
    }
    assert unpriced == set()


@pytest.mark.parametrize("provider", ["ollama", "llamacpp", "nobody", "local"])
def test_a_provider_without_prices_has_none(provider: str) -> None:
    assert BOOK.price(provider, "gpt-4o", NOON) is None


@pytest.mark.parametrize(
    "name",
    [
        "openai/no-such-model",
        "openai/whisper-1",  # billed by the hour of audio
        "cerebras/qwen-3-coder-480b",  # withdrawn: genai-prices keeps it with an empty price
    ],
)
def test_a_model_without_a_price_per_token_has_none(name: str) -> None:
    provider, _, model = name.partition("/")
    assert BOOK.price(provider, model, NOON) is None


def test_a_free_variant_costs_nothing() -> None:
    price = BOOK.price("openrouter", "openai/gpt-oss-20b:free", NOON)
    assert price is not None
    assert cost_nanousd(Usage(input_tokens=10**6, output_tokens=10**6), price) == 0


def test_the_time_of_day_decides_where_the_provider_says_so() -> None:
    cheap = BOOK.price("deepseek", "deepseek-v4-pro", datetime(2026, 11, 23, 12, tzinfo=UTC))
    dear = BOOK.price("deepseek", "deepseek-v4-pro", datetime(2026, 11, 23, 7, tzinfo=UTC))
    assert cheap is not None
    assert dear is not None
    assert dear.input_nanousd_per_mtok == 2 * cheap.input_nanousd_per_mtok
    assert BOOK.price("deepseek", "deepseek-v4-pro", NOON) is cheap


def test_a_price_says_where_it_is_from() -> None:
    price = BOOK.price("openai", "gpt-4o-mini", NOON)
    assert price is not None
    assert price.version == f"genai-prices/{genai_prices.__version__}"
    assert price.source_url.startswith("https://")
    assert price.input_nanousd_per_mtok == 150_000_000
    assert price.cached_input_nanousd_per_mtok == 75_000_000


def test_the_configuration_comes_first() -> None:
    mine = price_from_usd_per_mtok(input=1, output=2)
    book = PriceBook({"openai/gpt-4o": mine, "local/smollm2": mine})
    assert book.price("openai", "gpt-4o", NOON) is mine
    assert book.price("local", "smollm2", NOON) is mine
    assert book.price("openai", "gpt-4o-mini", NOON) is not mine


def test_the_mapping_of_providers_can_be_given() -> None:
    book = PriceBook(price_providers={"mine": "openai", "ours": ""})
    assert book.price("mine", "gpt-4o", NOON) == BOOK.price("openai", "gpt-4o", NOON)
    assert book.price("ours", "gpt-4o", NOON) is None


def test_a_configured_price_is_exact_and_fills_what_is_left_out() -> None:
    price = price_from_usd_per_mtok(
        input=0.15, output="0.6", long_cache_write=0.3, reasoning=Decimal("0.7")
    )
    assert price == Price(
        input_nanousd_per_mtok=150_000_000,
        cached_input_nanousd_per_mtok=150_000_000,
        cache_write_nanousd_per_mtok=150_000_000,
        output_nanousd_per_mtok=600_000_000,
        reasoning_nanousd_per_mtok=700_000_000,
        long_cache_write_nanousd_per_mtok=300_000_000,
        version=price.version,
    )


def test_a_configured_price_has_a_version_by_its_values() -> None:
    one = price_from_usd_per_mtok(input=0.15, output=0.6)
    same = price_from_usd_per_mtok(input="0.150", output=Decimal("0.6"), cached_input=0.15)
    other = price_from_usd_per_mtok(input=0.15, output=0.61)
    hourly = price_from_usd_per_mtok(input=0.15, output=0.6, long_cache_write=0.15)
    assert one.version == same.version
    assert len({one.version, other.version, hourly.version}) == 3
    assert one.version.startswith("config/")
    assert len(one.version) == len("config/") + 8


@pytest.mark.parametrize("bad", [-1, -0.01, "free", float("nan"), float("inf")])
def test_a_configured_price_that_is_no_amount_is_refused(bad: float | str) -> None:
    with pytest.raises(ValueError, match="cached_input = "):
        price_from_usd_per_mtok(input=1, output=1, cached_input=bad)


def test_a_price_is_found_without_the_package_and_without_the_network() -> None:
    script = """
import socket, sys, threading
from datetime import UTC, datetime, time

def refuse(*args, **kwargs):
    raise AssertionError("went to the network")

from pointsman.pricing import PriceBook
socket.socket.connect = socket.getaddrinfo = refuse
assert PriceBook().price("openai", "gpt-4o", datetime.now(UTC))
assert not {"genai_prices", "pydantic"} & sys.modules.keys()
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_list_is_that_of_the_locked_release() -> None:
    assert OUT.read_bytes() == price_list(), "run make prices"


@settings(max_examples=300, deadline=None)
@given(
    provider=st.sampled_from(genai_providers),
    name=st.sampled_from([model.name for model in MODELS]) | st.text(max_size=20),
    date=st.sampled_from(["", "-20251211", "-20250230", "-20251211:free", "-202512110", "X-Y"]),
    at=TIMES,
)
def test_any_name_finds_the_model_that_genai_prices_finds(
    provider: Provider, name: str, date: str, at: datetime
) -> None:
    found = provider.find_model(name + date, all_providers=genai_providers)
    ours = find_list_price(provider.id, name + date)
    assert (ours is None) == (found is None)
    if found is not None and ours is not None:
        raw, price = found.get_prices(at), ours.at(at)
        if price is not None:
            assert price.input_nanousd_per_mtok == nanousd(raw.input_mtok, BASE)
            assert price.output_nanousd_per_mtok == nanousd(raw.output_mtok, BASE)
        else:
            assert raw.input_mtok is None


def test_a_time_of_day_may_pass_midnight() -> None:
    row = Row(None, daily=(time(22), time(6)))
    hours = [hour for hour in range(24) if row.is_active(datetime(2026, 11, 23, hour))]
    assert hours == [*range(6), 22, 23]
