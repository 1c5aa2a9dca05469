"""Audit: is the quality floor kept on today's traffic? A sample of it is checked, at a price.

Switched off unless `[audit] share` says otherwise. See `auditor` for who is drawn, `drawn` for what
is done with it, `judges` for who says what is good, `calls` for what that costs, and `watch` for
when the floor counts as broken.
"""

from pointsman.audit.auditor import Auditor
from pointsman.audit.drawn import Auditing
from pointsman.audit.readings import encode_reading
from pointsman.audit.registry import build_judge
from pointsman.audit.watch import Standing

__all__ = ["Auditing", "Auditor", "Standing", "build_judge", "encode_reading"]
