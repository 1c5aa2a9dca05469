"""Keyring: whose key a request has. Asks memory, and looks into the store when that is old.

A key that is known costs two dictionary look-ups. What is known was read within the last second, so
a revocation holds within a second; a key that is not known is looked for in the store before it is
refused, at most ten times a second for all requests together. While the store cannot be read, what
was known is taken for another five minutes, and what was not is nobody's fault: a 503 and no 401
(FAULTS, row 24 and section 4).
"""

import asyncio
import logging
import math
from concurrent.futures import ThreadPoolExecutor

import msgspec

from pointsman.access import Key, Keys, KeyStore
from pointsman.access.environment import StatedKeys
from pointsman.access.secret import digest, is_same
from pointsman.clock import Clock
from pointsman.core.errors import AuthUnavailable, GatewayError, Unauthorized
from pointsman.core.grants import EVERYTHING, Grant
from pointsman.core.secret import unsaid

KNOWN_FOR_S = 1.0
LOOKS_APART_S = 0.1
SERVED_ON_S = 300.0
# A disk that hangs must not hang everybody who comes.
_LOOK_S_MAX = 1.0

log = logging.getLogger("pointsman")


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, "" for anybody, and what they may do."""

    tenant: str
    grant: Grant


ANYBODY = Admitted(tenant="", grant=EVERYTHING)


class Keyring:
    """The keys of the environment and those of a store, None where there is no store.

    For one event loop. With no key in either it is open: everybody is `ANYBODY`.
    """

    def __init__(self, stated: StatedKeys, store: KeyStore | None, clock: Clock) -> None:
        self._stated = stated
        self._store = store
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "pointsman-keys")
        self._known = _Known(Keys(version=b"", pepper=b"", keys=()))
        self._look: asyncio.Task[None] | None = None
        # When looks began, in monotonic seconds: the one under way, the last that has ended, and
        # the last that could read the store.
        self._began_s = self._looked_s = self._read_s = -math.inf
        self._is_failing = False
        self._has_had_any = False

    def known(self, sent: str) -> Admitted | None:
        """Return who has sent a key as `admit` does, None where that has to look it up first."""
        stated = self._stated.by_digest
        if stated and (whose := self._whose_stated(sent)) is not None:
            return whose
        if self._store is None or (stated and not sent):
            return self._refused(sent)
        if self._is_failing or self._looked_s < self._clock.monotonic_s() - KNOWN_FOR_S:
            return None
        found = self._known.find(sent)
        if found is not None:
            return self._admitted(*found)
        return None if sent and not self._is_open else self._refused(sent)

    async def admit(self, sent: str) -> Admitted:
        """Return who has sent a key, "" where none was sent.

        Raises Unauthorized for one that is not known, or no longer; AuthUnavailable where nobody
        can tell.
        """
        whose = self.known(sent)
        if whose is not None:
            return whose
        came_s = self._clock.monotonic_s()
        await self._look_since(came_s - KNOWN_FOR_S)
        found = self._known.find(sent)
        if found is None and sent and not self._is_open:
            await self._look_since(came_s)
            found = self._known.find(sent)
        if came_s - self._read_s > SERVED_ON_S:
            raise _unknowable()
        if found is not None:
            return self._admitted(*found)
        if self._is_failing and sent and not self._is_open:
            raise _unknowable()
        return self._refused(sent)

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._thread.submit(self._store.close)
        self._thread.shutdown(wait=False)

    @property
    def _is_open(self) -> bool:
        """Return whether there is no key and never was one.

        After a revocation it stays shut, and where another file, without keys, takes the store's
        place: a backup that is put back lets nobody in.
        """
        return not self._stated.by_digest and not self._has_had_any

    def _whose_stated(self, sent: str) -> Admitted | None:
        if not sent:
            return None
        made = digest(sent, self._stated.pepper)
        # All of them, so that the time it takes says nothing of any.
        found = [whose for known, whose in self._stated.by_digest.items() if is_same(known, made)]
        return Admitted(tenant=found[0][0], grant=found[0][1]) if found else None

    def _refused(self, sent: str) -> Admitted:
        """Return anybody where there are no keys at all. Raises Unauthorized."""
        if self._is_open:
            return ANYBODY
        if not sent:
            raise Unauthorized(
                "no key was sent; send it as Authorization: Bearer <key>, or in x-api-key, "
                "x-goog-api-key or api-key"
            )
        raise Unauthorized("the key that was sent is not known here")

    def _admitted(self, key: Key, is_old: bool) -> Admitted:
        """Return whose a stored key is. Raises Unauthorized or AuthUnavailable."""
        now_ns = self._clock.wall_ns()
        if key.revoked_ns is not None:
            raise Unauthorized("the key that was sent has been revoked; ask for another one")
        if key.expires_ns is not None and key.expires_ns <= now_ns:
            raise Unauthorized("the key that was sent has expired; ask for another one")
        if is_old and (key.old_until_ns is None or key.old_until_ns <= now_ns):
            raise Unauthorized("the key that was sent has been replaced; send the new one")
        if key.grant is None or key.name in self._stated.names:
            raise AuthUnavailable("what the key that was sent may do is not clear; see the log")
        return Admitted(tenant=key.name, grant=key.grant)

    async def _look_since(self, since_s: float) -> None:
        """Have the store looked into, at `since_s` or later, as far as it can be."""
        while self._looked_s < since_s:
            now_s = self._clock.monotonic_s()
            if self._look is None:
                wait_s = self._looked_s + LOOKS_APART_S - now_s
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
                    continue  # another request may have looked meanwhile
                self._began_s = now_s
                self._look = asyncio.create_task(self._look_up())
            left_s = self._began_s + _LOOK_S_MAX - now_s
            done, _ = await asyncio.wait((self._look,), timeout=max(0.0, left_s))
            if not done:
                self._fail("the store does not answer")
                return

    async def _look_up(self) -> None:
        """Read the keys where they are others than those known."""
        assert self._store is not None, "there is nothing to look into"
        known = None if self._read_s == -math.inf else self._known.version
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, _changed, self._store, known)
        except GatewayError as error:
            self._fail(error.message)
        except Exception as error:  # whatever a store raises, no key is wrong for that
            log.error("keys: looking them up failed in the server", exc_info=unsaid(error))
            self._fail(type(error).__name__)
        else:
            self._read_s = self._began_s
            if found is not None:
                self._known = _Known(found)
                self._has_had_any |= self._known.has_any
                self._known.tell_of_unusable(self._stated.names)
            if self._is_failing:
                self._is_failing = False
                log.warning("keys: the store can be read again")
        finally:
            self._looked_s, self._look = self._began_s, None

    def _fail(self, why: str) -> None:
        if not self._is_failing:
            log.error("keys: %s; those known are served for %.0f s", why, SERVED_ON_S)
        self._is_failing = True


class _Known:
    """The keys of a store at one moment, by the digests of their secrets."""

    def __init__(self, keys: Keys) -> None:
        self.version = keys.version
        self.pepper = keys.pepper
        self.has_any = bool(keys.keys)
        self._keys = keys.keys
        self._by_digest = {key.old_digest: key for key in keys.keys if key.old_digest is not None}
        self._by_digest |= {key.digest: key for key in keys.keys}

    def find(self, sent: str) -> tuple[Key, bool] | None:
        """Return the key of a secret, whether it holds or not, and whether that is its old one."""
        if not sent or not self.has_any:
            return None
        made = digest(sent, self.pepper)
        key = self._by_digest.get(made)  # by all 32 bytes of what nobody can choose
        if key is None:
            return None
        if is_same(made, key.digest):
            return key, False
        return (key, True) if is_same(made, key.old_digest or b"") else None

    def tell_of_unusable(self, stated: frozenset[str]) -> None:
        """Log which keys cannot be taken, and why."""
        for key in self._keys:
            if key.revoked_ns is None and key.grant is None:
                log.error('key "%s": its grant is damaged, or a newer pointsman\'s', key.name)
            if key.revoked_ns is None and key.name in stated:
                log.error('key "%s": the environment has one of this name; rename that', key.name)


def _changed(store: KeyStore, known: bytes | None) -> Keys | None:
    """Return the store's keys, None where they are still those of the version `known`."""
    return None if store.version() == known else store.read()


def _unknowable() -> AuthUnavailable:
    return AuthUnavailable(
        "the keys cannot be looked up at the moment; see the server's log", retry_after_s=1.0
    )
