"""Compare with published routers on the same outcomes, by RouteLLM's protocol and metrics.

    python bench/quality.py --data DIR [--sets routellm_gsm8k,routellm_mtbench] [--json FILE]
    python bench/quality.py --routerarena WEAK.jsonl STRONG.jsonl   evaluation only

DIR holds the sets that docs/model-card.md names, or some of them: MMLU, GSM8K and MT-Bench are
measured, what the others hold is what the prior learns from. Rows that RouteLLM counts as
contaminated are dropped. Needs the extra `train`. The draws are the same every time.
docs/benchmarks.md explains the tables and has those of one run.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import scorer_rows
from numpy.typing import NDArray
from published_routers import GSM8K, MMLU, MT_BENCH
from quality_tables import LENGTH, Ranking, Table, measure, show
from scorer_places import Place
from scorer_rows import GPT4, MIXTRAL, SETS, Rows
from train_scorer import FLAT_CURVES, FOLDS, RECIPES, fit_groups, pack, without

from pointsman.core.types import Features, Reading, Snapshot
from pointsman.scorer.heads import Heads
from pointsman.scorer.model import shipped
from pointsman.scorer.reading import read
from pointsman.training.fitting import fit_heads
from pointsman.training.labels import Labels
from pointsman.training.metrics import RESAMPLES, Floats

# The other sets that hold some of the same questions.
SISTERS = {MMLU: ("mmlu_pro",), GSM8K: ("zeroeval_gsm",), MT_BENCH: ()}
BUDGETS = (150, 400, 1_200, 1_500)
REPEATS = 4  # draws of labels for each budget
PRIOR_SETS_MIN = 2
SAME_PLACE = dict.fromkeys(RECIPES, Place(need=0.0, need_slope=1.0, gain=0.0, gain_slope=1.0))
_SEED = 20_261_123


def load_sets(data: Path) -> dict[str, Rows]:
    """Return every set that is there. Raises OSError without prices.json, ValueError if damaged."""
    prices = json.loads((data / "prices.json").read_text(encoding="utf-8"))["prices"]
    files = {name: data / name / "data.jsonl.gz" for name in SETS}
    try:
        return {
            name: scorer_rows._load(file, name, prices)
            for name, file in files.items()
            if file.is_file()
        }
    except KeyError as e:
        raise ValueError(f"{data}: no {e} in a row or in prices.json; fetch the sets anew") from e


def clean(rows: Rows, file: Path) -> Rows:
    """Return the rows less those that RouteLLM drops as near to its training data."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return rows.pick(np.array([not json.loads(line)["contaminated"] for line in lines]))


def rankings(rows: Rows, sets: Mapping[str, Rows], budgets: Sequence[int]) -> Iterator[Ranking]:
    """Yield how each router orders the rows, which are of one of the sets."""
    far = without(sets, FOLDS, (rows.name, *SISTERS[rows.name]))
    labels = as_labels(rows)
    yield Ranking("random", "0", "-", ())
    yield Ranking(LENGTH, "0", "-", (labels.lengths(),))
    fitted = fit_groups(far)
    prior = pack(fitted, FLAT_CURVES, "", SAME_PLACE)
    yield Ranking("prior", "0", "out", (needs(prior, labels.readings),))
    placed = pack(fitted, FLAT_CURVES, "")
    yield Ranking("prior, levels as shipped", "0", "out*", (needs(placed, labels.readings),))
    most = int(min(np.sum(rows.folds != fold) for fold in FOLDS))
    for budget in (budget for budget in budgets if budget < most):
        found = tuple(trained(labels, rows.folds, prior, budget, draw) for draw in range(REPEATS))
        yield Ranking("prior, then trained", f"{budget:,}", "in", found)
    yield Ranking(
        "prior, then trained", f"all: {most:,}", "in", (trained(labels, rows.folds, prior, most),)
    )
    recipe = by_recipe(sets, rows)
    yield Ranking("shipped recipe", f"all: {most:,}, other sets", "in*", (recipe,))


def as_labels(rows: Rows) -> Labels:
    """Return the rows as `pointsman train` takes them, Mixtral and GPT-4 for tiers."""
    quality = np.column_stack((rows.score(MIXTRAL), rows.score(GPT4)))
    return Labels(
        snapshot=Snapshot(tiers=(), default_tier=""),
        features=tuple(_features(reading) for reading in rows.readings),
        quality=quality,
        cost=np.zeros_like(quality),
        log_tokens=np.full(len(rows), np.nan),
    )


