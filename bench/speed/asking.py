"""Asking: one request to an address of this machine, and a port that is free there."""

import http.client
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(
    method: str, url: str, data: bytes, headers: Mapping[str, str], timeout_s: float = 20.0
) -> tuple[int, bytes]:
    """Send one request on a connection of its own; return status and body. Raises OSError."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)
    try:
        connection.request(method, address.path, data, dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
