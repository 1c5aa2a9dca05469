"""Secret: the part of a key that only its holder has, and what is kept in its place."""

import base64
import hashlib
import hmac
import secrets

# 256 bits (FAULTS, section 4). The prefix tells people, and scanners of leaked keys, whose it is.
PREFIX = "pm-"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a key that nobody can guess: `pm-` and 43 characters of base64url."""
    text = base64.urlsafe_b64encode(random_bytes()).decode("ascii")
    return PREFIX + text.rstrip("=")


def random_bytes() -> bytes:
    """Return 32 bytes that nobody can guess or has had before: a pepper, or a version's name."""
    return secrets.token_bytes(SECRET_BYTES)


def digest(secret: str, pepper: bytes) -> bytes:
    """Return the 32 bytes that stand for a secret: HMAC-SHA-256 under its store's own pepper.

    So the digests of one store say nothing in another.
    A fast hash is enough: what it is made of has 256 bits, so there is nothing to try out.
    """
    return hmac.digest(pepper, secret.encode("utf-8", "surrogateescape"), hashlib.sha256)


def is_same(one: bytes, other: bytes) -> bool:
    """Return whether two digests are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)
