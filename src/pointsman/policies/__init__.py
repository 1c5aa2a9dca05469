"""Policies: pure functions from the facts of a request to a decision. One file each.

A third party's policy comes by the entry-point group `pointsman.policies`: a factory that takes a
`PolicySettings` and returns a `Policy`.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from pointsman.core.types import Decision, Features, Snapshot

POWER_PHRASES = (
    "architect",
    "refactor entire",
    "security audit",
    "design system",
    "optimize algorithm",
    "review this codebase",
    "migration plan",
)
FAST_PHRASES = (
    "format",
    "convert",
    "rename",
    "simple",
    "list",
    "count",
    "translate this",
    "fix typo",
    "add comment",
    "what is",
)
SENSITIVE_PHRASES = (
    "bomb",
    "weapon",
    "weapons",
    "explosive",
    "explosives",
    "malware",
    "ransomware",
    "exploit",
    "phishing",
    "suicide",
    "self-harm",
    "kill",
    "murder",
    "drugs",
    "steal",
    "hack into",
    "child abuse",
    "racist",
)


POWER_WORDS = 500

Goal: TypeAlias = Literal["floor", "budget"]


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words, phrases and a length that decide: all of the policy `signals`, rules above `learned`.

    None is "not stated": `signals` then takes what is built in; `learned` takes only the built-in
    power phrases, since a rule that nobody wrote may raise quality, never lower it.

    `power_words`: a last user turn longer than this many words goes to the strongest tier.
    `default`: the tier of a request on which nothing fires; "" is the middle one.
    `sensitive`: an ask with one of these may rightly be refused, so its refusal is no failure.
    """

    power: tuple[str, ...] | None = None
    fast: tuple[str, ...] | None = None
    power_words: int | None = None
    default: str = ""
    sensitive: tuple[str, ...] = SENSITIVE_PHRASES


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy's factory is given: the argument after the colon, and the configuration's part.

    `quality_floor`: share of the strongest tier's quality to keep, 0..1. `goal`: hold that floor in
    every group, or weigh quality against cost, where `quality_usd` is what a good answer is worth
    more than a bad one.
    """

    argument: str = ""
    signals: SignalSettings = SignalSettings()
    goal: Goal = "floor"
    quality_floor: float = 0.95
    quality_usd: float = 0.01


class Policy(Protocol):
    """Picks a tier. Pure: the same features and snapshot give the same decision, everywhere."""

    @property
    def name(self) -> str:
        """Return the name it goes by in the configuration."""

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the decision; its tier is one of `snapshot.names`, which is never empty."""


PolicyFactory = Callable[[PolicySettings], Policy]
