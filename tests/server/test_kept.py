"""What a client is told of a kept answer, may ask of the cache, and may purge from it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.server.doors import CHAT, TOML, Client, Reply, opened

KEYS = "one:0123456789abcdef,two:fedcba9876543210"
ONE = {"authorization": "Bearer 0123456789abcdef"}
TWO = {"authorization": "Bearer fedcba9876543210"}
ADMIN = {"authorization": "Bearer admin-0123456789"}
SCRIPT = {"small": ["the first says this", "the second says this", "the third says this"]}
OTHER_ID = "A" * 43


async def purge(client: Client, named: str, headers: dict[str, str] | None = None) -> Reply:
    return await client.ask("DELETE", f"/v1/cache/{named}", b"", headers or {})


def content(reply: Reply) -> str:
    told: str = reply.json()["choices"][0]["message"]["content"]
    return told


async def test_a_hit_says_how_it_was_found_what_it_is_and_how_old():
    async with opened() as client:
        miss, hit, again = [await client.chat() for _ in range(3)]
    assert miss.headers["x-pointsman-cache"] == "miss"
    assert miss.headers.keys().isdisjoint({"x-pointsman-cache-tier", "x-pointsman-cache-id", "age"})
    assert hit.headers["x-pointsman-cache"] == "hit"
    assert hit.headers["x-pointsman-cache-tier"] == "exact"
    assert int(hit.headers["age"]) >= 0
    assert len(hit.headers["x-pointsman-cache-id"]) == 43
    assert again.headers["x-pointsman-cache-id"] == hit.headers["x-pointsman-cache-id"]


@pytest.mark.parametrize(
    ("directive", "is_hit", "is_kept"),
    [
        ("no-cache", False, True),
        ("no-store", True, False),
        ("no-cache, no-store", False, False),
        ("max-age=0", False, True),
        ("max-age=3600", True, True),
        ("max-stale=5", True, True),
    ],
)
async def test_cache_control_says_what_will_do(directive: str, is_hit: bool, is_kept: bool):
    asked = {"headers": {"cache-control": directive}}
    async with opened(SCRIPT) as client:
        await client.chat("known")
        known = await client.chat("known", **asked)
        assert known.headers["x-pointsman-cache"] == ("hit" if is_hit else "miss")
        await client.chat("new", **asked)
        new = await client.chat("new")
        assert new.headers["x-pointsman-cache"] == ("hit" if is_kept else "miss")


BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "fast", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"model": "fast", "input": "hi"},
    "/v1/messages": {
        "model": "fast",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    },
    "/v1beta/models/fast:generateContent": {"contents": [{"parts": [{"text": "hi"}]}]},
}


@pytest.mark.parametrize("path", BODIES)
async def test_only_a_kept_answer_is_a_504_in_the_dialects_shape_where_there_is_none(path: str):
    body = json.dumps(BODIES[path]).encode()
    async with opened() as client:
        refused = await client.ask("POST", path, body, {"cache-control": "only-if-cached"})
        assert (refused.status, client.upstream.calls) == (504, [])
        assert refused.headers["x-should-retry"] == "false"
        error = refused.json()["error"]
        assert "only-if-cached" in error["message"]
        if path == CHAT:
            assert refused.error()["code"] == "not_cached"
        elif path == "/v1/messages":
            assert refused.json()["type"] == "error"
        elif "generateContent" in path:
            assert error["code"] == 504
        assert (await client.ask("POST", path, body)).status == 200
        kept = await client.ask("POST", path, body, {"cache-control": "only-if-cached"})
        assert (kept.status, kept.headers["x-pointsman-cache"]) == (200, "hit")
        off = {"cache-control": "only-if-cached", "x-pointsman-cache": "off"}
        assert (await client.ask("POST", path, body, off)).status == 504
        assert len(client.upstream.calls) == 1


async def test_a_wrong_answer_is_purged_by_its_id():
    async with opened(SCRIPT) as client:
        await client.chat()
        named = (await client.chat()).headers["x-pointsman-cache-id"]
        purged = await purge(client, named)
        assert (purged.status, purged.json()) == (200, {"id": named, "purged": True})
        after = await client.chat()
        assert after.headers["x-pointsman-cache"] == "miss"
        assert content(after) == "the second says this"
        assert content(await client.chat()) == "the second says this"
        assert (await purge(client, named)).status == 200
        assert (await purge(client, named)).status == 404


async def test_nobody_purges_what_is_anothers_but_the_admin():
    async with opened(SCRIPT, keys=KEYS, admin=ADMIN["authorization"][7:]) as client:
        await client.chat(headers=ONE)
        hit = await client.chat(headers=ONE)
        named = hit.headers["x-pointsman-cache-id"]
        refused = await purge(client, named, TWO)
        unknown = await purge(client, OTHER_ID, TWO)
        assert (refused.status, unknown.status) == (404, 404)
        told = [reply.error()["message"].replace(it, "") for reply, it in
                ((refused, named), (unknown, OTHER_ID))]  # fmt: skip
        assert told[0] == told[1], "what is another's is as what is not there"
        assert (await client.chat(headers=ONE)).headers["x-pointsman-cache"] == "hit"
        assert (await purge(client, named, ADMIN)).status == 200
        assert (await client.chat(headers=ONE)).headers["x-pointsman-cache"] == "miss"


@pytest.mark.parametrize("named", ["x", "%00", "A" * 42 + "B", "A" * 44, "\u00e4" * 43, "a/b"])
async def test_what_is_no_id_is_unknown(named: str):
    async with opened() as client:
        assert (await purge(client, named)).error()["code"] == "unknown_entry"


async def test_where_nothing_is_kept_every_entry_is_unknown():
    async with opened(toml=TOML + "[cache]\nexact = false\n") as client:
        assert (await purge(client, OTHER_ID)).status == 404


async def test_what_was_purged_stays_away_after_a_restart(tmp_path: Path):
    toml = f'{TOML}[cache]\npath = "{tmp_path / "cache.db"}"\n'
    async with opened(SCRIPT, toml=toml) as client:
        await client.chat("kept")
        await client.chat("purged")
        named = (await client.chat("purged")).headers["x-pointsman-cache-id"]
        assert (await purge(client, named)).status == 200
    async with opened(SCRIPT, toml=toml) as client:
        assert (await client.chat("kept")).headers["x-pointsman-cache"] == "hit"
        assert (await purge(client, named)).status == 404
        assert (await client.chat("purged")).headers["x-pointsman-cache"] == "miss"
