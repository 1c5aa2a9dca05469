"""Webhook: tells an address of the operator's, beside the requests and never in their way."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import unquote, urldefrag, urlsplit

import msgspec

from pointsman.clock import Clock
from pointsman.providers.clients import open_transport

Post: TypeAlias = Callable[[str, bytes], Awaitable[int]]

TRIES = 3
WAITS_S = (1.0, 5.0)
_TIMEOUT_S = 10.0
_AT_ONCE_MAX = 20
_GOOD = range(200, 300)

log = logging.getLogger("pointsman")


async def post_json(url: str, body: bytes) -> int:
    """Post a JSON body; return the status. Redirects are not followed.

    A user and password in the URL go as basic authentication (RFC 7617). Raises UpstreamError.
    """
    headers = {"content-type": "application/json"}
    bare = urlsplit(urldefrag(url).url)
    user, at, place = bare.netloc.rpartition("@")
    if at:
        headers["authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
    deadline_s = asyncio.get_running_loop().time() + _TIMEOUT_S
    transport = open_transport("own", connect_s=_TIMEOUT_S)
    try:
        reply = await transport.post(
            bare._replace(netloc=place).geturl(),
            body,
            headers,
            is_private=True,  # the operator's own address, wherever it is
            deadline_s=deadline_s,
        )
        return reply.status
    finally:
        await transport.close()


class Webhook:
    """Sends what it is given, each up to three times. `post` returns the status it got."""

    def __init__(self, clock: Clock, post: Post = post_json) -> None:
        self._clock = clock
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, url: str, event: Mapping[str, object]) -> None:
        """Begin to tell; never waits and never raises. Where too much is under way, only logs."""
        if len(self._tasks) >= _AT_ONCE_MAX:
            log.warning("budgets: the webhook is too slow; an event is left out")
            return
        task = asyncio.create_task(self._deliver(url, msgspec.json.encode(event)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, url: str, body: bytes) -> None:
        """Try until it is taken. The URL may hold a secret, so it is in no message."""
        why = ""
        for number in range(TRIES):
            if number:
                await self._clock.sleep(WAITS_S[number - 1])
            try:
                status = await self._post(url, body)
            except Exception as error:  # whatever the network does, it is told and tried again
                why = type(error).__name__
                continue
            if status in _GOOD:
                return
            why = f"status {status}"
        log.error("budgets: the webhook was not reached in %d tries: %s", TRIES, why)
