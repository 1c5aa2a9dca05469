"""Models as each dialect lists them, held against the official SDKs' own types."""

import json
from typing import Any

import httpx2
import pytest
from anthropic.pagination import SyncPage
from anthropic.types import ModelInfo
from google.genai import models as genai_models
from google.genai import types as genai_types
from openai.types import Model
from tests.server.doors import TOML, opened
from tests.server.test_in_process import blocking

from pointsman.core.errors import ModelNotFound, RequestError
from pointsman.server.model_list import (
    Listed,
    anthropic_list,
    anthropic_model,
    gemini_list,
    gemini_model,
    listed_models,
    one_listed,
    openai_model,
)

ANTHROPIC = {"anthropic-version": "2023-06-01"}
NAMES = ("auto", "fast", "power", "fake/small", "fake/large")
MODELS = tuple(Listed(name=name, owner="x", input_tokens_max=100) for name in NAMES)
WINDOWS = TOML.replace(
    '["fake/small"]',
    '[{ model = "fake/small", context_tokens = 8000 },'
    ' { model = "fake/large", context_tokens = 32000 }]',
)


def strictly(value: Any) -> Any:
    """Return JSON data as JSON text, so that a type may read its dates from strings alone."""
    return json.dumps(value)


def ids(page: bytes) -> list[str]:
    return [model["id"] for model in json.loads(page)["data"]]


async def test_models_are_listed_in_the_asking_clients_shape():
    async with opened() as client:
        openai = (await client.ask("GET", "/v1/models")).json()
        anthropic = (await client.ask("GET", "/v1/models", headers=ANTHROPIC)).json()
    for model in openai["data"]:
        Model.model_validate_json(strictly(model), strict=True)
    for model in anthropic["data"]:
        ModelInfo.model_validate_json(strictly(model), strict=True)
    page = SyncPage[ModelInfo].model_validate_json(strictly(anthropic))
    assert (page.first_id, page.last_id, page.has_more) == ("auto", "fake/large", False)
    assert [m["id"] for m in openai["data"]] == [m["id"] for m in anthropic["data"]] == [*NAMES]
    assert openai_model(MODELS[0]).keys() <= Model.model_fields.keys()
    assert anthropic_model(MODELS[0]).keys() == ModelInfo.model_fields.keys()


@pytest.mark.parametrize("path", ["/v1/models/fake/small", "/models/fake/small"])
async def test_one_model_is_told_by_its_name(path: str):
    async with opened() as client:
        openai = (await client.ask("GET", path)).json()
        anthropic = (await client.ask("GET", path, headers=ANTHROPIC)).json()
        missing = await client.ask("GET", f"{path}er")
    assert (openai["object"], openai["id"]) == ("model", "fake/small")
    assert (anthropic["type"], anthropic["id"]) == ("model", "fake/small")
    assert missing.status == 404
    assert missing.error()["code"] == "model_not_found"
    assert "fake/smaller" in missing.error()["message"]


def test_a_name_in_a_path_may_be_encoded():
    with blocking() as router, router.http_client() as client:
        reply = client.get("http://x/v1/models/fake%2Fsmall")
        assert isinstance(reply, httpx2.Response)
        assert reply.json()["id"] == "fake/small"


async def test_a_list_tells_the_most_that_anything_behind_a_name_takes():
    async with opened(toml=WINDOWS) as client:
        models = listed_models(client.pipeline.routing)
    windows = {model.name: model.input_tokens_max for model in models}
    assert windows["fast"] == 32_000  # what does not fit the one goes to the other
    assert windows["fake/small"] == 8_000
    assert windows["power"] is windows["auto"] is None  # one of them is not known


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ({}, NAMES, False),
        ({"limit": "2"}, NAMES[:2], True),
        ({"limit": "2", "after_id": "fast"}, NAMES[2:4], True),
        ({"limit": "2", "after_id": "power"}, NAMES[3:], False),
        ({"after_id": "fake/large"}, (), False),
        ({"limit": "2", "before_id": "fake/small"}, NAMES[1:3], True),
        ({"limit": "2", "before_id": "fast"}, NAMES[:1], False),
        ({"limit": "1000"}, NAMES, False),
    ],
)
def test_anthropics_list_comes_in_pages(
    query: dict[str, str], names: tuple[str, ...], has_more: bool
):
    page = anthropic_list(MODELS, query)
    assert ids(page) == list(names)
    assert json.loads(page)["has_more"] is has_more


def test_all_pages_together_are_all_models():
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = json.loads(anthropic_list(MODELS, query))
        seen += [model["id"] for model in page["data"]]
        if not page["has_more"]:
            break
        query = {"limit": "2", "after_id": page["last_id"]}
    assert seen == list(NAMES)
    seen, query = [], {"pageSize": "3"}
    while True:
        page = json.loads(gemini_list(MODELS, query))
        seen += [model["name"] for model in page["models"]]
        if "nextPageToken" not in page:
            break
        query = {"pageSize": "3", "pageToken": page["nextPageToken"]}
    assert seen == [f"models/{name}" for name in NAMES]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"limit": "99999"}, {"after_id": "nix"}]
)
def test_an_odd_page_is_refused(query: dict[str, str]):
    with pytest.raises(RequestError, match=next(iter(query))):
        anthropic_list(MODELS, query)


@pytest.mark.parametrize("query", [{"pageSize": "-1"}, {"pageToken": "x"}, {"pageToken": "9" * 9}])
def test_an_odd_page_of_googles_is_refused(query: dict[str, str]):
    with pytest.raises(RequestError, match=next(iter(query))):
        gemini_list(MODELS, query)


def test_googles_list_is_read_by_its_sdk():
    read = genai_types.ListModelsResponse._from_response(
        response=genai_models._ListModelsResponse_from_mldev(json.loads(gemini_list(MODELS, {}))),
        kwargs={},
    )
    assert read.models is not None
    assert [model.name for model in read.models] == [f"models/{name}" for name in NAMES]
    assert read.models[0].input_token_limit == 100
    assert read.models[0].output_token_limit is None
    assert "outputTokenLimit" not in gemini_model(MODELS[0])


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(ModelNotFound, match="nix"):
        one_listed(MODELS, "nix")
