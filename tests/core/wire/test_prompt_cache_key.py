"""OpenAI's key for the prompt cache: the same for what begins alike, and for nobody else."""

import json
from typing import Any

import msgspec
import pytest
from tests.core.builders import deployment, step

from pointsman.core.types import Caller
from pointsman.core.wire import CODECS
from pointsman.core.wire.prompt_cache_key import with_cache_key
from pointsman.providers.outgoing import written

LONG = "long " * 1_000
SYSTEM, ASKED = {"role": "system", "content": LONG}, {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "look"}}]


def key(tenant: str = "acme", *, said_in: str = "messages", **body: Any) -> Any:
    sent = json.dumps(body).encode()
    found = json.loads(with_cache_key(sent, tenant, said_in=said_in))
    made = found.pop("prompt_cache_key", None)
    assert found == body
    return made


def test_requests_that_begin_alike_have_one_key_however_long_they_grow():
    first = key(messages=[SYSTEM, ASKED], tools=TOOLS)
    answered = {"role": "assistant", "content": "hello"}
    assert key(messages=[SYSTEM, ASKED, answered, ASKED], tools=TOOLS, stream=True) == first
    assert key(messages=[SYSTEM, answered], tools=TOOLS) == first


def test_tenants_prompts_and_tools_have_keys_of_their_own():
    other = {"role": "system", "content": LONG + "!"}
    keys = [
        key(messages=[SYSTEM, ASKED]),
        key("other", messages=[SYSTEM, ASKED]),
        key(messages=[other, ASKED]),
        key(messages=[SYSTEM, ASKED], tools=TOOLS),
        key(said_in="input", instructions=LONG, input="hi"),
        key(said_in="input", input=[SYSTEM, ASKED], instructions="as said"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_key_tells_nobody_who_asks_or_what():
    made = key("acme", messages=[SYSTEM, ASKED])
    assert len(made) == 32 and set(made) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [SYSTEM, ASKED], "prompt_cache_key": "mine"},
        {"messages": [{"role": "system", "content": "short"}, ASKED]},
        {"messages": [{"role": "user", "content": LONG}]},
        {"messages": [], "user": LONG},
        {"messages": [{"role": 1, "content": LONG}]},
        {"messages": LONG},
    ],
    ids=["his own", "short", "nothing stable", "empty", "wrong role", "no list"],
)
def test_no_key_is_added(body: dict[str, Any]):
    sent = json.dumps(body).encode()
    assert with_cache_key(sent, "acme", said_in="messages") == sent


def test_a_request_of_another_dialect_gets_the_key_too_and_its_tenants_own():
    body = json.dumps({"model": "m", "max_tokens": 9, "system": LONG, "messages": [ASKED]}).encode()
    marked = msgspec.structs.replace(deployment("openai/gpt-5.4"), has_cache_marks=True)
    keys = set()
    for tenant in ("acme", "other"):
        request = CODECS["anthropic"].decode_request(body, Caller(tenant=tenant))
        keys.add(json.loads(written(request, step(marked)).body)["prompt_cache_key"])
        plain = written(request, step(deployment("openai/gpt-5.4")))
        assert b"prompt_cache_key" not in plain.body
    assert len(keys) == 2


@pytest.mark.parametrize("dialect", ["gemini", "openai-embeddings"])
def test_a_dialect_without_marks_sends_the_body_as_it_is(dialect: str):
    body = json.dumps({"input": LONG, "contents": [LONG]}).encode()
    assert CODECS[dialect].mark_body(body, "a-model", "acme") == body
