"""Scores by heads that had not seen the prompt, for the evaluator that comes with the data.

    python bench/train_scorer.py --data DIR --unseen unseen.json
    UNSEEN_SCORES=unseen.json PYTHONPATH=bench python DIR/eval.py unseen_scorer:need --ci 200
    UNSEEN_SCORES=unseen.json python bench/unseen_scorer.py --data DIR   against length, by set

With scores of `--without-set`, each set is scored by heads that had seen none of its questions;
for eval.py UNSEEN_SET names the set then, and --datasets must name it too.
"""

import argparse
import json
import math
import os
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

RESAMPLES = 400


def need(prompts: Sequence[str]) -> list[float]:
    """Return the need of each prompt."""
    return [_scores()[_key(prompt)][0] for prompt in prompts]


def gain_per_usd(prompts: Sequence[str]) -> list[float]:
    """Return gain over cost of each prompt."""
    return [_scores()[_key(prompt)][1] for prompt in prompts]


@cache
def _file() -> dict[str, dict[str, tuple[float, float]]]:
    file = Path(os.environ["UNSEEN_SCORES"])
    found: dict[str, dict[str, tuple[float, float]]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _scores() -> dict[str, tuple[float, float]]:
    return _file()[os.environ.get("UNSEEN_SET", "")]


def _key(prompt: str) -> str:
    return sha256(prompt.encode("utf-8", "replace")).hexdigest()


def main() -> None:
    """Print APGR of the scorer and of length by set, and the difference with its 95% interval."""
    import numpy as np
    from scorer_rows import PAIRS, Floats, load_rows

    def apgr(values: Floats, gain: Floats) -> float:
        kept = np.concatenate(([0.0], np.cumsum(gain[np.argsort(-values, kind="stable")])))
        return float(((kept[1:] + kept[:-1]) / 2).mean() / kept[-1])

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    rows = load_rows(parser.parse_args().data)
    rng = np.random.default_rng(0)
    for name, some in rows.items():
        scores = _file().get(name) or _file()[""]
        ours = np.array([scores[_key(prompt)][0] for prompt in some.prompts])
        length = np.array([math.log1p(len(prompt)) for prompt in some.prompts])
        gains = [some.score(strong) - some.score(weak) for weak, strong, _ in PAIRS[name]]
        found = []
        for draw in range(RESAMPLES + 1):
            at = rng.integers(0, len(some), len(some)) if draw else np.arange(len(some))
            found.append(
                [np.mean([apgr(v[at], gain[at]) for gain in gains]) for v in (ours, length)]
            )
        table = np.array(found)
        low, high = np.percentile(table[1:, 0] - table[1:, 1], [2.5, 97.5])
        own_low, own_high = np.percentile(table[1:, 0], [2.5, 97.5])
        print(
            f"{name:18} {table[0, 0]:.3f} [{own_low:.3f}, {own_high:.3f}]  length {table[0, 1]:.3f}"
            f"  difference {table[0, 0] - table[0, 1]:+.3f} [{low:+.3f}, {high:+.3f}]"
        )


if __name__ == "__main__":
    main()
