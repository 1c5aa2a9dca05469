"""Keys at the door: every route against every kind of key, and what each kind is bound to."""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.server.doors import (
    CHAT,
    SCRIPT,
    TOML,
    Client,
    Reply,
    Unasked,
    chat_body,
    opened,
    request,
)
from tests.server.processes import poll, served
from tests.server.test_streaming import Slow
from tests.server.upstreams import config, running

from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.asking import build_request
from pointsman.core.errors import UpstreamUnavailable
from pointsman.core.events import Event
from pointsman.core.grants import EVERYTHING, Grant, Scope
from pointsman.core.types import Caller, Request, Step
from pointsman.core.wire import CODECS
from pointsman.providers.fake import Scripted
from pointsman.server.bodies import Limits
from pointsman.server.routes import PUBLIC, ROUTES, Route

ADMIN = "admin-key-0123456789"
READ_ONLY = Grant(scopes=frozenset({Scope.READ}))
CAPPED = Grant(tiers=("fast",))
HARD, EASY = "Architect a migration plan", "Convert this list to JSON: a, b"
MESSAGES = b'{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
CONTENTS = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
BODIES = {
    "/v1/responses": b'{"model":"fast","input":"hi"}',
    "/v1/responses/input_tokens": b'{"model":"fast","input":"hi"}',
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": MESSAGES,
    "/v1/embeddings": b'{"model":"fake/vectors","input":"hi"}',
}
WITH_VECTORS = TOML + '[embeddings]\nmodels = ["fake/vectors"]\n'
VECTORS = json.dumps(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25]}],
        "model": "vectors",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
).encode()
WHOLE_SCRIPT = {
    **SCRIPT,
    "vectors": [Scripted(events=tuple(CODECS["openai-embeddings"].decode_reply(VECTORS)))],
}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


@dataclass
class House:
    """An app with keys of every kind, by their names."""

    client: Client
    store: SqliteKeys
    keys: Mapping[str, str]

    async def chat(self, whose: str, text: str = EASY, **fields: Any) -> Reply:
        headers = bearer(self.keys[whose]) | fields.pop("headers", {})
        return await self.client.chat(text, headers=headers, **fields)

    async def ask_route(self, path: str, whose: str, body: bytes | None = None) -> Reply:
        """Ask a route for something that it can answer."""
        method, asked = ROUTES[path].method, path.replace("{model}", "fast")
        asked += "?alt=sse" if path.endswith(":streamGenerateContent") else ""
        if body is None:
            known = CONTENTS if ":" in path else chat_body(model="fast")
            body = b"" if method == "GET" else BODIES.get(path, known)
        return await self.client.ask(method, asked, body, bearer(self.keys[whose]))

    def rows(self) -> list[Any]:
        return list(self.client.pipeline.stores.ledger.rows())


@asynccontextmanager
async def house(
    tmp_path: Path, grants: Mapping[str, Grant] | None = None, **named: Any
) -> AsyncIterator[House]:
    """Open an app; `grants` are those of its virtual keys."""
    store = SqliteKeys(str(tmp_path / "keys.db"))
    grants = grants or {"client": EVERYTHING, "other": EVERYTHING, "read-only": READ_ONLY}
    keys = {name: store.create(name, grants[name], now_ns=1, expires_ns=None) for name in grants}
    keys |= {"none": "", "wrong": "pm-" + "A" * 43, "admin": ADMIN}
    keys["expired"] = store.create("expired", EVERYTHING, now_ns=1, expires_ns=2)
    keys["revoked"] = store.create("revoked", EVERYTHING, now_ns=1, expires_ns=None)
    keys["replaced"] = store.create("rotated", EVERYTHING, now_ns=1, expires_ns=None)
    keys["rotated"] = store.rotate("rotated", now_ns=2, old_until_ns=None)
    store.revoke("revoked", now_ns=2)
    named = {"toml": WITH_VECTORS, "script": WHOLE_SCRIPT} | named
    async with opened(named.pop("script"), admin=ADMIN, store=store, **named) as client:
        yield House(client, store, keys)


# Every route against every role.

