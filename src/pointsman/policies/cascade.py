"""Cascade: the cheapest tier first, its draft validated, then up."""

from pointsman.core.types import Decision, Features, Snapshot
from pointsman.policies import PolicySettings
from pointsman.policies.signals import HarmCheck, lower_in_place


class Cascade:
    """The policy "cascade". No byte of a draft goes out before its verdict."""

    name = "cascade"

    def __init__(self, settings: PolicySettings) -> None:
        self._harm = HarmCheck(settings.signals)

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the cheapest tier, to be verified."""
        tier = snapshot.names[0]
        above = snapshot.names[1:2]
        return Decision(
            tier=tier,
            reason="the cheapest tier answers first, and its draft is checked",
            scores={name: float(name == tier) for name in snapshot.names},
            would_change=f"a rejected draft goes on to {above[0]}" if above else "",
            must_verify=True,
            is_harmless=self._harm.is_harmless(lower_in_place(features.text)),
        )
