"""No name leads where its owner has not said: 60 ways to point a call at an inner address."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults import upstream as up
from tests.pipeline.rig import asking
from tests.providers.test_http import CANARY, answered, calling

from pointsman.config import parse_settings
from pointsman.core.errors import ConfigError, UpstreamConnect
from pointsman.core.events import Finished
from pointsman.providers import Timeouts
from pointsman.providers.addresses import Found, LookUp, is_public, look_up, may_lead_to
from pointsman.providers.clients import CLIENTS, open_transport
from pointsman.providers.http import HttpProvider
from pointsman.providers.transport import HttpClient

# Where a name of the public DNS might lead: loopback, own networks, clouds' metadata, and the rest
# of what is no host of the internet, in each form in which an address can hide.
INNER = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "127.0.0.1", "127.0.0.53", "127.255.255.254", "169.254.0.1", "169.254.169.254",
    "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1",
    "192.168.255.255", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "224.0.1.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2002:c0a8:1::1", "3fff::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
)  # fmt: skip
OUTER = (
    "1.1.1.1", "8.8.8.8", "104.18.6.192", "172.15.0.1", "172.32.0.1", "100.128.0.1", "11.0.0.1",
    "2606:4700::6810:84e5", "2a00:1450:4001::200e", "64:ff9b::808:808", "2002:808:808::1",
)  # fmt: skip
# What needs no look-up: refused as a base URL, or by whoever is asked to resolve it.
ODD_URLS = (
    "http://2130706433/v1", "http://127.1/v1", "http://0177.0.0.1/v1", "http://127.0.1/v1",
    "http://0x7f.0.0.1/v1", "http://0x7f000001/v1", "http://0/v1", "http://017700000001/v1",
)  # fmt: skip
REFUSED_URLS = (
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://127.0.0.1/v1", "//127.0.0.1/v1",
    "http://public.example@127.0.0.1/v1", "http://127.0.0.1:80:80/v1", "http:///v1",
    "http://127.0.0.1/v1?x=1", "http://127.0.0.1#public.example", "http://127.0.0.1 /v1",
    "http://①②⑦.⓪.⓪.①/v1", "http://127。0。0。1/v1",
)  # fmt: skip


class Zone:
    """Answers each name by its list in turn, the last answer again and again."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Found]:
        self.asked.append(host)
        lists = self._answers[host]
        found = lists.pop(0) if len(lists) > 1 else lists[0]
        return [Found(family_of(address), (address, port)) for address in found]


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> HttpClient:
    chosen: HttpClient = request.param
    return chosen


def provider(client: HttpClient = "own", zone: LookUp = look_up, **limits: float) -> HttpProvider:
    timeouts = Timeouts(**{"connect_s": 1.0, "first_byte_s": 2.0, **limits})  # type: ignore[arg-type]
    transport = open_transport(client, connect_s=timeouts.connect_s, look_up=zone)
    return HttpProvider(timeouts=timeouts, key_of=lambda _: CANARY, transport=transport)


def test_there_are_sixty_ways_at_least():
    assert len({*INNER, *ODD_URLS, *REFUSED_URLS}) >= 60


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_not_public(address: str):
    assert not is_public(address) and not may_lead_to("api.public.example", address)


@pytest.mark.parametrize("address", OUTER)
def test_an_outer_address_is_public(address: str):
    assert is_public(address) and may_lead_to("api.public.example", address)


@given(st.ip_addresses(v=4))
def test_an_address_is_as_public_as_the_one_it_holds(address):
    translated = f"64:ff9b::{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
    tunnelled = f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1"
    forms = (str(address), f"::ffff:{address}", translated, tunnelled)
    assert len({is_public(form) for form in forms}) == 1


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost."])
def test_localhost_is_this_machine_and_nothing_else(host: str):
    assert may_lead_to(host, "127.0.0.1") and may_lead_to(host, "::1")
    for address in ("10.0.0.1", "169.254.169.254", "8.8.8.8"):
        assert not may_lead_to(host, address)
    assert not may_lead_to("x.localhost", "127.0.0.1")


@pytest.mark.parametrize("address", INNER)
async def test_no_call_goes_to_an_inner_address_behind_a_name(address: str, client: HttpClient):
    async with up.upstream(m=up.answer()) as server:
        zone = Zone({"api.public.example": [[address]]})
        made = provider(client, zone)
        url = server.base_url.replace("127.0.0.1", "api.public.example")
        try:
            with pytest.raises(UpstreamConnect, match="private = true") as caught:
                await answered(made, asking(), calling(url, api_key_env="K"))
        finally:
            await made.close()
        assert not server.seen and server.connections == 0
        assert address not in caught.value.message and not caught.value.may_have_billed


async def test_one_inner_address_among_public_ones_refuses_the_name(client: HttpClient):
    async with up.upstream(m=up.answer()) as server:
        made = provider(client, Zone({"api.public.example": [["8.8.8.8", "127.0.0.1"]]}))
        url = server.base_url.replace("127.0.0.1", "api.public.example")
        try:
            with pytest.raises(UpstreamConnect, match="not public"):
                await answered(made, asking(), calling(url))
        finally:
            await made.close()
        assert server.connections == 0


