"""Purse: what one request holds of its budgets: taken with its first attempt, given back once."""

from collections.abc import Awaitable, Sequence

from pointsman.budgets.meter import Meter
from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import BudgetExceeded
from pointsman.ledger import Intent, Ledger, Settlement


class Purse:
    """One request's. `amounts`, nano-USD, are what would do for it, the most first: set before the
    first attempt is reserved. `held_nanousd`: which of them was taken, once `is_taken`.

    No second attempt begins before the first one's intent stands or is refused.
    """

    amounts: Sequence[int] = ()
    held_nanousd = 0
    is_taken = False
    _holder = ""

    def __init__(self, ledger: Ledger, budgets: tuple[Budget, ...], meter: Meter) -> None:
        self._ledger = ledger
        self._budgets = budgets
        self._meter = meter

    async def reserve(self, intent: Intent) -> None:
        """Book an intent, the first one with the hold.

        Raises BudgetExceeded where no amount fits, and LedgerUnavailable: then nothing is held.
        """
        if self.is_taken:
            await self._ledger.reserve(intent)
            return
        hold = Hold(self.amounts, limits_at(self._budgets, intent.at_ns))
        try:
            held = await self._ledger.reserve(intent, hold)
        except BudgetExceeded as refusal:
            self._meter.note_denial(hold.limits, refusal)
            raise
        assert held is not None, "a hold was asked for"
        self._holder, self.held_nanousd, self.is_taken = intent.request_id, held.nanousd, True
        self._meter.note(held.spent)

    def settle(self, intent: Intent, settlement: Settlement) -> Awaitable[None]:
        """Book the end of the request's last attempt, and give back what is left with it.

        Raises LedgerUnavailable as the ledger does.
        """
        self._holder = ""
        return self._ledger.settle(intent.request_id, intent.attempt, settlement, is_last=True)

    def release(self) -> None:
        """Give back what is held, if anything is: no attempt is made any more."""
        if self._holder:
            self._ledger.release(self._holder)
            self._holder = ""
