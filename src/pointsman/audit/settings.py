"""`[audit]`: what share of the answers is checked against the strongest tier, and for how much."""

import msgspec


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Off while `share` is 0.

    `share`: of the requests that a threshold decided, 0..1. `daily_usd`: what audits may cost over
    any 24 hours, judges included. `judge`: see `judges.build_judge`. `max_tokens`: bound of the
    strongest tier's answer where the client sets none.
    """

    share: float = 0.0
    daily_usd: float = 1.0
    judge: str = "validators"
    max_tokens: int = 4096
