"""A server that is stopped while a slow reader still waits for its stream's last frame.

Found by the simulation: the answer's clean end was followed by an error.
"""

import asyncio

import pytest
from tests.server.doors import CHAT, Reply, chat_body, opened, request


class Slow(Reply):
    """Is slow to take the end of a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.at_end, self.go_on = asyncio.Event(), asyncio.Event()

    @property
    def is_slow(self) -> bool:
        return b"[DONE]" in self.body and not self.go_on.is_set()

    async def drained(self) -> None:
        self.at_end.set()
        await self.go_on.wait()


@pytest.mark.parametrize("reads_on", [False, True])
async def test_no_error_follows_the_end(reads_on: bool) -> None:
    reply, incoming = Slow(), request(CHAT, {"host": "localhost"})
    incoming.feed(chat_body(stream=True))
    incoming.end()
    async with opened() as client:
        serving = asyncio.create_task(client.send(incoming, reply))
        await reply.at_end.wait()
        if reads_on:
            reply.go_on.set()
        else:
            client.app.stop()
        await serving
    assert reply.body.endswith(b"data: [DONE]\n\n") and b'"error"' not in reply.body
