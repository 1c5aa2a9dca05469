"""Labels: requests whose outcome on the tiers is known, as tables of one row a request."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
import numpy as np

from pointsman.compare.model_names import ModelNames
from pointsman.compare.records import LoggedRequest, Outcome
from pointsman.core.errors import ConfigError
from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Deployment, Features, Reading, Snapshot
from pointsman.core.usage import Usage
from pointsman.scorer.model import shipped
from pointsman.scorer.reading import COUNT_NAMES, read_features
from pointsman.training.metrics import Floats, Pair, Places

HELD_OUT_SHARE = 0.4
_LENGTHS = ("length", "text beyond the clip")
_NAMES_SHOWN_MAX = 12
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Labels:
    """n requests against one tier table, cheapest tier first.

    features: n, each with its reading.  quality, cost: (n, n_tiers), 0..1 and nano-USD, nan where
    the tier's first model did not answer or its cost is not known.  costs_estimated: how many of
    the costs were worked out from expected tokens.  log_tokens: (n,) mean log of the tokens that
    the tiers answered with, nan where no usage came with the labels.
    """

    snapshot: Snapshot
    features: tuple[Features, ...]
    quality: Floats
    cost: Floats
    log_tokens: Floats
    costs_estimated: int = 0

    def __len__(self) -> int:
        """Return how many requests there are."""
        return len(self.features)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Return what the scorer knows of each request."""
        return tuple(_stored(features) for features in self.features)

    @property
    def models(self) -> tuple[str, ...]:
        """Return the tiers' first models, cheapest first."""
        return tuple(tier.deployments[0].id for tier in self.snapshot.tiers)

    def pick(self, rows: Places) -> "Labels":
        """Return the labels of these rows."""
        return Labels(
            snapshot=self.snapshot,
            features=tuple(self.features[row] for row in rows.tolist()),
            quality=self.quality[rows],
            cost=self.cost[rows],
            log_tokens=self.log_tokens[rows],
            costs_estimated=self.costs_estimated,
        )

    def complete(self) -> "Labels":
        """Return those that every tier answered at a known cost."""
        known = np.isfinite(self.quality).all(axis=1) & np.isfinite(self.cost).all(axis=1)
        return self.pick(np.flatnonzero(known))

    def compared(self) -> "Labels":
        """Return those that the strongest tier and at least one other answered."""
        known = np.isfinite(self.quality)
        return self.pick(np.flatnonzero(known[:, -1] & known[:, :-1].any(axis=1)))

    def split(self) -> tuple["Labels", "Labels"]:
        """Return those to fit on and those held out, told apart by a hash of what was asked.

        A text asked again is hashed with how often it was asked before. Were all its copies on one
        side, the held-out labels would be no independent draws of the traffic, and what is proven
        on them would not hold for it: a text that is a third of the traffic would be most of one
        side or missing there. So split what came, in its order, and only then leave labels out.
        """
        copies: Counter[tuple[str, frozenset[int]]] = Counter()
        held_out = np.zeros(len(self), dtype=bool)
        for row, reading in enumerate(self.readings):
            key = reading.group, reading.grams
            held_out[row] = is_held_out(reading, copies[key])
            copies[key] += 1
        return self.pick(np.flatnonzero(~held_out)), self.pick(np.flatnonzero(held_out))

    def pair(self) -> Pair:
        """Return the outcomes of the cheapest and the strongest tier."""
        return Pair(self.quality[:, 0], self.quality[:, -1], self.cost[:, 0], self.cost[:, -1])

    def lengths(self) -> Floats:
        """Return the log of how long each text is, (n,): what length alone goes by."""
        return np.array([text_length(reading) for reading in self.readings], dtype=float)


@dataclass(slots=True)
class _Rows:
    """What has been read so far."""

    features: list[Features] = field(default_factory=list)
    quality: list[list[float]] = field(default_factory=list)
    cost: list[list[float]] = field(default_factory=list)
    log_tokens: list[float] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)
    estimated: int = 0


def gather(
    records: Iterable[LoggedRequest], snapshot: Snapshot, *, needs_all: bool = True
) -> Labels:
    """Return the labels of the records that some tier's first model answered.

    Raises ConfigError where a tier's first model answered none, naming models and remedy; unless
    `needs_all`, where none of them answered any.
    """
    names, rows = ModelNames(snapshot), _Rows()
    firsts = [tier.deployments[0] for tier in snapshot.tiers]
    for record in records:
        _add(rows, record, firsts, names, snapshot)
    quality = np.array(rows.quality, dtype=float).reshape(-1, len(firsts))
    _require_models(snapshot, quality, rows.names, needs_all=needs_all)
    return Labels(
        snapshot=snapshot,
        features=tuple(rows.features),
        quality=quality,
        cost=np.array(rows.cost, dtype=float).reshape(-1, len(firsts)),
        log_tokens=np.array(rows.log_tokens, dtype=float),
        costs_estimated=rows.estimated,
    )


