"""Grants: what a client's key may do. Checked, never asked of the client itself."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_Calls: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Money: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Scope(StrEnum):
    """A kind of route. A key opens those of its scopes and no other."""

    CALL = "call"  # ask models, count tokens, give feedback
    READ = "read"  # metrics, and whatever shows what was booked
    ADMIN = "admin"  # change what others may do


CLIENT_SCOPES = frozenset({Scope.CALL, Scope.READ})


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one key may do. None, and an empty tuple, set no bound.

    `tiers` and `models` (`provider/model`) are those that it may use, whatever it asks for and
    however its answers escalate. `tags` are put on all its requests; the client cannot change them.
    `concurrency`: requests in flight at once. `day_nanousd` and `month_nanousd`: what it may spend
    in one UTC day and month. `tier_calls_per_day`: by tier, how many calls it may make there in one
    UTC day, retries and fallbacks included; whatever leads a request there, that is the last guard.
    """

    scopes: frozenset[Scope] = CLIENT_SCOPES
    tiers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    concurrency: _Count | None = None
    tier_calls_per_day: Mapping[str, _Calls] = {}
    day_nanousd: _Money | None = None
    month_nanousd: _Money | None = None


EVERYTHING = Grant()
