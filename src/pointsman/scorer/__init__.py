"""Scorer: how much a prompt gains from the strongest tier, from its text alone.

One pass over the clipped text gives a group, a few counts and hashed words and pairs; each group
has its own linear heads over them. Standard library only, and no randomness. docs/model-card.md
says what the shipped weights were trained on and how good they are.
"""

from collections.abc import Sequence

from pointsman.scorer.model import shipped
from pointsman.scorer.reading import read


def predict_need(prompts: Sequence[str]) -> list[float]:
    """Return one number a prompt: the higher, the more the strongest tier is worth."""
    scorer = shipped()
    return [scorer.need(read(prompt)) for prompt in prompts]


def predict_gain_per_usd(prompts: Sequence[str]) -> list[float]:
    """Return one number a prompt: gain of the strongest tier over its cost, in units that rank."""
    scorer = shipped()
    return [scorer.gain_per_usd(read(prompt)) for prompt in prompts]
