"""What the tests of training share: made-up labelled traffic for tiers with round prices.

The cheap model answers what is short; the longer a text and the more of its hard words, the more
often only the strong one does.
"""

from collections.abc import Iterator
from random import Random

from tests.compare.builders import BIG, MIDDLE, SMALL, TIERS, request

from pointsman.compare.records import LoggedRequest, Outcome
from pointsman.core.features import extract
from pointsman.core.types import Caller, Snapshot, Tier

TWO_TIERS = Snapshot(
    tiers=(Tier(name="fast", deployments=(SMALL,)), Tier(name="power", deployments=(BIG,))),
    default_tier="power",
)
THREE_TIERS = TIERS
COSTS = {"acme/small": 1_000, "acme/middle": 4_000, "acme/big": 20_000}

_PLAIN_TEXT = (
    "please tell me about the garden and the weather today because my friend asked how the"
    " morning train to the old city goes when it rains and whether the small shop is open"
)
_PLAIN = _PLAIN_TEXT.split()
_HARD = ("theorem", "lemma", "tensor", "manifold", "eigenvalue", "homotopy", "martingale")


def labelled(
    count: int,
    *,
    seed: int = 1,
    gap: float = 0.5,
    models: tuple[str, ...] = ("acme/small", "acme/big"),
    caller: Caller | None = None,
) -> Iterator[LoggedRequest]:
    """Yield requests in which hard words, and nothing else, tell when the cheap model fails.

    `gap`: how much less than the strongest the cheapest is right on the hardest, 0..1; a model
    between them is half as bad.
    """
    rng = Random(seed)
    for _ in range(count):
        text, hard = _prompt(rng)
        asked = request(text, caller=caller)
        yield LoggedRequest(
            features=extract(asked),
            request=asked,
            outcomes={
                model: Outcome(
                    quality=float(rng.random() < 0.95 - gap * hard * _weakness(model)),
                    cost_nanousd=COSTS[model],
                )
                for model in models
            },
        )


def _weakness(model: str) -> float:
    return {SMALL.id: 1.0, MIDDLE.id: 0.5, BIG.id: 0.0}[model]


def _prompt(rng: Random) -> tuple[str, float]:
    """Return a text of 20 to 60 words and how hard it is, 0..1, which its length does not tell."""
    hard = rng.random()
    words = [
        rng.choice(_HARD) if rng.random() < 0.4 * hard else rng.choice(_PLAIN)
        for _ in range(rng.randint(20, 60))
    ]
    return " ".join(words), hard
