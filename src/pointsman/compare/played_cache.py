"""Played cache: one strategy's cache over a log, with all tiers up to its last.

What the canonical tier would learn from answers is not played: its hits are those of a cache that
has just been switched on.
"""

from collections import OrderedDict

from pointsman.cache.semantic.index import Index
from pointsman.compare.answer_keys import AnswerKeys, Asked
from pointsman.compare.key_window import Kept, KeyWindow
from pointsman.core.types import CacheTier, Decision

# One for each system prompt, history and setting. More are in use at once in few logs.
_INDEXES_MAX = 1_000


class PlayedCache:
    """Answers by what was asked and how it was decided. `keys`: shared by the caches of a log."""

    def __init__(self, tier: CacheTier, keys: AnswerKeys, *, ttl_s: float | None) -> None:
        self.window = KeyWindow(ttl_s=ttl_s)
        self._tier = tier
        self._keys = keys
        self._indexes: OrderedDict[bytes, Index] = OrderedDict()

    def find(self, asked: Asked, decision: Decision, at_s: float | None) -> Kept | None:
        """Return what is kept for a request."""
        kept = self.window.find(self._key(asked, decision), at_s)
        if kept is not None or self._tier != "canonical" or asked.text is None:
            return kept
        index = self._indexes.get(self._keys.key(asked.context, decision))
        found = None if index is None else index.find(asked.text)
        if found is None:
            return None
        assert isinstance(found.entry_id, bytes), "as put"
        return self.window.find(found.entry_id, at_s)

    def put(self, asked: Asked, decision: Decision, kept: Kept) -> None:
        """Keep an answer to a request."""
        key = self._key(asked, decision)
        self.window.put(key, kept)
        if self._tier != "canonical" or asked.text is None:
            return
        context = self._keys.key(asked.context, decision)
        index = self._indexes.pop(context, None) or Index()
        if index.add(asked.text, key) or len(index):
            self._indexes[context] = index  # behind all others
        if len(self._indexes) > _INDEXES_MAX:
            self._indexes.popitem(last=False)

    def _key(self, asked: Asked, decision: Decision) -> bytes:
        return self._keys.key(asked.exact if self._tier == "exact" else asked.normal, decision)
