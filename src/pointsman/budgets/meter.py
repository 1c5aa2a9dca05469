"""Meter: what the ledger last said of each budget, and who is told when one nears its end.

Told once per server for each budget, window and threshold, whichever worker comes first: in the
log, and by the webhook. A figure is as old as the last request that held something of the budget.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from pointsman.budgets.stated import Budgets
from pointsman.budgets.webhook import Webhook
from pointsman.core.budgets import Budget, Limit, Spent, limits_at
from pointsman.core.errors import BudgetExceeded
from pointsman.core.prices import format_usd
from pointsman.ledger import BudgetRow
from pointsman.shared import Marks, OwnMarks

_FULL = 1.0
_KEPT_MAX = 10_000
_NANOUSD_PER_USD = 1e9

log = logging.getLogger("pointsman")


class Meter:
    """One process's. Belongs to one event loop, and is closed with it. `told`: what has been."""

    def __init__(self, webhook: Webhook, told: Marks | None = None) -> None:
        self._webhook = webhook
        self._told = told or OwnMarks()
        self._stated = Budgets()
        self._used: dict[tuple[str, str], int] = {}

    def adopt(self, stated: Budgets) -> None:
        """Take a configuration."""
        self._stated = stated

    def read(self, rows: Iterable[BudgetRow]) -> None:
        """Note what the ledger has of budgets now."""
        self._used |= {(row.scope, row.window): row.nanousd + row.held_nanousd for row in rows}

    def note(self, spent: Sequence[Spent]) -> None:
        """Note what the ledger said with a hold; tell of what has passed a threshold.

        Only what requests cost that have ended counts for that: a hold is mostly given back.
        """
        self._make_room()
        warn_share = self._stated.warn_share  # 1 at most
        for each in spent:
            limit, nanousd = each.limit, each.nanousd
            self._used[limit.scope, limit.window] = nanousd + each.held_nanousd
            most = limit.limit_nanousd
            if nanousd >= warn_share * most > 0:
                threshold = _FULL if nanousd >= most else warn_share
                self._tell(limit, threshold, nanousd, "has been spent")

    def note_denial(self, limits: Sequence[Limit], refusal: BudgetExceeded) -> None:
        """Note that a request did not fit; tell that the budget is used up where little is left."""
        self._make_room()
        for limit in limits:
            if (limit.scope, limit.window) != (refusal.scope, refusal.window):
                continue
            used = limit.limit_nanousd - refusal.left_nanousd
            self._used[limit.scope, limit.window] = used
            if used >= self._stated.warn_share * limit.limit_nanousd:
                self._tell(limit, _FULL, used, "is spent or held, and a request did not fit")

    def nearest(self, budgets: Iterable[Budget], wall_ns: int) -> Limit | None:
        """Return a limit of which `warn_share` is used, as far as is known here; None for none."""
        for limit in limits_at(budgets, wall_ns):
            used = self._used.get((limit.scope, limit.window), 0)
            if used >= self._stated.warn_share * limit.limit_nanousd:
                return limit
        return None

    async def aclose(self) -> None:
        """Stop telling."""
        await self._webhook.aclose()

    def _make_room(self) -> None:
        if len(self._used) >= _KEPT_MAX:  # windows that have passed, mostly
            self._used.clear()

    def _tell(self, limit: Limit, threshold: float, used_nanousd: int, what: str) -> None:
        if not self._told.first(limit.scope, limit.window, threshold):
            return
        log.warning(
            'budget "%s" of %s: %s of %s %s (threshold %.0f%%)',
            limit.scope,
            limit.window,
            format_usd(used_nanousd),
            format_usd(limit.limit_nanousd),
            what,
            threshold * 100,
        )
        if self._stated.webhook_url:
            self._webhook.send(self._stated.webhook_url, _told(limit, threshold, used_nanousd))


def _told(limit: Limit, threshold: float, used_nanousd: int) -> Mapping[str, object]:
    return {
        "event": "budget",
        "scope": limit.scope,
        "window": limit.window,
        "threshold": threshold,
        "used_usd": used_nanousd / _NANOUSD_PER_USD,
        "limit_usd": limit.limit_nanousd / _NANOUSD_PER_USD,
    }
