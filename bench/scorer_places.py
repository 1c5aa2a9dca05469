"""Where the groups lie among each other: what one number must say of prompts of all kinds.

Within a group the heads rank by themselves. Between groups, a level and a slope for each are
searched on mixed traffic, on values of heads that had not seen the prompts. `print_places` also
tells what that choice is worth: searched without a fold, judged on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scorer_rows import (
    GPT4,
    GPT_4O,
    HAIKU,
    LLAMA_8B,
    LLAMA_70B,
    MINI,
    MIXTRAL,
    O1,
    SONNET,
    Floats,
    Rows,
)

from pointsman.training.ridge import Fit

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Place:
    """Need = need + need_slope * head; gain per dollar = exp(gain + gain_slope * head) / cost."""

    need: float
    need_slope: float
    gain: float
    gain_slope: float


# Found by `train_scorer.py --places`.
PLACES = {
    "choice": Place(0.816, 3.85, 4.6, 4.32),
    "long-choice": Place(1.52, 0.64, 5.11, 2.57),
    "code-reading": Place(1.53, 0.613, 5.61, 1.14),
    "programming": Place(1.44, 1.1, 4.54, 1.2),
    "maths": Place(1.57, 0.882, 4.75, 1.16),
    "word-problem": Place(1.13, 0.0871, 5.52, 0.289),
    "chat": Place(0.513, 0.929, 4.33, 1.26),
}
GROUPS = tuple(PLACES)

# set of sets -> pairs; a set gives 1,500 rows at most.
_CODE_AND_MATHS = ("zeroeval_crux", "zeroeval_math", "zeroeval_gsm", "lcb_code")
MIXTURES: tuple[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (_CODE_AND_MATHS, ((HAIKU, SONNET),)),
    (("zeroeval_crux", "zeroeval_math", "lcb_code"), ((MINI, GPT_4O), (MINI, O1))),
    (("mmlu_pro", *_CODE_AND_MATHS), ((LLAMA_8B, LLAMA_70B),)),
    (("routellm_mmlu", "routellm_gsm8k", "routellm_mtbench"), ((MIXTRAL, GPT4),)),
)
_ROWS_MAX = 1_500
_FOLDS = range(5)
_LEVEL_STEPS = (0.4, 0.2, 0.1)
_NEED_WORTH, _GAIN_WORTH = 1e-3, 4e-3  # a step must be worth this much


class HasFits(Protocol):
    """The fitted heads of one group."""

    @property
    def need(self) -> Fit:
        """Return the head."""

    @property
    def log_cost(self) -> Fit:
        """Return the log of the cost."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One pair on one mixture.  share: of its mixture, over which its pairs are averaged."""

    groups: Ints
    folds: Ints
    sets: Ints
    heads: Floats
    log_costs: Floats
    weak: Floats
    strong: Floats
    weak_cost: Floats
    strong_cost: Floats
    share: float

    def pick(self, keep: NDArray[np.bool_]) -> "Traffic":
        """Return the rows that are to be kept, (n,)."""
        arrays = (getattr(self, name) for name in self.__slots__ if name != "share")
        return Traffic(*(array[keep] for array in arrays), self.share)


@dataclass(frozen=True, slots=True)
class Line:
    """A level and a slope for each group, (n_groups,)."""

    levels: Floats
    slopes: Floats

    def values(self, traffic: Traffic) -> Floats:
        """Return level + slope * head, (n,)."""
        found: Floats = self.levels[traffic.groups] + self.slopes[traffic.groups] * traffic.heads
        return found


