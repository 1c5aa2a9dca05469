"""Standings: how good a model may be expected to be, and what that rests on.

Abilities come from an item-response fit over models whose answers were measured. A model that no
one measured is placed by a published score, else by its price, else by its neighbours in the tier
table; each of these says so. `bench/fit_standings.py` makes the figures in standings.json.

A price means more each year: models that are placed by price alone are taken to be as new as the
newest in the table. Where that is wrong it is wrong alike for all of a tier table's models that
were placed by price, and routing asks only for the gap between them. Published scores are those of
a model's highest effort.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import exp, log10
from pkgutil import get_data
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from pointsman.core.prices import Price
from pointsman.scorer.groups import GROUPS
from pointsman.scorer.naming import name_key, undated_key

Basis: TypeAlias = Literal["measured", "published", "price", "tier"]

TIER_STEP = 0.85
"""Ability between neighbouring tiers of which nothing is known: the median over the six pairs of
neighbours that were measured (Claude 3 Haiku, 3.5 Haiku, 3.5 Sonnet; Llama 3.1 8B, 70B, 405B;
GPT-4o mini, GPT-4o; Gemini 1.5 Flash 002, Pro 002)."""

_DATA = "standings.json"
_NANOUSD = 1_000_000_000
_EDIT_SHARE = 4  # short edits are taken to be as easy as the easiest quarter of the word problems


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect of one model.

    ability: on the scale of the fit, about -2.6 (a 7B model of 2023) to 5.5 (the best of 2026).
    quality: expected mean quality, 0..1, for each of `GROUPS`.  measured_groups: those of them that
    are means of real outcomes; the others come from the fit.  note: what was assumed, in words that
    begin with "assumed"; empty where the ability was measured.
    """

    model: str
    ability: float
    basis: Basis
    quality: Mapping[str, float]
    measured_groups: frozenset[str] = frozenset()
    note: str = ""


class _Measured(msgspec.Struct, frozen=True):
    """means: group -> (mean quality 0..1, number of outcomes)."""

    ability: float
    slope: float
    means: dict[str, tuple[float, int]]


class _Published(msgspec.Struct, frozen=True):
    ability: float
    score: float
    source: str


