"""Clients that go away and a server that stops: nothing runs on, and who is left is told."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.server.doors import CHAT, Client, chat_body
from tests.server.upstreams import Upstream, config, running

from pointsman.access.environment import stated_keys
from pointsman.access.keyring import Keyring
from pointsman.assembly import build_pipeline
from pointsman.clock import SystemClock
from pointsman.config import parse_settings
from pointsman.providers.fake import FakeProvider
from pointsman.router import Pipeline
from pointsman.server.app import App
from pointsman.server.metrics import Metrics
from pointsman.server.routes import Services

OFF = {"x-pointsman-cache": "off"}


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Client, Upstream]]:
    """Open an app on an upstream with a real socket."""
    with running() as upstream:
        settings = parse_settings(config(upstream), "test.toml", {})
        async with build_pipeline(settings, {}, seed=1) as pipeline:
            keyring = Keyring(stated_keys({}), None, SystemClock())
            app = App(Services(pipeline=pipeline, metrics=Metrics()), keyring)
            yield Client(app, pipeline, FakeProvider({})), upstream


async def happened(event: threading.Event) -> bool:
    """Wait for a thread's event."""
    return await asyncio.to_thread(event.wait, 10)


async def outcomes(pipeline: Pipeline) -> set[str]:
    """Return how the attempts ended, once what is queued behind a hang-up has been written."""
    async with asyncio.timeout(10):
        while True:
            found: set[str] = {row.settlement.outcome for row in pipeline.stores.ledger.rows()}
            if "pending" not in found:
                return found
            await asyncio.sleep(0)


@pytest.mark.parametrize("headers", [{}, OFF], ids=["cache on", "cache off"])
@pytest.mark.parametrize(
    ("model", "is_stream"), [("silent", True), ("silent", False), ("endless", True)]
)
async def test_no_task_and_no_call_outlives_its_clients(
    model: str, is_stream: bool, headers: dict[str, str]
):
    async with opened() as (client, upstream):
        before = asyncio.all_tasks()
        goings = [asyncio.Event() for _ in range(10)]
        asks = [
            asyncio.create_task(
                client.ask(
                    "POST",
                    CHAT,
                    chat_body(f"ask {number}", model=model, stream=is_stream),
                    headers,
                    hang_up=gone,
                )
            )
            for number, gone in enumerate(goings)
        ]
        assert await happened(upstream.asked[model])
        for gone in goings:
            gone.set()
        replies = await asyncio.gather(*asks)
        assert await happened(upstream.hung_up[model])
        assert asyncio.all_tasks() == before
        assert not any(reply.is_whole for reply in replies)
        assert await outcomes(client.pipeline) <= {"cancelled"}


async def test_others_who_ask_the_same_keep_the_call():
    async with opened() as (client, upstream):
        body, gone = chat_body(model="gated", stream=True), asyncio.Event()
        begun = [asyncio.Event(), asyncio.Event()]
        first = asyncio.create_task(client.ask("POST", CHAT, body, hang_up=gone, begun=begun[0]))
        second = asyncio.create_task(client.ask("POST", CHAT, body, begun=begun[1]))
        for event in begun:
            await event.wait()
        gone.set()
        await first
        upstream.go_on.set()
        reply = await second
    assert reply.frames()[-1] == "[DONE]"
    assert upstream.calls == ["gated"]


@pytest.mark.parametrize("headers", [{}, OFF], ids=["cache on", "cache off"])
async def test_a_server_that_stops_tells_who_still_waits(headers: dict[str, str]):
    async with opened() as (client, upstream):
        begun = asyncio.Event()
        asks = {
            model: asyncio.create_task(
                client.ask(
                    "POST", CHAT, chat_body(model=model, stream=is_stream), headers, begun=begun
                )
            )
            for model, is_stream in (("silent", False), ("endless", True))
        }
        for model in asks:
            assert await happened(upstream.asked[model])
        await begun.wait()
        client.app.stop()
        client.app.stop()
        waiting, stream = await asyncio.gather(*asks.values())
        for model in asks:
            assert await happened(upstream.hung_up[model])
        late = await client.chat(model="plain")
    for reply in (waiting, late):
        assert reply.status == 503
        assert reply.error()["code"] == "draining"
        assert reply.headers["x-should-retry"] == "true"
    assert stream.status == 200
    assert stream.is_whole
    assert stream.frames()[-1]["error"]["code"] == "draining"
    assert b"[DONE]" not in stream.body
