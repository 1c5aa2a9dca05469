"""How many answers a request asks for: a budget holds them all."""

import json

import pytest

from pointsman.core.features import extract
from pointsman.core.types import Caller
from pointsman.core.wire.gemini.request import decode_request as decode_gemini
from pointsman.core.wire.openai_chat.request import decode_request as decode_chat

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("n", "choices"),
    [(3, 3), (1, 1), (0, 1), (-5, 1), (2.5, 3), ("4", 4), (None, 1), ("many", 1), ([3], 1)],
)
def test_chat_says_it_in_n(n, choices):
    request = decode_chat(json.dumps(CHAT | {"n": n}).encode(), Caller())
    assert (request.choices, extract(request).choices) == (choices, choices)


def test_chat_that_says_nothing_asks_for_one():
    assert decode_chat(json.dumps(CHAT).encode(), Caller()).choices == 1


@pytest.mark.parametrize(("count", "choices"), [(3, 3), (1, 1), (0, 1), (None, 1)])
def test_gemini_says_it_in_its_candidates(count, choices):
    body = GEMINI | {"generationConfig": {"candidateCount": count}}
    request = decode_gemini(json.dumps(body).encode(), Caller(model="auto"))
    assert (request.choices, extract(request).choices) == (choices, choices)
