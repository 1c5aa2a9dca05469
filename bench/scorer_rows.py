"""The public outcomes the shipped scorer learns from, as tables, and the targets made of them."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pointsman.core.types import Reading
from pointsman.scorer.reading import COUNTS_OF_TEXT, read
from pointsman.training.design import design

Floats = NDArray[np.float64]

MIXTRAL, GPT4 = "mixtral-8x7b-instruct", "gpt-4-1106-preview"
MINI, GPT_4O, O1 = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "o1-preview-2024-09-12"
HAIKU, SONNET = "claude-3-haiku-20240307", "claude-3-5-sonnet-20241022"
LLAMA_8B, LLAMA_70B, LLAMA_405B = (f"llama-3.1-{n}b-instruct" for n in (8, 70, 405))
FLASH, PRO, PRO_EXP = "gemini-1.5-flash-002", "gemini-1.5-pro-002", "gemini-1.5-pro-exp-0827"

# set -> (weak, strong, share) of the pairs whose gains are summed, each over its own gap. The two
# Gemini models differ by formats that others do not miss, so that pair counts half.
PAIRS: dict[str, tuple[tuple[str, str, float], ...]] = {
    "routellm_mmlu": ((MIXTRAL, GPT4, 1.0),),
    "routellm_gsm8k": ((MIXTRAL, GPT4, 1.0),),
    "routellm_mtbench": ((MIXTRAL, GPT4, 1.0),),
    "mmlu_pro": ((LLAMA_8B, LLAMA_70B, 1.0), (FLASH, PRO, 0.5), (LLAMA_8B, PRO, 1.0)),
    "zeroeval_crux": ((MINI, GPT_4O, 1.0), (HAIKU, SONNET, 1.0), (MINI, O1, 1.0)),
    "zeroeval_math": ((HAIKU, SONNET, 1.0), (LLAMA_8B, PRO_EXP, 1.0), (MINI, O1, 1.0)),
    "zeroeval_gsm": ((HAIKU, SONNET, 1.0), (LLAMA_8B, LLAMA_405B, 1.0)),
    "lcb_code": ((MINI, SONNET, 1.0), (HAIKU, SONNET, 1.0), (MINI, O1, 1.0)),
}
SETS = tuple(PAIRS)
_BLURRED = ("zeroeval_crux", "zeroeval_math", "zeroeval_gsm", "lcb_code")
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one set.

    folds: (n,), 0..4, of the sets' own split: equal questions share a fold, in all sets.
    grams, counts: see `training.design`.  scores, costs: (n, n_models), 0..1 and USD.
    prices: (n_models, 2), USD a token, in and out.
    """

    name: str
    prompts: tuple[str, ...]
    readings: tuple[Reading, ...]
    grams: sp.csr_array
    counts: Floats
    folds: NDArray[np.int64]
    models: tuple[str, ...]
    scores: Floats
    costs: Floats
    prices: Floats

    def __len__(self) -> int:
        return len(self.prompts)

    def pick(self, keep: NDArray[np.bool_]) -> "Rows":
        """Return the rows that are to be kept, (n,)."""
        at = np.flatnonzero(keep)
        return Rows(
            self.name,
            tuple(self.prompts[i] for i in at),
            tuple(self.readings[i] for i in at),
            self.grams[at],
            self.counts[at],
            self.folds[at],
            self.models,
            self.scores[at],
            self.costs[at],
            self.prices,
        )

    def score(self, model: str) -> Floats:
        """Return one model's scores, (n,)."""
        found: Floats = self.scores[:, self.models.index(model)]
        return found


def load_rows(data: Path) -> dict[str, Rows]:
    """Return every set under the data folder. Raises OSError when a set is missing."""
    prices = json.loads((data / "prices.json").read_text(encoding="utf-8"))["prices"]
    return {name: _load(data / name / "data.jsonl.gz", name, prices) for name in SETS}


