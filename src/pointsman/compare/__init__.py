"""Comparison: what every strategy would have cost over one log, by the production `decide`."""

from pointsman.compare.comparison import Comparison, LogFacts, StrategyRow
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.simulate import compare
from pointsman.compare.views import render

__all__ = [
    "Comparison",
    "LeftOut",
    "LogFacts",
    "LoggedRequest",
    "StrategyRow",
    "compare",
    "render",
]
