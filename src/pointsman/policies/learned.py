"""Learned: the cheapest tier whose predicted loss stays within its group's threshold.

Explicit rules stand above the model; a prompt unlike anything the scorer has seen goes up.
"""

from collections.abc import Iterator, Sequence

import msgspec

from pointsman.core.types import Decision, Features, Reading, Snapshot, Tier
from pointsman.policies import POWER_PHRASES, Insight, PolicySettings
from pointsman.policies.flips import nearby_floors, nearby_worths, smallest_change
from pointsman.policies.outlooks import OutlookBook
from pointsman.policies.signals import HarmCheck, Rules, lower_in_place
from pointsman.scorer.familiar import FAMILIARITY_MIN
from pointsman.scorer.model import held_out, shipped
from pointsman.scorer.prospects import Outlook, Prospect, expected_costs
from pointsman.scorer.reading import all_values, read_features


class Learned:
    """The policy "learned".

    With the goal "floor" it takes the cheapest tier whose predicted loss of quality against the
    strongest is within the threshold of the request's group; with "budget" the tier of the highest
    quality x `quality_usd` - cost, whatever that does to a group.
    """

    name = "learned"

    def __init__(self, settings: PolicySettings) -> None:
        stated = settings.signals
        power = POWER_PHRASES if stated.power is None else stated.power
        self._rules = Rules(
            power, stated.fast or (), stated.power_words, power_anywhere=stated.power is not None
        )
        self._harm = HarmCheck(stated)
        self._settings = settings
        if settings.tuning is not None:
            self._scorer = settings.tuning.build_scorer()
        else:
            self._scorer = held_out() if settings.is_held_out else shipped()
        self._book = OutlookBook(settings, self._scorer)

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the tier of the rule that fires, else of the model; scores predict quality."""
        lowered = lower_in_place(features.text)
        reading = read_features(features)
        values = all_values(features, reading)
        ruling = self._rules.find(lowered, features, snapshot, values)
        outlook = self._book.outlook(reading.group, features.labels, snapshot.tiers)
        losses = outlook.losses(self._scorer.relative_gain(reading))
        if ruling.tier:
            tier, reason = ruling.tier, ruling.reason
        elif reading.familiarity < FAMILIARITY_MIN:
            known = f"{reading.familiarity:.0%} of its words are known to the scorer"
            tier, reason = snapshot.names[-1], f"unlike what the scorer has learned from: {known}"
        elif self._settings.goal == "budget":
            tier, reason = self._best_value(reading, outlook, losses, features, snapshot)
        else:
            tier, reason = _within_threshold(outlook, losses, snapshot)
        return Decision(
            tier=tier,
            reason=reason,
            scores={
                name: round(outlook.strongest_quality - loss, 4)
                for name, loss in zip(snapshot.names, losses, strict=True)
            },
            signals=ruling.signals,
            is_harmless=self._harm.is_harmless(lowered, values),
            group="" if ruling.tier or self._settings.goal == "budget" else outlook.group,
        )

    def insight(self, features: Features, snapshot: Snapshot) -> Insight:
        """Return why in words a person can use; it takes some hundred times as long as `decide`."""
        decision = self.decide(features, snapshot)
        reading = read_features(features)
        outlook = self._book.outlook(reading.group, features.labels, snapshot.tiers)
        reasons = self._scorer.reasons(features.text, reading)
        return Insight(
            group=outlook.group,
            familiarity=reading.familiarity,
            prospects=tuple(self._prospects(reading, outlook, features, snapshot)),
            relative_gain=self._scorer.relative_gain(reading),
            threshold=outlook.threshold if self._settings.goal == "floor" else None,
            certificate=self._book.told(outlook, snapshot.tiers),
            reasons=tuple((reason.what, reason.weight) for reason in reasons),
            would_change=smallest_change(
                decision,
                features,
                snapshot,
                policy=self,
                rules=self._rules,
                words=[reason.what.strip('"') for reason in reasons if reason.what[:1] == '"'],
                others=self._others(outlook),
            ),
        )

    def proof(self, tiers: Sequence[Tier]) -> str:
        """Return the certificate in words, or why there is none that holds for these tiers."""
        return self._book.proof(tiers)

    def _others(self, outlook: Outlook) -> Iterator[tuple[str, "Learned"]]:
        """Yield the policy with other settings, the nearest first; none where proof decides."""
        settings = self._settings
        if settings.goal == "budget":
            for worth in nearby_worths(settings.quality_usd):
                changed = msgspec.structs.replace(settings, quality_usd=worth)
                yield f"quality_usd = {worth:g}", Learned(changed)
        elif not outlook.is_certified:
            for floor in nearby_floors(settings.quality_floor):
                changed = msgspec.structs.replace(settings, quality_floor=floor)
                yield f"quality_floor = {floor:g}", Learned(changed)

    def _best_value(
        self,
        reading: Reading,
        outlook: Outlook,
        losses: tuple[float, ...],
        features: Features,
        snapshot: Snapshot,
    ) -> tuple[str, str]:
        """Return the tier of the highest quality x `quality_usd` - cost, the cheapest of equals."""
        worth = self._settings.quality_usd
        best, reason, best_usd = "", "", float("-inf")
        costs = expected_costs(features, snapshot.tiers, self._scorer.output_tokens(reading))
        for name, loss, cost in zip(snapshot.names, losses, costs, strict=True):
            if cost is None:
                why = f"{name} has no price to weigh against quality, so the floor decides"
                tier, within = _within_threshold(outlook, losses, snapshot)
                return tier, f"{why}: {within}"
            quality, cost_usd = outlook.strongest_quality - loss, cost / 1e9
            if quality * worth - cost_usd > best_usd:
                best, best_usd = name, quality * worth - cost_usd
                reason = (
                    f"quality {quality:.2f} (predicted) at ${worth:g} less ${cost_usd:.3g}"
                    f" (estimated) is the best value on {name}"
                )
        return best, reason

    def _prospects(
        self, reading: Reading, outlook: Outlook, features: Features, snapshot: Snapshot
    ) -> Iterator[Prospect]:
        losses = outlook.losses(self._scorer.relative_gain(reading))
        costs = expected_costs(features, snapshot.tiers, self._scorer.output_tokens(reading))
        for tier, loss, cost, basis, note in zip(
            snapshot.tiers, losses, costs, outlook.bases, outlook.notes, strict=True
        ):
            yield Prospect(
                tier=tier.name,
                model=tier.deployments[0].id,
                quality=outlook.strongest_quality - loss,
                loss=loss,
                cost_nanousd=cost,
                basis=basis,
                note=note,
            )


def _within_threshold(
    outlook: Outlook, losses: tuple[float, ...], snapshot: Snapshot
) -> tuple[str, str]:
    """Return the cheapest tier whose loss is within the threshold, else the strongest, and why."""
    kind = "certified" if outlook.is_certified else "prior"
    for name, loss in zip(snapshot.names[:-1], losses, strict=False):
        if loss <= outlook.threshold:
            return name, (
                f"{outlook.group}: {name} is predicted to lose {loss:.3f} of quality, within"
                f" {outlook.threshold:.3f} ({kind})"
            )
    strongest = snapshot.names[-1]
    if outlook.threshold < 0:
        return strongest, f"{outlook.group}: it is not proven that anything cheaper will do"
    if len(losses) == 1:
        return strongest, "the only tier that can serve it"
    return strongest, (
        f"{outlook.group}: {snapshot.names[-2]} is predicted to lose {losses[-2]:.3f} of quality,"
        f" more than {outlook.threshold:.3f} ({kind})"
    )
