"""HTTP: calls upstreams that speak a known dialect, over pooled keep-alive connections."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress

import msgspec

from pointsman.core.errors import (
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamRejected,
    UpstreamTooLarge,
)
from pointsman.core.events import Event, Finished, Started, has_content
from pointsman.core.types import Deployment, Request, Step
from pointsman.core.wire import Codec, upstream_codec
from pointsman.core.wire.asked_effort import asked_effort
from pointsman.providers import Timeouts
from pointsman.providers.blanking import blanked
from pointsman.providers.http1.client import Http1Client
from pointsman.providers.inflate import Inflater
from pointsman.providers.outgoing import address, headers, written
from pointsman.providers.retry_after import HEADERS, retry_after_s
from pointsman.providers.transport import PIECE_BYTES, Reply, Transport

REPLY_BYTES_MAX = 64 * 1024 * 1024
ERROR_BYTES_MAX = 64 * 1024
DRAIN_S = 0.25
# So many events of one piece are passed on before others may run.
_EVENTS_AT_ONCE = 100
COUNT_S = 5.0
_EVENT_STREAM = "text/event-stream"
# A server that speaks a dialect and does not count in it.
_NOT_OFFERED = frozenset({404, 405, 501})


class HttpProvider:
    """Serves every deployment with a dialect of `CODECS`.

    `key_of` gives what an environment variable holds, None when it is not set. A key goes into its
    deployment's `auth_header` and nowhere else. `now_s` is the wall clock, Unix seconds.
    `transport`: pointsman's own client where it is not stated.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        key_of: Callable[[str], str | None],
        now_s: Callable[[], float] = time.time,
        transport: Transport | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._key_of = key_of
        self._now_s = now_s
        self._transport: Transport = transport or Http1Client(connect_s=timeouts.connect_s)

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        """Call the step's deployment and yield the answer's events as they come.

        Raises UpstreamError, and RequestError for what the upstream's dialect cannot say. Redirects
        are not followed, TLS is always verified.
        """
        async with aclosing(self.batches(request, step)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(self, request: Request, step: Step) -> AsyncGenerator[Sequence[Event]]:
        """Do what `call` does; what has come at once is given as one, never nothing."""
        deployment, limits = step.deployment, self._timeouts
        codec = upstream_codec(request.dialect, deployment.dialect)
        loop = asyncio.get_running_loop()
        body = written(request, step)
        first_byte_s = _first_byte_s(limits, deployment, body.body)
        deadline = loop.time() + (first_byte_s if request.is_stream else limits.reply_s)
        path = codec.path(deployment.model, is_stream=request.is_stream)
        reply = await self._post(request, step, path, body.body, deadline)
        reader = _BodyReader(reply, left_s=deadline - loop.time())
        is_whole = False
        try:
            if reply.status != 200:
                reader.left_s = limits.idle_s
                raise await _read_error(reader, reply, codec, now_s=self._now_s())
            if _is_event_stream(reply, asked=request.is_stream):
                source = _streamed(reader, codec, idle_s=limits.idle_s)
            else:
                source = _replied(reader, codec)
            async with aclosing(source):
                async for batch in source:
                    is_whole = isinstance(batch[-1], Finished)
                    yield _telling(batch, body.dropped) if body.dropped else batch
        except UpstreamError as error:
            _blank_key(error, self._key(deployment))
            raise
        finally:
            # A reply read to its end gives its connection back; any other is cut, so that the
            # upstream stops working for nobody.
            try:
                if is_whole:
                    await reader.drain()
            finally:
                reply.close()

    async def count(self, request: Request, step: Step) -> int | None:
        """Return how many tokens the request's input is to the step's deployment, exactly.

        None where its dialect, or the server that speaks it, does not count. Raises UpstreamError,
        and RequestError for what the upstream's dialect cannot say.
        """
        deployment = step.deployment
        codec = upstream_codec(request.dialect, deployment.dialect)
        path = codec.count_path(deployment.model)
        if not path:
            return None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + COUNT_S
        body = codec.count_request(written(request, step).body)
        reply = await self._post(request, step, path, body, deadline)
        reader = _BodyReader(reply, left_s=deadline - loop.time())
        try:
            if reply.status in _NOT_OFFERED:
                return None
            if reply.status != 200:
                raise await _read_error(reader, reply, codec, now_s=self._now_s())
            return codec.read_count(await reader.whole())
        except UpstreamError as error:
            _blank_key(error, self._key(deployment))
            raise
        finally:
            reply.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def _post(
        self, request: Request, step: Step, path: str, body: bytes, deadline: float
    ) -> Reply:
        deployment, key = step.deployment, self._key(step.deployment)
        url = address(deployment, self._key_of) + path
        sent = headers(request, step, key)
        try:
            return await self._transport.post(
                url, body, sent, is_private=deployment.is_private, deadline_s=deadline
            )
        except UpstreamError as error:
            _retell(error, f"{deployment.id}: {error.message}")
            _blank_key(error, key)
            raise

    def _key(self, deployment: Deployment) -> str:
        key = self._key_of(deployment.api_key_env) if deployment.api_key_env else None
        return (key or "").strip()


class _BodyReader:
    """Reads a reply's body piece by piece.

    `left_s`: for how much longer to wait for the upstream, in all. May be set anew while it reads;
    the time that our own reader takes between two pieces does not count.
    """

    def __init__(self, reply: Reply, *, left_s: float) -> None:
        self.left_s = left_s
        self._reply = reply
        self._encoding = reply.header("content-encoding") or ""
        self._inflater: Inflater | None = None
        self._plain: deque[bytes] = deque()
        self._total = 0

    async def piece(self) -> bytes:
        """Return what has come, b"" at the end.

        Raises UpstreamTimeout when no time is left, UpstreamReset, UpstreamBadResponse, and
        UpstreamTooLarge.
        """
        piece = self._reply.at_hand() if not self._encoding else await self._inflated()
        if piece is None:
            piece = await self._sent()
        self._total += len(piece)
        if self._total > REPLY_BYTES_MAX:
            raise UpstreamTooLarge(f"the upstream's answer is over {REPLY_BYTES_MAX} bytes")
        return piece

    async def _inflated(self) -> bytes:
        """Return what has come, out of its Content-Encoding."""
        if self._inflater is None:
            self._inflater = Inflater(self._encoding)
        while not self._plain and (sent := await self._sent()):
            self._plain.extend(self._inflater.feed(sent))
        return self._plain.popleft() if self._plain else b""

    async def _sent(self) -> bytes:
        """Return what has come over the wire, b"" at the end."""
        sent = self._reply.at_hand()
        if sent is None:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            sent = await self._reply.read(began_s + self.left_s)
            self.left_s -= loop.time() - began_s
        return sent

    async def whole(self) -> bytes:
        """Return the body to its end. Raises as `piece` does."""
        pieces: list[bytes] = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Read the body's end, where it comes soon: only then can its connection be used again."""
        self.left_s = DRAIN_S
        with suppress(UpstreamError):
            while await self.piece():
                pass


async def _replied(reader: _BodyReader, codec: Codec) -> AsyncGenerator[Sequence[Event]]:
    for batch in _batches(codec.decode_reply(await reader.whole())):
        yield batch


async def _streamed(
    reader: _BodyReader, codec: Codec, *, idle_s: float
) -> AsyncGenerator[Sequence[Event]]:
    """Yield a streamed reply's events; only content earns the upstream more time."""
    decoder = codec.stream_decoder()
    while piece := await reader.piece():
        for batch in _batches(decoder.feed(piece)):
            if has_content(batch):
                reader.left_s = idle_s
            yield batch
            if len(batch) >= _EVENTS_AT_ONCE:
                await asyncio.sleep(0)
        if len(piece) >= PIECE_BYTES:  # there may be more, for which nothing has to wait
            await asyncio.sleep(0)
    for batch in _batches(decoder.finish()):
        yield batch


def _batches(events: Iterable[Event]) -> Iterator[Sequence[Event]]:
    """Yield the events of one piece, so many at once; what goes wrong follows what came before."""
    batch: list[Event] = []
    try:
        for event in events:
            batch.append(event)
            if len(batch) >= _EVENTS_AT_ONCE:
                yield batch
                batch = []
    except UpstreamError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


async def _read_error(
    reader: _BodyReader, reply: Reply, codec: Codec, *, now_s: float
) -> UpstreamError:
    if 300 <= reply.status < 400:  # it will say so again: no use in asking it twice
        return UpstreamConnect(
            f"the upstream answered {reply.status}; redirects are not followed, "
            "so set base_url to where it points"
        )
    body = b""
    with suppress(UpstreamError):  # the status says enough; what came of the body goes with it
        while len(body) <= ERROR_BYTES_MAX and (piece := await reader.piece()):
            body += piece
    told = {name: value for name in HEADERS if (value := reply.header(name)) is not None}
    wait_s = retry_after_s(told, now_s=now_s)
    return codec.read_error(reply.status, body[:ERROR_BYTES_MAX], wait_s)


def _first_byte_s(limits: Timeouts, deployment: Deployment, body: bytes) -> float:
    """Return the limit of a streamed answer: the longer of its model's own and its effort's."""
    stated = [] if deployment.first_byte_s is None else [deployment.first_byte_s]
    effort = asked_effort(body) if limits.first_byte_by_effort else None
    if effort is not None and effort in limits.first_byte_by_effort:
        stated.append(limits.first_byte_by_effort[effort])
    return max(stated, default=limits.first_byte_s)


def _telling(batch: Sequence[Event], dropped: tuple[str, ...]) -> Sequence[Event]:
    """Return the events, their opening with the names of what was left out before it was sent."""
    return [
        msgspec.structs.replace(event, dropped=(*dropped, *event.dropped))
        if isinstance(event, Started)
        else event
        for event in batch
    ]


def _blank_key(error: UpstreamError, key: str) -> None:
    """Take our key out of what an upstream says of it: some repeat the one they refuse."""
    if not key:
        return
    _retell(error, blanked(error.message, key))
    if isinstance(error, UpstreamRejected):
        error.body = blanked(error.body.decode("latin-1"), key).encode("latin-1")


def _retell(error: UpstreamError, message: str) -> None:
    error.message = message
    error.args = (message,)


def _is_event_stream(reply: Reply, *, asked: bool) -> bool:
    """Return whether the body is SSE. Raises UpstreamBadResponse when it is not JSON either."""
    stated = reply.header("content-type")
    if stated is None:
        return asked
    kind = stated.partition(";")[0].strip().lower()
    if kind == _EVENT_STREAM:
        return True
    if kind == "application/json" or kind.endswith("+json"):
        return False
    raise UpstreamBadResponse(
        f'the upstream answered with content type "{kind[:80]}", not JSON or SSE'
    )