NOBODIES = ("none", "wrong", "expired", "revoked", "replaced")
SCOPES: dict[str, frozenset[Scope]] = {
    **dict.fromkeys(NOBODIES, frozenset()),
    "client": EVERYTHING.scopes,
    "other": EVERYTHING.scopes,
    "rotated": EVERYTHING.scopes,
    "read-only": READ_ONLY.scopes,
    "admin": frozenset(Scope),
}


# What a route answers that has nothing of what was asked about.
FOUND = {"/v1/feedback": {200, 400}, "/v1/cache/{id}": {404}}


@pytest.mark.parametrize("path", ROUTES)
async def test_each_role_opens_the_routes_of_its_scopes_and_no_other(path: str, tmp_path: Path):
    route = ROUTES[path]
    async with house(tmp_path) as rig:
        for role, scopes in SCOPES.items():
            called = len(rig.client.upstream.calls)
            reply = await rig.ask_route(path, role)
            if route.scope is PUBLIC:
                assert reply.status == 200
            elif role in NOBODIES:
                assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
            elif route.scope not in scopes:
                assert reply.status == 403
                assert "takes the scope" in reply.body.decode()
                assert reply.headers["x-should-retry"] == "false"
            else:
                assert reply.status in FOUND.get(path, {200})
            if reply.status != 200:
                assert len(rig.client.upstream.calls) == called, "nothing was paid for"
            for name, key in rig.keys.items():
                assert not key or key.encode() not in reply.body, name
        assert {row.intent.key for row in rig.rows()} <= {"client", "other", "rotated", "admin"}


def test_a_route_that_does_not_say_whose_it_is_cannot_be_made():
    async def handler(*_: object) -> None:
        """Do nothing."""

    with pytest.raises(TypeError, match="scope"):
        Route("GET", handler)  # type: ignore[call-arg]
    for path, route in ROUTES.items():
        assert route.scope is PUBLIC or isinstance(route.scope, Scope), path
    assert {path for path, route in ROUTES.items() if route.scope is PUBLIC} == {
        *("/", "/health/live", "/health/ready")
    }


@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if route.is_billable])
async def test_what_one_tenant_was_answered_another_pays_for(path: str, tmp_path: Path):
    async with house(tmp_path) as rig:
        for whose in ("client", "client", "other"):
            assert (await rig.ask_route(path, whose)).status == 200
        first, again, others = rig.rows()
    assert (first.intent.tenant, others.intent.tenant) == ("client", "other")
    assert first.settlement.outcome == others.settlement.outcome == "answered"
    assert again.settlement.outcome == "hit"


async def test_anothers_request_is_as_unknown_as_none(tmp_path: Path):
    async with house(tmp_path) as rig:
        request_id = (await rig.chat("client")).headers["x-request-id"]
        body = json.dumps({"request_id": request_id, "score": 1}).encode()
        statuses = {
            whose: (await rig.ask_route("/v1/feedback", whose, body)).status
            for whose in ("other", "rotated", "admin", "client")
        }
    assert statuses == {"other": 404, "rotated": 404, "admin": 404, "client": 200}


async def test_a_rotated_key_keeps_all_that_is_its_tenants(tmp_path: Path):
    async with house(tmp_path) as rig:
        assert (await rig.chat("client")).headers["x-pointsman-cache"] == "miss"
        made = rig.store.rotate("client", now_ns=time.time_ns(), old_until_ns=None)
        reply = await rig.client.chat(EASY, headers=bearer(made))
        assert reply.headers["x-pointsman-cache"] == "hit"
        assert (await rig.chat("client")).status == 401
        assert {row.intent.tenant for row in rig.rows()} == {"client"}


# What a key may use, however it asks.


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"model": "power"}, {}),
        ({"model": "fake/large"}, {}),
        ({"model": "large"}, {}),
        ({"model": "auto:power"}, {}),
        ({}, {"x-pointsman-tier": "power"}),
        ({"model": "fast"}, {"x-pointsman-tier": "power"}),
        ({"model": "fake/nix"}, {}),
    ],
    ids=["tier", "model", "bare name", "least tier", "header", "both", "no such model"],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/decide", "/v1/messages", "/v1/messages/count_tokens"])
