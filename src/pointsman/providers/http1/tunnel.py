"""Tunnel: asks a proxy for a connection to somebody else, before anything is said to that one."""

import asyncio
import re
from typing import cast

from pointsman.core.errors import UpstreamConnect

_HEAD_BYTES_MAX = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")


class Tunnel(asyncio.Protocol):
    """Reads the reply to CONNECT; nothing may come behind it, for the other speaks second.

    Source: RFC 9110, section 9.3.6.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = b""
        self._answer: asyncio.Future[bytes] = loop.create_future()

    async def open(self, head: bytes) -> None:
        """Send the request, and return once the proxy has agreed. Raises UpstreamConnect."""
        assert self._transport is not None
        self._transport.write(head)
        got = await self._answer
        reply, mark, more = got.partition(b"\r\n\r\n")
        found = _STATUS.match(reply + b"\r\n")
        if found is None or not mark or more:
            raise UpstreamConnect("the proxy gave no sound reply to CONNECT")
        if not 200 <= int(found[1]) < 300:
            raise UpstreamConnect(f"the proxy refused the connection with status {int(found[1])}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what to write to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Gather the reply's head."""
        self._got += data
        if b"\r\n\r\n" in self._got or len(self._got) > _HEAD_BYTES_MAX:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take what has come for all there is."""
        del exc
        self._end()

    def _end(self) -> None:
        if not self._answer.done():
            self._answer.set_result(self._got)
