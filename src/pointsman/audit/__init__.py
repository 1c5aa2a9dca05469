"""Audit: is the quality floor kept on today's traffic? A sample of it is checked, at a price.

Switched off unless `[audit] share` says otherwise. See `auditor` for who is drawn, `calls` for what
it costs, `judges` for who says what is good, and `watch` for when the floor counts as broken.
"""

from pointsman.audit.auditor import Auditing, Auditor
from pointsman.audit.readings import encode_reading
from pointsman.audit.registry import build_judge
from pointsman.audit.watch import Standing

__all__ = ["Auditing", "Auditor", "Standing", "build_judge", "encode_reading"]
