"""Embeddings pass as they are but for the model's name, and are an answer like any other."""

import json
from typing import Any

import msgspec
import pytest
from openai.types import CreateEmbeddingResponse

from pointsman.core.errors import (
    ContextLengthExceeded,
    RequestError,
    UpstreamBadResponse,
    UpstreamRateLimited,
)
from pointsman.core.events import Finished, Started, TextDelta, UsageReport
from pointsman.core.features import extract
from pointsman.core.types import Caller, Deployment, Need, Step, Turn
from pointsman.core.wire import CODECS, upstream_codec
from pointsman.core.wire.prompt import Prompt
from pointsman.core.wire.translate import encode_request

CODEC = CODECS["openai-embeddings"]
VECTORS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.25, -1e-05, 3]},
        {"object": "embedding", "index": 1, "embedding": [1.0, 0, 0.5]},
    ],
    "model": "text-embedding-3-small-0125",
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
    "x_new_field": {"kept": [1, 2.50]},
}
BODY = b'{ "model" : "emb", "input":["one","two"] , "dimensions": 3, "new": 1.0 }'
REPLY = json.dumps(VECTORS, indent=1).encode()


def deployment(dialect: str = "openai-chat", **more: Any) -> Deployment:
    return Deployment(provider="p", model="text-emb", dialect=dialect, base_url="http://x", **more)


def asked(**members: Any) -> Any:
    body = {"model": "emb", "input": "one", **members}
    return CODEC.decode_request(json.dumps(body).encode(), Caller())


@pytest.mark.parametrize(
    ("given", "turns", "tokens"),
    [
        ("one text", (Turn(role="input", text="one text"),), 0),
        (["one", "two"], (Turn(role="input", text="one\ntwo"),), 0),
        ([101, 7, 102], (), 3),
        ([[101, 7], [5]], (), 3),
        (["one", [1, 2], 3], (Turn(role="input", text="one"),), 3),
    ],
)
def test_texts_and_tokens_are_read(given: object, turns: tuple[Turn, ...], tokens: int):
    request = asked(input=given)
    assert (request.turns, request.given_tokens) == (turns, tokens)
    assert request.needs == {Need.EMBEDDINGS}
    assert (request.model, request.is_stream, request.dialect) == ("emb", False, CODEC.name)
    facts = extract(request)
    assert facts.input_tokens >= tokens
    assert (facts.text, facts.is_tool_loop) == ("", False)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"input": "x"}', "model"),
        (b'{"model": "m"}', "input"),
        (b'{"model": "m", "input": ""}', "input"),
        (b'{"model": "m", "input": []}', "input"),
        (b'{"model": "m", "input": {"text": "x"}}', "input"),
        (b'{"model": "m", "input": [1.5]}', "input"),
        (b'{"model": 1, "input": "x"}', "model"),
        (json.dumps({"model": "m" * 300, "input": "x"}).encode(), "model"),
        (b"[]", "object"),
        (b"{", "JSON"),
        (b'{"model": "\xff", "input": "x"}', "JSON|UTF"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_and_the_field_named(body: bytes, named: str):
    with pytest.raises(RequestError, match=named):
        CODEC.decode_request(body, Caller())


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
def test_a_body_goes_on_byte_for_byte_but_for_the_model(dialect: str):
    request = CODEC.decode_request(BODY, Caller())
    written = encode_request(request, Step(tier="", deployment=deployment(dialect)))
    assert written.body == BODY.replace(b'"emb"', b'"text-emb"')
    assert written.dropped == ()
    assert upstream_codec(request.dialect, dialect) is CODEC
    assert CODEC.path("text-emb", is_stream=False) == "/embeddings"


def test_a_deployments_parameters_are_sent():
    step = Step(tier="", deployment=deployment(params={"dimensions": 256}))
    sent = json.loads(CODEC.encode_request(CODEC.decode_request(BODY, Caller()), step).body)
    assert (sent["dimensions"], sent["model"]) == (256, "text-emb")


def test_other_requests_keep_the_codec_of_their_upstream():
    assert upstream_codec("openai-chat", "openai-chat") is CODECS["openai-chat"]


def test_vectors_pass_as_they_are_but_for_the_model():
    events = list(CODEC.decode_reply(REPLY))
    relayed = CODEC.encode_reply(events, asked(), "p/text-emb")
    assert relayed == REPLY.replace(b"text-embedding-3-small-0125", b"p/text-emb")
    CreateEmbeddingResponse.model_validate_json(relayed)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(events), type=list[Any])
    assert len(kept) == len(events)