async def test_what_a_key_may_not_use_is_unknown_to_it(
    tmp_path: Path, path: str, fields: dict[str, str], headers: dict[str, str]
):
    async with house(tmp_path, {"capped": CAPPED}) as rig:
        body = json.loads(MESSAGES) | {"model": "auto"} | fields
        reply = await rig.client.ask(
            "POST", path, json.dumps(body).encode(), bearer(rig.keys["capped"]) | headers
        )
        assert rig.client.upstream.calls == []
    assert reply.status in (400, 404)
    assert "there are" in reply.body.decode()


@pytest.mark.parametrize("text", [HARD, EASY])
async def test_the_policy_chooses_among_what_the_key_may_use(tmp_path: Path, text: str):
    grants = {"capped": CAPPED, "strong": Grant(models=("fake/large",)), "free": EVERYTHING}
    async with house(tmp_path, grants) as rig:
        tiers = {name: (await rig.chat(name, text)).headers["x-pointsman-tier"] for name in grants}
    free = "power" if text == HARD else "fast"
    assert tiers == {"capped": "fast", "strong": "power", "free": free}


async def test_an_answer_neither_escalates_nor_falls_back_to_what_the_key_may_not_use(
    tmp_path: Path,
):
    toml = WITH_VECTORS.replace('["fake/small"]', '["fake/small", "fake/spare"]')
    sorry = ["I'm sorry, but I can't help with that."]
    grants = {"capped": CAPPED, "one": Grant(models=("fake/small",)), "free": EVERYTHING}
    async with house(
        tmp_path, grants, script={**WHOLE_SCRIPT, "small": sorry, "spare": sorry}, toml=toml
    ) as rig:
        assert (await rig.chat("capped")).headers["x-pointsman-tier"] == "fast"
        assert (await rig.chat("free")).headers["x-pointsman-tier"] == "power"
    down = [Scripted(error=UpstreamUnavailable("down"))]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    async with house(
        tmp_path / "a",
        grants,
        script={**WHOLE_SCRIPT, "small": down, "spare": ["spare"]},
        toml=toml,
    ) as rig:
        assert (await rig.chat("capped")).headers["x-pointsman-model"] == "fake/spare"
        before = len(rig.client.upstream.calls)
        assert (await rig.chat("one")).status == 503
        assert "spare" not in rig.client.upstream.calls[before:]


async def test_no_tool_calls_another_model_for_a_key_that_is_bounded(tmp_path: Path):
    advisor = {"type": "advisor_20260301", "name": "advisor", "model": "dear"}
    async with house(tmp_path, {"capped": CAPPED, "client": EVERYTHING}) as found:
        reply = await found.chat("capped", tools=[advisor])
        assert (reply.status, reply.error()["code"]) == (403, "forbidden")
        assert found.rows() == []
        assert (await found.chat("client", tools=[advisor])).status == 200


async def test_a_kept_answer_goes_to_nobody_who_may_not_use_its_model(tmp_path: Path):
    async with house(tmp_path) as rig:
        pipeline = rig.client.pipeline

        async def asked(grant: Grant) -> tuple[str, str]:
            request = build_request(HARD, {"stream": False})
            caller = Caller(tenant="one", grant=grant)
            request = msgspec.structs.replace(request, caller=caller)
            async with pipeline.open(request) as stream:
                await stream.collect()
                return stream.model, stream.cache

        assert await asked(EVERYTHING) == ("fake/large", "miss")
        assert await asked(EVERYTHING) == ("fake/large", "hit")
        assert await asked(Grant(tiers=("power",))) == ("fake/large", "hit")
        assert await asked(CAPPED) == ("fake/small", "miss")
        assert await asked(Grant(models=("fake/small",))) == ("fake/small", "hit")


async def test_a_kept_answer_of_a_model_of_no_tier_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pointsman.routing._OFFERS_MAX", 1)
    async with house(tmp_path) as rig:
        whole = rig.client.pipeline.routing
        other = msgspec.structs.replace(whole.snapshot.tiers[0].deployments[0], model="other")
        routing = replace(whole, snapshot=msgspec.structs.replace(whole.snapshot, others=(other,)))

        def may(grant: Grant, tier: str, model: str) -> bool:
            request = msgspec.structs.replace(
                build_request(EASY, {}), caller=Caller(tenant="one", grant=grant)
            )
            return routing.may_serve(routing.offered(request), tier, model)

        assert may(EVERYTHING, "", "fake/other")
        assert may(Grant(models=("fake/other",)), "", "fake/other")
        assert not may(Grant(models=("fake/other",)), "fast", "fake/small")
        assert not may(Grant(models=("fake/small",)), "", "fake/other")
        assert not may(CAPPED, "", "fake/other")
        assert may(CAPPED, "fast", "fake/small")


