"""Features: facts about a request, read from it alone in one pass."""

import math

from pointsman.core.background import background_call
from pointsman.core.types import Caller, Features, Request

# Thousandths of a token for each byte of a class, of UTF-8: of a character of several bytes the
# first one counts alone. Fitted by least squares of the relative error to o200k_base (GPT-4o and
# later) and Gemma 3's tokenizer, and, English and code alone, to Anthropic's published one, over
# 4 kB pieces of this project's documents and sources, the standard library, C and TypeScript,
# JSON, tool definitions, 15 languages and blobs (2026-11-23), then rounded. How far it errs stands
# in docs/http.md, and tests/core/test_token_estimate.py measures it.
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
_PUNCTUATION = bytes(set(range(0x21, 0x7F)) - set(_LETTERS + _DIGITS))
_WEIGHTS: tuple[tuple[bytes, int], ...] = (
    (_LETTERS, 225),
    (b" ", 90),
    (_PUNCTUATION, 550),
    (b"\t\n\r", 1_000),
    (_DIGITS, 850),
    (bytes(range(0x80, 0xC0)), 0),  # the other bytes of a character
    (bytes((*range(0xC0, 0xCE), 0xE1)), 550),  # Latin beyond ASCII, its stacked accents too
    (bytes(range(0xCE, 0xD6)), 320),  # Greek, Cyrillic
    (bytes(range(0xD6, 0xE0)), 440),  # Hebrew, Arabic
    (b"\xe0", 340),  # the scripts of India, Thai, Lao
    (bytes((0xE2, 0xEE, 0xEF)), 1_500),  # dashes, arrows, signs
    (bytes(range(0xE3, 0xEA)), 620),  # kana, Han
    (bytes(range(0xEA, 0xEE)), 640),  # Hangul
    (bytes(range(0xF0, 0x100)), 2_500),  # emoji
)
# About 4 tokens around each message (OpenAI cookbook, "How to count tokens with tiktoken").
_TOKENS_PER_TURN = 4
# A low-detail image costs 85 tokens, a 1024x1024 one 765, at OpenAI ("Images and vision" guide).
_TOKENS_PER_IMAGE = 765
# JSON of tools' definitions has 3.5 to 3.9 bytes to a token (measured with the above).
_TOOLS_BYTES_PER_TOKEN = 3.7
# A file's bytes say little. A page of a PDF is 560 to 2,350 tokens (Hugging Face data set
# JOHNISKING/pdf-token-cost, 2026-10-18), and typeset some 8 kB, scanned 100 kB and more; text has
# 4 bytes to a token. This errs low, for what seems too large for every window is refused, while
# what turns out to be is only tried again with a larger one.
_FILE_BYTES_PER_TOKEN = 50

_PIECE_CHARS = 256 * 1024


def extract(request: Request) -> Features:
    """Return the facts that policies may use. Deterministic, linear in the text's length."""
    text = last_user_text(request)
    return Features(
        text=text,
        system=request.system,
        turns=len(request.turns),
        input_tokens=estimate_input_tokens(request),
        max_tokens=request.max_tokens,
        needs=request.needs,
        is_tool_loop=is_tool_loop(request),
        labels=_labels(request.caller),
        dialect=request.dialect,
        choices=request.choices,
        background=background_call(request),
        images=request.image_count,
        hidden_tokens_max=_hidden_tokens_max(request),
        has_unsized=request.has_unsized,
    )


def last_user_text(request: Request) -> str:
    """Return the last user turn's text, "" when there is none."""
    for turn in reversed(request.turns):
        if turn.role == "user":
            return turn.text
    return ""


def _labels(caller: Caller) -> tuple[str, ...]:
    """Return the groups that the caller states: the tag `route`, then whose key it is."""
    routes = [f"route:{value}" for name, value in caller.tags if name == "route"]
    return (*routes, f"key:{caller.tenant}") if caller.tenant else tuple(routes)


def is_tool_loop(request: Request) -> bool:
    """Return whether the request hands back a tool's result, so that the model goes on."""
    return bool(request.turns) and request.turns[-1].role in ("tool", "function")


def last_tool_call_ids(request: Request) -> tuple[str, ...]:
    """Return the ids of the latest tool calls in the conversation."""
    for turn in reversed(request.turns):
        if turn.tool_call_ids:
            return turn.tool_call_ids
    return ()


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, >= 0. Linear; half a millisecond for 100 kB.

    Reads piece by piece, for megabytes at once would let no other thread run.
    """
    pieces = range(0, len(text), _PIECE_CHARS)
    return -(-sum(_millitokens(text[start : start + _PIECE_CHARS]) for start in pieces) // 1000)


def estimate_input_tokens(request: Request) -> int:
    """Return about how many tokens the whole request sends."""
    texts = [request.system, *(turn.text for turn in request.turns)]
    return (
        estimate_tokens("\n".join(texts) if request.system else "\n".join(texts[1:]))
        + _TOKENS_PER_TURN * (len(request.turns) + bool(request.system))
        + _TOKENS_PER_IMAGE * request.image_count
        + math.ceil((request.tools_bytes + request.calls_bytes) / _TOOLS_BYTES_PER_TOKEN)
        + -(-request.file_bytes // _FILE_BYTES_PER_TOKEN)
        + request.given_tokens
    )


def _hidden_tokens_max(request: Request) -> int:
    """Return the most tokens of what can be measured, and the estimate counts low or not at all.

    A byte is a token at most, of a file of text as of the reasoning that a seal holds in base64.
    """
    return request.text_file_bytes + sum(map(len, request.signatures)) * 3 // 4


def _millitokens(text: str) -> int:
    left, sum_ = text.encode("utf-8", "surrogatepass"), 0
    for members, weight in _WEIGHTS:
        if not left:
            break
        others = left.translate(None, members)
        sum_ += (len(left) - len(others)) * weight
        left = others
    return sum_
