"""Calls through a proxy on a real socket, in the open and over TLS to whoever is behind it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.faults import upstream as up
from tests.pipeline.rig import until
from tests.providers.test_connections import body_of
from tests.providers.test_tls import certificate, tls_upstream

from pointsman.core.errors import UpstreamConnect, UpstreamError
from pointsman.providers.http1.client import Http1Client
from pointsman.providers.http1.proxies import read_proxies

SECRET = "canary-canary-1"
PAIR = base64.b64encode(f"me:{SECRET}".encode()).decode()
HOST = "api.example"
AGREED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class ForwardProxy:
    """Leads every CONNECT, and every request with a whole URL, to one port of this machine.

    `says`: what it replies to CONNECT.
    """

    leads_to: int
    says: bytes
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            there, back = await asyncio.open_connection("127.0.0.1", self.leads_to)
            try:
                if head.startswith(b"CONNECT"):
                    writer.write(self.says)
                else:
                    back.write(head)
                async with asyncio.TaskGroup() as group:
                    group.create_task(carry(reader, back))
                    group.create_task(carry(there, writer))
            finally:
                back.close()
        writer.close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxy(leads_to: int, says: bytes = AGREED) -> AsyncIterator[ForwardProxy]:
    made = ForwardProxy(leads_to, says)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tuple(made.tasks):
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)


@asynccontextmanager
async def through(made: ForwardProxy) -> AsyncIterator[Http1Client]:
    """Return a client that asks the proxy for all, and knows no name itself."""

    async def look_up(host: str, port: int) -> list[object]:
        raise AssertionError(f"{host}:{port} is the proxy's to look up")

    env = {"ALL_PROXY": f"http://me:{SECRET}@127.0.0.1:{made.port}"}
    client = Http1Client(connect_s=5.0, look_up=look_up, proxies=read_proxies(env))  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


async def asked(client: Http1Client, url: str) -> bytes:
    deadline_s = asyncio.get_running_loop().time() + 60
    headers = {"authorization": "Bearer upstream-key"}
    reply = await client.post(
        url, b'{"model":"m"}', headers, is_private=False, deadline_s=deadline_s
    )
    try:
        return await body_of(reply)
    finally:
        reply.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_a_plain_call_tells_its_proxy_the_whole_url_and_keeps_the_connection():
    async with (
        up.upstream(m=up.answer()) as server,
        proxy(port_of(server.base_url)) as made,
        through(made) as client,
    ):
        for _ in range(3):
            assert b"Hello there." in await asked(client, f"http://{HOST}:8000/v1/chat")
        (head,) = made.heads
        assert head.startswith(f"POST http://{HOST}:8000/v1/chat HTTP/1.1\r\n".encode())
        assert f"proxy-authorization: Basic {PAIR}\r\n".encode() in head
        assert server.connections == 1 and len(server.seen) == 3


@pytest.fixture
def pem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a certificate of the upstream's name, which is trusted."""
    path = certificate(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


async def test_a_call_over_tls_is_seen_by_nobody_on_the_way(pem: Path):
    async with tls_upstream(pem) as server, proxy(server.port) as made, through(made) as client:
        assert b"Hello there." in await asked(client, f"https://{HOST}/v1/chat")
        (head,) = made.heads
        assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n".encode())
        assert f"proxy-authorization: Basic {PAIR}\r\n".encode() in head
        assert b"upstream-key" not in head and server.handshakes == 1
        await until(lambda: server.bytes_read > 0)


async def test_whoever_is_behind_a_proxy_proves_the_name_that_was_called(pem: Path):
    async with tls_upstream(pem) as server, proxy(server.port) as made, through(made) as client:
        with pytest.raises(UpstreamConnect, match="certificate"):
            await asked(client, "https://other.example/v1/chat")
        assert server.bytes_read == 0


async def test_a_proxy_is_not_shown_the_secret_of_an_upstream_nor_the_other_way(pem: Path):
    async with (
        up.upstream(m=up.answer()) as server,
        proxy(port_of(server.base_url)) as made,
        through(made) as client,
    ):
        with pytest.raises(UpstreamConnect):  # it speaks no TLS
            await asked(client, f"https://{HOST}/v1/chat")
    assert b"upstream-key" not in b"".join(made.heads)
    assert not server.seen


REFUSALS: dict[str, tuple[bytes, str]] = {
    "wrong password": (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
    "forbidden": (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "403"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "no sound reply"),
    "a line feed": (b"HTTP/1.1 200 OK\n\r\n\r\n", "no sound reply"),
    "more than was asked": (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "no sound reply"),
    "endless": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20_000, "no sound reply"),
}


@pytest.mark.parametrize(("says", "told"), REFUSALS.values(), ids=REFUSALS)
async def test_a_proxy_that_does_not_agree_ends_the_call(says: bytes, told: str, pem: Path):
    async with (
        tls_upstream(pem) as server,
        proxy(server.port, says=says) as made,
        through(made) as client,
    ):
        with pytest.raises(UpstreamConnect, match=told) as caught:
            await asked(client, f"https://{HOST}/v1/chat")
    assert server.bytes_read == 0 and SECRET not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_told_by_its_variable():
    env = {"HTTPS_PROXY": f"http://me:{SECRET}@127.0.0.1:{port_of(up.refused_url())}"}
    client = Http1Client(connect_s=5.0, proxies=read_proxies(env))
    with pytest.raises(UpstreamError, match="HTTPS_PROXY's proxy: Connection refused") as caught:
        await asked(client, f"https://{HOST}/v1/chat")
    assert SECRET not in str(caught.value) and not caught.value.may_have_billed
    await client.close()
