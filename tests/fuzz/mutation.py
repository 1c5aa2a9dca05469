"""Mutation: inputs that are nearly sound. A parser's bugs live right beside what it accepts."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

INPUT_BYTES_MAX = 8 * 1024
# Values that readers forget about: of another type, empty, huge, or text that is not quite text.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, -(2**63), 2**64, 10**30, 0.5, 1e308, -0.0, "",
    " ", "\x00", "\ud800", "\u2028", "a" * 300, "[DONE]", "data:", "auto", "user", "assistant",
    "tool", "system", "text", "tool_use", "thinking", "image_url", "data:image/png;base64,AAAA",
    [], {}, [[]], [None], {"": None}, {"type": "text"}, {"type": "text", "text": None}, "1", "NaN",
)  # fmt: skip
_BYTES: tuple[bytes, ...] = (
    b"\r", b"\n", b"\r\n", b"\n\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b":", b",",
    b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud800", b"data: ", b"event: ", b"[DONE]", b"0\r\n\r\n",
    b"null", b"1e999", b"-0", b"99999999999999999999", b"\xf0\x9f\x98\x80", b"chunked", b";", b"\t",
)  # fmt: skip


def mutated(data: bytes, rng: Random, *, is_json: bool) -> bytes:
    """Return an input near `data`, of at most `INPUT_BYTES_MAX` bytes."""
    if is_json and rng.random() < 0.7:
        value = _parsed(data)
        if isinstance(value, dict | list):
            for _ in range(rng.choice((1, 1, 2, 4))):
                _change(value, rng)
            data = _written(value, rng)
            if rng.random() < 0.8:
                return data[:INPUT_BYTES_MAX]
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        data = _with_other_bytes(data, rng)
    return data[:INPUT_BYTES_MAX]


def crossed(data: bytes, other: bytes, rng: Random) -> bytes:
    """Return the beginning of one input and the end of another."""
    head, tail = rng.randint(0, len(data)), rng.randint(0, len(other))
    return (data[:head] + other[tail:])[:INPUT_BYTES_MAX]


def next_input(seeds: Sequence[bytes], rng: Random, *, is_json: bool) -> bytes:
    """Return an input made of one or two seeds."""
    data = rng.choice(seeds)
    if rng.random() < 0.1:
        data = crossed(data, rng.choice(seeds), rng)
    return mutated(data, rng, is_json=is_json)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _written(value: Any, rng: Random) -> bytes:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _change(value: dict[str, Any] | list[Any], rng: Random) -> None:
    """Change one place of decoded JSON, chosen by going down at random."""
    while True:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            _add(value, rng)
            return
        key = rng.choice(keys)
        below = value[key]
        if isinstance(below, dict | list) and below and rng.random() < 0.8:
            value = below
            continue
        match rng.randrange(6):
            case 0:
                del value[key]
            case 1:
                _add(value, rng)
            case 2 if isinstance(value, list):
                value.insert(rng.randint(0, len(value)), json.loads(json.dumps(below)))
            case 3 if isinstance(below, str) and below:
                cut = rng.randint(0, len(below))
                value[key] = below[:cut] + str(rng.choice(_ODD)) + below[cut:]
            case _:
                value[key] = _copy(rng.choice(_ODD))
        return


def _add(value: dict[str, Any] | list[Any], rng: Random) -> None:
    if isinstance(value, list):
        value.append(_copy(rng.choice(_ODD)))
    else:
        name = rng.choice((*value, "type", "content", "role", "x", ""))
        value[name] = _copy(rng.choice(_ODD))


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def _with_other_bytes(data: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    match rng.randrange(6):
        case 0:
            return data[:at] + data[at + rng.randint(1, 16) :]
        case 1:
            return data[:at] + rng.choice(_BYTES) + data[at:]
        case 2 if at < len(data):
            return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
        case 3:
            end = rng.randint(at, min(len(data), at + 64))
            return data[:end] + data[at:end] * rng.choice((1, 1, 2, 8)) + data[end:]
        case 4:
            return data[:at]
        case _:
            return data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at:]
