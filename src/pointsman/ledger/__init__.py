"""Ledgers: one row per attempt, in integer nano-USD. One file per kind of store.

A third party's store comes by the entry-point group `pointsman.ledgers`: a factory that takes the
ledger's URL and returns a `Ledger`; the URL's scheme is its name.

The order of writes is the promise (FAULTS, section 3): a durable intent before the upstream is
called, a durable settlement before the client's last byte, and an intent without an end is closed
as `unknown` at the next start. Rows are only ever added; the first end of an attempt wins.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from pointsman.core.budgets import Held, Hold
from pointsman.core.types import CacheTier
from pointsman.core.usage import Usage

Durability: TypeAlias = Literal["strict", "relaxed"]
State: TypeAlias = Literal["reserved", "settled", "voided", "unknown"]
Outcome: TypeAlias = Literal[
    "pending", "answered", "rejected", "failed", "cancelled", "hit", "lost", "audited", "judged"
]

# The policy of every attempt made for an audit and not for a client, however it ends.
AUDIT = "audit"


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ledger]`. `url`: see `opening.open_ledger`.

    `durability`: what a power cut may take: nothing ("strict"), the last second ("relaxed").
    `store_readings`: keep what the scorer reads of each request, which is no text.
    `store_content`: keep requests and answers in full, each for `content_days`.
    """

    url: str = "sqlite:///pointsman.db"
    durability: Durability = "strict"
    store_readings: bool = False
    store_content: bool = False
    content_days: float = 30.0


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the call. `at_ns`: Unix nanoseconds. `tags`: JSON of an object.

    `attempt` counts from 1 within its request; no two requests share a `request_id`.
    `worst_case_nanousd`: what it may cost at most, None where no price or bound is known.
    `alias`: the name the client asked for. `key`: the name of the caller's key, never the key.
    `tier_calls_max`: how many calls of this tier the key may make in the UTC day of `at_ns`, this
    one included, None for any number; it is checked, and not kept.
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
    tier_calls_max: int | None = None


