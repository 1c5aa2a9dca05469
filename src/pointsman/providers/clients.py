"""Clients: which HTTP client carries the calls."""

from importlib.util import find_spec
from typing import assert_never, get_args

from pointsman.providers.addresses import LookUp, look_up
from pointsman.providers.http1.client import Http1Client
from pointsman.providers.http1.proxies import Proxies
from pointsman.providers.transport import HttpClient, Transport

CLIENTS: tuple[HttpClient, ...] = get_args(HttpClient)
_NO_PROXIES = Proxies()


def is_installed(client: HttpClient) -> bool:
    """Return whether what the client needs is there: aiohttp is an extra."""
    return client == "own" or find_spec("aiohttp") is not None


def open_transport(
    client: HttpClient,
    *,
    connect_s: float,
    look_up: LookUp = look_up,
    proxies: Proxies = _NO_PROXIES,
) -> Transport:
    """Return a transport. `connect_s`: until a connection is open; aiohttp's asks no proxies."""
    match client:
        case "own":
            return Http1Client(connect_s=connect_s, look_up=look_up, proxies=proxies)
        case "aiohttp":
            # It imports aiohttp as it loads, which is there for those alone who have asked for it.
            from pointsman.providers.over_aiohttp import AiohttpClient

            return AiohttpClient(connect_s=connect_s, look_up=look_up)
        case _:
            assert_never(client)
