"""HTTP: calls upstreams that speak a known dialect, over pooled keep-alive connections."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from pointsman.core.errors import (
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamRejected,
)
from pointsman.core.events import Event
from pointsman.core.types import Deployment, Request, Step
from pointsman.core.wire import Codec, upstream_codec
from pointsman.core.wire.asked_effort import asked_effort
from pointsman.providers import Timeouts
from pointsman.providers.blanking import blanked
from pointsman.providers.http1.client import Http1Client
from pointsman.providers.http_body import BodyReader
from pointsman.providers.http_call import Begun, HttpCall
from pointsman.providers.outgoing import address, headers, written
from pointsman.providers.retry_after import HEADERS, retry_after_s
from pointsman.providers.transport import Reply, Transport

ERROR_BYTES_MAX = 64 * 1024
COUNT_S = 5.0
_JSON, _EVENT_STREAM = "application/json", "text/event-stream"
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
        call = self.calling(request, step)
        try:
            while batch := await call.more():
                for event in batch:
                    yield event
        finally:
            await call.aclose()

    def calling(self, request: Request, step: Step) -> HttpCall:
        """Return the call that `call` makes, not yet begun."""
        return HttpCall(request, step, self._begin, self._timeouts, self._blank)

    async def _begin(self, request: Request, step: Step) -> Begun:
        """Send a request; return its reply with status 200."""
        deployment, limits = step.deployment, self._timeouts
        codec, is_asked = upstream_codec(request.dialect, deployment.dialect), request.is_stream
        body = written(request, step)
        limit_s = _first_byte_s(limits, deployment, body.body) if is_asked else limits.reply_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        path = codec.path(deployment.model, is_stream=is_asked)
        reply = await self._post(request, step, path, body.body, deadline)
        reader = BodyReader(reply, left_s=deadline - loop.time())
        try:
            if reply.status != 200:
                reader.left_s = limits.idle_s
                raise await _read_error(reader, reply, codec, now_s=self._now_s())
            is_stream = _is_event_stream(reply, asked=is_asked)
        except BaseException:  # nobody reads on
            reply.close()
            raise
        return Begun(reply, reader, codec, is_stream, body.dropped)

    def _blank(self, error: UpstreamError, step: Step) -> None:
        _blank_key(error, self._key(step.deployment))

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
        reader = BodyReader(reply, left_s=deadline - loop.time())
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


async def _read_error(
    reader: BodyReader, reply: Reply, codec: Codec, *, now_s: float
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
    if stated == _JSON:
        return False
    if stated is None:
        return asked
    kind = stated.partition(";")[0].strip().lower()
    if kind == _EVENT_STREAM:
        return True
    if kind == _JSON or kind.endswith("+json"):
        return False
    raise UpstreamBadResponse(
        f'the upstream answered with content type "{kind[:80]}", not JSON or SSE'
    )
