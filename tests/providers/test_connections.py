"""What an upstream can do to a connection besides replying on it, whichever client reads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import groupby

import pytest
from tests.faults import upstream as up
from tests.pipeline.rig import asking, until

from pointsman.core.errors import (
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
)
from pointsman.core.types import Deployment, Step
from pointsman.providers import Timeouts
from pointsman.providers.clients import CLIENTS, open_transport
from pointsman.providers.http import HttpProvider
from pointsman.providers.http_call import _EVENTS_AT_ONCE
from pointsman.providers.transport import HttpClient, Reply, Transport

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n%b"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY = b'{"model": "m"}'
SOON_S, LATE_S = 0.2, 60.0


@pytest.fixture(params=CLIENTS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    chosen: HttpClient = request.param
    made = open_transport(chosen, connect_s=2.0)
    yield made
    await made.close()


async def begun(client: Transport, url: str, *, wait_s: float = LATE_S, **headers: str) -> Reply:
    deadline_s = asyncio.get_running_loop().time() + wait_s
    return await client.post(url, BODY, headers, is_private=False, deadline_s=deadline_s)


async def body_of(reply: Reply, *, wait_s: float = LATE_S) -> bytes:
    deadline_s = asyncio.get_running_loop().time() + wait_s
    pieces = []
    while piece := reply.at_hand() or await reply.read(deadline_s):
        pieces.append(piece)
    return b"".join(pieces)


@asynccontextmanager
async def opened(client: Transport, server: up.Upstream) -> AsyncIterator[Reply]:
    reply = await begun(client, server.base_url)
    try:
        yield reply
    finally:
        reply.close()


async def ask(client: Transport, server: up.Upstream) -> bytes:
    async with opened(client, server) as reply:
        return await body_of(reply)


def raw(*pieces: bytes, keeps_alive: bool = True) -> up.Behaviour:
    """Send bytes as they are."""

    async def behave(peer: up.Peer) -> None:
        peer.keeps_alive = keeps_alive
        await peer.send(*pieces)

    return behave


async def test_what_nobody_asked_for_is_no_reply_to_the_next_request(client: Transport):
    is_read, is_sent = asyncio.Event(), asyncio.Event()

    async def twice(peer: up.Peer) -> None:
        peer.keeps_alive = True
        await peer.send(REPLY % b"first")
        await is_read.wait()
        await peer.send(REPLY % b"stale")
        is_sent.set()

    async with up.upstream(m=[twice, raw(REPLY % b"third")]) as server:
        assert await ask(client, server) == b"first"
        is_read.set()
        await is_sent.wait()
        for _ in range(10):  # until the loop has told the client what lies in its socket
            await asyncio.sleep(0)
        assert await ask(client, server) == b"third"
        assert server.connections == 2


async def test_a_second_reply_in_the_same_breath_is_read_by_nobody(client: Transport):
    script = [raw(REPLY % b"first" + REPLY % b"stale"), raw(REPLY % b"third")]
    async with up.upstream(m=script) as server:
        assert [await ask(client, server) for _ in range(2)] == [b"first", b"third"]
        assert server.connections == 2


async def test_a_reply_may_be_announced_and_no_more_than_a_few_times(client: Transport):
    async def flooded(peer: up.Peer) -> None:
        await peer.send(EARLY * 1000)
        await peer.hang()

    async with up.upstream(m=[raw(EARLY * 3 + REPLY % b"reply"), flooded]) as server:
        assert await ask(client, server) == b"reply"
        with pytest.raises((UpstreamBadResponse, UpstreamReset)):
            await ask(client, server)


async def test_a_connection_that_was_closed_while_idle_is_not_used(client: Transport):
    script = [raw(REPLY % b"first", keeps_alive=False), raw(REPLY % b"other")]
    async with up.upstream(m=script) as server:
        assert await ask(client, server) == b"first"
        await until(lambda: not server.open_connections)
        for _ in range(10):
            await asyncio.sleep(0)
        assert await ask(client, server) == b"other"
        assert server.connections == 2


async def test_a_request_that_went_out_is_not_sent_again(client: Transport):
    # It may have been served: only who pays for it can say whether it is to be tried again.
    async def ends(peer: up.Peer) -> None:
        peer.reset()

    async with up.upstream(m=[raw(REPLY % b"first"), ends, raw(REPLY % b"again")]) as server:
        assert await ask(client, server) == b"first"
        with pytest.raises(UpstreamReset):
            await ask(client, server)
        assert (len(server.seen), server.connections) == (2, 1)


@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        (b"content-length: 5\r\n", True),
        (b"content-length: 5\r\nconnection: close\r\n", False),
        (b"", False),
    ],
)
async def test_a_connection_is_kept_where_the_reply_lets_it(
    client: Transport, head: bytes, is_kept: bool
):
    reply = raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nhello", keeps_alive=is_kept)
    async with up.upstream(m=reply) as server:
        assert [await ask(client, server) for _ in range(3)] == [b"hello"] * 3
        assert server.connections == (1 if is_kept else 3)


async def test_a_reply_that_is_left_cuts_its_connection(client: Transport):
    behaviour = up.then_hang(up.head(200, Content_Length="100"), b"a piece")
    async with up.upstream(m=behaviour) as server:
        async with opened(client, server) as reply:
            assert reply.status == 200
        await until(lambda: not server.open_connections)
        assert server.seen[0].was_closed


async def test_who_stops_waiting_for_a_reply_cuts_its_connection(client: Transport):
    async with up.upstream(m=up.hang) as server:
        asked = asyncio.create_task(ask(client, server))
        await until(lambda: bool(server.seen))
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        await until(lambda: not server.open_connections)


async def test_a_reply_that_does_not_come_is_late(client: Transport):
    async with up.upstream(m=up.hang) as server:
        with pytest.raises(UpstreamTimeout):
            await begun(client, server.base_url, wait_s=SOON_S)
        await until(lambda: not server.open_connections)


async def test_a_body_that_does_not_go_on_is_late_and_a_later_limit_waits_longer(client: Transport):
    go_on = asyncio.Event()

    async def behave(peer: up.Peer) -> None:
        await peer.send(up.head(200, Content_Length="4"), b"ab")
        await go_on.wait()
        await peer.send(b"c")
        await peer.hang()

    async with up.upstream(m=behave) as server, opened(client, server) as reply:
        loop = asyncio.get_running_loop()
        assert await reply.read(loop.time() + LATE_S) == b"ab"
        loop.call_later(2 * SOON_S, go_on.set)
        assert await reply.read(loop.time() + LATE_S) == b"c"
        with pytest.raises(UpstreamTimeout):
            await reply.read(loop.time() + SOON_S)


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((b"",), UpstreamReset),
        ((b"HTTP/1.1 200 OK\r\ncontent-le",), UpstreamReset),
        ((b"SSH-2.0-OpenSSH_9.0\r\n",), UpstreamBadResponse),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",),
         UpstreamBadResponse),
    ],
)  # fmt: skip
async def test_what_is_no_reply_is_told_as_such(
    client: Transport, pieces: tuple[bytes, ...], kind: type[UpstreamError]
):
    async with up.upstream(m=raw(*pieces, keeps_alive=False)) as server:
        with pytest.raises(kind):
            await ask(client, server)


@pytest.mark.parametrize(
    "body",
    [b"content-length: 9\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
     b"transfer-encoding: chunked\r\n\r\nxyz\r\n"],
)  # fmt: skip
async def test_a_body_that_breaks_off_is_told_as_such(client: Transport, body: bytes):
    async with up.upstream(m=raw(b"HTTP/1.1 200 OK\r\n" + body, keeps_alive=False)) as server:
        with pytest.raises((UpstreamReset, UpstreamBadResponse)):
            await ask(client, server)


async def test_a_large_body_goes_out_whole(client: Transport):
    large = b'{"model": "m", "input": "%b"}' % (b"x" * 800_000)
    loop = asyncio.get_running_loop()

    async def take(peer: up.Peer) -> None:
        peer.keeps_alive = True
        assert len(peer.seen.body["input"]) == 800_000
        await peer.send(REPLY % b"reply")

    async with up.upstream(m=take) as server:
        for _ in range(2):
            reply = await client.post(
                server.base_url, large, {}, is_private=False, deadline_s=loop.time() + LATE_S
            )
            assert await body_of(reply) == b"reply"
            reply.close()
        assert server.connections == 1


async def test_nobody_there_is_told(client: Transport):
    with pytest.raises(UpstreamConnect):
        await begun(client, up.refused_url())


@pytest.mark.parametrize("url", ["http://[broken/v1", "ftp://127.0.0.1/", "http:///v1"])
async def test_an_address_that_is_none_is_told(client: Transport, url: str):
    with pytest.raises(UpstreamConnect):
        await begun(client, url)


async def test_a_header_that_ends_before_its_end_is_not_sent(client: Transport):
    async with up.upstream(m=up.answer()) as server:
        with pytest.raises(UpstreamConnect) as caught:
            await begun(client, server.base_url, authorization="canary\r\nx: y")
        assert not server.seen and "canary" not in str(caught.value)


async def test_requests_at_once_have_connections_of_their_own(client: Transport):
    async with up.upstream(m=raw(REPLY % b"reply")) as server:
        for _ in range(3):
            assert set(await asyncio.gather(*(ask(client, server) for _ in range(20)))) == {
                b"reply"
            }
        assert server.connections <= 20 and len(server.seen) == 60


async def test_a_closed_client_opens_new_connections(client: Transport):
    async with up.upstream(m=raw(REPLY % b"reply")) as server:
        assert await ask(client, server) == b"reply"
        await client.close()
        await until(lambda: not server.open_connections)
        assert await ask(client, server) == b"reply"
        assert server.connections == 2


@pytest.mark.parametrize("piece", [up.delta("a"), b": ping\n\n"])
@pytest.mark.parametrize("chosen", CLIENTS)
async def test_others_may_run_while_a_flood_is_read(piece: bytes, chosen: HttpClient):
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
        transport = open_transport(chosen, connect_s=2.0)
        made = HttpProvider(timeouts=Timeouts(), key_of=lambda _: None, transport=transport)
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
