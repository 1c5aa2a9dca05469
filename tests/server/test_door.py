"""Whose requests are let in: a web page must not spend the money of a server on its own machine."""

import pytest
from tests.server.doors import CHAT, chat_body, opened

from pointsman.config import parse_settings
from pointsman.core.errors import ConfigError, OriginRefused
from pointsman.server.origins import Origins, origins_of

OWN_HOSTS = [
    "localhost",
    "localhost:4117",
    "LOCALHOST:4117",
    "127.0.0.1",
    "127.0.0.1:80",
    "127.255.255.254:4117",
    "[::1]",
    "[::1]:4117",
]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:4117",
    "127.0.0.1.evil.example",
    "localhost.evil.example:4117",
    "evil.localhost",
    "localhost.",
    "xlocalhost",
    "127.0.0.1:4117:80",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "evil.example/127.0.0.1",
    "127.0.0.1 evil.example",
    "127.0.0.1,evil.example",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0:4117",
    "192.168.0.1",
    "169.254.169.254",
    "[::]",
    "[::ffff:10.0.0.1]",
    "::1",
    "[::1",
    "localhost:",
    "localhost:http",
    "\u0661\u0662\u0667.0.0.1",
]
OWN_PAGES = [
    ("http://localhost:4117", "localhost:4117"),
    ("http://127.0.0.1:4117", "127.0.0.1:4117"),
    ("http://[::1]:4117", "[::1]:4117"),
    ("http://localhost", "localhost:80"),
    ("https://localhost", "localhost"),
    ("https://localhost:443", "localhost"),
    ("HTTP://LocalHost:4117", "localhost:4117"),
]
FOREIGN_PAGES = [
    ("https://evil.example", "localhost:4117"),
    ("http://evil.example:4117", "localhost:4117"),
    ("http://localhost:3000", "localhost:4117"),
    ("http://127.0.0.1:4117", "localhost:4117"),
    ("http://localhost", "localhost:4117"),
    ("https://localhost", "localhost:80"),
    ("http://localhost:4117.evil.example", "localhost:4117"),
    ("http://localhost:4117@evil.example", "localhost:4117"),
    ("http://evil.example#localhost:4117", "localhost:4117"),
    ("http://localhost:4117/", "localhost:4117"),
    ("null", "localhost:4117"),
    ("file://", "localhost:4117"),
    ("chrome-extension://abcdefgh", "localhost:4117"),
    ("localhost:4117", "localhost:4117"),
    ("//localhost:4117", "localhost:4117"),
    ("http://", "localhost:4117"),
    ("x", "localhost:4117"),
    (" ", "localhost:4117"),
    ("http://localhost:4117, https://evil.example", "localhost:4117"),
]
LOOPBACK = origins_of("127.0.0.1", (), ())


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_loopback_server_answers_to_its_own_names(host: str):
    LOOPBACK.check({"host": host})


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_under_any_other_name_a_loopback_server_refuses(host: str):
    with pytest.raises(OriginRefused):
        LOOPBACK.check({"host": host})


@pytest.mark.parametrize(("origin", "host"), OWN_PAGES)
def test_the_servers_own_pages_may_call_it(origin: str, host: str):
    LOOPBACK.check({"host": host, "origin": origin, "sec-fetch-site": "same-origin"})


@pytest.mark.parametrize(("origin", "host"), FOREIGN_PAGES)
@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])
def test_no_other_page_may(origin: str, host: str, listening: str):
    with pytest.raises(OriginRefused):
        origins_of(listening, (), ()).check({"host": host, "origin": origin})


def test_a_page_whose_browser_sends_no_origin_is_known_by_its_site():
    with pytest.raises(OriginRefused):
        LOOPBACK.check({"host": "localhost", "sec-fetch-site": "Cross-Site"})
    LOOPBACK.check({"host": "localhost", "sec-fetch-site": "none"})


