"""Key window: a cache, played over a log: which request would have found which answer."""

from collections import OrderedDict

import msgspec

from pointsman.cache.memory import is_fresh
from pointsman.compare.told_answers import ToldAnswer

KEYS_MAX = 50_000


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What a cache keeps of an answer. None: when it was written, or what it said, is not known."""

    written_s: float | None = None
    answer: ToldAnswer | None = None


class KeyWindow:
    """The keys of the answers a cache would hold, at most `keys_max`, the least used go first.

    `ttl_s` None: they never age. `dropped` counts the keys that had to make room.
    """

    def __init__(self, *, ttl_s: float | None, keys_max: int = KEYS_MAX) -> None:
        self.dropped = 0
        self._ttl_s = ttl_s
        self._keys_max = keys_max
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def find(self, key: bytes, at_s: float | None) -> Kept | None:
        """Return the fresh answer that is there. Where either time is not known, it is fresh."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        is_old = (
            self._ttl_s is not None
            and at_s is not None
            and kept.written_s is not None
            and not is_fresh(kept.written_s, now_s=at_s, ttl_s=self._ttl_s)
        )
        if is_old:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep an answer under a key."""
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > self._keys_max:
            self._kept.popitem(last=False)
            self.dropped += 1
