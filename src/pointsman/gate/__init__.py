"""Gate: walk a plan's steps until a draft passes, then let it out.

Before the gate nothing has reached the client and everything may be tried again; after it, nothing.
"""

from pointsman.gate.draft import Checks, Committed
from pointsman.gate.hedge import HedgePurse, Hedging, HedgingSettings
from pointsman.gate.walk import Gate, PlanRun

__all__ = ["Checks", "Committed", "Gate", "HedgePurse", "Hedging", "HedgingSettings", "PlanRun"]
