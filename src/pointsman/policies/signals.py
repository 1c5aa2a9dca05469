"""Signals: the keyword policy. Power phrases, then fast phrases, then length, then the default."""

import re
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import msgspec

from pointsman.core.types import Decision, Features, Signal, Snapshot
from pointsman.core.words import count_words
from pointsman.policies import (
    FAST_PHRASES,
    POWER_PHRASES,
    POWER_WORDS,
    Policy,
    PolicySettings,
    SignalSettings,
)
from pointsman.policies.asks import is_asked_for, is_short, mark_of
from pointsman.policies.sieve import LONG_CHARS, build_sieve
from pointsman.scorer.reading import first_word_value


class PhraseMatcher:
    """Finds whole words and phrases in lower-cased text, in time linear in its length.

    A phrase whose first word is nowhere in the text, as most are not, costs one plain search.
    Each pattern starts with that literal word, which the regex engine searches for at C speed; what
    stands before it is looked at from behind, and blanks are the only repetition. In a long text
    all are looked for at once first, and in one of which all words were read nothing is looked for
    that is not among these.
    """

    def __init__(self, phrases: tuple[str, ...]) -> None:
        self.phrases = tuple(phrase for phrase in phrases if phrase.split())
        self._patterns = tuple((p, _words(p)[0], _pattern(p)) for p in self.phrases)
        self._values = frozenset(first_word_value(first) for _, first, _ in self._patterns)

    @cached_property
    def _may_have(self) -> Callable[[str], bool]:
        return build_sieve([first for _, first, _ in self._patterns])

    def find(self, lowered: str, kind: str, values: Set[int] | None = None) -> tuple[Signal, ...]:
        """Return the first place of each phrase that occurs, in the order of the phrases.

        `values`: those of all words of the text, see `scorer.reading.all_values`.
        """
        if not self.phrases or (values is not None and self._values.isdisjoint(values)):
            return ()
        if len(lowered) >= LONG_CHARS and not self._may_have(lowered):
            return ()
        return tuple(
            Signal(kind=kind, phrase=phrase, start=match.start())
            for phrase, first, pattern in self._patterns
            if first in lowered and (match := pattern.search(lowered))
        )

    def marked(self, lowered: str, signals: Sequence[Signal]) -> str:
        """Return the text with the mark of `asks` in place of each phrase that was found."""
        found = {signal.phrase for signal in signals}
        for phrase, _, pattern in self._patterns:
            if phrase in found:
                lowered = pattern.sub(mark_of(phrase), lowered)
        return lowered

    def without(self, lowered: str, phrases: Collection[str]) -> str:
        """Return the text with these of the phrases cut out, wherever they occur."""
        for phrase, _, pattern in self._patterns:
            if phrase in phrases:
                lowered = pattern.sub("", lowered)
        return lowered


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules make of a text: `tier` "" where none applies; every signal that fired."""

    tier: str
    reason: str
    signals: tuple[Signal, ...]


class Rules:
    """A coding agent's background call goes to the cheapest tier, whatever it quotes.

    Else power phrases ask for the strongest tier, fast ones for the cheapest, then the length.
    `power_words` None: the length does not matter. `power_anywhere` False: a power phrase that is
    stuck onto another ask says nothing.
    """

    def __init__(
        self,
        power: tuple[str, ...],
        fast: tuple[str, ...],
        power_words: int | None,
        *,
        power_anywhere: bool = True,
    ) -> None:
        self.power, self.fast = PhraseMatcher(power), PhraseMatcher(fast)
        self.power_words = power_words
        self._power_anywhere = power_anywhere

    def find(
        self,
        lowered: str,
        features: Features,
        snapshot: Snapshot,
        values: Set[int] | None = None,
    ) -> Ruling:
        """Return what the first rule that applies says; `lowered` is the text in lower case.

        `values` is as in `PhraseMatcher.find`.
        """
        if features.background:
            why = f"{features.background} is background work, for which the cheapest tier will do"
            return Ruling(snapshot.names[0], why, ())
        power = self.power.find(lowered, "power", values)
        fast = self.fast.find(lowered, "fast", values)
        if power and not self._power_anywhere and is_short(lowered, features.words):
            power = power if is_asked_for(self.power.marked(lowered, power)) else ()
        tier, reason = "", ""
        if power:
            tier, reason = snapshot.names[-1], f'"{power[0].phrase}" asks for the strongest tier'
        elif fast:
            tier, reason = snapshot.names[0], f'"{fast[0].phrase}" asks for the cheapest tier'
        elif self.power_words is not None and features.words > self.power_words:
            more = f"{features.words} words are more than {self.power_words}"
            tier, reason = snapshot.names[-1], more
        return Ruling(tier, reason, power + fast)

    def without_deciding(self, lowered: str, signals: Sequence[Signal]) -> tuple[str, str]:
        """Return the text without the phrases that decided, and these in quotes for a person."""
        kind = signals[0].kind
        phrases = [signal.phrase for signal in signals if signal.kind == kind]
        matcher = self.power if kind == "power" else self.fast
        quoted = ", ".join(f'"{phrase}"' for phrase in phrases)
        return matcher.without(lowered, phrases), quoted


class Signals:
    """The policy "signals": `power` means the strongest tier there is, `fast` the cheapest."""

    name = "signals"

    def __init__(self, settings: PolicySettings) -> None:
        stated = settings.signals
        self._power_words = POWER_WORDS if stated.power_words is None else stated.power_words
        self._rules = Rules(
            POWER_PHRASES if stated.power is None else stated.power,
            FAST_PHRASES if stated.fast is None else stated.fast,
            self._power_words,
        )
        self._harm = HarmCheck(settings.signals)

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the tier of the first rule that applies, and every signal that fired."""
        lowered = lower_in_place(features.text)
        tier, reason, signals = self._read(lowered, features, snapshot)
        return Decision(
            tier=tier,
            reason=reason,
            scores={name: float(name == tier) for name in snapshot.names},
            signals=signals,
            is_harmless=self._harm.is_harmless(lowered),
        )

    def would_change(self, decision: Decision, features: Features, snapshot: Snapshot) -> str:
        """Return what would lead the request to another tier; it takes as long as deciding."""
        if features.background:
            return without_background(self, features, snapshot)
        if decision.signals:
            return self._without(features, decision.signals, snapshot)
        return self._with(features.words, decision.tier, snapshot)

    def _read(
        self, lowered: str, features: Features, snapshot: Snapshot
    ) -> tuple[str, str, tuple[Signal, ...]]:
        """Return the tier of the first rule that applies, why, and every signal that fired."""
        ruling = self._rules.find(lowered, features, snapshot)
        if ruling.tier:
            return ruling.tier, ruling.reason, ruling.signals
        return snapshot.default_tier, "no signal fired, so the default tier", ()

    def _without(self, features: Features, signals: tuple[Signal, ...], snapshot: Snapshot) -> str:
        """Say what the text would get without the phrases that decided: cut them out and see."""
        left, quoted = self._rules.without_deciding(lower_in_place(features.text), signals)
        bare = msgspec.structs.replace(features, words_told=count_words(left))
        tier, reason, _ = self._read(left, bare, snapshot)
        return f"without {quoted} it would be {tier}: {reason}"

    def _with(self, words: int, tier: str, snapshot: Snapshot) -> str:
        """Say what would lead a text without signals elsewhere."""
        cheapest, strongest, limit = snapshot.names[0], snapshot.names[-1], self._power_words
        changes = [
            *((f'"{phrase}"', strongest) for phrase in self._rules.power.phrases[:1]),
            *((f'"{phrase}"', cheapest) for phrase in self._rules.fast.phrases[:1]),
            (f"more than {limit} words", strongest)
            if words <= limit
            else (f"{limit} words or fewer", snapshot.default_tier),
        ]
        return "; ".join(f"{what} would make it {then}" for what, then in changes if then != tier)


