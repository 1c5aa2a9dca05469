"""Apart: reads a large body off the event loop, a small one where it is."""

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from pointsman.deciding import INLINE_BYTES_MAX

_Result = TypeVar("_Result")
_More = ParamSpec("_More")


async def read_apart(
    read: Callable[Concatenate[bytes, _More], _Result],
    body: bytes,
    *more: _More.args,
    **named: _More.kwargs,
) -> _Result:
    """Return what `read`, a pure function, makes of a body."""
    if len(body) > INLINE_BYTES_MAX:
        return await asyncio.to_thread(read, body, *more, **named)
    return read(body, *more, **named)
