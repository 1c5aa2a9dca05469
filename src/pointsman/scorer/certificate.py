"""Certificate: the proof that a quality floor holds on traffic like one sample of it."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

NOT_CERTIFIED = "prior, not certified on your traffic"


class GroupCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the sample proves for one group of requests.

    `threshold`: the highest predicted loss that may leave the strongest tier, None for "none may":
    then `labels_needed` says how many more labels would be the fewest to prove anything.
    `share_down`, `saving_estimated` (of the strongest tier's cost) and `quality_kept_estimated` (of
    its quality) are those of the sample, each 0..1, the latter above 1 where cheaper was better.
    """

    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    labels: int
    labels_needed: int = 0
    share_down: float = 0.0
    saving_estimated: float = 0.0
    quality_kept_estimated: float = 1.0


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """With probability `confidence` over the draw of the sample, every group keeps the floor.

    `floor`: share of the strongest tier's quality, 0..1. `models`: the tiers' first models,
    cheapest first, that the sample was answered by. `scorer`: the version that predicted the
    losses. `made_on`: ISO date. `data`: where the labels came from.
    """

    floor: Annotated[float, msgspec.Meta(ge=0, le=1)]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    made_on: str
    scorer: str
    data: str
    models: tuple[str, ...]
    groups: Mapping[str, GroupCertificate]

    @property
    def labels(self) -> int:
        """Return the size of the whole sample."""
        return sum(group.labels for group in self.groups.values())

    @property
    def has_threshold(self) -> bool:
        """Return whether it lets any group leave the strongest tier."""
        return any(group.threshold is not None for group in self.groups.values())

    def fault(self, *, scorer: str, models: Sequence[str], floor: float) -> str:
        """Return why it does not hold for this scorer, tier table and floor; "" where it does."""
        if self.scorer != scorer:
            return f"it was made for the scorer {self.scorer}, and {scorer} is in use"
        if tuple(models) != self.models:
            return f"it was made for {', '.join(self.models)}, and the tiers have other models"
        if floor > self.floor:
            return f"it proves a floor of {self.floor:g}, and {floor:g} is asked for"
        return ""

    def told(self) -> str:
        """Return it in one line for a person."""
        proven = [
            f"{name} ({group.labels:,} labels, saves about {group.saving_estimated:.0%}, estimated)"
            for name, group in sorted(self.groups.items())
            if group.threshold is not None
        ]
        where = f"in {', '.join(proven)}" if proven else "in no group yet"
        return (
            f"certified {where}: at least {self.floor:.0%} of the strongest tier's quality, with"
            f" {self.confidence:.0%} confidence, from {self.labels:,} labels ({self.data}) on"
            f" {self.made_on}, scorer {self.scorer}"
        )
