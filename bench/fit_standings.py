"""Fit the standings of models from measured outcomes, and write them for the package.

Run: .venv/bin/python bench/fit_standings.py DATA_FOLDER [--judge]

DATA_FOLDER holds one folder a data set with `data.jsonl.gz` (rows with `scores`: model -> 0..1) and
`prices.json`. Writes src/pointsman/scorer/standings.json: figures only, the same bytes from the
same data. `--judge` also predicts every cell (a model's mean in a group) from a fit that never saw
it, and takes some minutes.

The fit: P(right) = sigmoid(slope_m * (ability_m - difficulty_x)), the difficulties of a set drawn
from a free distribution on a grid, by marginal maximum likelihood with weak priors.
Source: Bock and Aitkin (1981), Psychometrika 46, 443-459.
"""

import argparse
import gzip
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.pricing import PriceBook

Floats = npt.NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "src/pointsman/scorer/standings.json"
PUBLISHED = ROOT / "bench/published_scores.toml"

# Sets that many models answered: abilities come from these.
SETS = {
    "mmlu_pro": "long-choice",
    "zeroeval_crux": "code-reading",
    "lcb_code": "programming",
    "zeroeval_math": "maths",
    "zeroeval_gsm": "word-problem",
}
# Sets of two models: they tell how hard their group is, given the abilities of the two.
PAIR_SETS = {
    "routellm_mmlu": "choice",
    "routellm_mtbench": "chat",
    "routellm_gsm8k": "word-problem",
}
GRID: Floats = np.linspace(-7.0, 9.0, 41)
ABILITY_SD, LOG_SLOPE_SD = 2.0, 0.3
ROUNDS_MAX, TOLERANCE = 400, 1e-7
QUANTILES = 24
DAMPING = 1.5
BEST_SHARE = 0.9  # of the measured models: the tenth best in a hundred stands for the best of 2024
PRICE_YEARS = 1.0  # prices fall so fast that older models would only blur what a price means now
# Providers as the price book knows them, by how a model's name starts.
PRICED_BY = {
    "gpt-oss": "groq/openai/",
    "gpt": "openai/",
    "o1": "openai/",
    "o3": "openai/",
    "o4": "openai/",
    "claude": "anthropic/",
    "gemini": "gemini/",
    "grok": "xai/",
    "deepseek": "openrouter/deepseek/",
    "qwen": "openrouter/qwen/",
    "kimi": "openrouter/moonshotai/",
    "glm": "openrouter/z-ai/",
    "minimax": "openrouter/minimax/",
    "llama": "openrouter/meta-llama/",
    "mistral": "openrouter/mistralai/",
    "gemma": "openrouter/google/",
    "phi": "openrouter/microsoft/",
}


@dataclass(frozen=True)
class Outcomes:
    """One set: `models` index a list of names; `right`, `seen`: (n_prompts, n_models), 0..1."""

    models: npt.NDArray[np.int64]
    right: Floats
    seen: Floats

    def without(self, model: int) -> "Outcomes":
        seen = self.seen.copy()
        seen[:, self.models == model] = 0.0
        return Outcomes(self.models, self.right, seen)

    def means(self) -> dict[int, tuple[float, int]]:
        count = self.seen.sum(0)
        mean = (self.right * self.seen).sum(0) / np.maximum(count, 1)
        return {int(m): (float(mean[i]), int(count[i])) for i, m in enumerate(self.models)}


