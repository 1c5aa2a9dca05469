"""Idempotency: a request with an Idempotency-Key is run once, however often it is sent.

FAULTS, invariant 7. The key is claimed before the route runs, durably, and what came of it is kept
before the reply ends: a whole answer, or an upstream's refusal of the request itself. After
anything else (our own refusals, failed upstreams, a stream that broke off) the key is free again.
A client that hangs up does not end such a request: it may ask again for what came of it.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import msgspec

from pointsman.core.errors import GatewayError, LedgerUnavailable, RequestError, UpstreamRejected
from pointsman.ledger.outcomes import Claim, KeptOutcome, Outcomes
from pointsman.server.exchange import ErrorFrame, Exchange, Headers, Responder
from pointsman.server.headers import id_headers

Handle: TypeAlias = Callable[[Responder], Awaitable[None]]
Tell: TypeAlias = Callable[[Responder, GatewayError], None]

KEY_HEADER = "idempotency-key"
MARK = "x-pointsman-idempotent"
OUTCOME_BYTES_MAX = 4 * 1024 * 1024

_KEY_CHARS_MAX = 255
# What else than the body makes a request this one, besides all headers of our own.
_TELLING_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")
_NOT_KEPT = frozenset({"connection"})

log = logging.getLogger("pointsman")


def has_key(headers: Mapping[str, str]) -> bool:
    """Return whether a request asks to be run once."""
    return KEY_HEADER in headers


async def run_once(
    outcomes: Outcomes | None,
    exchange: Exchange,
    responder: Responder,
    *,
    dialect: str,
    handle: Handle,
    tell: Tell,
) -> None:
    """Run a request, or send again what came of it. `tell` tells an error to a responder.

    Raises RequestError for a key that is none, IdempotencyInFlight, IdempotencyReused,
    LedgerUnavailable, and what `handle` raises.
    """
    if outcomes is None:
        raise RequestError("the ledger in use keeps no outcomes; send no Idempotency-Key")
    key = exchange.headers[KEY_HEADER]
    if not (0 < len(key) <= _KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise RequestError(
            f"the Idempotency-Key is not 1 to {_KEY_CHARS_MAX} visible ASCII characters"
        )
    claimed = await outcomes.claim(exchange.tenant, key, _digest(exchange))
    if isinstance(claimed, KeptOutcome):
        responder.start(claimed.status, [*claimed.headers, (MARK, "replayed")])
        responder.write(claimed.body)
        return
    ids = id_headers(dialect, exchange.request_id)
    recorder = Recorder(responder, ids, bytes_max=OUTCOME_BYTES_MAX)
    try:
        try:
            await handle(recorder)
        except UpstreamRejected as error:
            tell(recorder, error)
        await _keep(outcomes, claimed, recorder, exchange.request_id)
    finally:
        outcomes.free(claimed)


class Recorder:
    """A responder that keeps a copy of what it passes on, up to `bytes_max` bytes of body."""

    def __init__(self, responder: Responder, ids: Headers, *, bytes_max: int) -> None:
        self.has_started = False
        self.error_frame: ErrorFrame | None = None
        self._responder = responder
        self._ids = ids
        self._bytes_max = bytes_max
        self._status = 0
        self._headers: Headers = ()
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._is_broken = False

    @property
    def error_code(self) -> str:
        """Return the code of the error that has been told."""
        return self._responder.error_code

    @error_code.setter
    def error_code(self, code: str) -> None:
        self._responder.error_code = code

    @property
    def outcome(self) -> KeptOutcome | None:
        """Return the whole reply; None for one that broke off, or is too large."""
        if not self._status or self._is_broken or self._bytes > self._bytes_max:
            return None
        kept = (*self._headers, *self._ids)
        return KeptOutcome(
            status=self._status,
            headers=tuple(pair for pair in kept if pair[0] not in _NOT_KEPT),
            body=b"".join(self._pieces),
        )

    @property
    def is_slow(self) -> bool:
        """Return whether the reply's reader is slow."""
        return self._responder.is_slow

    def start(
        self, status: int, headers: Headers, *, error_frame: ErrorFrame | None = None
    ) -> None:
        """Send the status and the headers; where the body will not be kept, they say so."""
        self._status, self._headers = status, headers
        stated = dict(headers).get("content-length", "0")
        if int(stated) > self._bytes_max:
            headers = [*headers, (MARK, "too-large")]
        self.has_started, self.error_frame = True, self._noted(error_frame)
        self._responder.start(status, headers, error_frame=self.error_frame)

    def write(self, body: bytes) -> None:
        """Send more of the body."""
        self._bytes += len(body)
        if self._bytes <= self._bytes_max:
            self._pieces.append(body)
        else:
            self._pieces.clear()
        self._responder.write(body)

    async def drained(self) -> None:
        """Wait while the reply's reader is slow."""
        await self._responder.drained()

    def _noted(self, error_frame: ErrorFrame | None) -> ErrorFrame | None:
        """Return what makes the frame of an error, and notes that there was one."""
        if error_frame is None:
            return None

        def note(error: GatewayError) -> bytes:
            self._is_broken = True
            return error_frame(error)

        return note


async def _keep(outcomes: Outcomes, claim: Claim, recorder: Recorder, request_id: str) -> None:
    if (outcome := recorder.outcome) is None:
        return
    try:
        await outcomes.keep(claim, outcome)
    except LedgerUnavailable as error:  # the answer has been paid for, and goes out all the same
        log.error("what came of request %s is not kept: %s", request_id, error)


def _digest(exchange: Exchange) -> bytes:
    """Return what tells a request from another: route, body, and the headers that change it."""
    headers = sorted(
        (name, value)
        for name, value in exchange.headers.items()
        if name.startswith("x-pointsman-") or name in _TELLING_HEADERS
    )
    asked = (exchange.method, exchange.path, sorted(exchange.query.items()), headers)
    return hashlib.sha256(msgspec.json.encode(asked) + b"\n" + exchange.body).digest()
