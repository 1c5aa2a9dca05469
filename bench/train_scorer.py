"""Train the shipped scorer: its weights, their held-out twin, and the map of familiar words.

    python bench/train_scorer.py --data DIR [--out src/pointsman/scorer]
    python bench/train_scorer.py --data DIR --unseen FILE   also scores of prompts by heads that
                                                            had not seen them (five folds)
    python bench/train_scorer.py --data DIR --without-set FILE   the same, a whole set left out
    python bench/train_scorer.py --data DIR --places        search PLACES anew, with nested figures

DIR holds the sets that docs/model-card.md names. Needs the extra `train`. Nothing is random: the
same data gives the same bytes. `bench/unseen_scorer.py` evaluates the two score files.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scorer_places import PLACES, Place, print_places
from scorer_rows import (
    SETS,
    Floats,
    Rows,
    gains,
    load_rows,
    log_costs,
    log_output_tokens,
    plain_gains,
    standard,
    word_problem_gains,
)

from pointsman.scorer.familiar import SILENT, pack_bits, unpack_words
from pointsman.scorer.heads import Curves, Head, Heads, Linear, Rules, pack_heads
from pointsman.scorer.reading import COUNT_OF_LENGTH, word_values
from pointsman.training.ridge import Fit, ridge

OUT = Path(__file__).parents[1] / "src/pointsman/scorer"
DATE = "2026-11-23"
LETTER_ANSWERS = {"routellm_mmlu"}
STAND_INS = {"edit": "chat", "code": "chat"}
FOLDS = range(5)

# The twin has not seen these rows, nor the same questions in the other set that has them.
TWIN_WITHOUT = ("zeroeval_crux", "zeroeval_math", "zeroeval_gsm", "lcb_code", "routellm_gsm8k")
TWIN_FOLDS = (0, 1)

GRAMS_KEPT = 12_000
RARITY = 0.12
CHAT_WITHIN = 0.7  # what differences within a set count beside those between sets
FAMILIAR_PROMPTS_MIN = 5
CURVE_BINS = 8
CURVE_IMAGINED = 20.0  # requests of mean gain that each bin starts with
SPREAD_POINTS = 33


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the need of one group is learned.

    blur: see `gains`.  penalty, count_scale: see `ridge`.  length: what one deviation of log length
    adds to the head, a shrinkage towards length.
    """

    sets: tuple[str, ...]
    blur: float
    penalty: float
    count_scale: float
    length: float = 0.0


