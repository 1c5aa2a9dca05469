"""A large body leaves the event loop free: the same body, in a thread or not, gives the same."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.server.doors import CHAT, chat_body, opened

from pointsman.core.decision import Policy
from pointsman.deciding import INLINE_BYTES_MAX
from pointsman.server.apart import read_apart


@pytest.mark.parametrize("over", [0, 1])
async def test_only_what_is_over_the_bound_is_read_in_a_thread(over: int):
    def read(body: bytes) -> tuple[int, threading.Thread]:
        return len(body), threading.current_thread()

    length, thread = await read_apart(read, bytes(INLINE_BYTES_MAX + over))
    assert length == INLINE_BYTES_MAX + over
    assert (thread is not threading.main_thread()) == bool(over)


@dataclass
class Watched:
    """A policy that notes the thread it decides in, and lets something happen meanwhile."""

    policy: Policy
    threads: list[threading.Thread]
    meanwhile: Callable[[], object] = lambda: None
    name: str = "watched"

    def decide(self, *given: Any) -> Any:
        self.threads.append(threading.current_thread())
        self.meanwhile()
        return self.policy.decide(*given)


@pytest.mark.parametrize("path", ["kept", "off"])
async def test_a_large_request_is_decided_in_a_thread_and_answered_alike(path: str):
    cache = {"x-pointsman-cache": "off"} if path == "off" else {}
    async with opened() as client:
        pipeline, threads = client.pipeline, list[threading.Thread]()
        pipeline.swap(replace(pipeline.routing, policy=Watched(pipeline.routing.policy, threads)))
        for text in ("hello", "hello " * INLINE_BYTES_MAX):
            reply = await client.ask("POST", CHAT, chat_body(text), cache)
            assert reply.status == 200
    small, large = threads
    assert small is threading.main_thread()
    assert large is not threading.main_thread()


async def test_what_is_decided_while_the_configuration_is_swapped_is_decided_anew():
    async with opened() as client:
        pipeline, threads = client.pipeline, list[threading.Thread]()
        routing = pipeline.routing
        newer = replace(routing, policy=Watched(routing.policy, threads))
        older = Watched(routing.policy, threads, meanwhile=lambda: pipeline.swap(newer))
        pipeline.swap(replace(routing, policy=older))
        reply = await client.ask("POST", CHAT, chat_body("hello " * INLINE_BYTES_MAX))
        assert reply.status == 200
    assert len(threads) == 2
