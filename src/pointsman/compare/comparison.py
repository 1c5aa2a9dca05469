"""Comparison: the result, one row per strategy, and what must be known to read it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from pointsman.core.types import CacheTier

# What `quality_note` says: some row has a quality, no label fits these tiers, or there is none.
MEASURED, NOT_KNOWN, NO_LABELS = "measured", "not known", "no labels"


class StrategyRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy would have cost over the whole log.

    `cost_nanousd` None: not known, because of `unpriced` requests (their model has no price) or
    `undecided` ones (the log has no prompt, and another policy decided). `cost_share` is the cost
    over the baseline's, None where either is not known or the baseline cost nothing.
    `is_cost_estimated`: some tokens are estimates, `estimated_tokens` of them. `quality` (a mean,
    0..1), `quality_share` (over the baseline's) and `quality_interval` (that one's, 95%) are over
    the `labelled` requests, which have an outcome for this row's model and the baseline's, and
    `unlabelled` ones have not; they are None without labels. Latencies are None where the log never
    measured a model that the strategy calls, and for a row `is_at_equal_cost`, which is worked out
    from sums to cost what the reference does. `cache` is the last tier of the cache that is looked
    into, "" for none. `saved_nanousd`: what the `cache_hits` would have cost as calls, None where
    that is not known; `is_saved_estimated` as the cost. `wrong_hits` of the `judged_hits` gave
    another answer than the right one; at most so many where `is_wrong_estimated`, for then recorded
    answers were compared and not labels.
    """

    strategy: str
    policy: str
    cache: CacheTier | Literal[""]
    cost_nanousd: int | None
    cost_share: float | None
    is_cost_estimated: bool
    estimated_tokens: int
    quality: float | None = None
    quality_share: float | None = None
    quality_interval: tuple[float, float] | None = None
    latency_mean_ms: float | None
    latency_p95_ms: float | None
    is_latency_estimated: bool
    cache_hits: int
    saved_nanousd: int | None = None
    is_saved_estimated: bool = False
    judged_hits: int = 0
    wrong_hits: int = 0
    is_wrong_estimated: bool = False
    unpriced: int
    undecided: int
    requests_by_tier: Mapping[str, int]
    labelled: int = 0
    unlabelled: int = 0
    is_at_equal_cost: bool = False

    @property
    def has_cache(self) -> bool:
        """Return whether answers are kept and given again."""
        return bool(self.cache)


class LogFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the log was like, in requests unless said otherwise.

    `compared` went into every row; `measured` of them have tokens counted by who served them.
    `unserved`: no deployment can serve them. `without_prompt`: only tokens are known.
    `without_text`: only what the policies read of it. `without_answer`: the output is assumed.
    `without_time`: they never age in the cache.
    `in_tool_loop`: they bring a tool's result; of `loops_unplaced` nothing says which conversation
    they belong to. `in_conversation`: that is known. `labelled`: outcomes are known.
    `not_repriced`: outcomes whose cost has no tokens to price anew. `lines_left_out` counts lines
    of a file, the first of which `lines_named` explains; `attempts_left_out` a ledger's attempts,
    by how they ended. `keys_dropped`: answers that the simulated caches had no room for.
    """

    compared: int
    measured: int
    unserved: int
    without_prompt: int
    without_answer: int
    without_time: int
    in_tool_loop: int
    without_text: int = 0
    loops_unplaced: int = 0
    in_conversation: int = 0
    labelled: int = 0
    not_repriced: int = 0
    lines_left_out: int
    lines_named: tuple[str, ...]
    attempts_left_out: Mapping[str, int]
    keys_dropped: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Every strategy over one log. `summary` and `notes` say in words what the figures mean.

    `reference`: the strategy whose cost the rows at equal cost spend. `best_single`: the model of
    the row of that name. `what_if`: the configuration that stands in for the real one, or "".
    `quality_proof`: what is proven of the quality that the policy `proof_of` keeps, both "" where
    no row's policy decides by the request. `quality_note`: "measured", or why no row has a quality.
    """

    baseline: str
    baseline_cost_nanousd: int | None
    is_baseline_estimated: bool
    rows: tuple[StrategyRow, ...]
    log: LogFacts
    reference: str = ""
    best_single: str = ""
    what_if: str = ""
    quality_note: str = NO_LABELS
    proof_of: str = ""
    quality_proof: str = ""
    summary: str = ""
    notes: tuple[str, ...] = ()
