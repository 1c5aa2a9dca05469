"""Whatever a route is sent, what it answers is its own: no trace, no path, no name of our code."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.doors import opened

from pointsman.server.routes import ROUTES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)
NAMES = st.sampled_from(
    ["model", "messages", "input", "contents", "system", "tools", "stream", "max_tokens", "score",
     "request_id", "generationConfig", "instructions", "metadata", "role", "content"]
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(NAMES, JSON, max_size=6).map(lambda value: json.dumps(value).encode()),
)
# What a trace, or an error of Python's own, would have in it.
OURS = re.compile(
    rb"Traceback|File \\?\"|line \d+, in |\.py\b|site-packages|pointsman\.[a-z]+\.|<[a-z_.]+ object"
    rb"|\b(?:Key|Value|Type|Attribute|Index|Unicode\w+|Recursion)Error\b"
)
HEALTHY = {200, 400, 404, 405, 413, 415, 422, 429}


def paths() -> list[tuple[str, str]]:
    return [(route.method, path.replace("{model}", "auto")) for path, route in ROUTES.items()]


@given(BODIES)
@settings(max_examples=30)
async def test_no_route_shows_how_it_is_made(body: bytes):
    async with opened() as client:
        for method, path in paths():
            reply = await client.ask(method, path, body)
            assert reply.status in HEALTHY, (path, reply.body)
            if reply.status != 200:
                assert not OURS.search(reply.body), (path, reply.body)
                assert isinstance(json.loads(reply.body), dict)


async def test_a_probe_says_no_more_than_ok_or_not():
    async with opened(keys="a-key-of-mine") as client:
        for path in ("/health/live", "/health/ready"):
            reply = await client.ask("GET", path)
            assert (reply.status, len(reply.body) < 30) == (200, True), reply.body
            assert set(reply.headers) <= {
                "content-type", "content-length", "cache-control", "vary", "x-request-id",
            }, reply.headers  # fmt: skip
        client.app.services.is_draining = True
        reply = await client.ask("GET", "/health/ready")
        assert (reply.status, reply.error()["code"]) == (503, "draining")
