"""Environment: the keys that are set there. They need no store, and only a restart changes them."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from pointsman.access import ADMIN_NAME
from pointsman.access.secret import digest, random_bytes
from pointsman.core.errors import ConfigError
from pointsman.core.grants import EVERYTHING, Grant, Scope
from pointsman.core.secret import SecretBytes

API_KEYS_ENV = "POINTSMAN_API_KEYS"
ADMIN_KEY_ENV = "POINTSMAN_ADMIN_KEY"

_NAME_DIGITS = 8
_KEY_CHARS_MIN = 8
_ADMIN = Grant(scopes=frozenset(Scope))


class StatedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The environment's keys: from digest to name and grant. `pepper` is this process's own."""

    pepper: bytes
    by_digest: Mapping[bytes, tuple[str, Grant]]

    @property
    def names(self) -> frozenset[str]:
        """Return the names that they have."""
        return frozenset(name for name, _ in self.by_digest.values())


def stated_keys(env: Mapping[str, str]) -> StatedKeys:
    """Return the clients' keys, `key,key` or `name:key,name:key`, and the admin's.

    An unnamed key is called by the start of its SHA-256, so that it keeps its name. Raises
    ConfigError for a key that is too short or that no header can hold, for a name or a key that
    comes twice, and where a variable that is set holds no key.
    """
    pepper = SecretBytes(random_bytes())
    found: dict[bytes, tuple[str, Grant]] = {}
    stated = env.get(API_KEYS_ENV, "")
    for part in filter(None, (part.strip() for part in stated.split(","))):
        name, _, key = part.rpartition(":")
        _check(key, API_KEYS_ENV)
        _add(found, digest(key, pepper), (name or _name_of(key), EVERYTHING), API_KEYS_ENV)
    if stated and not found:
        raise ConfigError(f"{API_KEYS_ENV}: is set and holds no key; set one, or unset it")
    if admin := env.get(ADMIN_KEY_ENV, ""):
        _check(admin.strip(), ADMIN_KEY_ENV)
        _add(found, digest(admin.strip(), pepper), (ADMIN_NAME, _ADMIN), ADMIN_KEY_ENV)
    return StatedKeys(pepper=pepper, by_digest=found)


def has_stated_keys(env: Mapping[str, str]) -> bool:
    """Return whether the environment keeps strangers out."""
    return any(env.get(name, "").strip() for name in (API_KEYS_ENV, ADMIN_KEY_ENV))


def _add(
    found: dict[bytes, tuple[str, Grant]], made: bytes, whose: tuple[str, Grant], variable: str
) -> None:
    if made in found:
        raise ConfigError(f"{variable}: a key comes twice; each name has its own")
    if whose[0] in (name for name, _ in found.values()):
        raise ConfigError(f'{variable}: the name "{whose[0]}" comes twice; rename one')
    found[made] = whose


def _check(key: str, variable: str) -> None:
    if len(key) < _KEY_CHARS_MIN:
        raise ConfigError(
            f"{variable}: a key has fewer than {_KEY_CHARS_MIN} characters; use a long random one"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{variable}: a key is not all ASCII; renew it")


def _name_of(key: str) -> str:
    return f"key-{sha256(key.encode()).hexdigest()[:_NAME_DIGITS]}"
