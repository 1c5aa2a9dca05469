"""Exchange: one request and its reply, free of the protocol that carries them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from pointsman.core.errors import GatewayError
from pointsman.core.grants import EVERYTHING, Grant

Headers: TypeAlias = Sequence[tuple[str, str]]
ErrorFrame: TypeAlias = Callable[[GatewayError], bytes]

_JSON = ("content-type", "application/json")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came in: `headers` with lower-case names; `tenant` is whose key it has.

    `grant`: what that key may do. `named`: the model that the path names, "" where it names none.
    `query` has each parameter once.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    tenant: str = ""
    grant: Grant = EVERYTHING
    named: str = ""
    query: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Exchange({self.method} {self.path}, {self.request_id})"


class Responder(Protocol):
    """Where a reply goes, piece by piece.

    `has_started`: it has a status, so an error can no longer be a reply of its own.
    `error_frame` is how a stream that has started tells an error; None where nothing can.
    `error_code`: of the error that has been told, "" while there is none.
    """

    has_started: bool
    error_frame: ErrorFrame | None
    error_code: str

    @property
    def is_slow(self) -> bool:
        """Return whether its reader has yet to take what was sent: then await `drained`."""

    def start(
        self, status: int, headers: Headers, *, error_frame: ErrorFrame | None = None
    ) -> None:
        """Begin with a status and headers; once. They leave with the first piece of the body."""

    def write(self, body: bytes) -> None:
        """Send more of the body, without waiting."""

    async def drained(self) -> None:
        """Wait until the reader has taken most of what was sent, or has gone."""


def reply_json(responder: Responder, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send a whole JSON reply."""
    length = ("content-length", str(len(body)))
    responder.start(status, (_JSON, length, *headers))
    responder.write(body)