def test_vectors_are_an_answer_with_content_and_usage():
    started, text, usage, finished = CODEC.decode_reply(REPLY)
    assert isinstance(started, Started)
    assert started.model == "text-embedding-3-small-0125"
    assert text == TextDelta("2 vectors", frame=b"")
    assert isinstance(usage, UsageReport)
    assert (usage.usage.input_tokens, usage.usage.output_tokens) == (8, 0)
    assert finished == Finished("stop", b"")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"total_tokens": 4}, 4), ({"prompt_tokens": 4.0}, 4), ({"prompt_tokens": -1}, 0)],
)
def test_usage_is_read_as_servers_tell_it(usage: dict[str, float], tokens: int):
    events = list(CODEC.decode_reply(json.dumps({**VECTORS, "usage": usage}).encode()))
    (report,) = [event for event in events if isinstance(event, UsageReport)]
    assert report.usage.input_tokens == tokens


@pytest.mark.parametrize("usage", [None, {}])
def test_usage_that_is_not_told_is_not_made_up(usage: object):
    events = list(CODEC.decode_reply(json.dumps({**VECTORS, "usage": usage}).encode()))
    assert not [event for event in events if isinstance(event, UsageReport)]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": []}', b'{"data": {}}'])
def test_a_reply_without_vectors_is_a_bad_one(body: bytes):
    with pytest.raises(UpstreamBadResponse):
        list(CODEC.decode_reply(body))


def test_an_error_in_a_200_reply_is_raised():
    body = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    with pytest.raises(UpstreamRateLimited):
        list(CODEC.decode_reply(json.dumps(body).encode()))


def test_errors_are_read_and_told_as_openai_does():
    body = b'{"error": {"message": "maximum context length is 8192 tokens"}}'
    error = CODEC.read_error(400, body, None)
    assert isinstance(error, ContextLengthExceeded)
    assert json.loads(CODEC.error_body(RequestError("no"), "req_1"))["error"]["message"] == "no"


def test_what_streams_all_the_same_is_refused():
    for read in (CODEC.stream_decoder().finish, lambda: CODEC.stream_decoder().feed(b"data: {}")):
        with pytest.raises(UpstreamBadResponse):
            list(read())
    encoder = CODEC.stream_encoder(asked(), "p/m")
    assert encoder.encode(Finished("stop")) == encoder.ping() == b""


def test_events_without_vectors_make_no_reply():
    with pytest.raises(UpstreamBadResponse, match="p/text-emb"):
        CODEC.encode_reply([TextDelta("2 vectors"), Finished("stop")], asked(), "p/text-emb")


def test_the_model_and_the_user_do_not_shape_vectors_and_all_else_does():
    shape = CODEC.shape(asked(user="u", encoding_format="base64", x=1))
    assert shape == {"input": "one", "encoding_format": "base64", "x": 1}


def test_nothing_translates_embeddings():
    with pytest.raises(RequestError, match="emb"):
        CODEC.read_prompt(asked())
    with pytest.raises(RequestError, match="p/text-emb"):
        CODEC.write_prompt(Prompt(), Step(tier="", deployment=deployment()))
    assert CODEC.lacks == set(Need) - {Need.EMBEDDINGS}
