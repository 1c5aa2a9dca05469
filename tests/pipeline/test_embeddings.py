"""Embeddings: one model, at any provider that has it; cached and booked, and in no comparison."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.pipeline.rig import Rig, Script, asking, rig

from pointsman.config.settings import EmbeddingSettings, PriceSettings
from pointsman.core import errors
from pointsman.core.types import Caller, Request
from pointsman.core.wire import CODECS
from pointsman.providers.fake import Scripted
from pointsman.report import build_report

CODEC = CODECS["openai-embeddings"]
EMBEDDINGS = EmbeddingSettings(models=("p/small", "openai/small", "p/large"))
PRICES = {
    "p/weak": PriceSettings(input=1, output=2),
    "p/strong": PriceSettings(input=10, output=20),
    "p/small": PriceSettings(input=1, output=0),
    "p/large": PriceSettings(input=5, output=0),
}


def vectors(model: str) -> Scripted:
    """Return an upstream's reply with one vector, as its codec reads it."""
    body = msgspec.json.encode(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}],
            "model": model,
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        }
    )
    return Scripted(events=tuple(CODEC.decode_reply(body)))


def embed(model: str, **caller: Any) -> Request:
    body = msgspec.json.encode({"model": model, "input": "words to place"})
    return CODEC.decode_request(body, Caller(**({"cache": "off"} | caller)))


def world(tmp_path, small: Sequence[Scripted], **sections: Any):
    script: Script = {
        "small": small,
        "large": [vectors("large")],
        "weak": ["A fine answer, as asked."],
    }
    return rig(tmp_path, script, prices=PRICES, embeddings=EMBEDDINGS, **sections)


async def reply(r: Rig, request: Request) -> dict[str, Any]:
    async with r.pipeline.open(request) as stream:
        body = CODEC.encode_reply([event async for event in stream], request, stream.model)
    return msgspec.json.decode(body, type=dict[str, Any])


async def test_the_vectors_come_through_with_our_name_and_the_cost_is_booked(tmp_path):
    async with world(tmp_path, [vectors("small")]) as r:
        got = await reply(r, embed("small", request_id="one"))
        assert (got["model"], got["data"][0]["embedding"]) == ("p/small", [0.25, -1.0])
        (row,) = r.rows("one")
        assert (row.settlement.cost_nanousd, row.settlement.usage.input_tokens) == (7_000, 7)
        assert (row.intent.policy, row.intent.tier) == ("embeddings", "small")


@pytest.mark.parametrize(
    ("asked", "called"),
    [("large", ["p/large"]), ("p/large", ["p/large"]), ("openai/small", ["openai/small"])],
)
async def test_a_model_is_asked_for_by_either_name(tmp_path, asked, called):
    async with world(tmp_path, [vectors("small")]) as r:
        r.pipeline.routing.providers["openai"] = r.fake
        await reply(r, embed(asked))
        assert r.fake.calls == called


async def test_another_provider_of_the_same_model_stands_in_and_never_another_model(tmp_path):
    down = Scripted(error=errors.UpstreamConnect("refused"))
    async with world(tmp_path, [down, vectors("small")]) as r:
        r.pipeline.routing.providers["openai"] = r.fake
        assert (await reply(r, embed("small")))["model"] == "openai/small"
    async with world(tmp_path, [down]) as r:
        r.pipeline.routing.providers["openai"] = r.fake
        with pytest.raises(errors.UpstreamError):
            await reply(r, embed("small"))
        assert r.fake.calls == ["p/small", "openai/small"]


async def test_the_same_again_comes_from_the_cache(tmp_path):
    async with world(tmp_path, [vectors("small")]) as r:
        first = await reply(r, embed("small", cache="on"))
        assert await reply(r, embed("small", cache="on")) == first
        assert r.fake.calls == ["p/small"]
        await reply(r, embed("small", cache="on", tenant="other"))
        assert r.fake.calls == ["p/small", "p/small"]


@pytest.mark.parametrize("asked", ["auto", "weak", "p/weak", "nothing"])
async def test_what_makes_no_embeddings_is_refused_with_what_does(tmp_path, asked):
    async with world(tmp_path, [vectors("small")]) as r:
        with pytest.raises(errors.ModelNotFound, match="small, large"):
            await reply(r, embed(asked))


async def test_a_model_for_embeddings_answers_no_chat(tmp_path):
    async with world(tmp_path, [vectors("small")]) as r:
        with pytest.raises(errors.ModelNotFound):
            await r.ask(asking(model="p/small"))


async def test_the_report_counts_them_and_compares_them_with_nothing(tmp_path):
    async with world(tmp_path, [vectors("small")]) as r:
        await reply(r, embed("small"))
        await r.settled()
        tiers = r.pipeline.routing.snapshot.tiers
        report = build_report(r.rows(), tiers=tiers)
        assert report.cost_nanousd == 7_000
        assert report.estimated_savings is None or report.estimated_savings.baseline_nanousd == 0
