"""Routing: what a pipeline is made of, apart from what it does."""

from collections.abc import Mapping
from dataclasses import dataclass

from pointsman.attempt import PriceOf
from pointsman.cache import Cache
from pointsman.core.decision import Policy
from pointsman.core.types import Snapshot
from pointsman.gate import Checks
from pointsman.ledger import Ledger
from pointsman.providers import Provider


@dataclass(frozen=True, slots=True)
class Routing:
    """What a reload replaces, all at once: the tiers, and how they are chosen and called."""

    snapshot: Snapshot
    aliases: tuple[str, ...]
    policy: Policy
    providers: Mapping[str, Provider]
    checks: Checks
    may_escalate: bool
    price_of: PriceOf
    total_s: float


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a reload: the ledger, and the cache, None where it is switched off.

    `entry_bytes_max`: a larger answer is not kept.
    """

    ledger: Ledger
    cache: Cache | None
    entry_bytes_max: int
