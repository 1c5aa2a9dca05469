"""Access: who may ask, for what, and how fast. Virtual keys, kept beside the ledger.

A key's name is its tenant: caches, conversations, budgets and outcomes are kept apart by it. So a
name is given once and for ever; a revoked key's name finds no new owner, and neither do its data.
"""

import re
from typing import Protocol

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.grants import Grant

# Whose key `POINTSMAN_ADMIN_KEY` is; no other key may be called so.
ADMIN_NAME = "admin"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual key as it is kept: all but the secret, of which only `digest` is known.

    Times are Unix nanoseconds; None: never. `old_digest` is that of the secret before a rotation,
    taken until `old_until_ns`. `grant` None: what is kept of it cannot be read.
    """

    name: str
    digest: bytes
    grant: Grant | None
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    old_digest: bytes | None = None
    old_until_ns: int | None = None


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """All keys of a store at one moment. `pepper` is the store's own secret, b"" before any key.

    `version` differs whenever anything else does.
    """

    version: bytes
    pepper: bytes
    keys: tuple[Key, ...]


class KeyStore(Protocol):
    """Where virtual keys are kept. Its methods block; none is called on an event loop.

    All of them raise AuthUnavailable where the store cannot be read or written.
    """

    def version(self) -> bytes:
        """Return what changes whenever a key is made, revoked or rotated; b"" before any key."""

    def read(self) -> Keys:
        """Return all keys there are, revoked ones too, by name."""

    def create(self, name: str, grant: Grant, *, now_ns: int, expires_ns: int | None) -> str:
        """Make a key and return its secret, which is kept nowhere.

        Raises RequestError for a name that cannot be one, or that a key has or has had.
        """

    def rotate(self, name: str, *, now_ns: int, old_until_ns: int | None) -> str:
        """Give a key another secret and return that; the old one is taken until `old_until_ns`.

        None: it ends at once. An older one that still holds ends as well. Raises RequestError for a
        key that is not there, is revoked, or has expired.
        """

    def revoke(self, name: str, *, now_ns: int) -> Key:
        """End a key for ever and return it; one that is revoked stays as it was.

        Raises RequestError for a key that is not there.
        """

    def close(self) -> None:
        """Let go of the store."""


def check_name(name: str) -> None:
    """Raise RequestError for what cannot be a key's name, whoever makes the key.

    A name stands in headers, log lines, metrics and `[budgets.keys]`, so there is no character in
    it that means anything there, and no second way of writing it.
    """
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"key {name[:80]!r}: no name for a key; take 1 to 63 of a-z, 0-9, '.', '_' and '-',"
            " of which the first is a letter or a digit"
        )
    if name == ADMIN_NAME:
        raise RequestError(
            f'key "{ADMIN_NAME}": the name is that of POINTSMAN_ADMIN_KEY; choose another'
        )
