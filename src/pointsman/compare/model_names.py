"""Model names: which of our deployments a log means by the name of a model."""

import re

from pointsman.core.types import Snapshot

# "gpt-4o-2024-08-06" and "claude-haiku-4-5-20251001" are dated names of the same models.
_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8})$")
_NAMES_MAX = 4_096


class ModelNames:
    """Which deployments a model's name in a log may mean.

    A bare name means the model at any provider, but not a deployment that sends parameters of its
    own: it would answer otherwise.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        tiers = (deployment for tier in snapshot.tiers for deployment in tier.deployments)
        self._deployments = (*tiers, *snapshot.others)
        self._found: dict[str, frozenset[str]] = {}

    def ids(self, name: str) -> frozenset[str]:
        """Return the deployments' ids, none for a name that is not ours."""
        if name not in self._found:
            if len(self._found) >= _NAMES_MAX:  # names come from the log
                self._found.clear()
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> frozenset[str]:
        exact = frozenset(one.id for one in self._deployments if one.id == name)
        names = {name, _DATE.sub("", name)}
        return exact or frozenset(
            one.id for one in self._deployments if one.model in names and not one.params
        )
