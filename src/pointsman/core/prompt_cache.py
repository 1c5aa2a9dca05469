"""Prompt caches: what providers' own caches have been seen to hold, by model, idle time and size.

Learned from the cached tokens that upstreams report on a conversation's later turns. Before any
report, what the provider's documentation says stands in. Time is passed in, in seconds.
"""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Sequence

import msgspec

from pointsman.core.types import Deployment, Tier

# Prefixes shorter than this are not cached. Source: OpenAI, "Prompt caching" (1,024 tokens);
# Anthropic, "Prompt caching" (1,024 for most models, more for some); Google, "Context caching"
# (1,024 at the least), all read 2026-11-23. A report of another kind outweighs it.
PREFIX_TOKENS_MIN = 1024

# Idle times that are learned apart: a minute; the lifetimes of five minutes and of an hour that
# providers document, a half-way mark between them, and what lies beyond.
_IDLE_BOUNDS_S = (60.0, 300.0, 900.0, 3600.0)
_REPORTS_MAX = 8
# A provider that says nothing of its cache is taken to keep it for an hour, the longest that the
# documented ones hold a prefix for by default: whoever leaves it then counts on losing more.
_LIFETIME_S = 3600.0
_KEPT_MAX = 4096
_RETENTION_FIELD = "prompt_cache_retention"


class PromptCaches:
    """The latest reports of each model, by idle time and size. One learns, any number may ask."""

    def __init__(self) -> None:
        self._reports: OrderedDict[tuple[str, int, bool], deque[float]] = OrderedDict()

    def note(self, deployment: str, idle_s: float, *, prefix_tokens: int, cached: int) -> None:
        """Take a report: of a prefix that the model had read `idle_s` ago, `cached` were hits."""
        if prefix_tokens <= 0:
            return
        key = _key(deployment, idle_s, prefix_tokens)
        reports = self._reports.setdefault(key, deque(maxlen=_REPORTS_MAX))
        reports.append(min(1.0, cached / prefix_tokens))
        self._reports.move_to_end(key)
        if len(self._reports) > _KEPT_MAX:
            self._reports.popitem(last=False)

    def most(self, deployment: Deployment, idle_s: float, prefix_tokens: int) -> float:
        """Return the largest share (0..1) of a prefix that is likely to be cached still."""
        if self._reports:
            reports = self._reports.get(_key(deployment.id, idle_s, prefix_tokens))
            if reports:
                return max(reports)
        is_long = prefix_tokens >= PREFIX_TOKENS_MIN
        return 1.0 if is_long and idle_s <= kept_s(deployment) else 0.0

    def least(self, deployment: Deployment, idle_s: float, prefix_tokens: int) -> float:
        """Return the smallest share (0..1) that is, 0 as long as nothing was reported."""
        reports = self._reports.get(_key(deployment.id, idle_s, prefix_tokens))
        return min(reports) if reports else 0.0


def as_asked(tiers: Sequence[Tier], *, is_hour: bool, retention_s: float) -> Sequence[Tier]:
    """Return the tiers as they are for a request that asks for prefixes to be kept longer.

    `is_hour`: for an hour, which concerns the models that have a price for it. `retention_s`: for
    so long, in seconds, by OpenAI's fields, which concerns the models that are asked in its
    dialects; 0 for their own time. Whether each of these models heeds it is not known before it
    reports what was cached, so it is reckoned long.
    """
    if not is_hour and not retention_s:
        return tiers

    def asked(deployment: Deployment) -> Deployment:
        hourly = _lengthened(deployment) if is_hour else deployment
        return _retained(hourly, retention_s)

    return tuple(
        msgspec.structs.replace(tier, deployments=tuple(map(asked, tier.deployments)))
        for tier in tiers
    )


def kept_s(deployment: Deployment) -> float:
    """Return for how long a prefix that nobody reads may be kept, in seconds, reckoned long."""
    return deployment.prompt_cache_s or _LIFETIME_S


def _lengthened(deployment: Deployment) -> Deployment:
    price = deployment.price
    if price is None or price.long_cache_write_nanousd_per_mtok is None:
        return deployment
    return msgspec.structs.replace(
        deployment,
        prompt_cache_s=max(deployment.prompt_cache_s, _LIFETIME_S),
        price=msgspec.structs.replace(
            price, cache_write_nanousd_per_mtok=price.long_cache_write_nanousd_per_mtok
        ),
    )


def _retained(deployment: Deployment, retention_s: float) -> Deployment:
    if not deployment.dialect.startswith("openai") or _RETENTION_FIELD in deployment.drops:
        return deployment
    lifetime_s = max(kept_s(deployment), retention_s)
    return msgspec.structs.replace(deployment, prompt_cache_s=lifetime_s)


def _key(deployment: str, idle_s: float, prefix_tokens: int) -> tuple[str, int, bool]:
    is_long = prefix_tokens >= PREFIX_TOKENS_MIN
    return deployment, bisect_left(_IDLE_BOUNDS_S, idle_s), is_long
