"""Registry: policies by name, ours and third parties'."""

from collections.abc import Mapping, Set

import msgspec

from pointsman.core.errors import ConfigError
from pointsman.extensions import entry_points
from pointsman.policies import Policy, PolicyFactory, PolicySettings
from pointsman.policies.cascade import Cascade
from pointsman.policies.fixed import Fixed, from_settings
from pointsman.policies.learned import Learned
from pointsman.policies.signals import Signals

ENTRY_POINTS = "pointsman.policies"

BUILT_IN: Mapping[str, PolicyFactory] = {
    "learned": Learned,
    "signals": Signals,
    "cascade": Cascade,
    "fixed": from_settings,
}
# Of these it is known that equal features and snapshots give equal decisions; not of their heirs.
PURE: Set[type[Policy]] = frozenset((Learned, Signals, Cascade, Fixed))


def policy_names() -> tuple[str, ...]:
    """Return the names that `routing.policy` may have."""
    third_party = (point.name for point in entry_points(group=ENTRY_POINTS))
    ours = ("fixed:<tier>" if name == "fixed" else name for name in BUILT_IN)
    return (*ours, *sorted(set(third_party) - set(BUILT_IN)))


def is_policy(name: str) -> bool:
    """Return whether there is a policy of that name, without its argument."""
    return name in BUILT_IN or bool(entry_points(group=ENTRY_POINTS, name=name))


def build_policy(spec: str, settings: PolicySettings) -> Policy:
    """Return the policy that `routing.policy` names, built of the settings.

    Raises ConfigError when there is none of that name, or its factory fails.
    """
    name, _, argument = spec.partition(":")
    settings = msgspec.structs.replace(settings, argument=argument)
    if name in BUILT_IN:
        return BUILT_IN[name](settings)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            policy: Policy = point.load()(settings)
        except Exception as error:  # a third party's code: whatever it raises stops the start
            raise ConfigError(
                f'routing.policy = "{spec}": loading {point.value} failed: {error!r}'
            ) from error
        return policy
    known = ", ".join(policy_names())
    raise ConfigError(f'routing.policy = "{spec}": no such policy; there are {known}')
