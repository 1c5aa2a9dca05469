"""Outcomes: what came of requests that carry an Idempotency-Key, kept for whoever asks again.

FAULTS, invariant 7: one call and one bill for a key, however often it is sent. A key belongs to its
tenant; it is claimed before anything is called, and freed where nothing came of it.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

KEPT_S = 24 * 60 * 60


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One request's hold on a key. `digest`: of all that makes it this request and no other.

    `at_ns`: Unix nanoseconds, no two claims of a process have the same.
    """

    tenant: str
    key: str
    digest: bytes
    at_ns: int


class KeptOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole reply."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Outcomes(Protocol):
    """A durable store of outcomes, for all processes that share it."""

    async def claim(self, tenant: str, key: str, digest: bytes) -> Claim | KeptOutcome:
        """Take a key for a request, durably; or return what came of the same request before.

        The claim of a process that has died, and whatever is older than `KEPT_S`, counts for
        nothing. Raises IdempotencyReused where another request had the key, IdempotencyInFlight
        while the same one runs, LedgerUnavailable when the claim cannot be written.
        """

    async def keep(self, claim: Claim, outcome: KeptOutcome) -> bool:
        """Keep what came of a request, durably; False where its claim is no longer there.

        Raises LedgerUnavailable.
        """

    def free(self, claim: Claim) -> None:
        """Queue giving a key back, without waiting; does nothing where its outcome is kept."""

    async def sweep(self) -> None:
        """Delete what is older than `KEPT_S`. Raises LedgerUnavailable."""


@runtime_checkable
class KeepsOutcomes(Protocol):
    """A ledger whose store keeps outcomes too."""

    def outcomes(self, wall_ns: Callable[[], int]) -> Outcomes:
        """Return them; `wall_ns` tells the time in Unix nanoseconds."""
