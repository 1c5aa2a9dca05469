"""The description that the server publishes: true to its routes, and to what they say."""

import json
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.core.result import Ok
from tests.server.doors import CHAT, TOML, chat_body, opened

from pointsman.server.routes import ROUTES

PATH = "/openapi.json"
KEYS = "me:0123456789abcdef"


async def described() -> dict[str, Any]:
    async with opened() as client:
        reply = await client.ask("GET", PATH)
    assert reply.status == 200
    told: dict[str, Any] = reply.json()
    return told


def resolved(schema: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that stands by itself."""
    return {**schema, "components": told["components"]}


async def test_each_route_is_in_it_and_nothing_else():
    told = await described()
    found = {(path, method) for path, item in told["paths"].items() for method in item}
    assert found == {(path, route.method.lower()) for path, route in ROUTES.items()}


async def test_only_what_is_public_needs_no_key():
    told = await described()
    for path, item in told["paths"].items():
        (operation,) = item.values()
        assert bool(operation["security"]) != ROUTES[path].is_public
        names = {name for one in operation["security"] for name in one}
        assert names <= set(told["components"]["securitySchemes"])


async def test_it_is_sound_and_a_known_tool_can_read_it():
    told = await described()
    for item in told["paths"].values():
        (operation,) = item.values()
        schemas = [parameter["schema"] for parameter in operation["parameters"]]
        content = operation.get("requestBody", {}).get("content", {})
        schemas += [one["schema"] for one in content.values()]
        for response in operation["responses"].values():
            schemas += [one["schema"] for one in response["content"].values()]
        for schema in schemas:
            jsonschema_rs.meta.validate(schema)
    operations = list(schemathesis.openapi.from_dict(told).get_all_operations())
    assert len(operations) == len(ROUTES)
    assert all(isinstance(operation, Ok) for operation in operations)


async def test_who_has_no_key_may_not_read_it():
    async with opened(keys=KEYS) as client:
        assert (await client.ask("GET", PATH)).status == 401
        headers = {"authorization": "Bearer 0123456789abcdef"}
        assert (await client.ask("GET", PATH, b"", headers)).status == 200


GOOD = {
    CHAT: chat_body(model="fast"),
    "/v1/responses": b'{"model":"fast","input":"hi"}',
    "/v1/messages": b'{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
    "/v1beta/models/{model}:generateContent": b'{"contents":[{"parts":[{"text":"hi"}]}]}',
    "/v1/embeddings": b'{"model":"fake/vectors","input":"hi"}',
    "/v1/feedback": b'{"request_id":"x","score":0.5}',
    "/v1/decide": chat_body(model="fast"),
}


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("is_good", [True, False], ids=["good", "bad"])
async def test_bodies_and_replies_are_as_it_says(path: str, is_good: bool):
    told = await described()
    operation = told["paths"][path]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    body = GOOD[path] if is_good else b"{}"
    assert jsonschema_rs.is_valid(resolved(schema, told), json.loads(body)) == is_good
    async with opened() as client:
        reply = await client.ask("POST", path.replace("{model}", "fast"), body)
    said = operation["responses"][str(reply.status)]["content"]["application/json"]["schema"]
    jsonschema_rs.validate(resolved(said, told), reply.json())
    if not is_good:
        assert reply.status == 400


@pytest.mark.parametrize("path", [path for path in ROUTES if "{" not in path])
@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "1"}, {"x-goog-api-key": "x"}])
async def test_a_refusal_has_the_shape_that_it_says(path: str, headers: dict[str, str]):
    told = await described()
    (operation,) = told["paths"][path].values()
    async with opened(toml=TOML) as client:
        refused = await client.ask(
            ROUTES[path].method, path, b"", {"content-length": "99999999999", **headers}
        )
    assert refused.status == 413
    said = operation["responses"]["413"]["content"]["application/json"]["schema"]
    jsonschema_rs.validate(resolved(said, told), refused.json())
