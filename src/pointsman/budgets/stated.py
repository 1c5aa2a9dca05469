"""Stated: which budgets a request counts in, of the configuration's and of its key's grant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from pointsman.budgets.settings import BudgetSettings, NearEnd, SpendSettings
from pointsman.core.budgets import ALL, TAG, Budget, Window, key_scope, tag_of, tightened
from pointsman.core.prices import nanousd_from_usd
from pointsman.core.types import Caller


@dataclass(frozen=True, slots=True)
class Budgets:
    """What the configuration says of budgets. `keys` go by the key's name, `tags` by (name, value).

    `every` has one budget at most for each window.
    `webhook_url` may be a secret: it is told nowhere.
    """

    every: tuple[Budget, ...] = ()
    keys: Mapping[str, tuple[Budget, ...]] = field(default_factory=dict)
    tags: Mapping[tuple[str, str], tuple[Budget, ...]] = field(default_factory=dict)
    near_end: NearEnd = "deny"
    warn_share: float = 0.8
    webhook_url: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: BudgetSettings, env: Mapping[str, str]) -> Self:
        """Return the budgets of checked settings."""
        whole = SpendSettings(daily_usd=settings.daily_usd, monthly_usd=settings.monthly_usd)
        tags = {name: f"{TAG}:{name}" for name in settings.tags}
        return cls(
            every=_budgets(ALL, whole),
            keys={name: _budgets(key_scope(name), s) for name, s in settings.keys.items()},
            tags={tag_of(tags[name]): _budgets(tags[name], s) for name, s in settings.tags.items()},
            near_end=settings.near_end,
            warn_share=settings.warn_share,
            webhook_url=env.get(settings.webhook_env, "") if settings.webhook_env else "",
        )

    def of_caller(self, caller: Caller) -> tuple[Budget, ...]:
        """Return every budget that a request of this caller counts in; the smaller of two alike."""
        if not caller.tenant and not self.tags:
            return self.every
        grant, found = caller.grant, list(self.every)
        if caller.tenant:
            scope = key_scope(caller.tenant)
            found += self.keys.get(caller.tenant, ())
            found += _of(scope, day_nanousd=grant.day_nanousd, month_nanousd=grant.month_nanousd)
        if self.tags:
            found += (budget for tag in caller.tags for budget in self.tags.get(tag, ()))
        return tightened(found) if len(found) > len(self.every) else self.every

    @property
    def stated(self) -> tuple[Budget, ...]:
        """Return all that the configuration states, the whole's first."""
        parts = (*self.keys.values(), *self.tags.values())
        return (*self.every, *(budget for part in parts for budget in part))


def _budgets(scope: str, spend: SpendSettings) -> tuple[Budget, ...]:
    return _of(
        scope, day_nanousd=_nanousd(spend.daily_usd), month_nanousd=_nanousd(spend.monthly_usd)
    )


def _of(scope: str, *, day_nanousd: int | None, month_nanousd: int | None) -> tuple[Budget, ...]:
    windows: tuple[tuple[Window, int | None], ...] = (
        ("day", day_nanousd),
        ("month", month_nanousd),
    )
    return tuple(Budget(scope, window, most) for window, most in windows if most is not None)


def _nanousd(usd: float | None) -> int | None:
    return None if usd is None else nanousd_from_usd(Decimal(str(usd)))