def print_places(rows: Mapping[str, Rows], fits: Mapping[int, Mapping[str, HasFits]]) -> None:
    """Search on all folds and print the result; then what it gives where it was not searched."""
    traffic = _traffics(rows, _unseen(rows, fits))
    needs, gains = _search_both(traffic)
    for at, group in enumerate(GROUPS):
        place = (needs.levels[at], needs.slopes[at], gains.levels[at], gains.slopes[at])
        print(f'    "{group}": Place({", ".join(f"{value:.3g}" for value in place)}),')
    nested = {fold: _search_both([t.pick(t.folds != fold) for t in traffic]) for fold in _FOLDS}
    for name, found in (
        ("searched on all", dict.fromkeys(_FOLDS, (needs, gains))),
        ("nested", nested),
    ):
        print(name)
        for some in traffic:
            need, gain = np.zeros(len(some.heads)), np.zeros(len(some.heads))
            for fold, (need_line, gain_line) in found.items():
                there = some.folds == fold
                need[there] = need_line.values(some)[there]
                gain[there] = (gain_line.values(some) - some.log_costs)[there]
            print(
                f"  {len(need):,} rows: APGR {_apgr(need, some):.3f}, by gain per dollar S95 "
                f"{_saving(gain, some, 95):.3f} G95 {_saving_in_each_set(gain, some, 95):.3f}"
            )


def _unseen(
    rows: Mapping[str, Rows], fits: Mapping[int, Mapping[str, HasFits]]
) -> dict[str, tuple[Floats, Floats, Ints]]:
    """Return by set the heads' values, their log costs and the numbers of the groups, (n,)."""
    found = {}
    for name, some in rows.items():
        names = [r.group if r.group in GROUPS else "chat" for r in some.readings]
        groups = np.array([GROUPS.index(group) for group in names])
        heads, costs = np.zeros(len(some)), np.zeros(len(some))
        for fold, fitted in fits.items():
            for at, group in enumerate(GROUPS):
                mine = np.flatnonzero((groups == at) & (some.folds == fold))
                if len(mine):
                    heads[mine] = fitted[group].need.values(some.grams[mine], some.counts[mine])
                    costs[mine] = fitted[group].log_cost.values(some.grams[mine], some.counts[mine])
        found[name] = (heads, costs, groups)
    return found


def _traffics(
    rows: Mapping[str, Rows], unseen: Mapping[str, tuple[Floats, Floats, Ints]]
) -> list[Traffic]:
    return [
        _traffic(rows, unseen, sets, pair, share=1.0 / len(pairs))
        for sets, pairs in MIXTURES
        for pair in pairs
    ]


def _traffic(
    rows: Mapping[str, Rows],
    unseen: Mapping[str, tuple[Floats, Floats, Ints]],
    sets: tuple[str, ...],
    pair: tuple[str, str],
    share: float,
) -> Traffic:
    """Return one pair's outcomes on a mixture, of at most 1,500 rows a set."""
    parts = []
    for at, name in enumerate(sets):
        some, (heads, costs, groups) = rows[name], unseen[name]
        n = len(some)
        chosen = np.arange(n) if n <= _ROWS_MAX else Random(7).sample(range(n), _ROWS_MAX)
        weak, strong = (some.models.index(model) for model in pair)
        parts.append(
            [
                column[chosen]
                for column in (
                    *(groups, some.folds, np.full(n, at), heads, costs),
                    *(some.scores[:, weak], some.scores[:, strong]),
                    *(some.costs[:, weak], some.costs[:, strong]),
                )
            ]
        )
    return Traffic(*(np.concatenate(columns) for columns in zip(*parts, strict=True)), share=share)


def _search_both(traffic: list[Traffic]) -> tuple[Line, Line]:
    start = _start(traffic)
    needs = _search(lambda line: _need_worth(line, traffic), start, _NEED_WORTH)
    steady = Line(np.log(np.maximum(start.levels, 0.05)) + 5.0, 0.45 * _per_deviation(traffic))
    gains = _search(lambda line: _gain_worth(line, traffic), steady, _GAIN_WORTH)
    return needs, gains