async def test_embeddings_are_bounded_too(tmp_path: Path):
    grants = {
        "capped": CAPPED,
        "by-model": Grant(models=("fake/vectors",)),
        "by-tier": Grant(tiers=("vectors",)),
        "free": EVERYTHING,
    }
    async with house(tmp_path, grants) as rig:
        statuses = {w: (await rig.ask_route("/v1/embeddings", w)).status for w in grants}
        assert statuses == {"capped": 403, "by-model": 200, "by-tier": 200, "free": 200}
        chat = await rig.chat("by-model")
        assert chat.status == 403
        assert "it is for fake/vectors" in chat.json()["error"]["message"]


@pytest.mark.parametrize(
    ("grant", "listed"),
    [
        (EVERYTHING, {"auto", "fast", "power", "fake/small", "fake/large", "fake/vectors"}),
        (CAPPED, {"auto", "fast", "fake/small"}),
        (Grant(models=("fake/large",)), {"auto", "power", "fake/large"}),
        (Grant(models=("fake/vectors",)), {"fake/vectors"}),
        (Grant(tiers=("fast",), models=("fake/large",)), set()),
    ],
    ids=["everything", "a tier", "a model", "embeddings", "nothing"],
)
async def test_models_are_listed_that_the_key_may_use(
    tmp_path: Path, grant: Grant, listed: set[str]
):
    async with house(tmp_path, {"client": grant}) as rig:
        reply = await rig.ask_route("/v1/models", "client")
        assert {model["id"] for model in reply.json()["data"]} == listed
        for name in ("power", "fake/large"):
            shown = await rig.client.ask(
                "GET", f"/v1/models/{name}", b"", bearer(rig.keys["client"])
            )
            assert shown.status == (200 if name in listed else 404)


# How much a key may ask for.


async def test_what_is_over_the_rate_is_told_when_to_come_again_and_its_body_is_not_read(
    tmp_path: Path,
):
    refused = Reply()
    async with house(tmp_path, {"client": Grant(requests_per_minute=2)}) as rig:
        for _ in range(2):
            assert (await rig.chat("client")).status == 200
        headers = {"host": "localhost", **bearer(rig.keys["client"])}
        await rig.client.send(request(CHAT, headers, source=Unasked()), refused)
        assert (await rig.chat("admin")).status == 200
        assert len(rig.rows()) == 3
    assert refused.status == 429
    assert refused.error()["code"] == "rate_limited"
    assert refused.error()["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-should-retry"] == "true"


