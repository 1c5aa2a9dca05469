"""Shared memory store: one for all workers of a server. The oldest entries make room.

The memory is an index of buckets and, behind it, a ring of records. A record is written at the
ring's head, over the oldest ones, and then entered in its key's bucket. Positions only grow, so an
entry whose record has been written over is known by its position alone.

Who writes holds the region's lock. Who reads holds none: a record is checked against its checksum,
so one that is being written over, or that a killed process left unfinished, is a miss.
"""

import struct
import zlib

from pointsman.cache.memory import is_fresh
from pointsman.shared import Region

_HEAD = struct.Struct("<Q")
_WAYS = 8
_BUCKET = struct.Struct(f"<{_WAYS}Q")
_WAY = struct.Struct("<Q")
# The checksum of what follows: key, when it was written, the value's length; and then the value.
_RECORD = struct.Struct("<I32sdI")
_SUM = struct.Struct("<I")
_ALIGNED_BYTES = 8
# A way of a bucket holds 16 bits of the key over 48 bits of the position: for 256 TiB of answers.
_TAG_SHIFT = 48
_POSITION = (1 << _TAG_SHIFT) - 1
# One way for so many bytes: the index takes a 32nd of the memory, and is half full with entries of
# 500 bytes.
_BYTES_PER_WAY = 256


class SharedMemoryCache:
    """At most `bytes_max` bytes, index and all. Made before the fork.

    An entry is served for less than `ttl_s` seconds. A value of more than `entry_bytes_max` bytes,
    or of a quarter of the memory, is not kept. One that was written later is never replaced by one
    from earlier: that was read from a file while another worker had a new answer. What is read
    while it stands in the older half is written anew.
    """

    def __init__(self, bytes_max: int, ttl_s: float, *, entry_bytes_max: int) -> None:
        self._ttl_s = ttl_s
        ways = max(_WAYS, 1 << (bytes_max // _BYTES_PER_WAY // 2).bit_length())
        self._buckets = ways // _WAYS
        self._ring_at = _HEAD.size + ways * _WAY.size
        room = (bytes_max - self._ring_at) // _ALIGNED_BYTES * _ALIGNED_BYTES
        self._ring_bytes = room
        self._value_bytes_max = min(entry_bytes_max, room // 4 - _RECORD.size)
        self._region = Region(self._ring_at + room)
        self._memory = self._region.memory
        _HEAD.pack_into(self._memory, 0, room)  # so that no position is 0, which is no entry
        self._is_closed = False

    def get(self, key: bytes, *, now_s: float) -> bytes | None:
        """Return the value kept under `key`, None when there is none that is still fresh."""
        if self._is_closed:
            return None
        (head,) = _HEAD.unpack_from(self._memory)
        for _, position in self._entries(key, head):
            found = self._read(key, position)
            if found is not None:
                written_s, value = found
                if not is_fresh(written_s, now_s=now_s, ttl_s=self._ttl_s):
                    return None
                if position + self._ring_bytes // 2 < head:
                    self.put(key, value, now_s=written_s)
                return value
        return None

    def put(self, key: bytes, value: bytes, *, now_s: float) -> None:
        """Keep `value` for all workers, over what is oldest; a value too large is not kept."""
        if self._is_closed:
            return
        record = _RECORD.pack(0, key, now_s, len(value))[_SUM.size :] + value
        record = _SUM.pack(zlib.crc32(record)) + record
        try:
            with self._region.locked():
                self._put(key, record, now_s, is_kept=len(value) <= self._value_bytes_max)
        except TimeoutError:
            return  # it will be a miss

    def close(self) -> None:
        """Find nothing any more, here; the other workers do."""
        self._is_closed = True

    def _put(self, key: bytes, record: bytes, now_s: float, *, is_kept: bool) -> None:
        memory, ring_bytes = self._memory, self._ring_bytes
        (head,) = _HEAD.unpack_from(memory)
        way_at = None
        for at, position in self._entries(key, head):
            found = self._read(key, position)
            if found is not None:
                if found[0] > now_s and is_fresh(found[0], now_s=now_s, ttl_s=self._ttl_s):
                    return
                way_at = at
                _WAY.pack_into(memory, at, 0)
        if not is_kept:
            return
        size = -(-len(record) // _ALIGNED_BYTES) * _ALIGNED_BYTES
        if head % ring_bytes + size > ring_bytes:
            head += ring_bytes - head % ring_bytes  # a record is in one piece
        _HEAD.pack_into(memory, 0, head + size)
        at = self._ring_at + head % ring_bytes
        memory[at : at + len(record)] = record
        if way_at is None:
            way_at = self._oldest_way(key)
        tag, _ = self._place(key)
        _WAY.pack_into(memory, way_at, tag << _TAG_SHIFT | head)

    def _entries(self, key: bytes, head: int) -> list[tuple[int, int]]:
        """Return where in the index each entry stands that may be the key's, and its position."""
        tag, bucket_at = self._place(key)
        ways = _BUCKET.unpack_from(self._memory, bucket_at)
        oldest = max(head - self._ring_bytes, 1)
        return [
            (bucket_at + number * _WAY.size, way & _POSITION)
            for number, way in enumerate(ways)
            if way >> _TAG_SHIFT == tag and way & _POSITION >= oldest
        ]

    def _oldest_way(self, key: bytes) -> int:
        """Return where the entry of a key's bucket stands that may go first."""
        _, bucket_at = self._place(key)
        positions = [way & _POSITION for way in _BUCKET.unpack_from(self._memory, bucket_at)]
        return bucket_at + positions.index(min(positions)) * _WAY.size

    def _read(self, key: bytes, position: int) -> tuple[float, bytes] | None:
        """Return when a key's value was written, and it; None where that is not what is there."""
        at = position % self._ring_bytes
        if at + _RECORD.size > self._ring_bytes:
            return None
        start = self._ring_at + at
        checksum, found, written_s, length = _RECORD.unpack_from(self._memory, start)
        if found != key or at + _RECORD.size + length > self._ring_bytes:
            return None
        record = self._memory[start + _SUM.size : start + _RECORD.size + length]
        if zlib.crc32(record) != checksum:
            return None
        return written_s, record[_RECORD.size - _SUM.size :]

    def _place(self, key: bytes) -> tuple[int, int]:
        """Return a key's tag, and where its bucket begins."""
        number = int.from_bytes(key[:8])
        return number >> _TAG_SHIFT, _HEAD.size + number % self._buckets * _BUCKET.size
