"""Contest: whether a scorer ranks held-out requests better than what it must beat.

It must beat the length of the text alone and the scorer in use; random order stands beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from pointsman.policies import PolicySettings
from pointsman.policies.learned import Learned
from pointsman.scorer.tuning import Tuning
from pointsman.training.deciding import outcome_figures, route
from pointsman.training.labels import Labels
from pointsman.training.metrics import Figure, Floats, Places, apgr, as_figure, draws, saving, trace

NEW, IN_USE, LENGTH, RANDOM = "new", "in use", "length alone", "random"


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """How one way to rank the held-out requests did. `apgr`: see `metrics`; random has 0.5.

    `saving95`: in hindsight. `quality_kept`, `saving`: of the policy as it would route, None for
    what is no policy.
    """

    name: str
    apgr: Figure
    saving95: Figure
    quality_kept: Figure | None = None
    saving: Figure | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """How all ways did; `beats_length` and `beats_in_use` are shares of the bootstrap draws.

    `faults`: why the new scorer must not be installed.
    """

    rankings: tuple[Ranking, ...]
    beats_length: float
    beats_in_use: float
    faults: tuple[str, ...]


def judge_held_out(
    held_out: Labels, settings: PolicySettings, tuning: Tuning, *, is_kept: bool
) -> Judged:
    """Return how a tuning ranks labels that no fit has seen, beside what it must beat.

    `settings` hold the tuning in use. `is_kept`: both have the same scorer.
    """
    ways = {
        NEW: Learned(msgspec.structs.replace(settings, tuning=tuning)),
        IN_USE: Learned(settings),
    }
    needs: dict[str, Floats] = {}
    done: dict[str, dict[str, Figure]] = {}
    for name, policy in ways.items():
        routed = route(held_out, policy)
        assert routed.need is not None, "learned grades"
        needs[name] = routed.need
        done[name] = outcome_figures(held_out, routed.places)
    needs |= {LENGTH: held_out.lengths(), RANDOM: np.zeros(len(held_out))}
    pair = held_out.pair()

    def figures(rows: Places) -> dict[str, float]:
        drawn = pair.pick(rows)
        curves = {name: trace(need[rows], drawn) for name, need in needs.items()}
        return {f"apgr {name}": apgr(curve) for name, curve in curves.items()} | {
            f"saving {name}": saving(curve, 0.95) for name, curve in curves.items()
        }

    whole, drawn = figures(np.arange(len(held_out))), draws(figures, len(held_out))
    new = drawn[f"apgr {NEW}"]
    return Judged(
        rankings=tuple(
            Ranking(
                name=name,
                apgr=as_figure(whole[f"apgr {name}"], drawn[f"apgr {name}"]),
                saving95=as_figure(whole[f"saving {name}"], drawn[f"saving {name}"]),
                quality_kept=done.get(name, {}).get("quality_kept"),
                saving=done.get(name, {}).get("saving"),
            )
            for name in needs
        ),
        beats_length=round(float((new > drawn[f"apgr {LENGTH}"]).mean()), 3),
        beats_in_use=round(float((new > drawn[f"apgr {IN_USE}"]).mean()), 3),
        faults=tuple(_faults({name: whole[f"apgr {name}"] for name in needs}, is_kept=is_kept)),
    )


def _faults(reached: Mapping[str, float], *, is_kept: bool) -> list[str]:
    """Return why the new scorer is not to be installed, by the APGR that each way reached.

    One that is kept has to beat length alone, not itself.
    """
    new = reached[NEW]
    if not np.isfinite(new):
        return [
            "the strongest tier is not better than the cheapest on the held-out labels: there is"
            " nothing to route by; send all to the cheapest, or label harder requests"
        ]
    told = {LENGTH: "the length of the text alone"}
    if not is_kept:
        told[IN_USE] = "the scorer in use, which --keep-scorer certifies"
    return [
        f"it does not beat {what}: APGR {new:.3f} against {reached[other]:.3f} on the held-out"
        " labels; more labels may help"
        for other, what in told.items()
        if not new > reached[other]
    ]
