"""Kept prompts: what has been asked in each context and is answered, found by what it asks.

Held in memory, by each process for itself. A context is all of a request but the text of its last
user turn, see `core.cache_key`, so no prompt ever meets one of another tenant, system prompt,
history, tier or setting.
"""

from collections import OrderedDict

from pointsman.cache.semantic.index import Index

# About 3 kB each, measured with tracemalloc over prompts of 10 words.
PROMPTS_MAX = 20_000


class KeptPrompts:
    """At most `prompts_max` prompts; those of the context that was not read for longest go first.

    For one event loop.
    """

    def __init__(self, prompts_max: int = PROMPTS_MAX) -> None:
        self._prompts_max = prompts_max
        self._indexes: OrderedDict[bytes, Index] = OrderedDict()
        self._count = 0

    @property
    def count(self) -> int:
        """Return how many prompts are held."""
        return self._count

    def find(self, context: bytes, text: str) -> bytes | None:
        """Return the key of the answer to a prompt that asks the same, None where none surely does.

        Whoever finds nothing under it any more removes it.
        """
        index = self._indexes.get(context)
        if index is None:
            return None
        self._indexes.move_to_end(context)
        found = index.find(text)
        return found.entry_id if found is not None and isinstance(found.entry_id, bytes) else None

    def add(self, context: bytes, text: str, key: bytes) -> None:
        """Hold a prompt; nothing of one whose answer is for nobody else, nor for tomorrow."""
        index = self._indexes.get(context)
        if index is None:
            index = self._indexes[context] = Index(self._prompts_max)
        self._indexes.move_to_end(context)
        before = len(index)
        index.add(text, key)
        self._count += len(index) - before
        if not len(index):
            del self._indexes[context]
        while self._count > self._prompts_max and len(self._indexes) > 1:
            _, oldest = self._indexes.popitem(last=False)
            self._count -= len(oldest)

    def remove(self, key: bytes) -> None:
        """Forget the prompts that lead to a key."""
        for context, index in tuple(self._indexes.items()):
            before = len(index)
            index.remove(key)
            self._count += len(index) - before
            if not len(index):
                del self._indexes[context]