def with_reading(features: Features) -> Features:
    """Return the features with what the scorer reads of them."""
    return msgspec.structs.replace(features, reading=read_features(features))


def text_length(reading: Reading) -> float:
    """Return log(1 + characters) of a text, beyond the clip too, from what was read of it."""
    clipped, beyond = (reading.counts[COUNT_NAMES.index(name)] for name in _LENGTHS)
    return float(np.log1p(np.expm1(clipped) + np.expm1(beyond)))


def is_held_out(reading: Reading, copy: int = 0) -> bool:
    """Return whether a request is among the 40% held out.

    `copy`: how often its text was asked before; the same copy of a text always is, or never.
    """
    again = f" {copy}" if copy else ""
    seen = f"{reading.group} {sorted(reading.grams)}{again}"
    share = int.from_bytes(sha256(seen.encode()).digest()[:8], "big") / 2**64
    return share < HELD_OUT_SHARE


def _add(
    rows: _Rows,
    record: LoggedRequest,
    firsts: Sequence[Deployment],
    names: ModelNames,
    snapshot: Snapshot,
) -> None:
    """Take a record in, unless none of the tiers' first models has an outcome in it."""
    rows.names.update(record.outcomes.keys())
    found = _by_model(record.outcomes, names)
    outcomes = [found.get(first.id) for first in firsts]
    if not any(outcomes):
        return
    features = with_reading(record.features)
    rows.features.append(features)
    rows.quality.append([_NAN if one is None else one.quality for one in outcomes])
    rows.cost.append(
        [
            _NAN if one is None else _cost(one, place, features, snapshot, rows)
            for place, one in enumerate(outcomes)
        ]
    )
    used = [one.usage.output_tokens for one in outcomes if one is not None and one.usage]
    rows.log_tokens.append(float(np.log1p(used).mean()) if used else _NAN)


def _by_model(outcomes: Mapping[str, Outcome], names: ModelNames) -> dict[str, Outcome]:
    return {model: outcome for name, outcome in outcomes.items() for model in names.ids(name)}


def _cost(
    outcome: Outcome, place: int, features: Features, snapshot: Snapshot, rows: _Rows
) -> float:
    """Return nano-USD: as told, else by the tokens as told, else by those expected.

    Raises ConfigError where neither the data nor a price says.
    """
    if outcome.cost_nanousd is not None:
        return float(outcome.cost_nanousd)
    first = snapshot.tiers[place].deployments[0]
    if first.price is None:
        raise ConfigError(
            f"{first.id}: neither the data nor a price says what its answers cost; give the data"
            f' "costs", or the configuration [prices."{first.id}"]'
        )
    usage = outcome.usage
    if usage is None:
        rows.estimated += 1
        expected = shipped().output_tokens(_stored(features))
        usage = Usage(
            input_tokens=features.input_tokens, output_tokens=round(expected), is_estimated=True
        )
    return float(cost_nanousd(usage, first.price))


def _stored(features: Features) -> Reading:
    assert features.reading is not None, "gather reads every request"
    return features.reading


def _require_models(
    snapshot: Snapshot, quality: Floats, names: Counter[str], *, needs_all: bool
) -> None:
    """Raise ConfigError where a tier's first model has no outcome at all."""
    if len(snapshot.tiers) < 2:
        raise ConfigError("the configuration has one tier; there is nothing to choose between")
    if not names:
        raise ConfigError(
            "the file is empty, or no row has scores; each needs a prompt and a score from 0 to 1"
            ' by model, as in {"prompt": "...", "scores": {"small": 0, "large": 1}}'
        )
    silent = [not np.isfinite(column).any() for column in quality.T]
    if not any(silent) or not (needs_all or all(silent)):
        return
    missing = ", ".join(
        f"{tier.deployments[0].id} (tier {tier.name})"
        for tier, is_silent in zip(snapshot.tiers, silent, strict=True)
        if is_silent
    )
    shown = ", ".join(sorted(names)[:_NAMES_SHOWN_MAX]) or "none at all"
    more = f" and {len(names) - _NAMES_SHOWN_MAX} more" if len(names) > _NAMES_SHOWN_MAX else ""
    raise ConfigError(
        f"no outcome of {missing}; the data has outcomes of {shown}{more}. Name the tiers' models"
        " as the data does (provider/model, or the model alone), or ask them with --replay"
    )
