"""Settings: `[budgets]` of the configuration."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

NearEnd: TypeAlias = Literal["deny", "downgrade"]


class SpendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent in a UTC day and month; None sets no bound."""

    daily_usd: float | None = None
    monthly_usd: float | None = None


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent: on everything, by key name, and by tag as `name=value`.

    `near_end`: what becomes of a request past `warn_share` (0..1) of a budget, and of one that does
    not fit. `webhook_env`: the variable that holds the URL to tell, "" for none.
    """

    daily_usd: float | None = None
    monthly_usd: float | None = None
    near_end: NearEnd = "deny"
    warn_share: float = 0.8
    webhook_env: str = ""
    keys: Mapping[str, SpendSettings] = {}
    tags: Mapping[str, SpendSettings] = {}
