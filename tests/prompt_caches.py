"""Prompt caches as providers document them, for one conversation: what calls find and cost."""

from pointsman.core.prices import cost_nanousd
from pointsman.core.prompt_cache import PREFIX_TOKENS_MIN
from pointsman.core.types import Deployment, Snapshot
from pointsman.core.usage import Usage


class CacheWorld:
    """A prefix is found again, whole, until nobody has read it for the provider's lifetime.

    It is charged at the cached rate, and what is new at the rate of a write where there is one.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._deployments = {tier.name: tier.deployments[0] for tier in snapshot.tiers}
        self._read: dict[str, tuple[int, float]] = {}

    def call(self, tier: str, *, context: int, new: int, output: int, now_s: float) -> Usage:
        """Return the usage of a call, whose whole context and answer are then in the cache.

        `context`: tokens of what was said before; `new`: of what this call adds.
        """
        deployment = self._deployments[tier]
        tokens, at_s = self._read.get(tier, (0, float("-inf")))
        is_kept = now_s - at_s <= deployment.prompt_cache_s and tokens >= PREFIX_TOKENS_MIN
        cached = min(tokens, context) if is_kept else 0
        self._read[tier] = (context + new + output, now_s)
        return Usage(
            input_tokens=context + new,
            cached_input_tokens=cached,
            cache_write_tokens=context + new - cached if _is_written(deployment) else 0,
            output_tokens=output,
        )

    def cost_nanousd(self, tier: str, usage: Usage) -> int:
        """Return what a call of a tier costs."""
        price = self._deployments[tier].price
        assert price is not None, "a world has prices"
        return cost_nanousd(usage, price)


def _is_written(deployment: Deployment) -> bool:
    price = deployment.price
    return price is not None and price.cache_write_nanousd_per_mtok > price.input_nanousd_per_mtok
