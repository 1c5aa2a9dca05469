"""Every dialect, asked by the official SDKs: answers, streams, counts, lists and errors."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import ErrorResponse
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from tests.server.doors import SCRIPT, chat_body, opened
from tests.server.test_in_process import TIERS, blocking

from pointsman import Router
from pointsman.core.errors import UpstreamRateLimited, UpstreamReset
from pointsman.core.types import Request, Step
from pointsman.core.wire import CODECS
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.server.bodies import Limits

ANTHROPIC = {"anthropic-version": "2023-06-01"}
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
GENERATE = "/v1beta/models/fast:generateContent"
STREAM = "/v1beta/models/fast:streamGenerateContent?alt=sse"
HELLO: Any = [{"role": "user", "content": "hello"}]
DIALECT_PATHS = [MESSAGES, f"{MESSAGES}/count_tokens", GENERATE, "/v1/models/fast:countTokens"]
BROKEN = {**SCRIPT, "small": [Scripted(pieces=("half an ",), error=UpstreamReset("gone"))]}


@pytest.fixture
def router() -> Iterator[Router]:
    with blocking() as opened_router:
        yield opened_router


@pytest.fixture
def claude(router: Router) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url="http://x", api_key="-", http_client=router.http_client(), max_retries=0
    )


@pytest.fixture
def gpt(router: Router) -> openai.OpenAI:
    return openai.OpenAI(
        base_url="http://x/v1", api_key="-", http_client=router.http_client(), max_retries=0
    )


@pytest.fixture
def google(router: Router) -> genai.Client:
    options = genai_types.HttpOptions(base_url="http://x", httpx_client=router.http_client())
    return genai.Client(api_key="-", http_options=options)


def test_anthropics_sdk_is_answered(claude: anthropic.Anthropic):
    answer = claude.messages.create(model="fast", max_tokens=50, messages=HELLO)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "small says this"
    assert answer.model == "fake/small"
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_anthropics_sdk_reads_a_stream(claude: anthropic.Anthropic):
    with claude.messages.stream(model="fast", max_tokens=50, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == "small says this"
        assert stream.get_final_message().usage.output_tokens == 5


def test_anthropics_sdk_counts_and_is_told_that_it_is_an_estimate(claude: anthropic.Anthropic):
    raw = claude.messages.with_raw_response.count_tokens(model="fast", messages=HELLO)
    assert 1 <= raw.parse().input_tokens <= 20
    assert raw.headers["x-pointsman-estimated"] == "1"


async def test_a_count_is_the_providers_own_where_it_counts(monkeypatch: pytest.MonkeyPatch):
    class Counts(FakeProvider):
        async def count(self, request: Request, step: Step) -> int | None:
            return 42 if step.deployment.model == "small" else None

    body = {"messages": HELLO}
    monkeypatch.setattr("tests.server.doors.FakeProvider", Counts)
    async with opened() as client:
        exact, estimated = [
            await client.ask(
                "POST", f"{MESSAGES}/count_tokens", json.dumps(body | {"model": model}).encode()
            )
            for model in ("fast", "power")
        ]
        assert client.upstream.calls == []
    assert exact.json() == {"input_tokens": 42}
    assert "x-pointsman-estimated" not in exact.headers
    assert estimated.headers["x-pointsman-estimated"] == "1"


def test_anthropics_sdk_lists_all_pages_of_models(claude: anthropic.Anthropic):
    names = [model.id for model in claude.models.list(limit=2)]
    assert names == ["auto", "fast", "power", "fake/small", "fake/large"]
    assert claude.models.retrieve("fake/small").display_name == "fake/small"


def test_anthropics_sdk_is_told_errors_in_its_own_way(claude: anthropic.Anthropic):
    with pytest.raises(anthropic.NotFoundError) as raised:
        claude.messages.create(model="nix", max_tokens=50, messages=HELLO)
    assert raised.value.type == "not_found_error"
    assert raised.value.request_id is not None
    assert "fake/small" in raised.value.message
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nix")


def test_openais_sdk_is_answered_by_responses(gpt: openai.OpenAI):
    answer = gpt.responses.create(model="fast", input="hello", store=False)
    assert answer.output_text == "small says this"
    assert answer.model == "fake/small"
    with gpt.responses.stream(model="fast", input="hello", store=False) as stream:
        assert stream.get_final_response().output_text == "small says this"


def test_openais_sdk_gets_vectors():
    vectors: dict[str, Any] = {
        "object": "list",
        "model": "small-0125",
        "usage": {"prompt_tokens": 2},
    }
    vectors["data"] = [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}]
    events = CODECS["openai-embeddings"].decode_reply(json.dumps(vectors).encode())
    script = {**SCRIPT, "vectors": [Scripted(events=tuple(events))]}
    tiers = {"embeddings": {"models": ["fake/vectors"]}}
    upstream = FakeProvider(script)
    providers = {"fake": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}}
    ledger = {"url": "sqlite://"}
    with Router(
        TIERS, env={}, call_with={"fake": upstream}, providers=providers, ledger=ledger, **tiers
    ) as router:
        gpt = openai.OpenAI(base_url="http://x", api_key="-", http_client=router.http_client())
        first, again = [
            gpt.embeddings.with_raw_response.create(
                model="fake/vectors", input=["hello"], encoding_format="float"
            )
            for _ in "12"
        ]
    for raw in (first, again):
        assert raw.parse().data[0].embedding == [0.25, -1.0]
        assert raw.parse().model == "fake/vectors"
        assert "x-pointsman-empty" not in raw.headers
    assert upstream.calls == ["fake/vectors"]
    assert again.headers["x-pointsman-cache"] == "hit"


def test_openais_sdk_counts(gpt: openai.OpenAI):
    counted = gpt.responses.input_tokens.count(model="fast", input="hello")
    assert counted.object == "response.input_tokens"
    assert 1 <= counted.input_tokens <= 20


def test_openais_sdk_lists_models(gpt: openai.OpenAI):
    assert [model.id for model in gpt.models.list()][:2] == ["auto", "fast"]
    assert gpt.models.retrieve("fake/small").id == "fake/small"


def test_googles_sdk_is_answered(google: genai.Client):
    answer = google.models.generate_content(model="fast", contents="hello")
    assert answer.text == "small says this"
    assert answer.model_version == "fake/small"


@pytest.mark.parametrize("model", ["fake/small", "models/fake/small", "auto:fast"])
def test_googles_sdk_names_the_model_in_the_path(google: genai.Client, model: str):
    assert google.models.generate_content(model=model, contents="hello").text


def test_googles_sdk_reads_a_stream(google: genai.Client):
    pieces = google.models.generate_content_stream(model="fast", contents="hello")
    assert "".join(piece.text or "" for piece in pieces) == "small says this"


def test_googles_sdk_counts(google: genai.Client):
    counted = google.models.count_tokens(model="fast", contents="hello").total_tokens
    assert counted is not None
    assert 1 <= counted <= 20


def test_googles_sdk_lists_all_pages_of_models(google: genai.Client):
    names = [model.name for model in google.models.list(config={"page_size": 2})]
    assert names == [f"models/{n}" for n in ("auto", "fast", "power", "fake/small", "fake/large")]
    assert google.models.get(model="fake/small").name == "models/fake/small"


def test_googles_sdk_is_told_errors_in_its_own_way(google: genai.Client):
    with pytest.raises(genai_errors.ClientError) as raised:
        google.models.generate_content(model="nix", contents="hello")
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")
    assert "fake/small" in (raised.value.message or "")


def test_googles_stream_comes_as_events_alone(router: Router):
    with router.http_client() as client:
        reply = client.post(f"http://x{STREAM.partition('?')[0]}", content=b'{"contents":[]}')
    assert isinstance(reply, httpx2.Response)
    assert reply.status_code == 400
    assert "alt=sse" in reply.json()["error"]["message"]


def shape_of(path: str, body: Any) -> None:
    """Check that an error has the shape of the dialect whose path was asked."""
    if path.startswith(MESSAGES):
        if body["error"]["type"] == "request_too_large":  # documented, and left out of the SDK
            body["error"]["type"] = "api_error"
        told = ErrorResponse.model_validate(body)
        assert told.type == "error"
        assert told.error.message
        assert told.request_id is not None
    else:
        assert body.keys() == {"error"}
        assert isinstance(body["error"]["code"], int)
        assert body["error"]["status"].isupper()
        assert body["error"]["message"]


@pytest.mark.parametrize("path", DIALECT_PATHS)
async def test_every_refusal_has_the_shape_of_the_paths_dialect(path: str):
    limits = Limits(body_bytes_max=1_000)
    async with opened(keys="a-key-0123456789", limits=limits) as client:
        key = {"x-api-key": "a-key-0123456789"}
        replies = {
            401: await client.ask("POST", path, chat_body()),
            405: await client.ask("PUT", path, b"", key),
            413: await client.ask("POST", path, b"x" * 2_000, key),
            415: await client.ask("POST", path, b"{}", key | {"content-encoding": "gzip"}),
            400: await client.ask("POST", f"{path}?alt=sse", b"{", key),
        }
        client.app.services.is_draining = True
        replies[503] = await client.ask("POST", path, chat_body(), key)
    for status, reply in replies.items():
        assert reply.status == status
        shape_of(path, reply.json())
        assert reply.headers["x-should-retry"] == ("true" if status == 503 else "false")
        assert ("request-id" in reply.headers) == path.startswith(MESSAGES)
        if path.startswith(MESSAGES):
            assert reply.json()["request_id"] == reply.headers["request-id"]


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_googles_sdk_may_ask_for_either_version(router: Router, version: str):
    options = genai_types.HttpOptions(
        base_url="http://x", api_version=version, httpx_client=router.http_client()
    )
    google = genai.Client(api_key="-", http_options=options)
    assert google.models.generate_content(model="fast", contents="hello").text
    assert len(list(google.models.list())) == 5


@pytest.mark.parametrize("path", ["/v1/nix", "/nix", "/v1/decide", "/v1/models"])
async def test_what_is_nobodys_own_is_refused_as_the_headers_say(path: str):
    async with opened() as client:
        theirs = await client.ask("DELETE", path, b"", ANTHROPIC)
        googles = await client.ask("DELETE", path, b"", {"x-goog-api-client": "sdk"})
        others = await client.ask("DELETE", path)
    assert theirs.status == googles.status == others.status
    shape_of(MESSAGES, theirs.json())
    shape_of(GENERATE, googles.json())
    assert "request-id" in theirs.headers
    assert others.error()["code"] in {"route_not_found", "method_not_allowed"}
    assert "request-id" not in others.headers


async def test_an_upstreams_failure_has_the_shape_of_the_paths_dialect():
    limited = Scripted(error=UpstreamRateLimited("slow down", retry_after_s=90.0))
    async with opened({**SCRIPT, "small": [limited]}) as client:
        body = {"model": "fast", "max_tokens": 5, "messages": HELLO}
        theirs = await client.ask("POST", MESSAGES, json.dumps(body).encode(), ANTHROPIC)
        contents = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
        googles = await client.ask("POST", GENERATE, json.dumps(contents).encode())
    assert (theirs.status, theirs.json()["error"]["type"]) == (429, "rate_limit_error")
    assert (googles.status, googles.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert theirs.headers["retry-after"] == googles.headers["retry-after"] == "90"


async def test_a_stream_that_breaks_ends_in_each_dialects_own_error():
    async with opened(BROKEN) as client:
        body = {"model": "fast", "max_tokens": 5, "messages": HELLO, "stream": True}
        theirs = await client.ask("POST", MESSAGES, json.dumps(body).encode(), ANTHROPIC)
        contents = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
        googles = await client.ask("POST", STREAM, json.dumps(contents).encode())
        asked = {"model": "fast", "input": "hello", "stream": True}
        responses = await client.ask("POST", RESPONSES, json.dumps(asked).encode())
    assert theirs.status == googles.status == responses.status == 200
    last = theirs.frames()[-1]
    assert (last["type"], theirs.body.count(b"event: message_stop")) == ("error", 0)
    assert googles.frames()[-1]["error"]["status"].isupper()
    assert responses.frames()[-1]["type"] in {"error", "response.failed"}
    assert b"response.completed" not in responses.body