def test_a_page_that_is_let_in_by_its_origin_may_call_from_its_own_site():
    let_in = origins_of("127.0.0.1", (), ("https://App.example:8443/", "vscode-webview://x"))
    for origin in ("https://app.example:8443", "vscode-webview://x"):
        let_in.check({"host": "localhost", "origin": origin, "sec-fetch-site": "cross-site"})
    for origin in ("https://app.example", "http://app.example:8443", "https://app.example:8443/x"):
        with pytest.raises(OriginRefused):
            let_in.check({"host": "localhost", "origin": origin})


def test_names_that_are_given_are_added_and_elsewhere_bind():
    beside = origins_of("127.0.0.1", ("Gateway.example",), ())
    beside.check({"host": "gateway.example:443"})
    beside.check({"host": "localhost"})
    bound = origins_of("0.0.0.0", ("gateway.example",), ())
    bound.check({"host": "gateway.example"})
    for host in ("evil.example", "x.gateway.example", "192.168.0.1"):
        with pytest.raises(OriginRefused):
            bound.check({"host": host})
    origins_of("0.0.0.0", (), ()).check({"host": "whatever.example"})
    origins_of("::", ("gateway.example",), ()).check({"host": "[::]:4117"})


def test_what_has_no_host_is_no_browsers():
    LOOPBACK.check({})
    with pytest.raises(OriginRefused):
        LOOPBACK.check({"origin": "https://evil.example"})


PAGE = {"origin": "https://evil.example", "content-type": "text/plain"}
REBOUND = {"host": "evil.example"}


@pytest.mark.parametrize("headers", [PAGE, REBOUND], ids=["page", "rebound"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CHAT),
        ("POST", "/v1/messages"),
        ("POST", "/v1beta/models/fast:generateContent"),
        ("POST", "/v1/feedback"),
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("OPTIONS", CHAT),
    ],
)
async def test_a_strangers_page_gets_nothing_and_calls_nobody(
    method: str, path: str, headers: dict[str, str]
):
    async with opened() as client:
        reply = await client.ask(method, path, chat_body(model="fast"), headers)
        assert client.upstream.calls == []
        assert list(client.pipeline.stores.ledger.rows()) == []
    assert reply.status == 403
    assert "error" in reply.json()
    assert not any(name.startswith("access-control-") for name in reply.headers)


async def test_a_page_is_refused_whatever_key_it_has():
    keys = "me:0123456789abcdef"
    async with opened(keys=keys) as client:
        headers = PAGE | {"authorization": "Bearer 0123456789abcdef"}
        reply = await client.chat(headers=headers)
    assert reply.error()["code"] == "origin_refused"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/"])
async def test_a_probe_is_answered_under_any_name(path: str):
    async with opened() as client:
        assert (await client.ask("GET", path, b"", REBOUND)).status == 200


async def test_no_reply_has_a_header_that_lets_pages_read_it():
    async with opened() as client:
        reply = await client.chat(headers={"origin": "http://localhost"})
    assert reply.status == 200
    assert not any(name.startswith("access-control-") for name in reply.headers)


def test_an_app_that_is_told_nothing_takes_loopback_names_alone():
    with pytest.raises(OriginRefused):
        Origins().check({"host": "gateway.example"})


TOML = '[[tiers]]\nname = "a"\nmodels = ["openai/gpt-4o"]\n[server]\n'


@pytest.mark.parametrize(
    "line",
    [
        'hosts = ["https://gateway.example"]',
        'hosts = ["gateway.example:443"]',
        'hosts = ["*"]',
        'hosts = [""]',
        'origins = ["*"]',
        'origins = ["null"]',
        'origins = ["app.example"]',
        'origins = ["https://app.example/path"]',
        "in_flight_max = 0",
        "connections_max = 0",
    ],
)
def test_names_that_could_never_match_stop_the_start(line: str):
    with pytest.raises(ConfigError):
        parse_settings(TOML + line, "test.toml", {"OPENAI_API_KEY": "x"})
