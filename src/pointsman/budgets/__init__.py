"""Budgets on the pipeline's side: who has which, what a request holds, who is told near the end.

The ledger decides what fits (`Ledger.reserve`). What is kept in memory here is what it last said: a
hint for going down a tier in time, and for warnings.
"""

from pointsman.budgets.meter import Meter
from pointsman.budgets.purse import Purse
from pointsman.budgets.settings import BudgetSettings, SpendSettings
from pointsman.budgets.stated import Budgets

__all__ = ["BudgetSettings", "Budgets", "Meter", "Purse", "SpendSettings"]