def _per_deviation(traffic: list[Traffic]) -> Floats:
    """Return one over the deviation of each group's head."""
    heads = [
        np.concatenate([t.heads[t.groups == at] for t in traffic]) for at in range(len(GROUPS))
    ]
    return np.array([1.0 / max(float(some.std()), 1e-6) for some in heads])


def _start(traffic: list[Traffic]) -> Line:
    """Return what regression says: mean gain of each group over its mixture's, and its slope."""
    levels, slopes, sums = (np.zeros(len(GROUPS)) for _ in range(3))
    for some in traffic:
        gain = (some.strong - some.weak) / (some.strong - some.weak).mean()
        for at in range(len(GROUPS)):
            mine = some.groups == at
            if mine.sum() >= 25:
                head, its = some.heads[mine], gain[mine]
                slope = ((head - head.mean()) * its).mean() / head.var()
                levels[at] += some.share * (its.mean() - slope * head.mean())
                slopes[at] += some.share * slope
                sums[at] += some.share
    sums = np.maximum(sums, 1e-9)
    return Line(levels / sums, np.maximum(slopes / sums, 0.08 * _per_deviation(traffic)))


def _search(worth: Callable[[Line], float], start: Line, step_worth: float) -> Line:
    """Return the line after one round of steps of each size, each kept if it is worth it."""
    line, best = start, worth(start)
    for step in _LEVEL_STEPS:
        for at in range(len(GROUPS)):
            for shift, stretch in (
                (step, 1.0),
                (-step, 1.0),
                (0.0, 1.0 + step),
                (0.0, 1.0 / (1.0 + step)),
            ):
                levels, slopes = line.levels.copy(), line.slopes.copy()
                levels[at] += shift
                slopes[at] *= stretch
                tried = Line(levels, slopes)
                found = worth(tried)
                if found > best + step_worth:
                    line, best = tried, found
    return line


def _need_worth(line: Line, traffic: list[Traffic]) -> float:
    shares = sum(some.share for some in traffic)
    return sum(some.share * _apgr(line.values(some), some) for some in traffic) / shares


def _gain_worth(line: Line, traffic: list[Traffic]) -> float:
    """Return savings around 95% of quality, on average and in each set."""
    total = 0.0
    for some in traffic:
        values = line.values(some) - some.log_costs
        average = np.mean([_saving(values, some, share) for share in (93, 94, 95, 96, 97)])
        total += some.share * float(
            4.0 * average + np.mean([_saving_in_each_set(values, some, t) for t in (94, 95, 96)])
        )
    return total / sum(some.share for some in traffic)


def _curve(values: Floats, some: Traffic) -> tuple[Floats, Floats]:
    """Return summed quality and cost from all weak to all strong, the highest value first."""
    order = np.argsort(-values, kind="stable")
    gain = np.concatenate(([0.0], np.cumsum((some.strong - some.weak)[order])))
    cost = np.concatenate(([0.0], np.cumsum((some.strong_cost - some.weak_cost)[order])))
    return some.weak.sum() + gain, some.weak_cost.sum() + cost


def _apgr(values: Floats, some: Traffic) -> float:
    quality, _ = _curve(values, some)
    kept = (quality - quality[0]) / (quality[-1] - quality[0])
    return float(((kept[1:] + kept[:-1]) / 2).mean())


def _saving(values: Floats, some: Traffic, percent: int) -> float:
    quality, cost = _curve(values, some)
    enough = np.flatnonzero(quality >= quality[-1] * percent / 100 - 1e-9)
    return float(1.0 - cost[enough[0]] / some.strong_cost.sum())


def _saving_in_each_set(values: Floats, some: Traffic, percent: int) -> float:
    saved = 0.0
    for name in np.unique(some.sets):
        mine = some.sets == name
        its = some.pick(mine)
        quality, cost = _curve(values[mine], its)
        enough = quality >= its.strong.sum() * percent / 100 - 1e-9
        saved += float(its.strong_cost.sum() - cost[enough].min())
    return saved / float(some.strong_cost.sum())
