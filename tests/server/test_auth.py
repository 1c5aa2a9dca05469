"""Who may use the server, and what one tenant has of another: nothing."""

import json
import logging
from pathlib import Path

import pytest
from tests.pipeline.rig import FakeClock
from tests.server.doors import CHAT, Reply, Unasked, chat_body, opened, request

from pointsman.access.environment import stated_keys
from pointsman.access.keyring import Keyring
from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.core.errors import Forbidden
from pointsman.core.grants import Grant, Scope
from pointsman.server.auth import check_scope
from pointsman.server.routes import ROUTES

RED, BLUE = "red-key-0123456789", "blue-key-0123456789"
KEYS = f"red:{RED},{BLUE}"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_without_keys_everybody_may_ask():
    async with opened() as client:
        assert (await client.chat()).status == 200
        assert (await client.chat(headers=bearer("whatever"))).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param(bearer("wrong-key-0123456789"), id="wrong"),
        pytest.param(bearer(RED[:-1]), id="a prefix"),
        pytest.param(bearer(RED + "0"), id="more"),
        pytest.param(bearer(RED.upper()), id="upper case"),
        pytest.param(bearer(""), id="empty"),
        pytest.param(bearer("red"), id="the name"),
        pytest.param(bearer(f"red:{RED}"), id="with the name"),
        pytest.param({"authorization": RED}, id="no scheme"),
        pytest.param({"authorization": f"Basic {RED}"}, id="another scheme"),
        pytest.param({"x-api-key": "wrong-key-0123456789"}, id="wrong x-api-key"),
        pytest.param({"cookie": f"key={RED}"}, id="cookie"),
        pytest.param(bearer("schlüssel-\xff\xfe"), id="odd bytes"),
    ],
)
@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_but_the_public_ones_needs_a_key(path: str, headers: dict[str, str]):
    async with opened(keys=KEYS) as client:
        reply = await client.ask(ROUTES[path].method, path, chat_body(), headers)
        assert client.upstream.calls == []
    if ROUTES[path].is_public:
        assert reply.status == 200
        return
    assert reply.status == 401
    if ROUTES[path].dialect in ("", "openai-chat"):
        assert reply.error()["type"] == "authentication_error"
        assert reply.error()["code"] == "invalid_api_key"
    assert reply.headers["www-authenticate"] == "Bearer"
    assert RED.encode() not in reply.body


def test_only_the_probes_are_public():
    public = {path for path, route in ROUTES.items() if route.is_public}
    assert public == {"/", "/health/live", "/health/ready"}


@pytest.mark.parametrize(
    "headers",
    [
        bearer(RED),
        {"authorization": f"bearer  {RED} "},
        {"x-api-key": RED},
        {"authorization": "Basic xyz", "x-api-key": RED},
        {"x-goog-api-key": RED},
        {"api-key": RED},
        {"authorization": f"Bearer {RED}", "x-api-key": "another-0123456789"},
        {"x-api-key": RED, "x-goog-api-key": BLUE, "api-key": BLUE},
    ],
)
async def test_a_right_key_opens_every_route(headers: dict[str, str]):
    async with opened(keys=KEYS) as client:
        for path, route in ROUTES.items():
            reply = await client.ask(route.method, path, chat_body(), headers)
            assert reply.status not in {401, 403}
        rows = list(client.pipeline.stores.ledger.rows())
    assert {(row.intent.tenant, row.intent.key) for row in rows} == {("red", "red")}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(bearer("wrong-key-0123456789") | {"x-api-key": RED}, id="x-api-key"),
        pytest.param({"x-api-key": "wrong-key-0123456789", "api-key": RED}, id="api-key"),
    ],
)
async def test_of_two_keys_the_first_holds_even_where_it_is_wrong(headers: dict[str, str]):
    async with opened(keys=KEYS) as client:
        assert (await client.chat(headers=headers)).status == 401


@pytest.mark.parametrize(
    ("scopes", "told"),
    [(frozenset({Scope.READ, Scope.CALL}), f"{Scope.CALL}, {Scope.READ}"), (frozenset(), "none")],
    ids=["others", "none"],
)
async def test_a_key_that_does_not_open_a_route_is_told_what_it_has_and_what_it_takes(
    tmp_path: Path, scopes: frozenset[Scope], told: str
):
    store = SqliteKeys(str(tmp_path / "keys.db"))
    made = store.create("web", Grant(scopes=scopes), now_ns=1, expires_ns=None)
    keyring = Keyring(stated_keys({}), store, FakeClock())
    with pytest.raises(Forbidden) as refusal:
        check_scope(await keyring.admit(made), Scope.ADMIN)
    await keyring.close()
    assert f'"web": this takes the scope "{Scope.ADMIN}", and the key has {told};' in str(
        refusal.value.message
    )


async def test_nobody_gets_a_body_read_without_a_key():
    incoming, reply = request(CHAT, {"host": "localhost"}, source=Unasked()), Reply()
    async with opened(keys=KEYS) as client:
        await client.send(incoming, reply)
    assert reply.status == 401


async def test_tenants_share_no_cache_and_no_flight():
    async with opened(keys=KEYS) as client:
        for key in (RED, BLUE, RED, BLUE):
            await client.chat("the same", headers=bearer(key))
        assert len(client.upstream.calls) == 2
        rows = list(client.pipeline.stores.ledger.rows())
    assert [row.settlement.outcome for row in rows] == ["answered", "answered", "hit", "hit"]
    assert rows[0].intent.tenant == "red"
    assert rows[1].intent.tenant.startswith("key-")
    assert BLUE not in rows[1].intent.tenant


async def test_no_header_or_field_makes_one_another_tenant():
    async with opened(keys=KEYS) as client:
        headers = {"x-pointsman-tenant": "blue", "x-pointsman-tags": "tenant=blue,key=blue"}
        await client.chat(headers=bearer(RED) | headers, user="blue", tenant="blue", key="blue")
        (row,) = client.pipeline.stores.ledger.rows()
    assert (row.intent.tenant, row.intent.key) == ("red", "red")


async def test_another_tenants_request_is_as_unknown_as_none():
    async with opened(keys=KEYS) as client:
        request_id = (await client.chat(headers=bearer(RED))).headers["x-request-id"]
        body = json.dumps({"request_id": request_id, "score": 1}).encode()
        stranger = await client.ask("POST", "/v1/feedback", body, bearer(BLUE))
        nobodys = await client.ask(
            "POST", "/v1/feedback", body.replace(b"req_", b"xxx_"), bearer(BLUE)
        )
        owner = await client.ask("POST", "/v1/feedback", body, bearer(RED))
    assert (stranger.status, nobodys.status, owner.status) == (404, 404, 200)
    assert stranger.error().keys() == nobodys.error().keys()


async def test_a_key_is_never_in_a_log_an_error_or_the_metrics(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object) -> bytes:
        raise ZeroDivisionError

    with caplog.at_level(logging.DEBUG):
        async with opened(keys=KEYS) as client:
            replies = [
                await client.chat(headers=bearer(RED)),
                await client.chat(headers=bearer(RED + "x")),
                await client.chat(headers=bearer(RED), model="nix"),
                await client.ask("GET", "/metrics", b"", bearer(RED)),
            ]
            monkeypatch.setattr("pointsman.core.wire.openai_chat.OpenAIChat.encode_reply", fail)
            replies.append(await client.chat(headers=bearer(RED)))
    assert "ZeroDivisionError" in caplog.text
    seen = caplog.text + "".join(f"{reply.headers}{reply.body!r}" for reply in replies)
    assert RED not in seen