async def test_a_name_that_changes_its_address_leads_nowhere_else(client: HttpClient):
    # The second look-up is the attack; the first, for which nobody listens, must not decide.
    async with up.upstream(m=up.answer()) as server:
        zone = Zone({"rebinding.example": [["192.0.2.1"], ["127.0.0.1"]]})
        made = provider(client, zone)
        url = server.base_url.replace("127.0.0.1", "rebinding.example")
        try:
            for _ in range(3):
                with pytest.raises(UpstreamConnect, match="not public"):
                    await answered(made, asking(), calling(url))
        finally:
            await made.close()
        assert len(zone.asked) == 3 and server.connections == 0


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch, client: HttpClient
):
    """Whatever the name leads to a moment later: it is looked up once, and never by the socket."""
    called: list[str] = []
    monkeypatch.setattr(
        "pointsman.providers.addresses.is_public", lambda address: address == "127.0.0.1"
    )
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def watched(sock: socket.socket, address: Any) -> None:
        called.append(address[0])
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", watched, raising=False)
    async with up.upstream(m=up.answer()) as server:
        zone = Zone({"rebinding.example": [["127.0.0.1"], ["127.0.0.99"]]})
        made = provider(client, zone)
        try:
            url = server.base_url.replace("127.0.0.1", "rebinding.example")
            for _ in range(3):
                assert await answered(made, asking(), calling(url))
        finally:
            await made.close()
        assert (zone.asked, called) == (["rebinding.example"], ["127.0.0.1"])


@pytest.mark.parametrize("url", ODD_URLS)
async def test_an_address_in_disguise_is_no_address_that_somebody_named(
    url: str, client: HttpClient
):
    async with up.upstream(m=up.answer()) as server:
        port = server.base_url.rpartition(":")[2].partition("/")[0]
        made = provider(client)  # the machine's own resolver: it reads these forms by itself
        try:
            with pytest.raises(UpstreamConnect):
                await answered(made, asking(), calling(url.replace("/v1", f":{port}/v1")))
        finally:
            await made.close()
        assert server.connections == 0


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_base_url_that_hides_its_host_is_refused_at_the_start(url: str):
    text = f'[providers.x]\nbase_url = "{url}"\n[[tiers]]\nname = "t"\nmodels = ["x/m"]\n'
    with pytest.raises(ConfigError, match="base_url"):
        parse_settings(text, "test.toml", {})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_an_address_that_the_configuration_names_is_called(host: str, client: HttpClient):
    async with up.upstream(m=up.answer()) as server:
        made = provider(client)
        try:
            url = server.base_url.replace("127.0.0.1", host)
            events = await answered(made, asking(), calling(url))
        finally:
            await made.close()
    assert isinstance(events[-1], Finished)


async def test_a_private_provider_s_name_may_lead_inside_and_opens_no_door_for_others(
    client: HttpClient,
):
    async with up.upstream(m=up.answer()) as server:
        made = provider(client, Zone({"models.lan.example": [["127.0.0.1"]]}))
        url = server.base_url.replace("127.0.0.1", "models.lan.example")
        try:
            assert await answered(made, asking(), calling(url, is_private=True))
            with pytest.raises(UpstreamConnect, match="not public"):
                await answered(made, asking(), calling(url))
        finally:
            await made.close()
        assert len(server.seen) == 1


SMUGGLED: tuple[dict[str, Any], ...] = (
    {"base_url": "http://169.254.169.254/v1"},
    {"api_base": "http://169.254.169.254/v1"},
    {"api_key": "stolen", "extra_headers": {"authorization": "stolen"}},
    {"url": "http://127.0.0.1:1/", "endpoint": "http://127.0.0.1:1/", "host": "127.0.0.1:1"},
    {"provider": {"base_url": "http://127.0.0.1:1/"}, "proxy": "http://127.0.0.1:1/"},
)


@pytest.mark.parametrize("fields", SMUGGLED, ids=lambda fields: next(iter(fields)))
async def test_a_request_s_body_changes_neither_address_nor_key_nor_headers(
    fields, client: HttpClient
):
    async with up.upstream(m=up.answer()) as server:
        made = provider(client)
        try:
            step = calling(server.base_url, api_key_env="K")
            await answered(made, asking(fields=fields), step)
        finally:
            await made.close()
        (seen,) = server.seen
    assert seen.line.startswith("POST /v1/chat/completions ")
    assert seen.headers["authorization"] == f"Bearer {CANARY}"
    assert "stolen" not in str(seen.headers)


async def test_a_proxy_of_the_environment_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, client: HttpClient
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, up.refused_url())
    async with up.upstream(m=up.answer()) as server:
        made = provider(client)
        try:
            assert await answered(made, asking(), calling(server.base_url))
        finally:
            await made.close()
