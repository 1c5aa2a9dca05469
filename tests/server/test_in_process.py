"""The server's routes without a server: what the HTTP clients of the routers send through."""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import pytest
from tests.server.doors import SCRIPT, chat_body
from tests.server.upstreams import config, running

from pointsman import AsyncRouter, Router, Tier
from pointsman.core.errors import UpstreamReset
from pointsman.providers.fake import FakeProvider, Scripted

TIERS = (Tier("fast", ["fake/small"]), Tier("power", ["fake/large"]))
PROVIDERS = {"fake": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}}
CHAT = "http://x/v1/chat/completions"


def sections(**more: object) -> dict[str, Any]:
    return {"providers": PROVIDERS, "ledger": {"url": "sqlite://"}, **more}


def blocking(script: Mapping[str, Sequence[Scripted | str]] = SCRIPT) -> Router:
    return Router(TIERS, env={}, call_with={"fake": FakeProvider(script)}, **sections())


def test_a_blocking_client_is_answered_as_by_the_server():
    with blocking() as router, router.http_client() as client:
        reply = client.post(CHAT, content=chat_body("convert this"))
        assert reply.status_code == 200
        assert reply.json()["choices"][0]["message"]["content"] == "small says this"
        assert reply.headers["x-pointsman-tier"] == "fast"
        assert reply.headers["x-request-id"].startswith("req_")
        listed = client.get("http://x/v1/models").json()["data"]
        assert "fake/small" in {model["id"] for model in listed}
        assert client.get("http://x/nowhere").status_code == 404
        assert client.get(CHAT).status_code == 405
        assert client.get("http://x/health/live").status_code == 200
        refused = client.post(CHAT, content=b"{")
        assert refused.status_code == 400
        assert refused.json()["error"]["request_id"] == refused.headers["x-request-id"]
        assert refused.headers["x-should-retry"] == "false"


def test_a_blocking_client_reads_a_stream_as_it_comes():
    body = chat_body("convert this", stream=True)
    with (
        blocking() as router,
        router.http_client() as client,
        client.stream("POST", CHAT, content=body) as reply,
    ):
        lines = [line for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_a_broken_stream_is_told_in_process_too():
    script = {**SCRIPT, "small": [Scripted(pieces=("a",), error=UpstreamReset("gone"))]}
    with blocking(script) as router, router.http_client() as client:
        reply = client.post(CHAT, content=chat_body(model="fast", stream=True))
    last = json.loads(reply.text.strip().splitlines()[-1].removeprefix("data: "))
    assert last["error"]["code"] == "upstream_reset"
    assert "[DONE]" not in reply.text


def test_a_long_stream_that_nobody_reads_waits_and_is_whole_in_the_end():
    pieces = tuple(f"piece {n} " for n in range(1000))
    script = {**SCRIPT, "small": [Scripted(pieces=pieces)]}
    with blocking(script) as router, router.http_client() as client:
        body = chat_body(model="fast", stream=True)
        with client.stream("POST", CHAT, content=body, headers={"x-pointsman-cache": "off"}) as it:
            text = "".join(it.iter_text())
    assert text.count("piece ") == 1000


def test_threads_share_a_blocking_client():
    texts = [f"convert {n}" for n in range(24)]
    statuses: dict[str, int] = {}
    with blocking() as router, router.http_client() as client:

        def ask(text: str) -> None:
            stream = {"stream": True} if text.endswith(("1", "3")) else {}
            statuses[text] = client.post(CHAT, content=chat_body(text, **stream)).status_code

        threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(router._router.pipeline.stores.ledger.rows())) == len(texts)
    assert statuses == dict.fromkeys(texts, 200)


def upstream_router(base_url: str) -> dict[str, Any]:
    names = ("plain", "silent", "endless")
    return {
        "tiers": [Tier(name, [f"up/{name}"]) for name in names],
        **sections(providers={"up": {"dialect": "openai-chat", "base_url": base_url}}),
    }


@pytest.mark.parametrize("cache", ["on", "off"])
def test_closing_a_blocking_stream_early_ends_the_call(cache: str):
    with running() as upstream, Router(env={}, **upstream_router(upstream.base_url)) as router:
        body, headers = chat_body(model="endless", stream=True), {"x-pointsman-cache": cache}
        with router.http_client() as client:
            with client.stream("POST", CHAT, content=body, headers=headers) as reply:
                assert next(reply.iter_lines()).startswith("data: ")
            assert upstream.hung_up["endless"].wait(10)
            assert client.post(CHAT, content=chat_body(model="plain")).status_code == 200


@pytest.mark.parametrize("cache", ["on", "off"])
async def test_closing_an_async_stream_early_ends_the_call(cache: str):
    with running() as upstream:
        async with AsyncRouter(env={}, **upstream_router(upstream.base_url)) as router:
            body, headers = chat_body(model="endless", stream=True), {"x-pointsman-cache": cache}
            async with router.http_client() as client:
                async with client.stream("POST", CHAT, content=body, headers=headers) as reply:
                    assert (await anext(reply.aiter_lines())).startswith("data: ")
                assert await asyncio.to_thread(upstream.hung_up["endless"].wait, 10)


async def test_cancelling_before_the_head_ends_the_call():
    with running() as upstream:
        async with (
            AsyncRouter(env={}, **upstream_router(upstream.base_url)) as router,
            router.http_client() as client,
        ):
            asking = asyncio.create_task(client.post(CHAT, content=chat_body(model="silent")))
            assert await asyncio.to_thread(upstream.asked["silent"].wait, 10)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await asyncio.to_thread(upstream.hung_up["silent"].wait, 10)


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("model", ["silent", "endless"])
def test_closing_the_router_frees_who_waits_for_an_answer(model: str, cache: str):
    raised: list[Exception] = []
    with running() as upstream:
        router = Router(env={}, **upstream_router(upstream.base_url))
        client = router.http_client()

        def ask() -> None:
            body = chat_body(model=model, stream=True)
            try:
                client.post(CHAT, content=body, headers={"x-pointsman-cache": cache})
            except (httpx2.TransportError, RuntimeError) as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert upstream.asked[model].wait(10)
        router.close()
        thread.join(10)
        assert not thread.is_alive()
        assert upstream.hung_up[model].wait(10)
    assert "closed" in str(raised)


def test_a_client_of_a_closed_router_is_told_so():
    router = blocking()
    client = router.http_client()
    router.close()
    with pytest.raises(RuntimeError, match="the router is closed; make a new one"):
        client.post(CHAT, content=chat_body())
    client.close()


def test_many_clients_count_each_attempt_once():
    with blocking() as router:
        clients = [router.http_client() for _ in range(5)]
        clients[0].post(CHAT, content=chat_body())
        assert len(router._router.pipeline.observers) == 1
        for client in clients:
            assert "pointsman_attempts_total{" in client.get("http://x/metrics").text
            client.close()


def test_the_configuration_of_the_scripted_upstream_is_sound(tmp_path):
    with running() as upstream:
        file = tmp_path / "pointsman.toml"
        file.write_text(config(upstream))
        with Router.from_config(str(file), env={}) as router:
            assert router.route("hello").content == "a plain answer"
