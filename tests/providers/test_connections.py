"""What an upstream can do to a connection besides replying on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby

import aiohttp
import pytest
from tests.faults import upstream as up
from tests.pipeline.rig import asking, until

from pointsman.core.types import Deployment, Step
from pointsman.providers import Timeouts
from pointsman.providers.connections import Connector
from pointsman.providers.http import _EVENTS_AT_ONCE, HttpProvider

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n%b"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\n"


@asynccontextmanager
async def opened() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=Connector(limit=0)) as session:
        yield session


async def ask(session: aiohttp.ClientSession, server: up.Upstream) -> bytes:
    async with session.post(server.base_url, json={"model": "m"}) as response:
        return await response.read()


async def test_what_nobody_asked_for_is_no_reply_to_the_next_request():
    is_read = asyncio.Event()

    async def twice(peer: up.Peer) -> None:
        peer.keeps_alive = True
        await peer.send(REPLY % b"first")
        await is_read.wait()
        await peer.send(REPLY % b"stale")

    async def once(peer: up.Peer) -> None:
        await peer.send(REPLY % b"third")

    async with up.upstream(m=[twice, once]) as server, opened() as session:
        assert await ask(session, server) == b"first"
        is_read.set()
        assert session.connector is not None
        (pooled,) = session.connector._conns.values()
        await until(lambda: pooled[0][0].should_close)
        assert await ask(session, server) == b"third"
        assert server.connections == 2


async def test_a_reply_may_be_announced_and_no_more_than_a_few_times():
    async def announced(peer: up.Peer) -> None:
        await peer.send(EARLY * 3 + REPLY % b"reply")

    async def flooded(peer: up.Peer) -> None:
        await peer.send(EARLY * 1000)
        await peer.hang()

    async with up.upstream(m=[announced, flooded]) as server, opened() as session:
        assert await ask(session, server) == b"reply"
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(session, server)


@pytest.mark.parametrize("piece", [up.delta("a"), b": ping\n\n"])
async def test_others_may_run_while_a_flood_is_read(piece: bytes):
    async def flood(peer: up.Peer) -> None:
        await peer.send(up.stream_head())
        await peer.chunks(piece * 5_000, up.delta("", "stop"), up.DONE, b"")

    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with up.upstream(m=flood) as server:
        made = HttpProvider(timeouts=Timeouts(), key_of=lambda _: None)
        deployment = Deployment(
            provider="p", model="m", dialect="openai-chat", base_url=server.base_url
        )
        other = asyncio.create_task(take_turns())
        call = made.call(asking(), Step(tier="t", deployment=deployment))
        seen = [turns async for _ in call]
        other.cancel()
        await made.close()
    assert len(seen) >= 5_000
    assert max(len(list(same)) for _, same in groupby(seen)) <= 2 * _EVENTS_AT_ONCE
