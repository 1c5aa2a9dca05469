"""What would have an upstream call another model, address or key than the router's."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.types import Caller, Deployment, Step
from pointsman.core.wire import CODECS, premium
from pointsman.core.wire.steering import FIELDS, names_model, without_steering
from pointsman.providers.outgoing import written

SAID = [{"role": "user", "content": 'Say "models": [1] and \\u006dodels.'}]
BODIES: dict[str, dict[str, Any]] = {
    "openai-chat": {"model": "auto", "messages": SAID},
    "openai-responses": {"model": "auto", "input": SAID},
    "anthropic": {"model": "auto", "max_tokens": 9, "messages": SAID},
    "openai-embeddings": {"model": "auto", "input": "hi"},
}


def sent(dialect: str, body: bytes, **params: object) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return what goes to an upstream of the same dialect, and what is told as dropped."""
    deployment = Deployment(
        provider="p", model="cheap", dialect=dialect, base_url="http://x.invalid", params=params
    )
    request = CODECS[dialect].decode_request(body, Caller())
    out = written(request, Step(tier="", deployment=deployment))
    return msgspec.json.decode(out.body), out.dropped


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("name", FIELDS)
def test_no_upstream_is_told_to_call_another_model_or_place(dialect: str, name: str):
    steered = {name: ["dear"], **BODIES[dialect], "user": "u"}
    body, dropped = sent(dialect, msgspec.json.encode(steered))
    plain, _ = sent(dialect, msgspec.json.encode({**BODIES[dialect], "user": "u"}))
    assert body == plain and name in dropped


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses", "anthropic"])
@pytest.mark.parametrize("name", [*FIELDS, *premium.FIELDS])
def test_a_request_is_plain_only_without_the_fields_that_others_look_for(dialect: str, name: str):
    def is_plain(field: str) -> bool:
        body = msgspec.json.encode({**BODIES[dialect], field: None})
        return CODECS[dialect].decode_request(body, Caller()).is_plain

    assert is_plain("seed") and not is_plain(name)


def test_a_name_written_with_escapes_or_twice_is_found_too():
    body = rb'{"m\u006fdels":["a"],"messages":[],"models":["b"],"x":1,"models":["c"]}'
    left, had = without_steering(body)
    assert (msgspec.json.decode(left), had) == ({"messages": [], "x": 1}, ("models",))


def test_what_the_operator_says_of_a_deployment_stands():
    steered = msgspec.json.encode({**BODIES["openai-chat"], "models": ["dear"]})
    body, _ = sent("openai-chat", steered, models=["cheap-too"])
    assert body["models"] == ["cheap-too"]


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.lists(st.text())))
def test_all_else_stays_as_it_is(fields: dict[str, object]):
    kept = {name: value for name, value in fields.items() if name not in FIELDS}
    body = msgspec.json.encode(kept)
    assert without_steering(body) == (body, ())


ADVISOR = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-6"}
OWN = {"type": "function", "function": {"name": "f", "parameters": {"model": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("fields", "is_named"),
    [
        ({"tools": [OWN, ADVISOR]}, True),
        ({"tools": [{"type": "openrouter:advisor", "parameters": {"model": "a/b"}}]}, True),
        ({"plugins": [{"id": "fusion", "analysis_models": ["a/b"]}]}, True),
        ({"input": [{"type": "additional_tools", "tools": [ADVISOR]}]}, True),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [OWN, ADVISOR]}]}, True),
        ({"tools": [OWN, {"type": "namespace", "name": "n", "tools": [OWN]}]}, False),
        ({"tools": [{"name": "f", "input_schema": {"model": {}}}]}, False),
        ({"tools": [{"type": "web_search", "max_uses": 2}], "model": "m", "input": "model"}, False),
        ({"tools": "odd", "plugins": {"model": 1}, "input": [1, None]}, False),
    ],
)
def test_a_tool_that_names_a_model_is_seen(fields: dict[str, object], is_named: bool):
    assert names_model(msgspec.json.encode(fields)) is is_named
