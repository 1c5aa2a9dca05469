"""Contents: requests and answers in full, kept only where the configuration says so."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import msgspec


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A request's body as it came, and the text of its answer: all of it, or what there was."""

    request_id: str
    tenant: str
    at_ns: int
    request: bytes
    answer: str


class Contents(Protocol):
    """A store of contents, each deleted once it has been kept for as long as was said."""

    def keep(self, *, request_id: str, tenant: str, request: bytes, answer: str) -> None:
        """Queue a content without waiting; one that finds no room is dropped, and logged."""

    async def sweep(self) -> None:
        """Delete what is too old. Raises LedgerUnavailable."""

    def read(self) -> Iterator[Content]:
        """Yield what is kept, oldest first, in bounded memory. Raises LedgerUnavailable."""


@runtime_checkable
class KeepsContents(Protocol):
    """A ledger whose store can keep contents too."""

    def contents(self, wall_ns: Callable[[], int], *, days: float) -> Contents:
        """Return them, each kept for `days`; `wall_ns` tells the time in Unix nanoseconds."""
