"""Budgets: what may be spent in a UTC day or month. Pure; the ledger does the adding up.

A request holds the most that its whole plan may cost before its first call, and gives back what it
did not spend. So what is settled and what is held never pass a limit (FAULTS, invariant 5).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

Window: TypeAlias = Literal["day", "month"]

_NS_PER_S = 1_000_000_000
_FORMATS: dict[Window, str] = {"day": "%Y-%m-%d", "month": "%Y-%m"}


class Budget(msgspec.Struct, frozen=True):
    """What a scope may spend in each window: "all", "key:<name>" or "tag:<name>=<value>"."""

    scope: str
    window: Window
    limit_nanousd: int


class Limit(msgspec.Struct, frozen=True):
    """A budget in the window of one moment: `window` is "2026-11-23" or "2026-11", in UTC."""

    scope: str
    window: str
    limit_nanousd: int


class Hold(msgspec.Struct, frozen=True):
    """What a request may cost at most, and what that is to be held from."""

    nanousd: int
    limits: tuple[Limit, ...]


class Spent(msgspec.Struct, frozen=True):
    """What is settled and held under a limit."""

    limit: Limit
    nanousd: int


def limits_at(budgets: Iterable[Budget], wall_ns: int) -> tuple[Limit, ...]:
    """Return the budgets' limits at a moment, in Unix nanoseconds.

    A window is known by its date, so a clock that jumps back and forth resets none of them.
    """
    at = datetime.fromtimestamp(wall_ns // _NS_PER_S, UTC)
    return tuple(
        Limit(budget.scope, at.strftime(_FORMATS[budget.window]), budget.limit_nanousd)
        for budget in budgets
    )
