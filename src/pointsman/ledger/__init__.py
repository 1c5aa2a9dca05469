"""Ledgers: one row per attempt, in integer nano-USD. One file per kind of store.

A third party's store comes by the entry-point group `pointsman.ledgers`: a factory that takes the
ledger's URL and returns a `Ledger`; the URL's scheme is its name.

The order of writes is the promise (FAULTS, section 3): a durable intent before the upstream is
called, a durable settlement before the client's last byte, and an intent without an end is closed
as `unknown` at the next start. Rows are only ever added; the first end of an attempt wins.
"""

from collections.abc import Iterator
from typing import Literal, Protocol, TypeAlias

import msgspec

from pointsman.core.usage import Usage

Durability: TypeAlias = Literal["strict", "relaxed"]
State: TypeAlias = Literal["reserved", "settled", "voided", "unknown"]
Outcome: TypeAlias = Literal[
    "pending", "answered", "rejected", "failed", "cancelled", "hit", "lost"
]


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ledger]`. `url`: see `opening.open_ledger`.

    `durability`: what a power cut may take: nothing ("strict"), the last second ("relaxed").
    """

    url: str = "sqlite:///pointsman.db"
    durability: Durability = "strict"


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the call. `at_ns`: Unix nanoseconds. `tags`: JSON of an object.

    `attempt` counts from 1 within its request; no two requests share a `request_id`.
    `worst_case_nanousd`: what it may cost at most, None where no price or bound is known.
    `alias`: the name the client asked for. `key`: the name of the caller's key, never the key.
    """

    request_id: str
    attempt: int
    at_ns: int
    tenant: str
    key: str
    tags: str
    alias: str
    tier: str
    deployment: str
    policy: str
    reason: str
    price_version: str
    worst_case_nanousd: int | None
    is_stream: bool


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    `usage` of a hit is the cached answer's. `cost_nanousd` None: not known (no price, or nobody can
    say what was charged); a hit and a voided attempt cost 0. `error`: the error's code, or the
    validator that rejected the draft. `ttft_ms`: until the first content.
    """

    state: State
    outcome: Outcome
    usage: Usage = Usage()
    cost_nanousd: int | None = None
    latency_ms: int = 0
    ttft_ms: int | None = None
    error: str = ""
    cache: Literal["hit", "miss", "off"] = "miss"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the ledger has it: its intent, and how it ended so far."""

    intent: Intent
    settlement: Settlement


class Ledger(Protocol):
    """A durable store of attempts. Methods may be called from one event loop at a time.

    `recovered`: how many attempts of dead writers were closed as `unknown`, outcome `lost`, when
    the store was opened.
    """

    @property
    def recovered(self) -> int:
        """Return how many orphans were closed at the start."""

    async def reserve(self, intent: Intent) -> None:
        """Write an intent durably; does nothing when the very same intent is there already.

        Raises LedgerUnavailable when it cannot be written, or when another intent has its request
        id and attempt; then nothing may be called. When cancelled, the attempt is voided.
        """

    async def settle(self, request_id: str, attempt: int, settlement: Settlement) -> None:
        """Write an attempt's end durably; does nothing when it has one, or was never reserved.

        Raises LedgerUnavailable when it cannot be written yet; the store then goes on trying.
        """

    def close_attempt(self, request_id: str, attempt: int, settlement: Settlement) -> None:
        """Queue an attempt's end without waiting: for `finally`, where nothing may be awaited."""

    async def book_hit(self, intent: Intent, settlement: Settlement) -> None:
        """Write an intent and its end together, for an answer that called nobody.

        Raises LedgerUnavailable as `reserve` does.
        """

    async def book_feedback(self, request_id: str, tenant: str, score: float, at_ns: int) -> bool:
        """Keep a score (0..1) for a request of this tenant; False when it has no such request.

        Raises LedgerUnavailable when it cannot be written.
        """

    def rows(self, *, since_ns: int = 0, until_ns: int | None = None) -> Iterator[Row]:
        """Yield the rows with since_ns <= at_ns < until_ns, oldest first, in bounded memory."""

    def feedback(self) -> Iterator[tuple[str, float]]:
        """Yield (request_id, latest score), by request id, in bounded memory."""

    async def close(self) -> None:
        """Write all that is queued, close what is still open as `lost`, let go of the store."""
