"""Discovery: which model servers answer on this machine, found by asking them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from pointsman.catalog import provider_rows
from pointsman.providers.http1.reading import Reading
from pointsman.providers.http1.writing import read_target

OLLAMA_HOST_ENV = "OLLAMA_HOST"

_TIMEOUT_S = 0.7
_REPLY_BYTES_MAX = 1_000_000
_PIECE_BYTES = 64 * 1024
_MODELS_MAX = 50
_OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answered `/v1/models`. `base_url` is as found; `models` are its own names."""

    provider: str
    base_url: str
    models: tuple[str, ...]


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: tuple[_Model, ...]


def local_addresses(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return where the catalogue's local servers listen, by provider; Ollama may say otherwise.

    Source: OLLAMA_HOST, https://docs.ollama.com/faq, read 2026-11-23: host, host:port or a URL.
    """
    addresses = {
        row.name: row.base_url
        for row in provider_rows().values()
        if urlsplit(row.base_url).hostname == "127.0.0.1"
    }
    if stated := env.get(OLLAMA_HOST_ENV, "").strip():
        addresses["ollama"] = _ollama_url(stated) or addresses["ollama"]
    return addresses


def find_servers(
    addresses: Mapping[str, str], *, timeout_s: float = _TIMEOUT_S
) -> tuple[LocalServer, ...]:
    """Return the servers that answer within `timeout_s` with at least one chat model."""
    return asyncio.run(_find_servers(addresses, timeout_s))


async def _find_servers(addresses: Mapping[str, str], timeout_s: float) -> tuple[LocalServer, ...]:
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_ask(provider, base_url, timeout_s))
            for provider, base_url in addresses.items()
        ]
    return tuple(server for task in asked if (server := task.result()) is not None)


async def _ask(provider: str, base_url: str, timeout_s: float) -> LocalServer | None:
    try:
        async with asyncio.timeout(timeout_s):
            body = await _get(f"{base_url}/models")
        listed = msgspec.json.decode(body, type=_Models).data
    except (TimeoutError, OSError, ValueError):
        return None  # nobody there, or somebody else
    names = (model.id for model in listed[:_MODELS_MAX])
    models = tuple(name for name in names if _is_chat_model(name))
    return LocalServer(provider, base_url, models) if models else None


async def _get(url: str) -> bytes:
    """Return what a GET of a URL brings. Raises ValueError where that is no whole answer of 200."""
    to, reply = read_target(url), Reading()
    stream, writer = await asyncio.open_connection(to.host, to.port, ssl=to.is_tls or None)
    try:
        asked = f"GET {to.path} HTTP/1.1\r\nhost: {to.authority}\r\nconnection: close\r\n\r\n"
        writer.write(asked.encode())
        while not (reply.is_whole or reply.fault) and len(reply.unread) < _REPLY_BYTES_MAX:
            piece = await stream.read(_PIECE_BYTES)
            if not piece:
                reply.end()
                break
            reply.feed(piece)
    finally:
        writer.close()
    if reply.status != 200 or not reply.is_whole:
        raise ValueError(reply.fault or f"status {reply.status}")
    return bytes(reply.unread)


def _is_chat_model(name: str) -> bool:
    is_usable = name.isascii() and name.isprintable() and " " not in name
    return bool(name) and is_usable and "embed" not in name.lower()


def _ollama_url(stated: str) -> str:
    """Return the base URL that OLLAMA_HOST means, "" where it makes no sense."""
    try:
        parts = urlsplit(stated if "://" in stated else f"http://{stated}")
        host, port = parts.hostname or "127.0.0.1", parts.port or _OLLAMA_PORT
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        return ""
    reachable = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 (not bound to)
    shown = f"[{reachable}]" if ":" in reachable else reachable
    return f"{parts.scheme}://{shown}:{port}/v1"