RECIPES = {
    "choice": Recipe(("routellm_mmlu",), 0.0, 8.0, 0.02),
    "long-choice": Recipe(("mmlu_pro",), 0.0, 10.0, 0.02, 0.03),
    "code-reading": Recipe(("zeroeval_crux",), 0.2, 2.0, 0.06),
    "programming": Recipe(("lcb_code",), 0.03, 1.5, 0.02),
    "maths": Recipe(("zeroeval_math",), 0.0, 1.0, 0.02),
    "word-problem": Recipe(("zeroeval_gsm", "routellm_gsm8k"), 0.2, 8.0, 0.05, 1.0),
    "chat": Recipe(SETS, 0.2, 6.0, 0.05, 0.5),
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """The heads of one group before they are placed and packed; `need` has mean 0."""

    need: Fit
    log_cost: Fit
    log_tokens: Fit
    count_means: Floats


def targets(group: str, rows: Mapping[str, Rows], recipe: Recipe) -> Floats:
    """Return what the need of a group is learned from, over its sets one after the other."""
    sets = [rows[name] for name in recipe.sets if name in rows]
    if group == "word-problem" and len(sets) == len(recipe.sets):
        both = word_problem_gains(sets[0], sets[1])
        by_prompt = dict(zip(sets[0].prompts, both, strict=True))
        return np.concatenate([both, [by_prompt[prompt] for prompt in sets[1].prompts]])
    if group != "chat":
        return np.concatenate([gains(some, recipe.blur) for some in sets])
    levels = np.array([np.log(plain_gains(some).mean()) for some in sets])
    return np.concatenate(
        [
            level + CHAT_WITHIN * gains(some, recipe.blur)
            for level, some in zip(standard(levels), sets, strict=True)
        ]
    )


def fit_group(group: str, rows: Mapping[str, Rows]) -> Fitted | None:
    """Return the heads of one group from the rows given, None when it has none."""
    recipe = RECIPES[group]
    sets = [rows[name] for name in recipe.sets if name in rows]
    if not sets:
        return None
    grams = sp.vstack([some.grams for some in sets]).tocsr()
    counts = np.vstack([some.counts for some in sets])
    # Sets count by the root of their size, so that the large ones lead but do not drown the rest.
    weights = np.concatenate([np.full(len(some), len(some) ** -0.5) for some in sets])
    need = ridge(
        grams,
        counts,
        targets(group, rows, recipe),
        penalty=recipe.penalty,
        count_scale=recipe.count_scale,
        rarity=RARITY,
        weights=weights,
    )
    with_length = need.counts.copy()
    with_length[COUNT_OF_LENGTH] += recipe.length / counts[:, COUNT_OF_LENGTH].std()
    need = replace(need, counts=with_length)
    need = replace(need, bias=need.bias - float(need.values(grams, counts).mean()))

    return Fitted(
        need,
        of_counts(sets, log_costs),
        of_counts(written_out(group, sets), log_output_tokens),
        counts.mean(axis=0),
    )


def written_out(group: str, sets: Sequence[Rows]) -> Sequence[Rows]:
    """Return the sets that tell how long a group's answers are.

    What is like none of the sets learns it from those whose answers are written out: one letter, as
    in routellm_mmlu, says nothing of how long a chat's answer is.
    """
    told = [some for some in sets if group != "chat" or some.name not in LETTER_ANSWERS]
    return told or sets


def of_counts(sets: Sequence[Rows], target: Callable[[Rows], Floats]) -> Fit:
    """Return what is learned from the counts alone, without the words."""
    return ridge(
        sp.vstack([some.grams for some in sets]).tocsr() * 0.0,
        np.vstack([some.counts for some in sets]),
        np.concatenate([target(some) for some in sets]),
        penalty=1.0,
        count_scale=0.3,
        weights=np.concatenate([np.full(len(some), len(some) ** -0.5) for some in sets]),
    )


def fit_groups(rows: Mapping[str, Rows]) -> dict[str, Fitted]:
    """Return the fitted heads by group; a group without rows gets those of its nearest kin."""
    fitted = {group: fit_group(group, rows) for group in RECIPES}
    fallback = fitted["chat"]
    assert fallback is not None
    kin = {"choice": fitted["long-choice"], "long-choice": fitted["choice"]}
    return {group: heads or kin.get(group) or fallback for group, heads in fitted.items()}


def pack(
    fitted: Mapping[str, Fitted],
    curves: Mapping[str, Curves],
    version: str,
    places: Mapping[str, Place] = PLACES,
) -> Heads:
    """Return heads with their places, text weights as whole numbers -127..127."""
    heads = {group: _pack(group, fitted[group], curves[group], places[group]) for group in fitted}
    return Heads(version, heads, STAND_INS)


def _pack(group: str, fitted: Fitted, curves: Curves, place: Place) -> Head:
    grams = place.need_slope * fitted.need.grams
    strongest = np.argsort(-np.abs(grams), kind="stable")[:GRAMS_KEPT]
    unit = _rounded(float(np.abs(grams).max()) / 127)
    table = np.full(len(grams), 128)
    table[strongest] += np.rint(grams[strongest] / unit).astype(int)
    slope = place.gain_slope / place.need_slope
    cost, tokens = fitted.log_cost, fitted.log_tokens
    rules = Rules(
        group=group,
        need=_linear(
            place.need + place.need_slope * fitted.need.bias, place.need_slope * fitted.need.counts
        ),
        gram_unit=unit,
        gain_per_usd=_linear(place.gain - slope * place.need - cost.bias, -cost.counts),
        gain_slope=_rounded(slope),
        output_tokens=_linear(tokens.bias, tokens.counts),
        count_means=tuple(map(_rounded, fitted.count_means)),
        curves=curves,
    )
    return Head(rules, bytes(table.tolist()))


def _linear(bias: float, weights: Floats) -> Linear:
    return Linear(_rounded(bias), tuple(map(_rounded, weights)))


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")


FLAT = Curves(((0.0, 1.0),), ((0.0, 1.0, 0.0), (1.0, 1.0, 1.0)))
FLAT_CURVES = dict.fromkeys(RECIPES, FLAT)


def without(rows: Mapping[str, Rows], folds: Sequence[int], sets: Sequence[str]) -> dict[str, Rows]:
    """Return the rows less these folds of these sets; a set left empty is dropped."""
    kept = {
        name: some.pick(~np.isin(some.folds, folds)) if name in sets else some
        for name, some in rows.items()
    }
    return {name: some for name, some in kept.items() if len(some)}


def unseen_fits(rows: Mapping[str, Rows]) -> dict[int, dict[str, Fitted]]:
    """Return, for each fold, heads fitted on the rows of all other folds."""
    return {fold: fit_groups(without(rows, [fold], SETS)) for fold in FOLDS}


def unseen_needs(
    rows: Mapping[str, Rows], fits: Mapping[int, Mapping[str, Fitted]]
) -> dict[str, Floats]:
    """Return for each set the placed needs, (n,), by the packed heads that had not seen the row."""
    packed = {fold: pack(fitted, FLAT_CURVES, "") for fold, fitted in fits.items()}
    return {
        name: np.array(
            [
                packed[int(fold)][reading.group].need(reading)
                for fold, reading in zip(some.folds, some.readings, strict=True)
            ]
        )
        for name, some in rows.items()
    }


def sister_sets(name: str) -> tuple[str, ...]:
    """Return the set and the other one that has its questions."""
    both = ("zeroeval_gsm", "routellm_gsm8k")
    return both if name in both else (name,)


def measure_curves(
    rows: Mapping[str, Rows], fits: Mapping[int, Mapping[str, Fitted]]
) -> dict[str, Curves]:
    """Return the curves of every group, each prompt scored by heads that had not seen it.

    A group is measured on its own prompts in its own sets, gain over the set's mean gain. Chat, for
    which prompts of other kinds must do, on whole sets that its head had not seen, gain as it is.
    """
    needs, curves = unseen_needs(rows, fits), {}
    for group, recipe in RECIPES.items():
        if group == "chat":
            continue
        xs, ys = [], []
        for name in recipe.sets:
            mine = np.array([reading.group == group for reading in rows[name].readings])
            gain = plain_gains(rows[name])[mine]
            xs.append(needs[name][mine])
            ys.append(gain / gain.mean())
        weights = np.concatenate([np.full(len(x), 1.0 / len(x)) for x in xs])
        curves[group] = make_curves(np.concatenate(xs), np.concatenate(ys), weights)
    xs, ys = [], []
    for name, some in rows.items():
        rest = {other: r for other, r in rows.items() if other not in sister_sets(name)}
        fitted = fit_group("chat", rest)
        assert fitted is not None
        head = _pack("chat", fitted, FLAT, PLACES["chat"])
        xs.append(np.array([head.need(reading) for reading in some.readings]))
        ys.append(plain_gains(some))
    weights = np.concatenate([np.full(len(x), 1.0 / len(x)) for x in xs])
    curves["chat"] = make_curves(np.concatenate(xs), np.concatenate(ys), weights)
    return curves


def make_curves(needs: Floats, gain: Floats, weights: Floats) -> Curves:
    """Return relative gain over need, rising, from a few bins; and how it is spread."""
    order = np.argsort(needs, kind="stable")
    needs, gain = needs[order], gain[order]
    weights = weights[order] / weights.sum() * len(weights)
    gain = gain / ((gain * weights).sum() / weights.sum())
    shares = np.cumsum(weights) / weights.sum()
    bins = np.minimum((shares - 0.5 / len(shares)) * CURVE_BINS, CURVE_BINS - 1).astype(int)
    mass = np.bincount(bins, weights)
    middle = np.bincount(bins, weights * needs) / mass
    drawn = (np.bincount(bins, weights * gain) + CURVE_IMAGINED) / (mass + CURVE_IMAGINED)
    level = np.maximum(_rising(drawn, mass), 0.0)
    level = level / ((np.interp(needs, middle, level) * weights).sum() / weights.sum())
    knots = tuple(zip(_places(middle), _places(level), strict=True))
    relative = np.interp(needs, middle, level)
    held = np.concatenate(([0.0], np.cumsum(gain * weights) / (gain * weights).sum()))
    at = np.linspace(0.0, 1.0, SPREAD_POINTS)
    spread = zip(
        _places(at),
        _places(np.interp(at, shares, relative)),
        _places(np.interp(at, np.concatenate(([0.0], shares)), held)),
        strict=True,
    )
    return Curves(knots, tuple(spread))


def _rising(values: Floats, weights: Floats) -> Floats:
    """Return the nearest values that never fall, by pooling adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((float(value), float(weight), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (b, wb, nb), (a, wa, na) = pools.pop(), pools.pop()
            pools.append(((a * wa + b * wb) / (wa + wb), wa + wb, na + nb))
    return np.concatenate([np.full(n, value) for value, _, n in pools])


def _places(values: Floats) -> list[float]:
    return [round(float(value), 6) for value in values]


def familiar_words(rows: Mapping[str, Rows]) -> bytes:
    """Return the packed map of words that several distinct prompts have."""
    silent = {at for at, kind in enumerate(unpack_words(bytes(8192))) if kind == SILENT}
    counted = np.zeros(65_536, dtype=int)
    for prompt in sorted({prompt for some in rows.values() for prompt in some.prompts}):
        counted[list(word_values(prompt))] += 1
    known = set(np.flatnonzero(counted >= FAMILIAR_PROMPTS_MIN).tolist()) - silent
    return zlib.compress(pack_bits(known), 9)


def write_scores(rows: Mapping[str, Rows], file: Path, *, by_set: bool) -> None:
    """Write need and gain per dollar of every prompt by heads that had not seen it, or its set."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    fits = {} if by_set else unseen_fits(rows)
    packed = {fold: pack(fitted, FLAT_CURVES, "") for fold, fitted in fits.items()}
    for name, some in rows.items():
        if by_set:
            rest = {other: r for other, r in rows.items() if other not in sister_sets(name)}
            packed = dict.fromkeys(FOLDS, pack(fit_groups(rest), FLAT_CURVES, ""))
        scores = found.setdefault(name if by_set else "", {})
        for prompt, fold, reading in zip(some.prompts, some.folds, some.readings, strict=True):
            head = packed[int(fold)][reading.group]
            key = sha256(prompt.encode("utf-8", "replace")).hexdigest()
            scores[key] = (head.need(reading), head.gain_per_usd(reading))
    file.write_text(json.dumps(found), encoding="utf-8")
    print(f"{file}: scores of {sum(map(len, found.values())):,} prompts")


def train(rows: Mapping[str, Rows], version: str) -> Heads:
    """Return heads with their curves."""
    return pack(fit_groups(rows), measure_curves(rows, unseen_fits(rows)), version)


def write_weights(rows: Mapping[str, Rows], out: Path) -> None:
    """Write the three data files; the twin's has only the groups that differ."""
    shipped = train(rows, DATE)
    seen = without(rows, TWIN_FOLDS, TWIN_WITHOUT)
    twin = train(seen, f"{DATE}-held-out")
    differ = {g: h for g, h in twin.by_group.items() if h != shipped.by_group[g]}
    twin = replace(twin, by_group=differ)
    for name, data in (
        ("familiar.bin", familiar_words(rows)),
        ("shipped.bin", pack_heads(shipped)),
        ("held_out.bin", pack_heads(twin)),
    ):
        (out / name).write_bytes(data)
        print(f"{out / name}: {len(data):,} bytes, crc {zlib.crc32(data):08x}")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--unseen", type=Path)
    parser.add_argument("--without-set", type=Path)
    parser.add_argument("--places", action="store_true")
    asked = parser.parse_args()
    rows = load_rows(asked.data)
    if asked.places:
        print_places(rows, unseen_fits(rows))
    elif asked.unseen:
        write_scores(rows, asked.unseen, by_set=False)
    elif asked.without_set:
        write_scores(rows, asked.without_set, by_set=True)
    else:
        write_weights(rows, asked.out)


if __name__ == "__main__":
    main()
