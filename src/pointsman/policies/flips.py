"""Flips: the smallest change of a request, or of the floor, that would move it to another tier."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from pointsman.core.features import count_words
from pointsman.core.types import Decision, Features, Snapshot
from pointsman.policies import Policy
from pointsman.policies.signals import Rules, lower_in_place

_FLOOR_STEP = 0.005
_FLOOR_LEAST = 0.5


def smallest_change(
    decision: Decision,
    features: Features,
    snapshot: Snapshot,
    *,
    policy: Policy,
    rules: Rules,
    words: Sequence[str],
    with_floor: Callable[[float], Policy] | None,
    floor: float,
) -> str:
    """Say what would move a request to another tier; "" when nothing small would.

    A rule that fired comes first, then one of `words` left out, then another floor, the nearest
    one. Each is tried with the policy itself. `with_floor` None: the floor does not decide here.
    """
    if decision.signals:
        left, quoted = rules.without_deciding(lower_in_place(features.text), decision.signals)
        other = policy.decide(_with_text(features, left), snapshot)
        return f"without {quoted} it would be {other.tier}: {other.reason}"
    for word in words:
        left = _without(word, features.text)
        other = policy.decide(_with_text(features, left), snapshot)
        if other.tier != decision.tier:
            return f'without "{word}" it would be {other.tier}'
    if with_floor is None:
        return ""
    for nearby in _floors(floor):
        other = with_floor(nearby).decide(features, snapshot)
        if other.tier != decision.tier:
            return f"with quality_floor = {nearby:g} it would be {other.tier}"
    return ""


def _floors(floor: float) -> Iterator[float]:
    """Yield floors further and further away, on both sides in turn."""
    steps = round((max(1 - floor, floor - _FLOOR_LEAST)) / _FLOOR_STEP)
    sides: Iterable[float] = (
        round(floor + sign * step * _FLOOR_STEP, 6)
        for step in range(1, steps + 1)
        for sign in (-1, 1)
    )
    return (nearby for nearby in sides if _FLOOR_LEAST <= nearby <= 1)


def _with_text(features: Features, text: str) -> Features:
    return msgspec.structs.replace(features, text=text, words=count_words(text), reading=None)


def _without(words: str, text: str) -> str:
    pattern = r"\W*".join(re.escape(word) for word in words.split())
    return re.sub(pattern, "", text, flags=re.IGNORECASE)
