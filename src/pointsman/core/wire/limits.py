"""Limits: what a JSON body may be like, checked before anything parses it.

Source of the figures: FAULTS, section 4. Each check has a sound short cut made of C-speed scans,
so that an ordinary body is never walked through.
"""

import re

from pointsman.core.errors import RequestError

BODY_BYTES_MAX = 32 * 1024 * 1024
DEPTH_MAX = 64
DIGITS_MAX = 64
KEYS_MAX = 10_000
MESSAGES_MAX = 4_096
TOOLS_MAX = 256
MODEL_CHARS_MAX = 256

# Digits become 0 and nothing else does, so a long number is a plain run of zeros to look for. One
# of more than 64 digits has at least four of them among each sixteenth byte of the body.
_DIGITS_AS_0 = bytes(0x30 if 0x30 <= code <= 0x39 else code | 0x80 for code in range(256))
_LONG_NUMBER = b"0" * (DIGITS_MAX + 1)
_SAMPLED = 16
_LONG_TEXT, _SELDOM = 16 * 1024, 100
_LONG_SAMPLE = b"0" * ((DIGITS_MAX + 1) // _SAMPLED)
# Possessive, and a string without an end takes the rest: nothing is ever read twice.
_TOKEN = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}:]|[0-9]{%d}' % (DIGITS_MAX + 1), re.DOTALL
)


def check_count(field: str, count: int, most: int) -> None:
    """Refuse a list with more than `most` entries. Raises RequestError naming the field."""
    if count > most:
        raise RequestError(f"{field} has {count} entries, the limit is {most}", param=field)


def check_model(model: str) -> None:
    """Refuse the name of a model that is too long. Raises RequestError."""
    if len(model) > MODEL_CHARS_MAX:
        raise RequestError(
            f"model has {len(model)} characters, the limit is {MODEL_CHARS_MAX}", param="model"
        )


def check_json(body: bytes) -> None:
    """Refuse a body that is no UTF-8, or nested too deep, or too wide, or has too long a number.

    What reads only a part of a body finds an odd byte late, or never. Raises RequestError (400)
    that names the limit.
    """
    if not body.isascii():
        _check_utf8(body)
    if _may_be_deep(body) or _may_be_wide(body) or _may_have_long_number(body):
        _walk(body)


def _may_be_deep(body: bytes) -> bool:
    return _count(body, b"{") + _count(body, b"[") > DEPTH_MAX


def _may_be_wide(body: bytes) -> bool:
    return len(body) > KEYS_MAX and _count(body, b":") > KEYS_MAX


def _count(body: bytes, byte: bytes) -> int:
    """Return how often a byte occurs; in a long text, where it is seldom, from one to the next.

    Looking for a byte takes a thirtieth of the time of counting it.
    """
    if len(body) > _LONG_TEXT:
        at = -1
        for found in range(_SELDOM):
            at = body.find(byte, at + 1)
            if at < 0:
                return found
    return body.count(byte)


def _may_have_long_number(body: bytes) -> bool:
    if _LONG_SAMPLE not in body[::_SAMPLED].translate(_DIGITS_AS_0):
        return False
    return _LONG_NUMBER in body.translate(_DIGITS_AS_0)


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"the request body is not JSON: byte {error.start} is no UTF-8; send text as UTF-8"
        ) from error


def _walk(body: bytes) -> None:
    keys = [0]
    for match in _TOKEN.finditer(body):
        match match[0][:1]:
            case b"{" | b"[":
                keys.append(0)
                if len(keys) > DEPTH_MAX + 1:
                    raise RequestError(
                        f"the body is nested deeper than {DEPTH_MAX} levels; send it flatter"
                    )
            case b"}" | b"]":
                if len(keys) > 1:
                    keys.pop()
            case b":":
                keys[-1] += 1
                if keys[-1] > KEYS_MAX:
                    raise RequestError(f"an object in the body has more than {KEYS_MAX} keys")
            case b'"':
                pass
            case _:
                raise RequestError(f"a number in the body has more than {DIGITS_MAX} digits")
