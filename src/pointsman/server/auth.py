"""Auth: optional client keys from the environment. Only their digests are kept in memory."""

import hashlib
import hmac
from collections.abc import Mapping

from pointsman.config import API_KEYS_ENV
from pointsman.core.errors import ConfigError, Unauthorized

# Where clients put their key, in the order in which one is looked for: OpenAI's SDK and Claude
# Code's ANTHROPIC_AUTH_TOKEN, Anthropic's SDK, Google's, Azure's (`openai` 3.54, `anthropic` 2.12
# and `google-genai` 3.4, read 2026-11-23).
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")

_NAME_DIGITS = 8
_KEY_CHARS_MIN = 8


class Keyring:
    """The keys that may use the server, as SHA-256 digests, each with its tenant's name."""

    def __init__(self, stated: str) -> None:
        """Read `key,key` or `name:key,name:key`; an unnamed key is called by its digest's start.

        Raises ConfigError for a key that is too short or that no header can hold, for a name or a
        key that comes twice, and where what is stated holds no key at all.
        """
        self._tenants: dict[bytes, str] = {}
        for part in filter(None, (part.strip() for part in stated.split(","))):
            name, _, key = part.rpartition(":")
            if len(key) < _KEY_CHARS_MIN:
                raise ConfigError(
                    f"{API_KEYS_ENV}: a key has fewer than {_KEY_CHARS_MIN} characters; "
                    "use a long random one"
                )
            if not (key.isascii() and key.isprintable()):
                raise ConfigError(f"{API_KEYS_ENV}: a key is not all ASCII; renew it")
            digest = _digest(key)
            if digest in self._tenants:
                raise ConfigError(f"{API_KEYS_ENV}: a key comes twice; each name has its own")
            name = name or f"key-{digest.hex()[:_NAME_DIGITS]}"
            if name in self._tenants.values():
                raise ConfigError(f'{API_KEYS_ENV}: the name "{name}" comes twice; rename one')
            self._tenants[digest] = name
        if stated and not self._tenants:
            raise ConfigError(f"{API_KEYS_ENV}: is set and holds no key; set one, or unset it")

    @property
    def is_open(self) -> bool:
        """Return whether there are no keys, so that everybody who can connect may ask."""
        return not self._tenants

    def tenant(self, headers: Mapping[str, str]) -> str:
        """Return whose key the request has, "" when none is asked for.

        The first key of `KEY_HEADERS` holds, whatever the others say. Raises Unauthorized.
        """
        if self.is_open:
            return ""
        key = next(filter(None, (_key_in(headers, name) for name in KEY_HEADERS)), "")
        if not key:
            raise Unauthorized("no key was sent; send Authorization: Bearer <key>, or x-api-key")
        digest = _digest(key)
        found = ""
        for known, name in self._tenants.items():
            if hmac.compare_digest(known, digest):
                found = name
        if not found:
            raise Unauthorized("the key that was sent is not known here")
        return found


def _key_in(headers: Mapping[str, str], name: str) -> str:
    """Return the key in a header, "" where it has none; Authorization has one as a bearer only."""
    value = headers.get(name, "")
    if name != "authorization":
        return value.strip()
    scheme, _, given = value.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
