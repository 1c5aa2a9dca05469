"""Running server: what a command asks of the server of its configuration, on this machine."""

import http
import http.client
from collections.abc import Mapping
from contextlib import closing

from pointsman.access.environment import ADMIN_KEY_ENV
from pointsman.commands.run_command import check_running, client_key, server_root
from pointsman.config import Settings
from pointsman.core.errors import ConfigError

_ANSWER_S = 600.0
_TOLD_CHARS = 500


def is_running(settings: Settings) -> bool:
    """Return whether a pointsman answers there."""
    try:
        check_running(server_root(settings))
    except ConfigError:
        return False
    return True


def operator_key(env: Mapping[str, str]) -> str:
    """Return the admin's key, else a client's."""
    return env.get(ADMIN_KEY_ENV, "").strip() or client_key(env)


class ServerConnection:
    """A kept connection to the server, for one thread. Close it."""

    def __init__(self, settings: Settings, key: str) -> None:
        self._root = server_root(settings)
        self._key = key
        address = self._root.removeprefix("http://")
        self._connection = http.client.HTTPConnection(address, timeout=_ANSWER_S)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, Mapping[str, str], str]:
        """Return status, headers and the start of the body. Raises ConfigError."""
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        try:
            self._connection.request(method, path, body, headers)
            reply = self._connection.getresponse()
            text = reply.read().decode("utf-8", "replace")[:_TOLD_CHARS]
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, text
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConfigError(f"the server at {self._root} does not answer ({error!r})") from error

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def ask_server(settings: Settings, method: str, path: str, *, key: str) -> tuple[int, str]:
    """Return status and body of one request. Raises ConfigError."""
    with closing(ServerConnection(settings, key)) as connection:
        status, _, text = connection.ask(method, path)
    return status, text
