"""Requests that may share an answer share a key, and no others do."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pointsman.core.cache_key import request_keys
from pointsman.core.errors import RequestError
from pointsman.core.types import Caller
from pointsman.core.wire import CODECS
from pointsman.core.wire.decoding import shape_members

CODEC = CODECS["openai-chat"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)
BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Be brief. 2.0, 1e5]"},
        {"role": "user", "content": "Grüße, 世界 😀"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [2.0]}}}],
    "response_format": {"type": "json_object"},
    "temperature": 1.0,
    "top_p": 0.5,
    "seed": 7,
    "max_tokens": 100,
    "stop": ["END"],
    "reasoning_effort": "low",
}


def key_of(body: bytes, *, tenant: str = "a", target: str = "t", params: str = "{}") -> bytes:
    request = CODEC.decode_request(body, Caller(tenant=tenant, request_id=str(random.random())))
    return request_keys(request, target=target, params=params).exact


def key(changes: dict[str, Any] | None = None, **options: str) -> bytes:
    return key_of(json.dumps({**BODY, **(changes or {})}).encode(), **options)


def canonical_json(value: Any) -> bytes:
    """Return what of a value goes into a key."""
    members = shape_members(json.dumps({"value": value}).encode())
    return msgspec.json.encode(members["value"], order="sorted")


def shuffled(value: Any, rng: random.Random) -> Any:
    """Return the same JSON in another order of keys, whole numbers now and then as floats."""
    match value:
        case dict():
            items = [(name, shuffled(item, rng)) for name, item in value.items()]
            rng.shuffle(items)
            return dict(items)
        case list():
            return [shuffled(item, rng) for item in value]
        case bool():
            return value
        case int() | float() if value == int(value) and abs(value) < 2**53:
            return rng.choice((int(value), float(value)))
        case _:
            return value


@given(extra=JSON, rng=st.randoms(), escapes=st.booleans(), indent=st.none() | st.integers(0, 3))
def test_how_the_same_json_is_written_does_not_matter(extra, rng, escapes, indent):
    body = {**BODY, "extra": extra}
    # A whole number of tokens: the codec refuses 100.0.
    written = json.dumps(
        shuffled(body, rng) | {"max_tokens": 100}, ensure_ascii=escapes, indent=indent
    )
    assert key_of(written.encode()) == key({"extra": extra})


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "someone"},
        {"metadata": {"a": "b"}},
        {"model": "another-alias"},
    ],
    ids="+".join,
)
def test_what_does_not_shape_the_answer_does_not_change_the_key(changes):
    assert key(changes) == key()


@given(
    name=st.sampled_from((*(name for name in BODY if name != "model"), "system", "never_heard_of")),
    number=st.integers(2, 2**70),
)
def test_whatever_shapes_the_answer_changes_the_key(name, number):
    assume(number not in (7, 100))
    changed = {
        "messages": [*BODY["messages"][:-1], {"role": "user", "content": f"Grüße, {number}"}],
        "system": [{"role": "system", "content": f"Be {number}."}, *BODY["messages"][1:]],
        "tools": [{"type": "function", "function": {"name": f"f{number}"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": f"n{number}"}},
        "max_tokens": number % 2**60 + 101,
        "stop": [f"END{number}"],
    }
    field = "messages" if name == "system" else name
    assert key({field: changed.get(name, number)}) != key()


@pytest.mark.parametrize("field", [name for name in BODY if name not in ("model", "messages")])
def test_leaving_out_what_shapes_the_answer_changes_the_key(field):
    rest = {name: value for name, value in BODY.items() if name != field}
    assert key_of(json.dumps(rest).encode()) != key()


PARTS = st.tuples(*[st.text(max_size=6)] * 3)


@given(one=PARTS, other=PARTS)
def test_tenant_target_and_parameters_cannot_be_shifted_into_each_other(one, other):
    assume(one != other)
    keys = [
        key(tenant=tenant, target=target, params=params) for tenant, target, params in (one, other)
    ]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("name", ["tenant", "target", "params"])
def test_another_tenant_target_or_parameters_have_another_key(name):
    one, other = {name: "x"}, {name: "xx"}
    assert key(None, **one) != key(None, **other)


def test_another_dialect_has_another_key():
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    one, other = (
        CODECS[dialect].decode_request(body, Caller()) for dialect in ("openai-chat", "anthropic")
    )
    assert CODECS[one.dialect].shape(one) == CODECS[other.dialect].shape(other)
    keys = [request_keys(request, target="", params="").exact for request in (one, other)]
    assert keys[0] != keys[1]


@given(value=JSON, other=JSON)
def test_keys_are_equal_where_the_json_is_equal(value, other):
    assert (key({"extra": value}) == key({"extra": other})) == same_json(value, other)


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2.0**64, 1e300])
def test_a_number_of_any_size_has_a_key_of_its_own(number):
    assert key({"seed": number}) == key({"seed": int(number)})
    assert key({"seed": number}) != key({"seed": int(number) + 1})


@given(value=JSON, other=JSON)
def test_canonical_json_is_equal_where_the_json_is_equal(value, other):
    assert (canonical_json(value) == canonical_json(other)) == same_json(value, other)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, b"1"),
        (-0.0, b"0"),
        (1e16, b"10000000000000000"),
        (1e22, b"10000000000000000000000"),
        (0.5, b"0.5"),
        (1e-7, b"1e-7"),
        (2**70, b"1180591620717411303424"),
        ([1.5e3, True], b"[1500,true]"),
        ("1.0]", b'"1.0]"'),
    ],
)
def test_numbers_have_one_way_of_writing(value, text):
    assert canonical_json(value) == text


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_a_number_that_nothing_can_hold_is_refused(number):
    with pytest.raises(RequestError, match="out of range"):
        shape_members(f'{{"value": [{number}]}}'.encode())


def same_json(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON; True is not 1, but 1.0 is."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(same_json(one[k], other[k]) for k in one)
        case list(), list():
            return len(one) == len(other) and all(map(same_json, one, other))
        case (bool(), _) | (_, bool()):
            return one is other
        case _:
            return bool(one == other)
