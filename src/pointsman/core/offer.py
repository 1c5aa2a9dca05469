"""Offer: the part of a snapshot that a key may use, whatever it asks for."""

from collections.abc import Collection

import msgspec

from pointsman.core.types import Deployment, Snapshot, Tier


def offer(snapshot: Snapshot, tiers: Collection[str], models: Collection[str]) -> Snapshot:
    """Return the tiers of these names, with the deployments of these ids; empty: all of them.

    A tier that is left with no deployment is gone. Models of no tier are within no bound of tiers.
    A default tier that is gone gives way to the nearest stronger one, else the strongest left. The
    very snapshot comes back where all of it is on offer.
    """
    found = tuple(
        tier
        if len(left) == len(tier.deployments)
        else msgspec.structs.replace(tier, deployments=left)
        for tier in snapshot.tiers
        if (not tiers or tier.name in tiers) and (left := _listed(tier.deployments, models))
    )
    others = () if tiers else _listed(snapshot.others, models)
    if found == snapshot.tiers and len(others) == len(snapshot.others):
        return snapshot
    return Snapshot(tiers=found, default_tier=_default(snapshot, found), others=others)


def _listed(deployments: tuple[Deployment, ...], models: Collection[str]) -> tuple[Deployment, ...]:
    return tuple(d for d in deployments if not models or d.id in models)


def _default(snapshot: Snapshot, left: tuple[Tier, ...]) -> str:
    """Return the default tier among those left, "" where there is none."""
    order = snapshot.names
    wanted = order.index(snapshot.default_tier) if snapshot.default_tier in order else 0
    stronger = (tier.name for tier in left if order.index(tier.name) >= wanted)
    return next(stronger, left[-1].name if left else "")
