"""Purse: what one request holds of its budgets: taken with its first attempt, given back once."""

import asyncio
from collections.abc import Sequence

from pointsman.budgets.meter import Meter
from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import BudgetExceeded
from pointsman.ledger import Intent, Ledger, Settlement


class Purse:
    """One request's. `amounts`, nano-USD, are what would do for it, the most first: set before the
    first attempt is reserved. `held_nanousd`: which of them was taken, once `is_taken`.
    """

    amounts: Sequence[int] = ()
    held_nanousd = 0
    is_taken = False

    def __init__(self, ledger: Ledger, budgets: tuple[Budget, ...], meter: Meter) -> None:
        self._ledger = ledger
        self._budgets = budgets
        self._meter = meter
        self._taking = asyncio.Lock()
        self._holder = ""

    async def reserve(self, intent: Intent) -> None:
        """Book an intent, the first one with the hold.

        Raises BudgetExceeded where no amount fits, and LedgerUnavailable: then nothing is held.
        """
        async with self._taking:
            if not self.is_taken:
                await self._take(intent)
                return
        await self._ledger.reserve(intent)

    async def settle(self, intent: Intent, settlement: Settlement) -> None:
        """Book the end of the request's last attempt, and give back what is left with it.

        Raises LedgerUnavailable as the ledger does.
        """
        request_id, attempt, self._holder = intent.request_id, intent.attempt, ""
        await self._ledger.settle(request_id, attempt, settlement, is_last=True)

    def release(self) -> None:
        """Give back what is held, if anything is: no attempt is made any more."""
        if self._holder:
            self._ledger.release(self._holder)
            self._holder = ""

    async def _take(self, intent: Intent) -> None:
        hold = Hold(self.amounts, limits_at(self._budgets, intent.at_ns))
        try:
            held = await self._ledger.reserve(intent, hold)
        except BudgetExceeded as refusal:
            self._meter.note_denial(hold.limits, refusal)
            raise
        assert held is not None, "a hold was asked for"
        self._holder, self.held_nanousd, self.is_taken = intent.request_id, held.nanousd, True
        self._meter.note(held.spent)
