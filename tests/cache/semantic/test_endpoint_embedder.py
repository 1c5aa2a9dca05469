import asyncio
import json
import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from pointsman.cache.semantic.endpoint_embedder import Ask, EndpointEmbedder
from pointsman.core.errors import UpstreamTimeout


def reply(*vectors: list[float]) -> bytes:
    return json.dumps(
        {"object": "list", "data": [{"index": i, "embedding": v} for i, v in enumerate(vectors)]}
    ).encode()


def scripted(answer: bytes | Exception, asked: list[object] | None = None) -> Ask:
    async def ask(body: bytes) -> bytes:
        if asked is not None:
            asked.append(json.loads(body))
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


async def made(embedder: EndpointEmbedder, *texts: str) -> NDArray[np.float32]:
    vectors = await embedder.embed(texts)
    assert vectors is not None
    return vectors


async def test_vectors_come_back_at_length_one_in_the_order_of_the_texts():
    asked: list[object] = []
    data = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]
    ask = scripted(json.dumps({"data": data}).encode(), asked)
    vectors = await made(EndpointEmbedder(ask, "small"), "one", "two")
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(np.array([[0.6, 0.8], [0, 1]]))
    assert asked == [{"model": "small", "input": ["one", "two"], "encoding_format": "float"}]


async def test_texts_that_are_empty_or_too_long_are_not_asked_for():
    asked: list[object] = []
    embedder = EndpointEmbedder(scripted(reply([1, 0]), asked), "small", chars_max=5)
    assert (await made(embedder, "", "short", "longer")).tolist() == [[0, 0], [1, 0], [0, 0]]
    assert asked == [{"model": "small", "input": ["short"], "encoding_format": "float"}]
    assert not (await made(embedder, "", "longer")).any()
    assert len(asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"no json",
        b"{}",
        reply([1, 0]),
        reply([1, 0], [1, 0], [1, 0]),
        reply([1, 0], [1]),
        reply([], []),
        reply([1, 0], [0, 0]),
        b'{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":[1e200]},{"index":1,"embedding":[1]}]}',
        UpstreamTimeout("late"),
    ],
    ids=[
        *("no JSON", "no data", "too few", "too many", "sizes", "empty", "no length"),
        *("one twice", "infinite", "failed"),
    ],
)
async def test_an_answer_that_is_no_vectors_is_none_and_logged(answer, caplog):
    with caplog.at_level(logging.WARNING):
        assert await EndpointEmbedder(scripted(answer), "small").embed(["one", "two"]) is None
    assert "endpoint-small" in caplog.text


async def test_an_answer_that_is_late_is_none():
    async def ask(_: bytes) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    assert await EndpointEmbedder(ask, "small", timeout_s=0.001).embed(["one"]) is None


async def test_no_more_than_the_bound_are_asked_for_at_once():
    go_on = asyncio.Event()

    async def ask(_: bytes) -> bytes:
        await go_on.wait()
        return reply([1, 0])

    embedder = EndpointEmbedder(ask, "small", waiting_max=1)
    first = asyncio.create_task(embedder.embed(["one"]))
    await asyncio.sleep(0)
    assert await embedder.embed(["two"]) is None
    go_on.set()
    assert await first is not None
    assert await embedder.embed(["two"]) is not None