class _PriceLine(msgspec.Struct, frozen=True):
    """ability = intercept + slope * log10(USD per million tokens); spread: standard deviation."""

    intercept: float
    slope: float
    spread: float
    per_year: float
    era: float


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The figures of standings.json.

    difficulties: group -> middles of equal parts of its prompts, rising.  slope: a typical model's.
    floor, ceiling: bounds of what an ability may be assumed to be.  reference: ability of the best
    of the measured models.
    """

    aliases: dict[str, str]
    ceiling: float
    difficulties: dict[str, list[float]]
    floor: float
    measured: dict[str, _Measured]
    price: _PriceLine
    published: dict[str, _Published]
    reference: float
    slope: float
    sources: dict[str, str]


def place(model: str, price: Price | None) -> Standing | None:
    """Return the standing of `model`, `provider/model` or bare; None where nothing is known.

    What was measured comes first, then a published score, then a price above 0.
    """
    table = _table()
    name = _find(model)
    if name in table.measured:
        return _as_measured(model, table.measured[name])
    if name in table.published:
        row = table.published[name]
        note = f"assumed from its published score, {row.score:g} ({table.sources[row.source]})"
        return _assumed(model, row.ability, "published", note)
    usd = _blended_usd(price)
    if usd <= 0:
        return None
    line = table.price
    ability = _bounded(line.intercept + line.slope * log10(usd))
    note = f"assumed from its price, {usd:.3g} USD per million tokens, as of {int(line.era)}"
    return _assumed(model, ability, "price", note)


def place_tiers(models: Sequence[tuple[str, Price | None]]) -> tuple[Standing, ...]:
    """Return one standing for each tier's model, cheapest tier first.

    A tier of which nothing is known stands between its neighbours. What is assumed from a price or
    a place keeps the order of the tiers as far as the facts have it; what was measured or published
    stays as it is.

    The measured prompts are of 2023 and 2024, and newer models answer nearly all of them. So where
    no tier was measured, requests are assumed to be as much harder as the best tier is more able
    than the best of then: people ask more of better models. Abilities stay, quality is the lower.
    """
    found = [place(model, price) for model, price in models]
    abilities = _between([standing.ability if standing else None for standing in found])
    standings = [
        standing or _assumed(model, ability, "tier", "assumed from its place among the tiers")
        for (model, _), standing, ability in zip(models, found, abilities, strict=True)
    ]
    return tuple(_above_cheaper(_with_harder_requests(_in_order(standings))))


@cache
def _table() -> _Table:
    """Return the figures that come with the package, read once.

    Raises ValueError when their file is missing or damaged.
    """
    data = get_data("pointsman.scorer", _DATA)
    if data is None:
        raise ValueError(f"{_DATA}: missing from the package; install pointsman again")
    try:
        return msgspec.json.decode(data, type=_Table)
    except msgspec.DecodeError as error:
        raise ValueError(f"{_DATA}: damaged, {error}; install pointsman again") from error


def _find(model: str) -> str:
    """Return the model's name in the table, empty where it has none.

    A release of its own comes before another release of the same model.
    """
    exact, undated = _index()
    return exact.get(name_key(model)) or undated.get(undated_key(model)) or ""


@cache
def _index() -> tuple[Mapping[tuple[str, ...], str], Mapping[tuple[str, ...], str]]:
    """Return the table's names by key, and by key without date.

    Where several share a key: the measured before the published, then the latest.
    """
    table = _table()
    names = [*sorted(table.published), *sorted(table.measured)]
    exact = {name_key(name): name for name in names}
    exact |= {name_key(alias): name for alias, name in table.aliases.items()}
    return exact, {undated_key(name): name for name in names}


def _as_measured(model: str, row: _Measured) -> Standing:
    curves = _curves(row.ability, row.slope)
    means = {group: mean for group, (mean, _) in row.means.items()}
    return Standing(
        model=model,
        ability=row.ability,
        basis="measured",
        quality=_with_unmeasured(curves | means, row.ability, row.slope),
        measured_groups=frozenset(means),
    )


def _assumed(
    model: str, ability: float, basis: Basis, note: str, *, harder: float = 0.0
) -> Standing:
    slope, level = _table().slope, ability - harder
    quality = _with_unmeasured(_curves(level, slope), level, slope)
    return Standing(model=model, ability=ability, basis=basis, quality=quality, note=note)


def _curves(ability: float, slope: float) -> dict[str, float]:
    return {
        group: _mean_right(ability, slope, difficulties)
        for group, difficulties in _table().difficulties.items()
    }


def _with_unmeasured(
    quality: Mapping[str, float], ability: float, slope: float
) -> Mapping[str, float]:
    """Return quality for all groups: no data tell of `edit` and `code`, so these are assumed.

    A short edit is as easy as the easiest quarter of the word problems; a request about code stands
    half way between writing a program and a chat.
    """
    words = _table().difficulties["word-problem"]
    assumed = {
        "edit": _mean_right(ability, slope, words[: len(words) // _EDIT_SHARE]),
        "code": (quality["programming"] + quality["chat"]) / 2,
    }
    return MappingProxyType({group: {**quality, **assumed}[group] for group in GROUPS})


def _mean_right(ability: float, slope: float, difficulties: Sequence[float]) -> float:
    """Return the mean chance of a right answer.

    Source: two-parameter logistic item-response model, Birnbaum 1968.
    """
    chances = (1 / (1 + exp(-slope * (ability - difficulty))) for difficulty in difficulties)
    return sum(chances) / len(difficulties)


def _blended_usd(price: Price | None) -> float:
    """Return USD per million tokens, three parts input to one part output; 0 without a price."""
    if price is None:
        return 0.0
    parts = 3 * price.input_nanousd_per_mtok + price.output_nanousd_per_mtok
    return parts / 4 / _NANOUSD


def _bounded(ability: float) -> float:
    return min(max(ability, _table().floor), _table().ceiling)


def _between(abilities: Sequence[float | None]) -> list[float]:
    """Return abilities with the gaps filled: on a line between two known, by steps outside them.

    Where none is known, the best tier is taken for one of the best that were measured.
    """
    known = [(index, ability) for index, ability in enumerate(abilities) if ability is not None]
    if not known:
        best = _table().reference
        return [_bounded(best - TIER_STEP * step) for step in reversed(range(len(abilities)))]
    filled = []
    for index, ability in enumerate(abilities):
        before = [pair for pair in known if pair[0] <= index]
        after = [pair for pair in known if pair[0] >= index]
        if ability is not None:
            filled.append(ability)
        elif not after:
            filled.append(_bounded(before[-1][1] + TIER_STEP * (index - before[-1][0])))
        elif not before:
            filled.append(_bounded(after[0][1] - TIER_STEP * (after[0][0] - index)))
        else:
            (left, low), (right, high) = before[-1], after[0]
            filled.append(low + (high - low) * (index - left) / (right - left))
    return filled


def _is_fact(standing: Standing) -> bool:
    return standing.basis in {"measured", "published"}


def _in_order(standings: Sequence[Standing]) -> list[Standing]:
    """Return them with the assumed ones between the facts before and after, and rising."""
    ordered: list[Standing] = []
    for index, standing in enumerate(standings):
        if _is_fact(standing):
            ordered.append(standing)
            continue
        low = max((cheaper.ability for cheaper in ordered), default=_table().floor)
        later = [fact.ability for fact in standings[index + 1 :] if _is_fact(fact)]
        high = max(low, min(later, default=_table().ceiling))
        ability = standing.ability
        if ability > high:
            ability = max(low, high - TIER_STEP / 2)
        elif ability < low:
            ability = min(high, low + TIER_STEP / 2)
        note = standing.note
        if ability != standing.ability:
            note += ", then moved to keep the order of the tiers"
        ordered.append(_assumed(standing.model, ability, standing.basis, note))
    return ordered


def _with_harder_requests(standings: list[Standing]) -> list[Standing]:
    if any(standing.basis == "measured" for standing in standings):
        return standings
    best = max((standing.ability for standing in standings), default=0.0)
    harder = best - _table().reference
    if harder <= 0:
        return standings
    return [
        _assumed(
            standing.model,
            standing.ability,
            standing.basis,
            f"{standing.note}; requests assumed as hard for these tiers as 2024's for its best",
            harder=harder,
        )
        for standing in standings
    ]


def _above_cheaper(standings: Iterable[Standing]) -> list[Standing]:
    """Return them with no group's assumed quality below that of a cheaper, no more able model."""
    raised: list[Standing] = []
    for standing in standings:
        lower = [cheaper for cheaper in raised if cheaper.ability <= standing.ability]
        quality = {
            group: value
            if group in standing.measured_groups
            else max([value, *(cheaper.quality[group] for cheaper in lower)])
            for group, value in standing.quality.items()
        }
        raised.append(msgspec.structs.replace(standing, quality=MappingProxyType(quality)))
    return raised
