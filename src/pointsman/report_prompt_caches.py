"""What providers' prompt caches did, by deployment: what was read and written, and what that saved.

The tokens are the upstreams' own count. What they saved is estimated: the same tokens at the plain
input price less the same tokens as they were kept and read, both at the prices of now. It is below
0 where more was paid for writing than reading gave back. Of a provider that caches by itself it is
what its cache saved; of one that caches only what is marked, what the marks saved, ours and the
clients' own.
"""

from collections.abc import Iterable

import msgspec

from pointsman.core.decision import EMBEDDINGS
from pointsman.core.prices import Price, cost_nanousd
from pointsman.core.types import Tier
from pointsman.core.usage import Usage
from pointsman.ledger import Row


class PromptCacheUse(msgspec.Struct, kw_only=True):
    """One deployment's attempts that have ended with a usage, however they ended.

    `has_cache_marks`: as configured now. `estimated_saved_nanousd`: see this module's docstring;
    None where there is no price.
    """

    deployment: str
    has_cache_marks: bool
    attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    estimated_saved_nanousd: int | None = None

    @property
    def cached_share(self) -> float:
        """Return how much of the input was read from the cache, 0..1."""
        return min(1.0, self.cached_input_tokens / max(1, self.input_tokens))


class PromptCacheSums:
    """What is known after the rows so far."""

    def __init__(self, tiers: Iterable[Tier]) -> None:
        deployments = [it for tier in tiers for it in tier.deployments]
        self._prices = {it.id: it.price for it in deployments}
        self._marked = {it.id for it in deployments if it.has_cache_marks}
        self._uses: dict[str, PromptCacheUse] = {}

    def add(self, row: Row) -> None:
        """Count a row that called somebody to write a text."""
        usage, name = row.settlement.usage, row.intent.deployment
        is_call = row.settlement.outcome != "hit" and row.intent.policy != EMBEDDINGS
        if not is_call or not usage.input_tokens:
            return
        price = self._prices.get(name)
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = PromptCacheUse(
                deployment=name,
                has_cache_marks=name in self._marked,
                estimated_saved_nanousd=None if price is None else 0,
            )
        use.attempts += 1
        use.input_tokens += usage.input_tokens
        use.cached_input_tokens += usage.cached_input_tokens
        use.cache_write_tokens += usage.cache_write_tokens
        if use.estimated_saved_nanousd is not None:
            use.estimated_saved_nanousd += saved_nanousd(usage, price)

    def uses(self) -> tuple[PromptCacheUse, ...]:
        """Return the deployments whose prompts were cached or should have been, by tokens read."""
        told = (
            use
            for use in self._uses.values()
            if use.has_cache_marks or use.cached_input_tokens or use.cache_write_tokens
        )
        return tuple(sorted(told, key=lambda use: (-use.cached_input_tokens, use.deployment)))


def unkept(usage: Usage) -> Usage:
    """Return the usage as it would be if no prompt cache kept anything."""
    if not (usage.cached_input_tokens or usage.cache_write_tokens):
        return usage
    return msgspec.structs.replace(
        usage, cached_input_tokens=0, cache_write_tokens=0, long_cache_write_tokens=0
    )


def saved_nanousd(usage: Usage, price: Price | None) -> int:
    """Return what a prompt cache took off at a price, below 0 where it added; 0 without a price."""
    if price is None or not (usage.cached_input_tokens or usage.cache_write_tokens):
        return 0
    return cost_nanousd(unkept(usage), price) - cost_nanousd(usage, price)
