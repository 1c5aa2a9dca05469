"""Bundled: the labelled data that comes with the package, by name, each with tiers of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.core.types import Snapshot

DEFAULT = "sample"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Labelled requests and the tiers whose models have their outcomes.

    `is_held_out`: the scorer's twin decides, which has not learned from these. `words`: one
    sentence of what the data shows and what it does not.
    """

    read: Callable[[LeftOut], Iterator[LoggedRequest]]
    snapshot: Snapshot
    words: str
    is_held_out: bool = False


# What `--data NAME` opens where no file of that name is.
BUNDLES: Mapping[str, Callable[[], Bundle]] = {}


def find_bundle(path: Path) -> Bundle | None:
    """Return the bundle that a path names, None for a path of the user's own."""
    if path.exists() or str(path) not in BUNDLES:
        return None
    return BUNDLES[str(path)]()