@dataclass(frozen=True)
class Fit:
    """ability, log_slope: (n_models,). difficulty: set -> (n_grid,), sums to 1."""

    ability: Floats
    log_slope: Floats
    difficulty: dict[str, Floats]

    def mean(self, data_set: str, model: int) -> float:
        z = np.exp(self.log_slope[model]) * (self.ability[model] - GRID)
        return float(sigmoid(z) @ self.difficulty[data_set])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args()
    raw = {name: read_rows(options.data / name) for name in (*SETS, *PAIR_SETS)}
    names = sorted({model for rows in raw.values() for row in rows for model in row})
    outcomes = {name: tabulate(rows, names) for name, rows in raw.items()}
    fit = fit_abilities({name: outcomes[name] for name in SETS}, len(names))
    table = build_table(names, outcomes, fit, options.data)
    OUT.write_text(json.dumps(table, indent=None, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size} bytes")
    if options.judge:
        judge(names, {name: outcomes[name] for name in SETS}, fit)
        listed = json.loads((options.data / "prices.json").read_text())["prices"]
        prices = {name: np.log10((3 * usd[0] + usd[1]) / 4) for name, usd in listed.items()}
        scores = {name: row.score for name, row in read_published().items()}
        judge_line("published score", scores, names, outcomes, fit)
        judge_line("log price", prices, names, outcomes, fit)


def read_rows(folder: Path) -> list[dict[str, float]]:
    with gzip.open(folder / "data.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["scores"] for line in lines]


def tabulate(rows: list[dict[str, float]], names: list[str]) -> Outcomes:
    present = sorted({model for row in rows for model in row})
    right = np.array([[row.get(model, np.nan) for model in present] for row in rows], float)
    models = np.array([names.index(model) for model in present])
    return Outcomes(models, np.nan_to_num(right), (~np.isnan(right)).astype(float))


def sigmoid(z: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-z))


def fit_abilities(
    outcomes: Mapping[str, Outcomes],
    n_models: int,
    *,
    start: Fit | None = None,
    rounds_max: int = ROUNDS_MAX,
) -> Fit:
    """Return the fit after at most `rounds_max` rounds of expectation and maximisation."""
    bell = np.exp(-(GRID**2) / 8)
    ability = np.zeros(n_models) if start is None else start.ability.copy()
    log_slope = np.zeros(n_models) if start is None else start.log_slope.copy()
    difficulty = (
        {name: bell / bell.sum() for name in outcomes} if start is None else dict(start.difficulty)
    )
    before = -np.inf
    for _ in range(rounds_max):
        counts: dict[str, tuple[Floats, Floats]] = {}
        likelihood = 0.0
        for name, seen in outcomes.items():
            posterior, part = expect(seen, ability, log_slope, difficulty[name])
            likelihood += part
            counts[name] = (seen.seen.T @ posterior, (seen.right * seen.seen).T @ posterior)
            mass = posterior.sum(0) + 1e-3
            difficulty[name] = mass / mass.sum()
        maximise(outcomes, counts, ability, log_slope)
        if likelihood - before < TOLERANCE * abs(likelihood):
            break
        before = likelihood
    return Fit(ability, log_slope, difficulty)


def expect(
    seen: Outcomes, ability: Floats, log_slope: Floats, difficulty: Floats
) -> tuple[Floats, float]:
    """Return the posterior of each prompt's difficulty, (n_prompts, n_grid), and log-likelihood."""
    z = np.exp(log_slope[seen.models])[:, None] * (ability[seen.models][:, None] - GRID)
    log_right, log_wrong = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    joint = (seen.right * seen.seen) @ log_right + ((1 - seen.right) * seen.seen) @ log_wrong
    joint += np.log(difficulty)
    top = joint.max(1, keepdims=True)
    posterior = np.exp(joint - top)
    total = posterior.sum(1, keepdims=True)
    return posterior / total, float((np.log(total) + top).sum())


def maximise(
    outcomes: Mapping[str, Outcomes],
    counts: Mapping[str, tuple[Floats, Floats]],
    ability: Floats,
    log_slope: Floats,
) -> None:
    """Take two Newton steps in each model's ability and log slope, in place."""
    for _ in range(2):
        grad = np.stack([-ability / ABILITY_SD**2, -log_slope / LOG_SLOPE_SD**2])
        hess = np.zeros((3, len(ability)))
        hess[0], hess[2] = 1 / ABILITY_SD**2, 1 / LOG_SLOPE_SD**2
        for name, (tried, won) in counts.items():
            models = outcomes[name].models
            slope = np.exp(log_slope[models])[:, None]
            z = slope * (ability[models][:, None] - GRID)
            p = sigmoid(z)
            miss, weight = won - tried * p, tried * p * (1 - p)
            grad[0, models] += (miss * slope).sum(1)
            grad[1, models] += (miss * z).sum(1)
            hess[0, models] += (weight * slope**2).sum(1)
            hess[1, models] += (weight * slope * z).sum(1)
            hess[2, models] += (weight * z**2).sum(1)
        det = hess[0] * hess[2] - hess[1] ** 2
        ability += np.clip((hess[2] * grad[0] - hess[1] * grad[1]) / det, -0.5, 0.5)
        log_slope += np.clip((hess[0] * grad[1] - hess[1] * grad[0]) / det, -0.3, 0.3)


def build_table(
    names: list[str], outcomes: Mapping[str, Outcomes], fit: Fit, data: Path
) -> dict[str, Any]:
    placed = {int(m) for name in SETS for m in outcomes[name].models}
    slope = float(np.exp(np.mean([fit.log_slope[m] for m in placed])))
    published = read_published()
    line, knot = ability_by_score(names, placed, fit, published)
    abilities = {names[m]: (float(fit.ability[m]), float(np.exp(fit.log_slope[m]))) for m in placed}
    for name in {names[int(m)] for s in PAIR_SETS for m in outcomes[s].models} - set(abilities):
        abilities[name] = (damped(line(published[name].score), knot), slope)
    scores: dict[str, dict[str, Any]] = {
        name: {
            "ability": round(damped(line(row.score), knot), 3),
            "score": row.score,
            "source": row.source,
        }
        for name, row in published.items()
        if name not in abilities
    }
    known = [ability for ability, _ in abilities.values()] + [s["ability"] for s in scores.values()]
    return {
        "slope": round(slope, 3),
        "floor": round(min(known), 3),
        "ceiling": round(max(known), 3),
        "reference": round(float(np.quantile([fit.ability[m] for m in placed], BEST_SHARE)), 3),
        "difficulties": difficulties(names, outcomes, fit, abilities),
        "measured": measured_rows(names, outcomes, abilities),
        "published": scores,
        "sources": sources(),
        "aliases": tomllib.loads(PUBLISHED.read_text())["aliases"],
        "price": ability_by_price(abilities, scores, published, data),
    }


@dataclass(frozen=True)
class Published:
    score: float
    released: date
    source: str


def damped(ability: float, knot: float) -> float:
    """Return `ability`, beyond `knot` grown only as a logarithm: no measured model stands there."""
    if ability <= knot:
        return ability
    return knot + DAMPING * float(np.log1p((ability - knot) / DAMPING))


def read_published() -> dict[str, Published]:
    tables = tomllib.loads(PUBLISHED.read_text())["scores"]
    return {
        name: Published(score, date.fromisoformat(released), source)
        for source, rows in tables.items()
        for name, (score, released) in rows.items()
    }


def sources() -> dict[str, str]:
    return {
        name: source["short"]
        for name, source in tomllib.loads(PUBLISHED.read_text())["sources"].items()
    }


def ability_by_score(
    names: list[str], placed: set[int], fit: Fit, published: Mapping[str, Published]
) -> tuple[Any, float]:
    """Return the line from published score to ability, and the ability where the models end."""
    both = [
        (published[names[m]].score, fit.ability[m]) for m in sorted(placed) if names[m] in published
    ]
    x, y = np.array(both).T
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - (slope * x + intercept)
    print(
        f"published score -> ability over {len(both)} models: {slope:.3f} a point,"
        f" r {np.corrcoef(x, y)[0, 1]:.3f}, residual sd {rest.std(ddof=2):.2f}"
    )
    return (lambda score: float(slope * score + intercept)), float(slope * x.max() + intercept)


def difficulties(
    names: list[str],
    outcomes: Mapping[str, Outcomes],
    fit: Fit,
    abilities: Mapping[str, tuple[float, float]],
) -> dict[str, list[float]]:
    """Return for each group the middles of `QUANTILES` equal parts of its difficulties, rising."""
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    found = {}
    for name, group in SETS.items():
        reached = np.cumsum(fit.difficulty[name]) - fit.difficulty[name] / 2
        found[group] = np.interp(shares, reached, GRID)
    for name, group in PAIR_SETS.items():
        if group not in found:
            found[group] = pair_difficulties(names, outcomes[name], abilities, shares)
    return {group: [round(float(b), 3) for b in values] for group, values in found.items()}


def pair_difficulties(
    names: list[str], seen: Outcomes, abilities: Mapping[str, tuple[float, float]], shares: Floats
) -> Floats:
    """Return quantiles of the normal distribution of difficulty that best gives two known means."""
    nodes = normal_quantiles(shares)
    best, answer = np.inf, nodes
    for spread in np.arange(0.05, 5.0, 0.05):
        for middle in np.arange(-6.0, 4.0, 0.05):
            error = 0.0
            for model, (mean, _) in seen.means().items():
                ability, slope = abilities[names[model]]
                z = slope * (ability - middle - spread * nodes)
                error += (float(sigmoid(z).mean()) - mean) ** 2
            if error < best:
                best, answer = error, middle + spread * nodes
    print(
        f"pair set: worst miss {best**0.5:.3f}, middle {answer.mean():.2f}, sd {answer.std():.2f}"
    )
    return answer


def normal_quantiles(shares: Floats) -> Floats:
    grid = np.linspace(-6, 6, 24_001)
    mass = np.exp(-(grid**2) / 2)
    return np.interp(shares, np.cumsum(mass) / mass.sum(), grid)


def measured_rows(
    names: list[str],
    outcomes: Mapping[str, Outcomes],
    abilities: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    sums: dict[str, dict[str, list[float]]] = {}
    for name, group in {**SETS, **PAIR_SETS}.items():
        for model, (mean, count) in outcomes[name].means().items():
            cell = sums.setdefault(names[model], {}).setdefault(group, [0.0, 0])
            cell[0] += mean * count
            cell[1] += count
    return {
        name: {
            "ability": round(abilities[name][0], 3),
            "slope": round(abilities[name][1], 3),
            "means": {g: [round(total / n, 4), n] for g, (total, n) in sorted(cells.items())},
        }
        for name, cells in sums.items()
    }


def ability_by_price(
    abilities: Mapping[str, tuple[float, float]],
    scores: Mapping[str, Any],
    published: Mapping[str, Published],
    data: Path,
) -> dict[str, Any]:
    """Return the plane ability = intercept + slope * log10(USD) at the newest release date.

    The price is blended, three parts input to one part output, in USD per million tokens.
    """
    rows = list(priced(abilities, scores, published, data))
    newest = max(year for _, _, year, _ in rows)
    rows = [row for row in rows if row[2] >= newest - PRICE_YEARS]
    x = np.array([[1.0, np.log10(usd), year - newest] for _, usd, year, _ in rows])
    y = np.array([ability for *_, ability in rows])
    answer, *_ = np.linalg.lstsq(x, y, rcond=None)
    rest = y - x @ answer
    spread = float(rest.std(ddof=3))
    explained = 1 - float(rest.var() / y.var())
    print(
        f"price -> ability over {len(rows)} models of the last {PRICE_YEARS:g} years:"
        f" {answer[1]:.2f} for ten times the price, {answer[2]:.2f} a year,"
        f" residual sd {spread:.2f}, r2 {explained:.2f}"
    )
    if answer[1] <= 0:
        raise SystemExit("price: ability falls with price in these data; look at the rows")
    return {
        "intercept": round(float(answer[0]), 3),
        "slope": round(float(answer[1]), 3),
        "spread": round(spread, 3),
        "per_year": round(float(answer[2]), 3),
        "era": round(newest, 1),
    }


def priced(
    abilities: Mapping[str, tuple[float, float]],
    scores: Mapping[str, Any],
    published: Mapping[str, Published],
    data: Path,
) -> Iterator[tuple[str, float, float, float]]:
    """Yield name, blended USD per million tokens, year of release and ability."""
    listed = json.loads((data / "prices.json").read_text())["prices"]
    book, today = PriceBook(), datetime(2026, 11, 23, tzinfo=UTC)
    for name, row in published.items():
        if name in listed:
            usd_input, usd_output = listed[name]
        else:
            start = next((s for s in PRICED_BY if name.startswith(s)), None)
            price = None
            if start is not None:
                provider, _, prefix = PRICED_BY[start].partition("/")
                price = book.price(provider, prefix + name, today)
            if price is None:
                continue
            usd_input = price.input_nanousd_per_mtok / 1e9
            usd_output = price.output_nanousd_per_mtok / 1e9
        usd = (3 * usd_input + usd_output) / 4
        if usd > 0:
            year = row.released.year + row.released.timetuple().tm_yday / 365.25
            ability = abilities[name][0] if name in abilities else scores[name]["ability"]
            yield name, usd, year, ability


def judge(names: list[str], outcomes: Mapping[str, Outcomes], fit: Fit) -> None:
    """Print how well cells are predicted by fits that never saw them."""
    sets_of: dict[int, int] = {}
    for seen in outcomes.values():
        for model in seen.models:
            sets_of[int(model)] = sets_of.get(int(model), 0) + 1
    cells = []
    for name, seen in outcomes.items():
        means = seen.means()
        for model, (mean, _) in means.items():
            if sets_of[model] < 2:
                continue
            held = {**outcomes, name: seen.without(model)}
            again = fit_abilities(held, len(names), start=fit, rounds_max=8)
            others = [value for other, (value, _) in means.items() if other != model]
            cells.append((name, mean, again.mean(name, model), float(np.mean(others))))
    for name in ("all", *outcomes):
        part = [cell for cell in cells if name in {"all", cell[0]}]
        truth, guess, plain = (np.array([cell[i] for cell in part]) for i in (1, 2, 3))
        print(
            f"{name:14s} {len(part):4d} cells left out: r {np.corrcoef(truth, guess)[0, 1]:.3f},"
            f" mean miss {np.abs(truth - guess).mean():.3f}"
            f" (the group's mean: {np.abs(truth - plain).mean():.3f})"
        )


def judge_line(
    what: str,
    known: Mapping[str, float],
    names: list[str],
    outcomes: Mapping[str, Outcomes],
    fit: Fit,
) -> None:
    """Print how well `known` alone tells a model's means, from a line that never saw the model."""
    placed = {int(model) for name in SETS for model in outcomes[name].models}
    models = [model for model in sorted(placed) if names[model] in known]
    x = np.array([known[names[model]] for model in models])
    y = fit.ability[models]
    slope = float(np.exp(np.mean([fit.log_slope[model] for model in placed])))
    abilities, misses, plain_misses = [], [], []
    for left_out, model in enumerate(models):
        others = np.arange(len(models)) != left_out
        line = np.polyfit(x[others], y[others], 1)
        abilities.append(float(np.polyval(line, x[left_out])))
        for name in SETS:
            means = outcomes[name].means()
            if model in means:
                guess = sigmoid(slope * (abilities[-1] - GRID)) @ fit.difficulty[name]
                plain = np.mean([mean for other, (mean, _) in means.items() if other != model])
                misses.append(abs(float(guess) - means[model][0]))
                plain_misses.append(abs(float(plain) - means[model][0]))
    print(
        f"{what}: {len(models)} models left out, ability r {np.corrcoef(abilities, y)[0, 1]:.3f},"
        f" residual sd {np.std(y - np.array(abilities)):.2f}; {len(misses)} means,"
        f" mean miss {np.mean(misses):.3f} (the group's mean: {np.mean(plain_misses):.3f})"
    )


if __name__ == "__main__":
    main()
