"""Budgets: what may be spent in a UTC day or month. Pure; the ledger does the adding up.

A request holds the most that its whole plan may cost before its first call, and gives back what it
did not spend. So what is settled and what is held never pass a limit (FAULTS, invariant 5).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from pointsman.core.errors import BudgetExceeded
from pointsman.core.prices import format_usd

Window: TypeAlias = Literal["day", "month"]

ALL, KEY, TAG = "all", "key", "tag"
# A billion USD: sums of a few such amounts still fit 64 bits.
NANOUSD_MAX = 10**18

_NS_PER_S = 1_000_000_000
_NS_PER_DAY = 86_400 * _NS_PER_S  # Unix time has no leap seconds
_MONTH_CHARS = len("2026-11")


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
    """What a request may cost at most, and what that is to be held from.

    `amounts`, in nano-USD: what would do, the most first; the first that fits all the limits is
    held. Several where a part of the plan would do too.
    """

    amounts: Sequence[int]
    limits: tuple[Limit, ...]


class Spent(msgspec.Struct, frozen=True):
    """What stands against a limit: `nanousd` by requests that have ended, `held_nanousd` by others.

    An attempt of which nobody can say what it was charged counts with its worst case.
    """

    limit: Limit
    nanousd: int
    held_nanousd: int

    @property
    def left_nanousd(self) -> int:
        """Return what may still be held."""
        return self.limit.limit_nanousd - self.nanousd - self.held_nanousd


class Held(msgspec.Struct, frozen=True):
    """What was taken of a hold, and what stands against each of its limits with it."""

    nanousd: int
    spent: tuple[Spent, ...]


def largest_fitting(amounts: Sequence[int], spent: Sequence[Spent]) -> int:
    """Return the first amount that fits. Raises BudgetExceeded that names what is tightest."""
    room = min((each.left_nanousd for each in spent), default=None)
    for amount in amounts:
        if room is None or amount <= room:
            return amount
    tightest = min(spent, key=lambda each: each.left_nanousd)
    limit = tightest.limit
    raise BudgetExceeded(
        f'budget "{limit.scope}" of {limit.window}: {format_usd(max(0, tightest.left_nanousd))} of'
        f" {format_usd(limit.limit_nanousd)} is left, and this request may cost"
        f" {format_usd(amounts[-1])}; ask for fewer max_tokens, wait for the next"
        f" {_name_of(limit.window)}, or raise the budget",
        scope=limit.scope,
        window=limit.window,
        left_nanousd=tightest.left_nanousd,
    )


def limits_at(budgets: Iterable[Budget], wall_ns: int) -> tuple[Limit, ...]:
    """Return the budgets' limits at a moment, in Unix nanoseconds.

    A window is known by its date, so a clock that jumps back and forth resets none of them.
    """
    return _limits(tuple(budgets), wall_ns // _NS_PER_DAY)


@lru_cache(maxsize=1_024)  # the same all day long
def _limits(budgets: tuple[Budget, ...], day_number: int) -> tuple[Limit, ...]:
    day, month = windows_at(day_number * _NS_PER_DAY)
    return tuple(
        Limit(
            budget.scope,
            day if budget.window == "day" else month,
            min(budget.limit_nanousd, NANOUSD_MAX),
        )
        for budget in budgets
    )


def tightened(budgets: Iterable[Budget]) -> tuple[Budget, ...]:
    """Return one budget for each scope and window: the smaller where two are stated."""
    least: dict[tuple[str, Window], Budget] = {}
    for budget in budgets:
        key = (budget.scope, budget.window)
        if key not in least or budget.limit_nanousd < least[key].limit_nanousd:
            least[key] = budget
    return tuple(least.values())


def scopes_of(key: str, tags: Mapping[str, str], *, is_audit: bool) -> tuple[str, ...]:
    """Return every scope that a request's cost counts in; an audit is nobody's but the whole's."""
    if is_audit:
        return (ALL,)
    own = (key_scope(key),) if key else ()
    return (ALL, *own, *(tag_scope(name, value) for name, value in tags.items()))


def key_scope(name: str) -> str:
    """Return the scope of one key."""
    return f"{KEY}:{name}"


def tag_scope(name: str, value: str) -> str:
    """Return the scope of one tag."""
    return f"{TAG}:{name}={value}"


def tag_of(scope: str) -> tuple[str, str]:
    """Return name and value of a tag's scope."""
    name, _, value = scope.removeprefix(f"{TAG}:").partition("=")
    return name, value


def windows_at(wall_ns: int) -> tuple[str, str]:
    """Return the day and the month of a moment, in Unix nanoseconds."""
    day = datetime.fromtimestamp(wall_ns // _NS_PER_S, UTC).date().isoformat()
    return day, day[:_MONTH_CHARS]


def window_bounds(window: str) -> tuple[int, int]:
    """Return the first moment of a window and the first after it, in Unix nanoseconds.

    Raises ValueError for what is neither a day nor a month.
    """
    is_day = _is_day(window)
    start = datetime.fromisoformat(window if is_day else f"{window}-01").replace(tzinfo=UTC)
    longer = start + timedelta(days=1 if is_day else 31)
    end = longer if is_day else longer.replace(day=1)
    return (int(start.timestamp()) * _NS_PER_S, int(end.timestamp()) * _NS_PER_S)


def _is_day(window: str) -> bool:
    return window.count("-") == 2


def _name_of(window: str) -> Window:
    return "day" if _is_day(window) else "month"