# How the cache served an attempt's request. A hit is of the very request, or says which reading of
# its text found it.
CacheBooked: TypeAlias = Literal["hit", "normalised", "canonical", "judged", "miss", "off"]
BOOKED: Mapping[CacheTier, CacheBooked] = {
    "exact": "hit",
    "normalised": "normalised",
    "canonical": "canonical",
    "judged": "judged",
}
REWORDED = frozenset(BOOKED.values()) - {"hit"}


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    `usage` of a hit is the cached answer's. `cost_nanousd` None: not known (no price, or nobody can
    say what was charged); a hit and a voided attempt cost 0. `error`: the error's code, or the
    validator that rejected the draft. `ttft_ms`: until the first content.

    What was made for an audit ends as `audited` (the strongest tier's answer, which no client got)
    or `judged` (a model's opinion), or as any attempt does that gave no answer.
    """

    state: State
    outcome: Outcome
    usage: Usage = Usage()
    cost_nanousd: int | None = None
    latency_ms: int = 0
    ttft_ms: int | None = None
    error: str = ""
    cache: CacheBooked = "miss"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the ledger has it: its intent, and how it ended so far."""

    intent: Intent
    settlement: Settlement


class BudgetRow(msgspec.Struct, frozen=True):
    """What stands against the budget of a scope in one window, whatever its limit is.

    `nanousd`: of requests that have ended, an attempt that nobody knows the charge of with its
    worst case. `held_nanousd`: by those under way.
    """

    scope: str
    window: str
    nanousd: int
    held_nanousd: int


class AuditLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What one audit found: how good the answer was, and the strongest tier's to the same request.

    `regime` names the configuration whose floor is audited: labels of another one say nothing of
    it. `group`: whose threshold decided. `steps`: how often the threshold had been lowered when the
    request was decided, and `steps_after` once this label had counted.
    `routed`, `strongest`: deployments; the same where the answer came from the strongest tier.
    Qualities are 0..1, as `judge` has them.
    """

    request_id: str
    at_ns: int
    regime: str
    group: str
    steps: int
    steps_after: int
    floor: float
    judge: str
    routed: str
    strongest: str
    quality_routed: float
    quality_strongest: float


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of how good the answers to one request were: what `pointsman train` learns of.

    `tier` and `deployment` answered the client. `qualities` (0..1) and `costs_nanousd` (where they
    are known) go by deployment: one of feedback, up to two of an audit. `reading`: the packed one
    (`scorer.reading`) as JSON, None where none was kept. `tags`: JSON of an object. `judge`: who
    said so, "feedback" or an audit's judge. `group` is an audit's, "" for feedback.
    """

    request_id: str
    at_ns: int
    tenant: str
    tags: str
    tier: str
    deployment: str
    judge: str
    group: str
    reading: str | None
    qualities: Mapping[str, float]
    costs_nanousd: Mapping[str, int]


class Ledger(Protocol):
    """A durable store of attempts. Methods may be called from one event loop at a time.

    `recovered`: how many attempts of dead writers were closed as `unknown`, outcome `lost`, when
    the store was opened.

    Holds are how budgets are kept (FAULTS, invariant 5): at every instant, over all writers of the
    store, what is settled and what is held stay within each limit. So checking the limits and
    taking the hold is one step with writing the intent, done by the store itself; no figure that a
    process keeps in memory decides. A store for many nodes may take a lease of each limit (at most
    a hundredth of what is left) into the node and hold from that without asking: what it may go
    over by is then the number of nodes times a lease, and `reserve` means the same.
    A hold lasts until it is released: then what the request's attempts cost takes its place, those
    that ended as `unknown` with their worst case. Opening the store does so for dead writers.
    """

    @property
    def recovered(self) -> int:
        """Return how many orphans were closed at the start."""

    async def reserve(self, intent: Intent, hold: Hold | None = None) -> Held | None:
        """Write an intent durably; does nothing when the very same intent is there already.

        `hold`: passed with a request's first attempt, for the whole request. The first of its
        amounts that fits all its limits is held with the intent, or neither is written; a limit's
        window that the store has not seen begins with what is booked in it. Returns what was held,
        None without `hold`, which costs nothing more than it did without budgets.

        Raises BudgetExceeded where no amount fits, QuotaExceeded where the key has made as many
        calls of the tier as it may, over all writers of the store; LedgerUnavailable when it cannot
        be written, or when another intent has its request id and attempt. Then nothing may be
        called. When cancelled, the attempt is voided and the hold given back.
        """

    async def settle(
        self, request_id: str, attempt: int, settlement: Settlement, *, is_last: bool = False
    ) -> None:
        """Write an attempt's end durably; does nothing when it has one, or was never reserved.

        `is_last`: the request's hold is released with it. Raises LedgerUnavailable when it cannot
        be written yet; the store then goes on trying.
        """

    def release(self, request_id: str) -> None:
        """Queue giving back what a request holds, without waiting: it makes no attempt any more.

        Takes effect once the attempts that are still open have ended. Does nothing where nothing is
        held (any more).
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

    def keep_reading(self, request_id: str, reading: str) -> None:
        """Queue a request's reading (JSON) without waiting; one that finds no room is dropped."""

    async def book_audit(self, label: AuditLabel, reading: str) -> None:
        """Keep a label with its request's reading (JSON); the first label of a request stays.

        Raises LedgerUnavailable when it cannot be written.
        """

    async def reconcile(self, request_id: str, attempt: int, cost_nanousd: int) -> bool:
        """State what an attempt that ended as `unknown` cost; budgets follow.

        Its row keeps the state. Returns False where there is no such attempt, or its cost is known.
        Raises LedgerUnavailable.
        """

    async def rebuild_budgets(self) -> int:
        """Compute what stands against budgets anew, from rows and holds; return how much was wrong.

        Raises LedgerUnavailable.
        """

    def budgets(self) -> Iterator[BudgetRow]:
        """Yield what stands against budgets, by scope, the latest window first."""

    def rows(
        self,
        *,
        since_ns: int = 0,
        until_ns: int | None = None,
        policy: str | None = None,
        state: State | None = None,
    ) -> Iterator[Row]:
        """Yield the rows with since_ns <= at_ns < until_ns, oldest first, in bounded memory.

        `policy`: only the rows that this one decided. `state`: only those that ended so.
        """

    def feedback(self) -> Iterator[tuple[str, float]]:
        """Yield (request_id, latest score), by request id, in bounded memory."""

    def audits(self) -> Iterator[AuditLabel]:
        """Yield the audits' labels in the order of their booking, in bounded memory."""

    def labels(self) -> Iterator[Label]:
        """Yield what can be learned from, audits first, then the latest feedback by request.

        In bounded memory. Left out: feedback on a request that has no answer, and an audit in
        which a model would have compared an answer with itself.
        """

    async def close(self) -> None:
        """Write all that is queued, close what is still open as `lost`, let go of the store."""
