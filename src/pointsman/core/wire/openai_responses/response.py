"""Response: the object that an answer is, with what it repeats of the request."""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from pointsman.core.events import Started, TokenProb
from pointsman.core.types import Request
from pointsman.core.usage import Usage
from pointsman.core.wire.decoding import UNREADABLE

Object = dict[str, object]

# What OpenAI's own response says of a field that the request left out. Null stands for what only
# the model's provider could know.
_DEFAULTS: Mapping[str, object] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")
_ID_CHARS_MAX = 48


def repeated(request: Request) -> Mapping[str, object]:
    """Return the fields of a request that its response repeats, and their defaults.

    They hold no line ends, which would end a frame's data.
    """
    try:
        members = msgspec.json.decode(request.body, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        members = {}
    said = {
        name: _on_one_line(members[name])
        for name in _DEFAULTS
        if name in members and bytes(members[name]) != b"null"
    }
    return {**_DEFAULTS, **said, "store": False}


def plain_id(started: Started | None) -> str:
    """Return what the ids of a response and of its items are made of: the source's own id.

    The same source always gives the same ids; one that has none gives a digest of what there is.
    """
    said = started.id if started else ""
    cleaned = _NOT_ID.sub("", said.removeprefix("resp_"))[:_ID_CHARS_MAX]
    if cleaned:
        return cleaned
    seed = f"{started.created} {started.model} {said}" if started else ""
    return hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_CHARS_MAX]


def usage_object(usage: Usage) -> Object:
    """Return usage in this dialect's names."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def prob_object(prob: TokenProb) -> Object:
    """Return a token's log probability; where its bytes are not told, they are the text's own."""
    return {**_bare_prob(prob), "top_logprobs": [_bare_prob(other) for other in prob.others]}


def _bare_prob(prob: TokenProb) -> Object:
    utf8 = prob.token.encode("utf-8", "surrogatepass") if prob.utf8 is None else prob.utf8
    return {"token": prob.token, "bytes": list(utf8), "logprob": prob.logprob}


def _on_one_line(value: msgspec.Raw) -> msgspec.Raw:
    raw = bytes(value)
    if b"\n" not in raw and b"\r" not in raw:
        return value
    return msgspec.Raw(msgspec.json.format(raw, indent=-1))
