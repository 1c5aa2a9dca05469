"""Bundled: the labelled data that comes with the package, by name, each with tiers of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pointsman.compare.labelled import read_labelled
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.config import Settings, parse_settings
from pointsman.core.errors import ConfigError
from pointsman.core.types import Snapshot
from pointsman.deployments import price_book, resolve_tiers
from pointsman.sample.parts import PARTS, Part

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


def find_bundle(path: Path) -> Bundle | None:
    """Return the bundle that a path names, None for a path of the user's own."""
    if path.exists() or str(path) not in BUNDLES:
        return None
    return BUNDLES[str(path)]()


def check_alone(paths: Sequence[Path]) -> None:
    """Raise ConfigError where bundled data is named beside other data."""
    named = [path for path in paths if not path.exists() and str(path) in BUNDLES]
    if named and len(paths) > 1:
        raise ConfigError(
            f'--data "{named[0]}": bundled data has tiers of its own and cannot be combined with'
            " other data; name it alone"
        )


def bundled_settings(name: str) -> Settings:
    """Return the settings that have the tiers of bundled data. Raises KeyError for another name."""
    return parse_settings(PARTS[name].config_text, f"--data {name}", {}, needs_keys=False)


def _bundle(part: Part) -> Bundle:
    settings = bundled_settings(part.name)
    tiers = resolve_tiers(settings, prices=price_book(settings), at=datetime.now(UTC))
    return Bundle(
        read=partial(_records, part),
        snapshot=Snapshot(tiers=tiers, default_tier=tiers[len(tiers) // 2].name),
        words=f"This is {part.title}. {part.caveat}",
        is_held_out=part.is_held_out,
    )


def _records(part: Part, left_out: LeftOut) -> Iterator[LoggedRequest]:
    with part.open() as file:
        yield from read_labelled(file, left_out)


# What `--data NAME` opens where no file of that name is.
BUNDLES: Mapping[str, Callable[[], Bundle]] = {
    name: partial(_bundle, part) for name, part in PARTS.items()
}
