"""Whatever comes as a body: an answer, or a refusal that is the client's to read; never a fault."""

import json
from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.server.doors import CHAT, chat_body, opened

ODD_NUMBERS = st.sampled_from(["-0", "1E5", "1.0", "0.1e1", "9" * 60, "NaN", "-1"])
ODD_STRINGS = st.sampled_from(['"\\ud800"', '"\\u0000"', '"\\/"', '"\U0001f682"', '""', '"auto"'])
LEAVES = st.one_of(ODD_NUMBERS, ODD_STRINGS, st.sampled_from(["null", "true", "[]", "{}"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]"),
        st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "id", "function", "json_schema"]),
            inner,
            max_size=3,
        ).map(lambda d: "{" + ",".join(f'"{k}":{v}' for k, v in d.items()) + "}"),
    ),
    max_leaves=8,
)
FIELDS = (
    "model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "tools",
    "functions", "response_format", "n", "temperature", "user", "mod\\u0065l", "x",
)  # fmt: skip
MEMBERS = st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), max_size=4)


def body_of(members: list[tuple[str, str]]) -> bytes:
    """Return a sound chat body with members before and after its own, twice perhaps."""
    sound = chat_body().decode()[1:-1]
    written = [f'"{name}" : {value}' for name, value in members]
    half = len(written) // 2
    return ("{" + ", ".join([*written[:half], sound, *written[half:]]) + "}").encode()


async def statuses(bodies: Iterable[bytes], paths: Iterable[str]) -> set[int]:
    """Return the statuses of every body at every path; each refusal is in OpenAI's shape."""
    seen = set()
    async with opened() as client:
        for path, body in product(paths, list(bodies)):
            reply = await client.ask("POST", path, body)
            seen.add(reply.status)
            if reply.status != 200:
                reply.error()
    return seen


@given(many=st.lists(MEMBERS, min_size=1, max_size=10))
@example(many=[[("stream_options", "null"), ("stream", "true")]])
@example(many=[[("stream", "true"), ("stream_options", '{"include_usage":null,"x":1}')]])
@settings(max_examples=25)
async def test_odd_members_are_answered_or_refused(many: list[list[tuple[str, str]]]):
    assert await statuses(map(body_of, many), [CHAT, "/v1/decide"]) <= {200, 400, 404}


@given(
    tears=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 30),
            st.text(max_size=4) | st.sampled_from(['"', "{", "[", "\\", "\0", "\ufeff"]),
        ),
        min_size=1,
        max_size=10,
    )
)
@settings(max_examples=25)
async def test_a_torn_body_is_answered_or_refused(tears: list[tuple[int, int, str]]):
    whole = body_of([("tools", '[{"type":"function"}]'), ("stream", "true")])
    torn = [
        whole[: min(at, len(whole))] + put.encode("utf-8", "replace") + whole[at + cut :]
        for at, cut, put in tears
    ]
    paths = [CHAT, "/v1/decide", "/v1/feedback"]
    assert await statuses(torn, paths) <= {200, 400, 404}


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(b'"x": 1e400', id="a number out of range"),
        pytest.param(b'"x": "\xff"', id="no UTF-8 in a value that is not read"),
        pytest.param(b'"\xff": 1', id="no UTF-8 in a name"),
    ],
)
async def test_what_only_the_cache_reads_is_refused_as_well(member: bytes):
    body = chat_body()[:-1] + b", " + member + b"}"
    assert await statuses([body], [CHAT]) == {400}


@given(
    many=st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=30), max_size=4),
        min_size=1,
        max_size=10,
    )
)
@settings(max_examples=25)
async def test_any_tags_session_and_tier_are_taken_or_refused(many: list[dict[str, str]]):
    async with opened() as client:
        for values in many:
            stated = ",".join(f"{name}={value}" for name, value in values.items())
            sent = stated.encode("utf-8", "replace").decode("latin-1")
            headers = {"x-pointsman-tags": sent, "x-pointsman-session": sent}
            assert (await client.chat(headers=headers)).status in {200, 400}
        for row in client.pipeline.stores.ledger.rows():
            assert isinstance(json.loads(row.intent.tags), dict)
