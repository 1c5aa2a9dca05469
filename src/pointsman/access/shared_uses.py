"""Shared uses: what every key uses over all workers of one server, in memory that they share.

The memory is an array of buckets, each of `_WAYS` keys: their digests side by side, then for each
its minute, and for each worker what it has in flight. A key is in the one bucket that its digest
names, where it has a place for as long as it uses anything: a bucket's lock is all that is needed.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

from pointsman.access.rates import IN_FLIGHT_RETRY_S, WINDOW_S, Minute, Use
from pointsman.core.errors import RateLimited
from pointsman.shared import Region

# So there is room for all of 8,000 keys that are at work in the same minute, but for one in a
# million (a bucket has 16 of them where 4 are expected).
_BUCKETS = 2_048
_WAYS = 16
_DIGEST_BYTES = 16
_FREE = bytes(_DIGEST_BYTES)
_SECONDS = WINDOW_S + 2
_WORD = struct.Struct("<Q")
_MOST = 2**63


class SharedUses:
    """Made before the fork, for so many workers; `seat` it in each of them."""

    def __init__(self, workers: int) -> None:
        self._row = struct.Struct(f"<{workers}Q")
        self._row_at = _WORD.size + 2 * _SECONDS * _WORD.size
        self._slot_bytes = self._row_at + self._row.size
        self._bucket_bytes = _WAYS * (_DIGEST_BYTES + self._slot_bytes)
        self._region = Region(_BUCKETS * self._bucket_bytes)
        self._here: dict[str, int] = {}
        self._at: dict[str, int] = {}
        self.seat(0)

    def seat(self, place: int) -> None:
        """Be the worker of a place from here on."""
        self._place, self._column = place, self._row_at + _WORD.size * place

    @contextmanager
    def of(self, tenant: str, now_s: float) -> Iterator[Use]:
        """Have what a key uses at hand, and let no other worker have it meanwhile."""
        digest = _digest(tenant)
        bucket = _bucket(digest)
        try:
            with self._region.locked(bucket):
                at = self._found(bucket, digest, now_s)
                here = self._here.get(tenant, 0)
                use = Use(self._minute(at), here, self._elsewhere(at))
                yield use
                self._write_minute(at, use.minute)
                if use.here != here:
                    self._note(tenant, at, use.here)
        except TimeoutError as error:
            raise _uncountable() from error

    def change(self, tenant: str, *, here: int, used: int = 0, now_s: float = 0.0) -> None:
        """Note what is in flight here, and what was used.

        A key with something in flight keeps its slot, and no other worker writes this one's part.
        """
        at = self._at.get(tenant)
        if at is not None:
            self._note(tenant, at, self._here[tenant] + here)
            here = 0
        if not here and not used:
            return
        with suppress(RateLimited), self.of(tenant, now_s) as use:
            use.here += here
            use.minute.used(now_s)  # so that it has no more seconds than there is room for
            use.minute.add(used, now_s)

    def forget(self, place: int) -> None:
        """Have nothing be in flight in a worker that has died."""
        column = self._row_at + _WORD.size * place
        for bucket in range(_BUCKETS):
            start = bucket * self._bucket_bytes
            digests = self._region.memory[start : start + _WAYS * _DIGEST_BYTES]
            if any(digests):
                with suppress(TimeoutError), self._region.locked(bucket):
                    for way in range(_WAYS):
                        _WORD.pack_into(self._region.memory, self._slot(bucket, way) + column, 0)

    def _note(self, tenant: str, at: int, here: int) -> None:
        if here > 0:
            self._here[tenant], self._at[tenant] = here, at
        else:
            del self._here[tenant], self._at[tenant]
        _WORD.pack_into(self._region.memory, at + self._column, min(here, _MOST))

    def _found(self, bucket: int, digest: bytes, now_s: float) -> int:
        """Return where a key's slot begins, taken now where it has none.

        Raises RateLimited where all of the bucket are in use.
        """
        memory = self._region.memory
        start = bucket * self._bucket_bytes
        digests = memory[start : start + _WAYS * _DIGEST_BYTES]
        found = digests.find(digest)
        while found % _DIGEST_BYTES and found >= 0:  # across two of them
            found = digests.find(digest, found + 1)
        if found >= 0:
            return self._slot(bucket, found // _DIGEST_BYTES)
        for way in range(_WAYS):
            at, place = self._slot(bucket, way), way * _DIGEST_BYTES
            if digests[place : place + _DIGEST_BYTES] == _FREE or self._is_idle(at, now_s):
                memory[at : at + self._slot_bytes] = bytes(self._slot_bytes)
                memory[start + place : start + place + _DIGEST_BYTES] = digest
                return at
        raise _uncountable()

    def _is_idle(self, at: int, now_s: float) -> bool:
        is_in_flight = any(self._row.unpack_from(self._region.memory, at + self._row_at))
        return not is_in_flight and not self._minute(at).used(now_s)

    def _slot(self, bucket: int, way: int) -> int:
        start = bucket * self._bucket_bytes + _WAYS * _DIGEST_BYTES
        return start + way * self._slot_bytes

    def _minute(self, at: int) -> Minute:
        (count,) = _WORD.unpack_from(self._region.memory, at)
        words = iter(struct.unpack_from(f"<{2 * count}Q", self._region.memory, at + _WORD.size))
        return Minute(zip(words, words, strict=True))

    def _elsewhere(self, at: int) -> int:
        row: tuple[int, ...] = self._row.unpack_from(self._region.memory, at + self._row_at)
        return sum(row) - row[self._place]

    def _write_minute(self, at: int, minute: Minute) -> None:
        seconds = minute.seconds[-_SECONDS:]
        words = [word for second, amount in seconds for word in (second, min(amount, _MOST))]
        struct.pack_into(f"<{1 + len(words)}Q", self._region.memory, at, len(seconds), *words)


def _digest(tenant: str) -> bytes:
    return blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _bucket(digest: bytes) -> int:
    return int.from_bytes(digest[:4]) % _BUCKETS


def _uncountable() -> RateLimited:
    return RateLimited(
        "the requests of this key cannot be counted at the moment; try again in 1 s",
        retry_after_s=IN_FLIGHT_RETRY_S,
    )
