"""OpenAI's own SDK, unmodified, against the server and in process."""

import asyncio
import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from tests.e2e.asks import ALICE, ALICE_JSON, DJANGO, STORY
from tests.e2e.conftest import KEY, Place
from tests.server.processes import Served, poll, served
from tests.server.upstreams import config, running

from pointsman import AsyncRouter, Router
from pointsman.demo.models import LocalModels


def asked(text: str) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": text}]


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key=KEY) as client:
        yield client


def test_a_chat_completion(client: openai.OpenAI):
    easy = client.chat.completions.create(model="auto", messages=asked(ALICE))
    assert json.loads(easy.choices[0].message.content or "") == ALICE_JSON
    assert (easy.model, easy.choices[0].finish_reason) == ("weak/gemma", "stop")
    assert easy.usage is not None
    assert easy.usage.total_tokens == easy.usage.prompt_tokens + easy.usage.completion_tokens
    assert easy._request_id is not None
    assert easy._request_id.startswith("req_")
    hard = client.chat.completions.create(model="auto", messages=asked(DJANGO), max_tokens=8)
    assert hard.model == "strong/smollm2"
    assert hard.choices[0].message.content


def test_the_same_again_is_cached(client: openai.OpenAI):
    asking = client.chat.completions.with_raw_response
    first = asking.create(model="auto", messages=asked(ALICE), user="x")
    again = asking.create(model="auto", messages=asked(ALICE), user="y")
    assert again.headers["x-pointsman-cache"] == "hit"
    assert float(again.headers["x-pointsman-cost-usd"]) == 0
    assert again.parse().choices == first.parse().choices


def test_a_stream_without_usage(client: openai.OpenAI):
    chunks = list(client.chat.completions.create(model="fast", messages=asked(ALICE), stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert json.loads(text) == ALICE_JSON
    assert {chunk.model for chunk in chunks} == {"weak/gemma"}
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_with_usage(client: openai.OpenAI):
    headers = {"x-pointsman-cache": "off"}
    chunks = list(
        client.chat.completions.create(
            model="fast",
            messages=asked(ALICE),
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=headers,
        )
    )
    last = chunks[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0
    assert last.usage.model_extra is not None
    assert last.usage.model_extra["cost_usd"] > 0


def test_models_are_listed(client: openai.OpenAI):
    listed = {model.id for model in client.models.list()}
    assert listed >= {"auto", "fast", "power", "weak/gemma", "strong/smollm2"}


def test_errors_are_the_sdks_own(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-nix", messages=asked("x"))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.request_id is not None
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="auto", messages=asked("x"), max_tokens=0)
    assert (bad.value.code, bad.value.param) == ("invalid_request", "max_tokens")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="auto", messages=[])
    stranger = client.with_options(api_key="wrong-key-0123456789")
    with pytest.raises(openai.AuthenticationError) as denied:
        stranger.models.list()
    assert denied.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError):
        client.images.generate(prompt="a lighthouse")


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_sdks_retries_do_not_multiply_ours(tmp_path, is_stream: bool):
    with running() as upstream, served(tmp_path, config(upstream)) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="-", max_retries=5)
        with client, pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="failing", messages=asked("x"), stream=is_stream)
        assert server.stop() == 0
    assert raised.value.status_code == 503
    assert raised.value.code == "upstream_unavailable"
    assert upstream.calls == ["failing", "failing"]  # ours: one retry on the same target


def test_closing_a_stream_stops_the_model(client: openai.OpenAI, local_models: LocalModels):
    stream = client.chat.completions.create(
        model="power",
        messages=asked(STORY),
        stream=True,
        max_tokens=3000,
        extra_body={"ignore_eos": True},
    )
    assert next(iter(stream)).model == "strong/smollm2"
    assert local_models["smollm2"].is_busy()
    stream.close()
    poll(lambda: not local_models["smollm2"].is_busy(), of="the model to stop")


def test_in_process_without_a_server(place: Place, local_models: LocalModels):
    with Router.from_config("pointsman.toml") as router:
        client = openai.OpenAI(http_client=router.http_client(), api_key="-")
        answer = client.chat.completions.create(model="auto", messages=asked(ALICE))
        assert json.loads(answer.choices[0].message.content or "") == ALICE_JSON
        chunks = list(
            client.chat.completions.create(model="auto", messages=asked(ALICE), stream=True)
        )
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == answer.choices[0].message.content
        assert "auto" in {model.id for model in client.models.list()}
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-nix", messages=asked("x"))
        stream = client.chat.completions.create(
            model="power",
            messages=asked(STORY),
            stream=True,
            max_tokens=3000,
            extra_body={"ignore_eos": True},
        )
        assert next(iter(stream)).model == "strong/smollm2"
        stream.close()
        poll(lambda: not local_models["smollm2"].is_busy(), of="the model to stop")
        report = router.report()
    assert (report.calls, report.hits, report.cancelled) == (3, 1, 1)


async def test_in_process_on_an_event_loop(place: Place, local_models: LocalModels):
    async with AsyncRouter.from_config("pointsman.toml") as router:
        client = openai.AsyncOpenAI(http_client=router.http_client(), api_key="-")
        answer = await client.chat.completions.create(model="auto", messages=asked(ALICE))
        assert answer.model == "weak/gemma"
        stream = await client.chat.completions.create(
            model="power",
            messages=asked(STORY),
            stream=True,
            max_tokens=3000,
            extra_body={"ignore_eos": True},
        )
        assert (await anext(aiter(stream))).model == "strong/smollm2"
        await stream.close()
        await asyncio.to_thread(
            poll, lambda: not local_models["smollm2"].is_busy(), "the model to stop"
        )
        await client.close()
