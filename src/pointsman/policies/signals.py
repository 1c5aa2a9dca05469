"""Signals: the keyword policy. Power phrases, then fast phrases, then length, then the default."""

import re
from dataclasses import dataclass

from pointsman.core.types import Decision, Features, Signal, Snapshot
from pointsman.policies import PolicySettings, SignalSettings


class PhraseMatcher:
    """Finds whole words and phrases in lower-cased text, in time linear in its length.

    Each pattern starts with a literal word, which the regex engine searches for at C speed; what
    stands before it is looked at from behind, and blanks are the only repetition.
    """

    def __init__(self, phrases: tuple[str, ...]) -> None:
        self._patterns = tuple((phrase, _pattern(phrase)) for phrase in phrases if phrase.split())

    def find(self, lowered: str, kind: str) -> tuple[Signal, ...]:
        """Return the first place of each phrase that occurs, in the order of the phrases."""
        return tuple(
            Signal(kind=kind, phrase=phrase, start=match.start())
            for phrase, pattern in self._patterns
            if (match := pattern.search(lowered))
        )


class Signals:
    """The policy "signals": `power` means the strongest tier there is, `fast` the cheapest."""

    name = "signals"

    def __init__(self, settings: PolicySettings) -> None:
        self._signals = settings.signals
        self._power = PhraseMatcher(settings.signals.power)
        self._fast = PhraseMatcher(settings.signals.fast)
        self._reading = Reading(settings.signals)

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the tier of the first rule that applies, and every signal that fired."""
        lowered = lower_in_place(features.text)
        power, fast = self._power.find(lowered, "power"), self._fast.find(lowered, "fast")
        fired = power + fast
        cheapest, strongest = snapshot.names[0], snapshot.names[-1]
        if power:
            tier, reason = strongest, f'"{power[0].phrase}" asks for the strongest tier'
            change = self._without(power, fast, features, snapshot)
        elif fast:
            tier, reason = cheapest, f'"{fast[0].phrase}" asks for the cheapest tier'
            change = self._without(fast, (), features, snapshot)
        else:
            tier, reason = self._by_length(features, snapshot)
            change = self._with(features, snapshot)
        return Decision(
            tier=tier,
            reason=reason,
            scores={name: float(name == tier) for name in snapshot.names},
            signals=fired,
            would_change=change,
            is_harmless=self._reading.is_harmless(lowered),
        )

    def _by_length(self, features: Features, snapshot: Snapshot) -> tuple[str, str]:
        limit = self._signals.power_words
        if features.words > limit:
            return snapshot.names[-1], f"{features.words} words are more than {limit}"
        return snapshot.default_tier, "no signal fired, so the default tier"

    def _without(
        self,
        fired: tuple[Signal, ...],
        lesser: tuple[Signal, ...],
        features: Features,
        snapshot: Snapshot,
    ) -> str:
        words = ", ".join(f'"{signal.phrase}"' for signal in fired)
        if lesser:
            return f'without {words} it would be {snapshot.names[0]}, for "{lesser[0].phrase}"'
        tier, reason = self._by_length(features, snapshot)
        return f"without {words} it would be {tier}: {reason}"

    def _with(self, features: Features, snapshot: Snapshot) -> str:
        parts = []
        if self._signals.power:
            parts.append(f'"{self._signals.power[0]}" would make it {snapshot.names[-1]}')
        if self._signals.fast:
            parts.append(f'"{self._signals.fast[0]}" would make it {snapshot.names[0]}')
        limit = self._signals.power_words
        if features.words <= limit:
            parts.append(f"more than {limit} words would make it {snapshot.names[-1]}")
        else:
            parts.append(f"{limit} words or fewer would make it {snapshot.default_tier}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Reading:
    """Whether an ask is one that a careful model may rightly refuse."""

    settings: SignalSettings

    def is_harmless(self, lowered: str) -> bool:
        """Return whether none of the sensitive phrases occurs in the lower-cased text."""
        return not any(_pattern(phrase).search(lowered) for phrase in self.settings.sensitive)


def lower_in_place(text: str) -> str:
    """Return `text` in lower case with every character at its old place."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _pattern(phrase: str) -> re.Pattern[str]:
    first, *rest = (re.escape(word) for word in lower_in_place(phrase).split())
    before = rf"(?<!\w{first})" if first[:1].isalnum() or first[:1] == "_" else ""
    after = r"(?!\w)" if (rest or [first])[-1][-1:].isalnum() else ""
    return re.compile(r"\s+".join((first + before, *rest)) + after)
