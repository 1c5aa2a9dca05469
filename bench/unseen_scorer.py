"""Scores by heads that had not seen the prompt, for the evaluator that comes with the data.

    python bench/train_scorer.py --data DIR --unseen unseen.json
    UNSEEN_SCORES=unseen.json PYTHONPATH=bench python DIR/eval.py unseen_scorer:need --ci 200

With scores of `--without-set`, UNSEEN_SET names the set, and --datasets must name it too.
"""

import json
import os
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path


def need(prompts: Sequence[str]) -> list[float]:
    """Return the need of each prompt."""
    return [_scores()[_key(prompt)][0] for prompt in prompts]


def gain_per_usd(prompts: Sequence[str]) -> list[float]:
    """Return gain over cost of each prompt."""
    return [_scores()[_key(prompt)][1] for prompt in prompts]


@cache
def _scores() -> dict[str, tuple[float, float]]:
    file = Path(os.environ["UNSEEN_SCORES"])
    found: dict[str, dict[str, tuple[float, float]]] = json.loads(file.read_text(encoding="utf-8"))
    return found[os.environ.get("UNSEEN_SET", "")]


def _key(prompt: str) -> str:
    return sha256(prompt.encode("utf-8", "replace")).hexdigest()