def trained(
    labels: Labels, folds: NDArray[np.int64], prior: Heads, budget: int, draw: int = 0
) -> Floats:
    """Return needs, (n,): each fold's by heads trained on `budget` labels of the other folds."""
    found, readings = np.zeros(len(labels)), labels.readings
    for fold in FOLDS:
        rng = np.random.default_rng((_SEED, draw, fold))
        seen = rng.permutation(np.flatnonzero(folds != fold))[:budget]
        unseen = np.flatnonzero(folds == fold)
        heads = fit_heads(labels.pick(seen), prior)
        found[unseen] = needs(heads, [readings[row] for row in unseen.tolist()])
    return found


def by_recipe(sets: Mapping[str, Rows], rows: Rows) -> Floats:
    """Return needs, (n,): each fold's by the recipe of the shipped weights without that fold."""
    found = np.zeros(len(rows))
    for fold in FOLDS:
        heads = pack(fit_groups(without(sets, [fold], SETS)), FLAT_CURVES, "")
        unseen = np.flatnonzero(rows.folds == fold)
        found[unseen] = needs(heads, [rows.readings[row] for row in unseen.tolist()])
    return found


def needs(heads: Heads, readings: Sequence[Reading]) -> Floats:
    """Return the need of each reading, (n,)."""
    return np.array([heads[reading.group].need(reading) for reading in readings])


def arena_rankings(weak: Path, strong: Path) -> tuple[Floats, tuple[Ranking, ...]]:
    """Return the quality, (n, 2), and rankings of what two models answered in RouterArena.

    Its rules allow evaluation alone: the shipped scorer is measured, nothing is learned. Raises
    ValueError when the files have no scored request in common.
    Source: RouteWorks/RouterArena, cached_results/<model>.jsonl, as stored in November 2026.
    """
    low, high = _arena_scores(weak), _arena_scores(strong)
    prompts = sorted(low.keys() & high.keys())
    if not prompts:
        raise ValueError(f"{weak} and {strong}: no request has a score in both; give two models'")
    readings = [read(prompt) for _, prompt in prompts]
    lengths = np.log1p([len(prompt) for _, prompt in prompts])
    quality = np.array([(low[key], high[key]) for key in prompts])
    return quality, (
        Ranking("random", "0", "-", ()),
        Ranking(LENGTH, "0", "-", (lengths,)),
        Ranking("shipped scorer", "0", "not known", (needs(shipped().heads, readings),)),
    )


def main() -> None:
    """Do what the command line asks for; exit with 2 and a reason when it cannot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", default=",".join(SISTERS), help="default: all three")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--routerarena", type=Path, nargs=2, metavar=("WEAK", "STRONG"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if not asked.data and not asked.routerarena:
        parser.error("give --data DIR or --routerarena WEAK STRONG")
    try:
        tables = list(_tables(asked))
    except (OSError, ValueError) as e:
        parser.error(str(e))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(tables)))


def _tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Measure, print and yield one set after the other."""
    for name, quality, found in _measured(asked):
        table = measure(name, quality, found, asked.resamples)
        print(*show(table), sep="\n", flush=True)
        yield table


def _measured(asked: argparse.Namespace) -> Iterator[tuple[str, Floats, tuple[Ranking, ...]]]:
    if asked.routerarena:
        yield "RouterArena, two of its models", *arena_rankings(*asked.routerarena)
    if not asked.data:
        return
    sets = load_sets(asked.data)
    for name in asked.sets.split(","):
        if name not in SISTERS:
            raise ValueError(f'--sets "{name}": choose among {", ".join(SISTERS)}')
        if name not in sets:
            print(f"{name}: not in {asked.data}, left out", file=sys.stderr)
            continue
        if len(sets.keys() - {name, *SISTERS[name]}) < PRIOR_SETS_MIN:
            raise ValueError(f"{name}: its prior needs {PRIOR_SETS_MIN} other sets; add some")
        rows = clean(sets[name], asked.data / name / "data.jsonl.gz")
        yield name, as_labels(rows).quality, tuple(rankings(rows, sets, BUDGETS))


def _features(reading: Reading) -> Features:
    return Features(
        text="",
        turns=1,
        input_tokens=0,
        max_tokens=None,
        needs=frozenset(),
        is_tool_loop=False,
        reading=reading,
    )


def _arena_scores(file: Path) -> dict[tuple[str, str], float]:
    """Return the scores of one model by index and question."""
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    try:
        return {
            (row["global_index"], row["question"]): float(row["evaluation_result"]["score"])
            for row in rows
            if row["evaluation_result"] and row["evaluation_result"]["score"] is not None
        }
    except (KeyError, TypeError) as e:
        raise ValueError(f"{file}: {e!r}; give a file of RouterArena's cached_results") from e


if __name__ == "__main__":
    main()
