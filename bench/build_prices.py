"""Write the list of prices that pointsman ships, of the installed genai-prices, in nano-USD.

    python -m bench.build_prices [--out src/pointsman/catalog/prices.jsonl]

What it says of other things than tokens and requests is left out, and so are prices that only some
requests of a model have.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import genai_prices
import msgspec
from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from pointsman.catalog import prices
from pointsman.catalog.prices import Clause, Head, PricedModel, PricedProvider, Rates, Row
from pointsman.core.prices import nanousd_from_usd

OUT = Path(prices.__file__).with_name(prices.FILE)
FREE_SUFFIX = ":free"
BASE = -1  # below the threshold of every context tier
# What Anthropic's models charge for a prompt-cache write that is kept for an hour, as a multiple of
# their input, whoever serves them: genai-prices lacks it for some who do. Source:
# platform.claude.com/docs/en/build-with-claude/prompt-caching ("Pricing") and
# openrouter.ai/docs/features/prompt-caching, read 2026-11-23.
CLAUDE = "claude"
CLAUDE_LONG_WRITE_FACTOR = 2


def price_list() -> bytes:
    """Return the file: the same release gives the same bytes."""
    head = Head(f"genai-prices/{genai_prices.__version__}")
    lines = [head, *(line for provider in providers for line in told_of(provider))]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def told_of(provider: Provider) -> Iterator[PricedProvider | PricedModel]:
    yield PricedProvider(
        provider.id,
        (provider.pricing_urls or [""])[0],
        tuple(provider.fallback_model_providers or ()),
    )
    for model in provider.models:
        yield PricedModel(model.id, clause(model.match), tuple(rows(model)))


def clause(logic: MatchLogic) -> Clause:
    match logic:
        case ClauseOr():
            return Clause(any_of=tuple(map(clause, logic.or_)))
        case ClauseAnd():
            return Clause(all_of=tuple(map(clause, logic.and_)))
        case ClauseEquals():
            return Clause(equals=logic.equals.lower())
        case ClauseStartsWith():
            return Clause(starts_with=logic.starts_with.lower())
        case ClauseEndsWith():
            return Clause(ends_with=logic.ends_with.lower())
        case ClauseContains():
            return Clause(contains=logic.contains.lower())
        case ClauseRegex():
            return Clause(regex=logic.regex)


def rows(model: ModelInfo) -> Iterator[Row]:
    """Yield a model's prices in their order."""
    if isinstance(model.prices, ModelPrice):
        yield row(model.prices, model.id)
        return
    for conditional in model.prices:
        match conditional.constraint:
            case None:
                yield row(conditional.prices, model.id)
            case StartDateConstraint(start_date=since):
                yield row(conditional.prices, model.id, since=since)
            case TimeOfDateConstraint(start_time=start, end_time=end):
                yield row(conditional.prices, model.id, daily=(in_utc(start), in_utc(end)))


def row(
    raw: ModelPrice,
    model: str,
    *,
    since: date | None = None,
    daily: tuple[time, time] | None = None,
) -> Row:
    """Return one price, without rates where it says nothing about tokens.

    genai-prices leaves a price empty both for free models and for withdrawn ones, so only a name
    that ends in OpenRouter's `:free` is taken to be free.
    """
    is_empty = all(rate is None for rate in vars(raw).values())
    if raw.input_mtok is None and not (is_empty and model.endswith(FREE_SUFFIX)):
        return Row(None, since=since, daily=daily)
    return Row(
        rates(raw, model, BASE),
        per_request_nanousd=nanousd_from_usd(usd(raw.requests_kcount, BASE) / 1000),
        tiers=tuple((start, rates(raw, model, start)) for start in tier_starts(raw)),
        since=since,
        daily=daily,
    )


def rates(raw: ModelPrice, model: str, start: int) -> Rates:
    """Return the rates above `start` tokens of input; what has no rate is billed as its parent."""
    cached, written = raw.cache_read_mtok, raw.cache_write_mtok
    reasoning = raw.output_reasoning_mtok
    return Rates(
        input=nanousd(raw.input_mtok, start),
        cached_input=nanousd(raw.input_mtok if cached is None else cached, start),
        cache_write=nanousd(raw.input_mtok if written is None else written, start),
        output=nanousd(raw.output_mtok, start),
        reasoning=None if reasoning is None else nanousd(reasoning, start),
        long_cache_write=long_cache_write(raw, model, start),
    )


def long_cache_write(raw: ModelPrice, model: str, start: int) -> int | None:
    stated = raw.cache_write_1h_mtok
    if stated is None and CLAUDE in model and raw.cache_write_mtok is not None:
        return nanousd(raw.input_mtok, start) * CLAUDE_LONG_WRITE_FACTOR
    return None if stated is None else nanousd(stated, start)


def tier_starts(raw: ModelPrice) -> list[int]:
    tiered = (rate for rate in vars(raw).values() if isinstance(rate, TieredPrices))
    return sorted({tier.start for rate in tiered for tier in rate.tiers})


def nanousd(rate: Decimal | TieredPrices | None, start: int) -> int:
    return nanousd_from_usd(usd(rate, start))


def usd(rate: Decimal | TieredPrices | None, start: int) -> Decimal:
    """Return the rate for input of more than `start` tokens, 0 where there is none."""
    if rate is None or isinstance(rate, Decimal):
        return rate or Decimal(0)
    reached = [tier.price for tier in rate.tiers if tier.start <= start]
    return reached[-1] if reached else rate.base


def in_utc(stated: time) -> time:
    if stated.tzinfo is None:
        return stated
    return datetime.combine(date(1970, 1, 1), stated).astimezone(UTC).time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    told = price_list()
    parser.parse_args().out.write_bytes(told)
    print(f"{len(told.splitlines()):,} lines, {len(told) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