def _load(file: Path, name: str, prices: dict[str, list[float]]) -> Rows:
    """Return one set; an outcome that is missing becomes the model's mean."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    models = tuple(sorted({model for row in rows for model in row["scores"]}))
    readings = tuple(read(row["prompt"]) for row in rows)
    grams, counts = design(readings, COUNTS_OF_TEXT)
    return Rows(
        name,
        prompts=tuple(row["prompt"] for row in rows),
        readings=readings,
        grams=grams,
        counts=counts,
        folds=np.array([row["fold"] for row in rows]),
        models=models,
        scores=_table([row["scores"] for row in rows], models),
        costs=_table([row["costs"] for row in rows], models),
        prices=np.array([prices[model] for model in models]) * 1e-6,
    )


def _table(rows: list[dict[str, float]], models: tuple[str, ...]) -> Floats:
    table = np.array([[row.get(model, np.nan) for model in models] for row in rows], dtype=float)
    holes = np.isnan(table)
    table[holes] = np.broadcast_to(np.nanmean(table, axis=0), table.shape)[holes]
    return table


def standard(values: Floats) -> Floats:
    """Return the values with mean 0 and deviation 1."""
    found: Floats = (values - values.mean()) / values.std()
    return found


def gains(rows: Rows, blur: float) -> Floats:
    """Return the sum over pairs of gain over gap, (n,), with mean 0 and deviation 1.

    One model's right or wrong is a coin weighted by the prompt, and models of like mean score toss
    like coins: so each borrows outcomes from models within `blur` of its mean score, where a set
    has many models. 0 borrows nothing.
    """
    means = rows.scores.mean(axis=0)

    def outcomes(model: str) -> Floats:
        if not blur or rows.name not in _BLURRED:
            return rows.score(model)
        near = np.exp(-0.5 * ((means - means[rows.models.index(model)]) / blur) ** 2)
        found: Floats = (rows.scores * (near / near.sum())).sum(axis=1)
        return found

    total = np.zeros(len(rows))
    for weak, strong, share in PAIRS[rows.name]:
        gap = float(rows.score(strong).mean() - rows.score(weak).mean())
        total += share * (outcomes(strong) - outcomes(weak)) / gap
    return standard(total)


def plain_gains(rows: Rows) -> Floats:
    """Return the mean over pairs of the strong one's score less the weak one's, (n,), -1..1."""
    pairs = PAIRS[rows.name]
    found: Floats = np.mean([rows.score(strong) - rows.score(weak) for weak, strong, _ in pairs], 0)
    return found


def word_problem_gains(rows: Rows, twin: Rows) -> Floats:
    """Return what word problems are learned from, (n,), for both sets that hold these questions.

    A mixture: the gain of RouteLLM's pair, how often Mixtral fails in either set, and how often the
    models below 0.9 fail. `twin` holds the same questions in another order.
    """
    at = {prompt: i for i, prompt in enumerate(twin.prompts)}
    order = np.array([at[prompt] for prompt in rows.prompts])
    mixtral, gpt4 = twin.score(MIXTRAL)[order], twin.score(GPT4)[order]
    weak = rows.scores[:, rows.scores.mean(axis=0) < 0.9].mean(axis=1)
    found: Floats = (
        0.75 * standard(gpt4 - mixtral)
        - 1.0 * standard(mixtral + rows.score(MIXTRAL))
        - 1.8 * standard(weak)
    )
    return found


def log_costs(rows: Rows) -> Floats:
    """Return the mean over pairs of the log of the strong one's cost in output tokens, (n,)."""
    at = [rows.models.index(strong) for _, strong, _ in PAIRS[rows.name]]
    found: Floats = np.log(rows.costs[:, at] / rows.prices[at, 1]).mean(axis=1)
    return found


def log_output_tokens(rows: Rows) -> Floats:
    """Return the mean over the pairs' models of the log of output tokens, (n,).

    What was paid less what the prompt cost at about four characters to a token, 1 at least.
    """
    at = sorted({rows.models.index(model) for pair in PAIRS[rows.name] for model in pair[:2]})
    chars = np.array([len(prompt) for prompt in rows.prompts], dtype=float)
    paid_in = chars[:, None] / _CHARS_PER_TOKEN * rows.prices[at, 0]
    tokens = np.maximum((rows.costs[:, at] - paid_in) / rows.prices[at, 1], 1.0)
    found: Floats = np.log(tokens).mean(axis=1)
    return found
