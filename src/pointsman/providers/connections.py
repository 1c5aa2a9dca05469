"""Connections: aiohttp's pool, with two things that it lets an upstream do.

What it does not guard is private to it, so the tests of this module are what tells of a change.
Source: aiohttp 3.14.5, `connector.py`, `client_proto.py` and `client_reqrep.py`, read 2026-11-23.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

# What may come at once: the reply, and before it a few that only announce it (RFC 9110, 15.2).
_REPLIES_MAX = 16


class Connector(aiohttp.TCPConnector):
    """A pool that gives out no connection on which something has come that nobody asked for.

    It would be read as the next reply, of another client's request, and each one after it would
    come a request too late (RFC 9112, section 9.2: it must not be taken for a reply).
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self._factory = partial(_Handler, loop=self._loop)  # type: ignore[assignment]

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> "Connection | None":
        while (found := await super()._get(key, traces)) is not None:
            if found.protocol is not None and not found.protocol.should_close:
                return found
            found.close()
        return None


class _Handler(ResponseHandler):
    """Reads replies, and hangs up on who floods it with such as only announce one.

    All that a read brings are taken apart before anything else may run.
    """

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        if len(self._buffer) > _REPLIES_MAX and self.transport is not None:
            self.transport.abort()
