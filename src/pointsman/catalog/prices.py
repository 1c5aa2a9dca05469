"""Prices: what models cost, as one release of genai-prices has it.

The package itself brings pydantic and an HTTP client: twelve packages, 17 MB and 0.3 s of a start,
for a table that changes only with its releases. So `prices.jsonl` holds that table in our units: a
line that says of what release it is, then a line for each provider and one for each of its models.
`make prices` writes it, and the tests compare it with the package. It is MIT-licensed, see
`prices.LICENSE`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pkgutil import get_data

import msgspec

from pointsman.core.prices import ContextTier, Price

FILE = "prices.jsonl"
_PROVIDERS_KEPT = 16
_PROVIDER = b'\n{"provider":'
# Routers date a model's name without hyphens, gpt-5.2-20251211, where its maker has them.
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=[-:]|$)")


class Clause(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which names mean a model; one of the fields is set. Names are in small letters."""

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    all_of: "tuple[Clause, ...]" = ()
    any_of: "tuple[Clause, ...]" = ()

    def is_match(self, name: str) -> bool:
        """Return whether a name means the model."""
        if self.any_of:
            return any(clause.is_match(name) for clause in self.any_of)
        if self.all_of:
            return all(clause.is_match(name) for clause in self.all_of)
        if self.equals is not None:
            return name == self.equals
        if self.starts_with is not None:
            return name.startswith(self.starts_with)
        if self.ends_with is not None:
            return name.endswith(self.ends_with)
        if self.contains is not None:
            return self.contains in name
        return re.search(self.regex or "", name) is not None


class Rates(msgspec.Struct, frozen=True, array_like=True):
    """Rates in nano-USD per million tokens, as `Price` and `ContextTier` have them."""

    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int | None = None
    long_cache_write: int | None = None


class Row(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A price and when it holds: from a day on, or between two times of the day, all in UTC.

    `rates` None: the model is not billed by tokens. `tiers`: by how many tokens of input are
    exceeded.
    """

    rates: Rates | None
    per_request_nanousd: int = 0
    tiers: tuple[tuple[int, Rates], ...] = ()
    since: date | None = None
    daily: tuple[time, time] | None = None

    def is_active(self, moment: datetime) -> bool:
        """Return whether it holds at a moment, which is UTC without saying so."""
        if self.since is not None:
            return moment.date() >= self.since
        if self.daily is None:
            return True
        start, end = self.daily
        if end < start:
            return moment.time() >= start or moment.time() < end
        return start <= moment.time() < end


class PricedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of the list; the last of its prices that holds is its price, else the first."""

    id: str
    match: Clause
    prices: tuple[Row, ...]


class PricedProvider(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A provider of the list. `like`: the providers whose models it serves at their prices."""

    provider: str
    source_url: str
    like: tuple[str, ...] = ()


class Head(msgspec.Struct, frozen=True):
    """The first line: of what release the list is."""

    version: str


class ListPrice:
    """What one model at one provider costs, by the time."""

    def __init__(self, rows: Sequence[Row], *, version: str, source_url: str) -> None:
        self._steps = tuple((row, _price(row, version, source_url)) for row in rows)

    def at(self, when: datetime) -> Price | None:
        """Return the price in force, None where there is none per token. A naive time is UTC."""
        moment = when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when
        for row, price in reversed(self._steps):
            if row.is_active(moment):
                return price
        return self._steps[0][1]


def find_list_price(provider: str, model: str) -> ListPrice | None:
    """Return what a model costs, by the list's name of its provider; None where it has no such."""
    found = _read(provider)
    if found is None:
        return None
    told, name = found[0], model.lower()
    names = dict.fromkeys((name, _COMPACT_DATE.sub(_with_hyphens, name)))
    rows = next((rows for one in names if (rows := _find((provider, *told.like), one))), None)
    if rows is None:
        return None
    return ListPrice(rows, version=_head().version, source_url=told.source_url)


def _find(providers: Sequence[str], name: str) -> tuple[Row, ...]:
    """Return a model's prices at the first provider that has it, none where none has."""
    for provider in providers:
        found = _read(provider)
        for model in found[1] if found else ():
            if model.match.is_match(name):
                return model.prices
    return ()


def _with_hyphens(found: re.Match[str]) -> str:
    try:
        return f"-{date(*map(int, found.groups()))}"
    except ValueError:  # the 30th of February
        return found[0]


def _price(row: Row, version: str, source_url: str) -> Price | None:
    rates = row.rates
    if rates is None:
        return None
    return Price(
        input_nanousd_per_mtok=rates.input,
        cached_input_nanousd_per_mtok=rates.cached_input,
        cache_write_nanousd_per_mtok=rates.cache_write,
        output_nanousd_per_mtok=rates.output,
        reasoning_nanousd_per_mtok=rates.reasoning,
        long_cache_write_nanousd_per_mtok=rates.long_cache_write,
        per_request_nanousd=row.per_request_nanousd,
        tiers=tuple(_tier(start, rates) for start, rates in row.tiers),
        version=version,
        source_url=source_url,
    )


def _tier(start: int, rates: Rates) -> ContextTier:
    return ContextTier(
        above_input_tokens=start,
        input_nanousd_per_mtok=rates.input,
        cached_input_nanousd_per_mtok=rates.cached_input,
        cache_write_nanousd_per_mtok=rates.cache_write,
        output_nanousd_per_mtok=rates.output,
        reasoning_nanousd_per_mtok=rates.reasoning,
        long_cache_write_nanousd_per_mtok=rates.long_cache_write,
    )


@lru_cache(_PROVIDERS_KEPT)
def _read(provider: str) -> tuple[PricedProvider, list[PricedModel]] | None:
    """Return a provider and its models, decoded without the others."""
    text = _text()
    begin = text.find(_PROVIDER + msgspec.json.encode(provider)) + 1
    if not begin:
        return None
    end = text.find(_PROVIDER, begin)
    first, _, rest = text[begin : end if end > 0 else None].partition(b"\n")
    return msgspec.json.decode(first, type=PricedProvider), _MODELS.decode_lines(rest)


@lru_cache(1)
def _head() -> Head:
    return msgspec.json.decode(_text().partition(b"\n")[0], type=Head)


def _text() -> bytes:
    return get_data(__package__, FILE) or b""


_MODELS = msgspec.json.Decoder(PricedModel)
