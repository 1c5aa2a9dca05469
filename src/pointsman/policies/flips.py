"""Flips: the smallest change of a request, or of the floor, that would move it to another tier."""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pointsman.core.types import Decision, Features, Snapshot
from pointsman.policies import Policy
from pointsman.policies.signals import Rules, lower_in_place, without_background
from pointsman.scorer.reading import read_features

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
    others: Iterable[tuple[str, Policy]],
) -> str:
    """Say what would move a request to another tier; "" when nothing small would.

    Of a background call it is that it were none. Else a rule that fired comes first, then one of
    `words` left out, then one of `others`: policies with another setting, which its words tell, the
    nearest first. Each is tried.
    """
    if features.background:
        return without_background(policy, features, snapshot)
    if decision.signals:
        left, quoted = rules.without_deciding(lower_in_place(features.text), decision.signals)
        other = policy.decide(_with_text(features, left), snapshot)
        stays = "still " if other.tier == decision.tier else ""
        return f"without {quoted} it would {stays}be {other.tier}: {other.reason}"
    for word in words:
        left = without(word, features.text)
        other = policy.decide(_with_text(features, left), snapshot)
        if other.tier != decision.tier:
            return f'without "{word}" it would be {other.tier}'
    # No rule fired, so the text is needed no more, which may be long: its reading will do.
    bare = msgspec.structs.replace(
        features, text="", words_told=features.words, reading=read_features(features)
    )
    for setting, other_policy in others:
        other = other_policy.decide(bare, snapshot)
        if other.tier != decision.tier:
            return f"with {setting} it would be {other.tier}"
    return ""


def nearby_worths(worth: float) -> Iterator[float]:
    """Yield amounts further and further away, half and double in turn, up to a thousandfold."""
    for power in range(1, 11):
        yield worth / 2**power
        yield worth * 2**power


def nearby_floors(floor: float) -> Iterator[float]:
    """Yield floors further and further away, on both sides in turn."""
    steps = round((max(1 - floor, floor - _FLOOR_LEAST)) / _FLOOR_STEP)
    sides: Iterable[float] = (
        round(floor + sign * step * _FLOOR_STEP, 6)
        for step in range(1, steps + 1)
        for sign in (-1, 1)
    )
    return (nearby for nearby in sides if _FLOOR_LEAST <= nearby <= 1)


def _with_text(features: Features, text: str) -> Features:
    return msgspec.structs.replace(features, text=text, words_told=None, reading=None)


def without(words: str, text: str) -> str:
    """Return the text without these words in a row, wherever they stand whole, in any case."""
    pattern = r"\W*".join(re.escape(word) for word in words.split())
    first, last = words[:1], words[-1:]
    before, after = r"(?<!\w)" if first.isalnum() else "", r"(?!\w)" if last.isalnum() else ""
    return re.sub(before + pattern + after, "", text, flags=re.IGNORECASE)