def without_background(policy: Policy, features: Features, snapshot: Snapshot) -> str:
    """Say what a background call would get if it were none."""
    other = policy.decide(msgspec.structs.replace(features, background=""), snapshot)
    return f"as any other request it would be {other.tier}: {other.reason}"


class HarmCheck:
    """Whether an ask is one that a careful model may rightly refuse."""

    def __init__(self, settings: SignalSettings) -> None:
        self._sensitive = PhraseMatcher(settings.sensitive)

    def is_harmless(self, lowered: str, values: Set[int] | None = None) -> bool:
        """Return whether none of the sensitive phrases occurs in the lower-cased text.

        `values` is as in `PhraseMatcher.find`.
        """
        return not self._sensitive.find(lowered, "sensitive", values)


def lower_in_place(text: str) -> str:
    """Return `text` in lower case with every character at its old place."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    # The one character that is two in lower case. Source: Unicode 16, SpecialCasing.txt, U+0130.
    return "\u0130".join(part.lower() for part in text.split("\u0130"))


def _words(phrase: str) -> list[str]:
    return lower_in_place(phrase).split()


def _pattern(phrase: str) -> re.Pattern[str]:
    first, *rest = (re.escape(word) for word in _words(phrase))
    before = rf"(?<!\w{first})" if first[:1].isalnum() or first[:1] == "_" else ""
    last = (rest or [first])[-1][-1:]
    after = r"(?!\w)" if last.isalnum() or last == "_" else ""
    return re.compile(r"\s++".join((first + before, *rest)) + after)
