"""Decoding: JSON that came from a client or an upstream, or the error that it cannot be read."""

import math
from collections.abc import Callable
from typing import TypeVar

import msgspec

from pointsman.core.errors import RequestError, UpstreamBadResponse

# All that decoding bytes from outside can raise; `msgspec.DecodeError` covers what does not fit.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_Value = TypeVar("_Value")
_Data = TypeVar("_Data", bytes, msgspec.Raw)


def client_json(decode: Callable[[_Data], _Value], data: _Data) -> _Value:
    """Return what `decode` makes of a client's body, or of a part of it.

    Raises RequestError where that is no JSON, or does not fit.
    """
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        raise RequestError(f"the request body does not fit: {error}") from error
    except UNREADABLE as error:
        raise RequestError(f"the request body is not JSON: {error}") from error


def shape_members(body: bytes) -> dict[str, object]:
    """Return a client's body as the cache's key needs it: whole numbers are ints, 1.0 too.

    Raises RequestError for what is wrong in a field that nothing else reads.
    """
    return client_json(_members.decode, body)


def _number(literal: str) -> int | float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError("a number is out of range")
    return int(value) if value.is_integer() else value


_members = msgspec.json.Decoder(dict[str, object], float_hook=_number)


def upstream_json(decode: Callable[[bytes], _Value], data: bytes, what: str) -> _Value:
    """Return what `decode` makes of an upstream's bytes; `what` they are, such as "reply".

    Raises UpstreamBadResponse where that is no JSON, or does not fit.
    """
    try:
        check_text(data)
        return decode(data)
    except UNREADABLE as error:
        raise UpstreamBadResponse(f"the upstream's {what} cannot be read: {error}") from error


def check_text(data: bytes) -> None:
    """Refuse what is no UTF-8, also where no decoder looks: in what is passed on as it came.

    Raises UnicodeDecodeError.
    """
    if not data.isascii():
        data.decode()
