"""Fixed: every request to one tier."""

from dataclasses import dataclass

from pointsman.core.errors import ConfigError
from pointsman.core.types import Decision, Features, Snapshot
from pointsman.policies import PolicySettings


@dataclass(frozen=True, slots=True)
class Fixed:
    """The policy "fixed:<tier>". Never escalates: the user has said where to go.

    When no model of the tier can serve a request, the nearest stronger tier that can is taken,
    else the nearest weaker one, and the reason says so.
    """

    tier: str
    name: str = "fixed"

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the tier."""
        del features
        if self.tier in snapshot.names:
            tier, reason = self.tier, f"the policy is fixed:{self.tier}"
        else:
            tier = snapshot.default_tier
            reason = f"{self.tier} cannot serve this request, so {tier}"
        return Decision(
            tier=tier,
            reason=reason,
            scores={name: float(name == tier) for name in snapshot.names},
            would_change="another routing.policy",
            may_escalate=False,
        )


def from_settings(settings: PolicySettings) -> Fixed:
    """Return the policy for the tier after the colon. Raises ConfigError when there is none."""
    if not settings.argument:
        raise ConfigError('routing.policy = "fixed": name the tier, as in "fixed:fast"')
    return Fixed(settings.argument, name=f"fixed:{settings.argument}")
