"""Policies: pure functions from the facts of a request to a decision. One file each.

A third party's policy comes by the entry-point group `pointsman.policies`: a factory that takes a
`PolicySettings` and returns a `Policy`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from pointsman.core.types import Decision, Features, Snapshot, Tier
from pointsman.scorer.certificate import NOT_CERTIFIED
from pointsman.scorer.prospects import Prospect
from pointsman.scorer.tuning import Tuning

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
    power phrases, since a rule that nobody wrote may raise quality, never lower it, and them only
    where they belong to what is asked (`asks`).

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
    more than a bad one. `tuning`: what `pointsman train` installed, None for what is shipped.
    `is_held_out`: decide with the twin of the shipped scorer that has not seen the bundled sample.
    `steps`: how often audits found a group's floor broken, so that its threshold went down.
    """

    argument: str = ""
    signals: SignalSettings = SignalSettings()
    goal: Goal = "floor"
    quality_floor: float = 0.95
    quality_usd: float = 0.01
    tuning: Tuning | None = None
    is_held_out: bool = False
    steps: Mapping[str, int] = {}


class Policy(Protocol):
    """Picks a tier. Pure: the same features and snapshot give the same decision, everywhere."""

    @property
    def name(self) -> str:
        """Return the name it goes by in the configuration."""

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the decision; its tier is one of `snapshot.names`, which is never empty."""


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """Why a policy decides as it does, for a person.

    `group`: the task group, or the caller's own one, whose threshold counts. `familiarity`: share
    of the prompt's words, or of its better half's, that the scorer knows, 0..1. `relative_gain`:
    how many times as much the prompt gains from the strongest tier as its group does on average.
    `threshold`: the highest predicted loss that may leave the strongest tier; None where it does
    not decide. `certificate`: what is proven, in words. `reasons`: what of the prompt asks for a
    stronger tier (weight above 0) or a weaker one, the weightiest first.
    """

    group: str
    familiarity: float
    prospects: tuple[Prospect, ...]
    relative_gain: float
    threshold: float | None
    certificate: str
    reasons: tuple[tuple[str, float], ...]
    would_change: str


@runtime_checkable
class Explaining(Protocol):
    """A policy that can say more of a decision than the decision does."""

    def insight(self, features: Features, snapshot: Snapshot) -> Insight:
        """Return why; it may take a hundred times as long as `decide`."""

    def proof(self, tiers: Sequence[Tier]) -> str:
        """Return in words what is proven of the quality that it keeps with these tiers."""


@runtime_checkable
class Changing(Protocol):
    """A policy that can say what would change a decision of its own, which costs extra."""

    def would_change(self, decision: Decision, features: Features, snapshot: Snapshot) -> str:
        """Return the change in words, "" when none is known."""


def quality_proof(policy: object, tiers: Sequence[Tier]) -> str:
    """Return what is proven of a policy's quality, to stand wherever its savings do."""
    return policy.proof(tiers) if isinstance(policy, Explaining) else NOT_CERTIFIED


PolicyFactory = Callable[[PolicySettings], Policy]
