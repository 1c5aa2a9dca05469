"""G11: secrets, routes, addresses: what a server may not show, open or call."""

import tempfile
from pathlib import Path

from soak import Figure
from soak.trust import canaries
from soak.trust.echoing import BEHAVIOURS

_FEWEST = 6


def measure(scale: float = 1.0) -> list[Figure]:
    """Return what came of all of it; `scale` takes fewer of the upstream's ways of going wrong."""
    return [secrets(scale)]


def secrets(scale: float) -> Figure:
    """Return in how many places a canary was found."""
    behaviours = list(BEHAVIOURS)[: max(_FEWEST, round(len(BEHAVIOURS) * scale))]
    with tempfile.TemporaryDirectory(prefix="pointsman-g11-") as folder:
        found = canaries.run(Path(folder), behaviours=behaviours)
    told = f"{len(found.leaks)} in {found.places:,} places, {found.requests:,} requests"
    if found.leaks:
        told += f"; first: {found.leaks[0][0]} in {found.leaks[0][1]}"
    return Figure("G11", "secrets shown, at DEBUG", "0", told, not found.leaks and found.calls > 0)
