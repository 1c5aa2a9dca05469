"""Exchange: one request and its reply, free of the protocol that carries them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from pointsman.core.errors import GatewayError
from pointsman.core.grants import EVERYTHING, Grant

Headers: TypeAlias = Sequence[tuple[str, str]]
ErrorFrame: TypeAlias = Callable[[GatewayError], bytes]


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
    """Where a reply goes, piece by piece. `send` waits while its reader is slow.

    `has_started`: the status has gone out, so an error can no longer be a reply of its own.
    `error_frame` is how a stream that has started tells an error; None where nothing can.
    `error_code`: of the error that has been told, "" while there is none.
    """

    has_started: bool
    error_frame: ErrorFrame | None
    error_code: str

    async def start(
        self, status: int, headers: Headers, *, error_frame: ErrorFrame | None = None
    ) -> None:
        """Send the status and the headers; once."""

    async def send(self, body: bytes) -> None:
        """Send more of the body."""


async def reply_json(responder: Responder, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send a whole JSON reply."""
    length = ("content-length", str(len(body)))
    await responder.start(status, [("content-type", "application/json"), length, *headers])
    await responder.send(body)
