"""Key window: the exact cache, played over a log: which request would have found an answer."""

from collections import OrderedDict

from pointsman.cache.memory import is_fresh

KEYS_MAX = 50_000


class KeyWindow:
    """The keys of the answers a cache would hold, at most `keys_max`, the least used go first.

    `ttl_s` None: they never age. `dropped` counts the keys that had to make room.
    """

    def __init__(self, *, ttl_s: float | None, keys_max: int = KEYS_MAX) -> None:
        self.dropped = 0
        self._ttl_s = ttl_s
        self._keys_max = keys_max
        self._written: OrderedDict[bytes, float | None] = OrderedDict()

    def has(self, key: bytes, at_s: float | None) -> bool:
        """Return whether a fresh answer is there. Where either time is not known, it is fresh."""
        if key not in self._written:
            return False
        written_s = self._written[key]
        is_old = (
            self._ttl_s is not None
            and at_s is not None
            and written_s is not None
            and not is_fresh(written_s, now_s=at_s, ttl_s=self._ttl_s)
        )
        if is_old:
            del self._written[key]
            return False
        self._written.move_to_end(key)
        return True

    def put(self, key: bytes, at_s: float | None) -> None:
        """Keep an answer's key."""
        self._written[key] = at_s
        self._written.move_to_end(key)
        if len(self._written) > self._keys_max:
            self._written.popitem(last=False)
            self.dropped += 1