ENDS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "an answer": (200, chat_body(model="fast"), {}),
    "a stream": (200, chat_body(model="fast", stream=True), {}),
    "no JSON": (400, b"{", {}),
    "no such model": (404, chat_body(model="nix"), {}),
    "an upstream that fails": (503, chat_body(model="power"), {}),
    "too large": (413, b"x" * 4096, {}),
    "a coding": (415, b"x", {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("end", ENDS)
async def test_every_end_makes_room_for_the_next_request(tmp_path: Path, end: str):
    status, body, headers = ENDS[end]
    script = {**WHOLE_SCRIPT, "large": [Scripted(error=UpstreamUnavailable("down"))]}
    limits = Limits(body_bytes_max=2048)
    grants = {"client": Grant(concurrency=1)}
    async with house(tmp_path, grants, script=script, limits=limits) as rig:
        for _ in range(3):
            given = bearer(rig.keys["client"]) | headers
            reply = await rig.client.ask("POST", CHAT, body, given)
            assert reply.status == status
        assert (await rig.chat("client")).status == 200


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_makes_room_and_one_more_than_allowed_waits(
    tmp_path: Path, is_stream: bool, monkeypatch: pytest.MonkeyPatch
):
    slow, begun = Slow(), asyncio.Event()

    def call(request: Request, step: Step) -> AsyncGenerator[Event]:
        begun.set()
        return slow.call(request, step)

    async with house(tmp_path, {"client": Grant(concurrency=1)}) as rig:
        monkeypatch.setattr(rig.client.upstream, "call", call)
        gone = asyncio.Event()
        body = chat_body(model="fast", stream=is_stream)
        headers = bearer(rig.keys["client"]) | {"x-pointsman-cache": "off"}
        first = asyncio.create_task(rig.client.ask("POST", CHAT, body, headers, hang_up=gone))
        await begun.wait()
        refused = await rig.chat("client")
        assert "1 of its requests are in flight" in refused.error()["message"]
        assert refused.headers["retry-after"] == "1"
        gone.set()
        await first
        slow.go_on.set()
        assert (await rig.chat("client", headers={"x-pointsman-cache": "off"})).status == 200


# When nobody can tell whose key it is.


async def test_while_the_store_cannot_be_read_known_keys_go_on_and_others_are_not_told_401(
    tmp_path: Path,
):
    async with house(tmp_path) as rig:
        assert (await rig.chat("client")).status == 200
        stranger = rig.store.create("new", EVERYTHING, now_ns=1, expires_ns=None)
        with sqlite3.connect(tmp_path / "keys.db") as broken:
            broken.execute('ALTER TABLE "keys" RENAME TO mislaid')
        for path in (CHAT, "/v1/models", "/metrics"):
            reply = await rig.client.ask(ROUTES[path].method, path, chat_body(), bearer(stranger))
            assert reply.status == 503
            assert reply.error()["code"] == "auth_unavailable"
            assert reply.headers["retry-after"] == "1"
            assert reply.headers["x-should-retry"] == "true"
            assert "www-authenticate" not in reply.headers
        assert (await rig.chat("client")).status == 200
        assert (await rig.chat("admin")).status == 200
        assert (await rig.client.ask("GET", "/health/ready")).status == 200
        with sqlite3.connect(tmp_path / "keys.db") as mended:
            mended.execute('ALTER TABLE mislaid RENAME TO "keys"')
        assert (await rig.client.chat(headers=bearer(stranger))).status == 200
        assert (await rig.chat("wrong")).status == 401


async def test_a_locked_store_is_no_reason_for_a_401(tmp_path: Path):
    async with house(tmp_path) as rig:
        stranger = rig.store.create("new", EVERYTHING, now_ns=1, expires_ns=None)
        locker = sqlite3.connect(tmp_path / "keys.db", isolation_level=None)
        locker.execute("PRAGMA locking_mode = EXCLUSIVE")
        locker.execute("BEGIN EXCLUSIVE")
        statuses = [(await rig.client.chat(headers=bearer(stranger))).status for _ in range(3)]
        assert set(statuses) <= {200, 503}, "a reader beside a writer is fine as well"
        locker.execute("ROLLBACK")
        locker.close()
        assert (await rig.client.chat(headers=bearer(stranger))).status == 200


# In a server that runs.


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_running_server_takes_what_the_commands_do(tmp_path: Path):
    with running() as upstream:
        toml = config(upstream, ledger="sqlite:///ledger.db")
        with served(tmp_path, toml) as server:
            store = SqliteKeys(str(tmp_path / "ledger.db"))

            def status(key: str) -> int:
                body = chat_body(model="plain")
                return server.ask("POST", CHAT, body, bearer(key))[0]

            assert status("") == 200
            made = store.create("web", Grant(tiers=("plain",)), now_ns=1, expires_ns=None)
            poll(lambda: status("") == 401, of="the server to ask for keys")
            assert status(made) == 200
            new = store.rotate("web", now_ns=time.time_ns(), old_until_ns=time.time_ns() + 10**15)
            assert (status(made), status(new)) == (200, 200)
            store.revoke("web", now_ns=time.time_ns())
            poll(lambda: status(made) == status(new) == 401, of="the server to know of it")
            second = store.create("ops", READ_ONLY, now_ns=1, expires_ns=None)
            assert status(second) == 403
            assert server.ask("GET", "/metrics", None, bearer(second))[0] == 200
        for secret, content in product(
            (made, new, second), [file.read_bytes() for file in tmp_path.iterdir()]
        ):
            assert secret[3:].encode() not in content
        assert not any(secret[3:] in server.errors for secret in (made, new, second))
        assert all(secret.encode() not in upstream.headers for secret in (made, new, second))
