"""Opening connections: several addresses, names that are kept, limits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.faults import upstream as up

from pointsman.core.errors import UpstreamConnect, UpstreamTimeout
from pointsman.providers.addresses import Found
from pointsman.providers.http1 import dialing
from pointsman.providers.http1.client import Http1Client
from pointsman.providers.http1.dialing import connected
from pointsman.providers.http1.names import KEPT_S, Names


def found(address: str, port: int) -> Found:
    return Found(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_where_one_address_refuses_the_next_one_is_called():
    refused = port_of(up.refused_url())
    async with listening() as port:
        sock = await connected([found("127.0.0.1", refused), found("127.0.0.1", port)])
        assert sock.getpeername() == ("127.0.0.1", port)
        sock.close()


async def test_where_all_addresses_refuse_that_is_told():
    refused = port_of(up.refused_url())
    with pytest.raises(ConnectionRefusedError):
        await connected([found("127.0.0.1", refused)] * 3)
    with pytest.raises(OSError, match="nowhere"):
        await connected([])


async def test_where_one_address_is_mute_the_next_one_is_called_soon(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(dialing, "NEXT_ADDRESS_S", 0.01)
    loop = asyncio.get_running_loop()
    connect, opened = loop.sock_connect, list[socket.socket]()

    async def mute(sock: socket.socket, address: Any) -> None:
        opened.append(sock)
        if address[0] == "192.0.2.1":
            await asyncio.sleep(60)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", mute, raising=False)
    async with listening() as port:
        sock = await connected([found("192.0.2.1", port), found("127.0.0.1", port)])
        assert sock.getpeername() == ("127.0.0.1", port)
        await asyncio.sleep(0)
        assert [one.fileno() == -1 for one in opened] == [True, False]
        sock.close()


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch):
    tried: list[str] = []

    async def refuse(one: Found) -> socket.socket:
        tried.append(one.sockaddr[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(dialing, "_connect", refuse)
    with pytest.raises(ConnectionRefusedError):
        await connected([found(each, 1) for each in ("::1", "::2", "::3", "1.1.1.1", "2.2.2.2")])
    assert tried == ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]


async def test_a_name_is_looked_up_once_for_all_who_ask_and_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[str] = []

    async def look_up(host: str, port: int) -> list[Found]:
        asked.append(host)
        await asyncio.sleep(0)
        return [found("8.8.8.8", port)]

    names, loop = Names(look_up), asyncio.get_running_loop()
    await asyncio.gather(*(names.find("api.example", 443, is_private=False) for _ in range(50)))
    assert asked == ["api.example"]
    await names.find("api.example", 443, is_private=True)
    assert len(asked) == 2, "what was checked for some is not taken for checked for others"
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + KEPT_S, raising=False)
    await names.find("api.example", 443, is_private=False)
    assert len(asked) == 3


async def test_a_name_that_is_not_found_is_looked_up_again():
    answers = [socket.gaierror(-2, "Name or service not known"), None]

    async def look_up(host: str, port: int) -> list[Found]:
        del host
        if (error := answers.pop(0)) is not None:
            raise error
        return [found("8.8.8.8", port)]

    names = Names(look_up)
    with pytest.raises(socket.gaierror):
        await names.find("api.example", 443, is_private=False)
    assert await names.find("api.example", 443, is_private=False)


async def never(host: str, port: int) -> list[Found]:
    del host, port
    await asyncio.sleep(60)
    return []


@pytest.mark.parametrize(
    ("connect_s", "deadline_s", "kind"), [(0.05, 60, UpstreamConnect), (60, 0.05, UpstreamTimeout)]
)
async def test_a_look_up_counts_as_connecting(connect_s: float, deadline_s: float, kind: type):
    client = Http1Client(connect_s=connect_s, look_up=never)
    deadline_s += asyncio.get_running_loop().time()
    with pytest.raises(kind):
        await client.post("http://api.example/", b"{}", {}, is_private=False, deadline_s=deadline_s)
    await client.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionRefusedError(111, "Connect call failed ('10.1.2.3', 9)"), "refused"),
        (UnicodeError("label too long"), "no name of a host"),
        (OSError("10.1.2.3"), "OSError"),
    ],
)
async def test_what_failed_is_told_without_the_address_behind_the_name(error: Exception, told: str):
    async def look_up(host: str, port: int) -> list[Found]:
        raise error

    client = Http1Client(connect_s=1.0, look_up=look_up)
    with pytest.raises(UpstreamConnect, match=told) as caught:
        await client.post("http://api.example/", b"{}", {}, is_private=False, deadline_s=1e9)
    assert "10.1.2.3" not in str(caught.value)
    await client.close()
