"""HTTP: calls upstreams that speak a known dialect, over pooled keep-alive connections."""

import asyncio
import datetime
import email.utils
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterator

import aiohttp

from pointsman.core.errors import (
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTooLarge,
)
from pointsman.core.events import Event, is_content
from pointsman.core.types import Deployment, Request, Step
from pointsman.core.wire import CODECS, Codec
from pointsman.providers import Timeouts

REPLY_BYTES_MAX = 64 * 1024 * 1024
ERROR_BYTES_MAX = 64 * 1024
RETRY_AFTER_S_MAX = 86_400.0
_EVENT_STREAM = "text/event-stream"


class HttpProvider:
    """Serves every deployment with a dialect of `CODECS`.

    `key_of` gives the secret for the name of an environment variable, None when it is not set; it
    goes into the Authorization header and nowhere else.
    """

    def __init__(self, *, timeouts: Timeouts, key_of: Callable[[str], str | None]) -> None:
        self._timeouts = timeouts
        self._key_of = key_of
        self._session: aiohttp.ClientSession | None = None

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        """Call the step's deployment and yield the answer's events as they come.

        Raises UpstreamError. Redirects are not followed, TLS is always verified.
        """
        deployment = step.deployment
        codec = CODECS[deployment.dialect]
        loop = asyncio.get_running_loop()
        limits = self._timeouts
        first_s = limits.first_byte_s if request.is_stream else limits.reply_s
        response = await self._post(
            deployment, codec, codec.encode_request(request, step), loop.time() + first_s
        )
        try:
            if response.status != 200:
                raise await _read_error(response, codec, loop.time() + limits.idle_s)
            reader = _BodyReader(response, deadline=loop.time() + first_s)
            if _is_event_stream(response, asked=request.is_stream):
                async for event in self._stream(reader, codec):
                    yield event
            else:
                body = b"".join([chunk async for chunk in reader.chunks()])
                for event in codec.decode_reply(body):
                    yield event
        finally:
            # A reply read to its end has given its connection back already; any other is cut, so
            # that the upstream stops working for nobody.
            response.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _stream(self, reader: "_BodyReader", codec: Codec) -> AsyncGenerator[Event]:
        loop, idle_s = asyncio.get_running_loop(), self._timeouts.idle_s
        decoder = codec.stream_decoder()
        async for chunk in reader.chunks():
            has_content = False
            for event in decoder.feed(chunk):
                has_content = has_content or is_content(event)
                yield event
            if has_content:
                reader.deadline = loop.time() + idle_s
        for event in decoder.finish():
            yield event

    async def _post(
        self, deployment: Deployment, codec: Codec, body: bytes, deadline: float
    ) -> aiohttp.ClientResponse:
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        key = self._key_of(deployment.api_key_env) if deployment.api_key_env else None
        if key:
            headers["authorization"] = f"Bearer {key}"
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connected().post(
                    deployment.base_url.rstrip("/") + codec.path,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                )
        except aiohttp.ConnectionTimeoutError as error:
            raise UpstreamConnect(
                f"{deployment.id}: no connection within {self._timeouts.connect_s} s"
            ) from error
        except TimeoutError as error:
            raise UpstreamTimeout(f"{deployment.id}: no reply began in time") from error
        except (aiohttp.ClientConnectorError, ssl.SSLError) as error:
            raise UpstreamConnect(f"{deployment.id}: {_reason(error)}") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamReset(
                f"{deployment.id}: the connection broke before a reply: {_reason(error)}"
            ) from error

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._timeouts.connect_s, sock_read=None
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "accept"),
                auto_decompress=True,
            )
        return self._session


class _BodyReader:
    """Reads a reply's body piece by piece. `deadline` (loop time) may be moved while it reads."""

    def __init__(self, response: aiohttp.ClientResponse, *, deadline: float) -> None:
        self._response = response
        self.deadline = deadline

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield what comes.

        Raises UpstreamTimeout past the deadline, UpstreamReset, and UpstreamTooLarge.
        """
        total = 0
        while True:
            try:
                async with asyncio.timeout_at(self.deadline):
                    chunk = await self._response.content.readany()
            except TimeoutError as error:
                raise UpstreamTimeout("the upstream went silent in its answer") from error
            except (aiohttp.ClientError, ConnectionError) as error:
                raise UpstreamReset(
                    f"the upstream broke off in its answer: {_reason(error)}"
                ) from error
            if not chunk:
                return
            total += len(chunk)
            if total > REPLY_BYTES_MAX:
                raise UpstreamTooLarge(f"the upstream's answer is over {REPLY_BYTES_MAX} bytes")
            yield chunk


async def _read_error(
    response: aiohttp.ClientResponse, codec: Codec, deadline: float
) -> UpstreamError:
    if 300 <= response.status < 400:
        return UpstreamBadResponse(
            f"the upstream answered {response.status}; redirects are not followed, "
            "so set base_url to where it points"
        )
    body = b""
    try:
        async for chunk in _BodyReader(response, deadline=deadline).chunks():
            body += chunk
            if len(body) > ERROR_BYTES_MAX:
                break
    except UpstreamError:
        pass  # the status says enough; what came of the body goes with it
    return codec.read_error(response.status, body[:ERROR_BYTES_MAX], _retry_after_s(response))


def _is_event_stream(response: aiohttp.ClientResponse, *, asked: bool) -> bool:
    """Return whether the body is SSE. Raises UpstreamBadResponse when it is not JSON either."""
    if "content-type" not in response.headers:
        return asked
    kind = response.content_type
    if kind == _EVENT_STREAM:
        return True
    if kind == "application/json" or kind.endswith("+json"):
        return False
    raise UpstreamBadResponse(f'the upstream answered with content type "{kind}", not JSON or SSE')


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Return the wait that a reply asks for, in seconds, None where it names none that is sound.

    Source: RFC 9110, section 10.2.3 (seconds or an HTTP date); `retry-after-ms` is OpenAI's.
    """
    return next(_waits(response), None)


def _waits(response: aiohttp.ClientResponse) -> Iterator[float]:
    in_ms, plain = response.headers.get("retry-after-ms"), response.headers.get("retry-after")
    if in_ms is not None and in_ms.strip().isdecimal():
        yield min(int(in_ms) / 1000, RETRY_AFTER_S_MAX)
    if plain is None:
        return
    if plain.strip().isdecimal():
        yield min(float(plain), RETRY_AFTER_S_MAX)
        return
    try:
        when = email.utils.parsedate_to_datetime(plain)
    except ValueError:
        return
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    yield min(max(0.0, when.timestamp() - time.time()), RETRY_AFTER_S_MAX)


def _reason(error: BaseException) -> str:
    """Return what an error says without any URL's query, which is where secrets would hide."""
    return str(error).partition("?")[0] or type(error).__name__
