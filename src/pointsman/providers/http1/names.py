"""Names: where a host's name leads, looked up once a minute at most."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from pointsman.providers.addresses import Found, LookUp, is_address, look_up_public

KEPT_S = 60.0
_NAMES_MAX = 1024


@dataclass(slots=True)
class _Name:
    found: Sequence[Found] = ()
    until_s: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Names:
    """Looks names up with `found_by`. What is found for those that are not private is checked."""

    def __init__(self, found_by: LookUp) -> None:
        self._found_by = found_by
        self._names: OrderedDict[tuple[str, int, bool], _Name] = OrderedDict()

    async def find(self, host: str, port: int, *, is_private: bool) -> Sequence[Found]:
        """Return the addresses of a host; of what is an address already, that itself.

        Raises OSError, PrivateAddress among them, and UnicodeError for what can be no name.
        """
        if is_address(host):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return (Found(family, (host, port)),)
        loop, key = asyncio.get_running_loop(), (host, port, is_private)
        name = self._names.setdefault(key, _Name())
        if len(self._names) > _NAMES_MAX:
            self._names.popitem(last=False)
        async with name.lock:  # of many that ask at once, one looks it up
            if loop.time() >= name.until_s:
                if is_private:
                    name.found = await self._found_by(host, port)
                else:
                    name.found = await look_up_public(self._found_by, host, port)
                name.until_s = loop.time() + KEPT_S
            return name.found
