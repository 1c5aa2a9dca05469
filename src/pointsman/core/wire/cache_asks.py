"""Cache asks: for how long a request asks a provider's prompt cache to keep its prefix.

Source: platform.claude.com/docs/en/build-with-claude/prompt-caching, for the marks; openai 3.54,
its types of `prompt_cache_breakpoint`, `prompt_cache_retention` and `prompt_cache_options`; read
2026-11-23.
"""

import re
from collections.abc import Mapping

import msgspec

from pointsman.core.wire.decoding import client_json

# A mark as a member of the body: inside of a text or of arguments its quotes would be escaped. A
# tool's input or schema that has the very object in it is taken for one, and reckoned long.
_HOUR = b'"1h"'
_CONTROL = b'"cache_control"'  # to look for a long name takes half the time of a short one
_MARK = re.compile(rb'"cache_control"\s{0,9}:\s{0,9}\{[^{}]{0,200}"ttl"\s{0,9}:\s{0,9}"1h"')
_BREAKPOINT = b'"prompt_cache_breakpoint"'
_BREAKPOINT_MEMBER = re.compile(_BREAKPOINT + rb"\s{0,9}:\s{0,9}\{")

_LASTING_S: Mapping[str, float] = {"30m": 1_800.0, "12h": 43_200.0, "24h": 86_400.0}


def has_long_marks(body: bytes) -> bool:
    """Return whether a body has a `cache_control` mark with the lifetime of an hour."""
    return _CONTROL in body and _HOUR in body and _MARK.search(body) is not None


def has_breakpoints(body: bytes) -> bool:
    """Return whether a body has one of OpenAI's breakpoints, which elsewhere become such marks."""
    return _BREAKPOINT in body and _BREAKPOINT_MEMBER.search(body) is not None


def retention_s(retention: bytes, options: bytes) -> float:
    """Return the longest time, in seconds, that OpenAI's fields ask for; 0 where they ask for none.

    `retention`, `options`: `prompt_cache_retention` and `prompt_cache_options` as they stand in the
    body, b"" where they do not. What else they may hold is the provider's to judge. Raises
    RequestError for what is no JSON.
    """
    asked = (_decoded(retention), _ttl(_decoded(options)))
    return max(_LASTING_S.get(time, 0.0) if isinstance(time, str) else 0.0 for time in asked)


def _ttl(options: object) -> object:
    return options.get("ttl") if isinstance(options, dict) else None


def _decoded(raw: bytes) -> object:
    return client_json(msgspec.json.decode, raw) if raw else None
