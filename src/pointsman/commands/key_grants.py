"""Key grants: what `keys create` is told of a key, read into what the key may do."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from cyclopts import Parameter

from pointsman.config.problems import did_you_mean
from pointsman.core.errors import RequestError
from pointsman.core.grants import CLIENT_SCOPES, Grant, Scope
from pointsman.core.prices import nanousd_from_usd

NS_PER_S = 1_000_000_000
# Source: FAULTS, section 4: so many a key may have in flight, unless its maker says otherwise.
CONCURRENCY = 100
# Past this a number is a slip, and far past it SQLite has no room for it.
_COUNT_MAX = 10**12
_COUNT_DIGITS_MAX = 12
_USD_MAX = Decimal(10) ** 9
_TAG_CHARS_MAX = 200
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


_Several = Parameter(negative="", show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds a key, as options."""

    tier: Annotated[tuple[str, ...], _Several, Parameter(help="Tier it may use; else all.")] = ()
    model: Annotated[
        tuple[str, ...], _Several, Parameter(help="Model it may use, provider/model; else all.")
    ] = ()
    tag: Annotated[
        tuple[str, ...], _Several, Parameter(help="name=value, put on all its requests.")
    ] = ()
    scope: Annotated[
        tuple[Literal["call", "read", "admin"], ...],
        _Several,
        Parameter(help="What it opens: call asks models, read shows metrics. Else these two."),
    ] = ()
    requests_per_minute: Annotated[int | None, Parameter(help="In any 60 s; else any.")] = None
    tokens_per_minute: Annotated[
        int | None, Parameter(help="In and out, in any 60 s; else any.")
    ] = None
    concurrency: Annotated[int, Parameter(help="Requests in flight; 0: any.")] = CONCURRENCY
    tier_calls: Annotated[
        tuple[str, ...], _Several, Parameter(help="tier=number: its calls there in a UTC day.")
    ] = ()
    daily_usd: Annotated[str | None, Parameter(help="Budget of a UTC day; else none.")] = None
    monthly_usd: Annotated[str | None, Parameter(help="Budget of a UTC month; else none.")] = None

    def grant(self, *, tiers: Collection[str], models: Collection[str]) -> Grant:
        """Return what the key may do, of the tiers and models there are. Raises RequestError."""
        return Grant(
            scopes=frozenset(Scope(one) for one in self.scope) or CLIENT_SCOPES,
            tiers=read_names("--tier", self.tier, tiers),
            models=read_names("--model", self.model, models),
            tags=read_tags(self.tag),
            requests_per_minute=read_count("--requests-per-minute", self.requests_per_minute),
            tokens_per_minute=read_count("--tokens-per-minute", self.tokens_per_minute),
            concurrency=read_count("--concurrency", self.concurrency or None),
            tier_calls_per_day=read_quotas(self.tier_calls, tiers),
            day_nanousd=read_usd("--daily-usd", self.daily_usd),
            month_nanousd=read_usd("--monthly-usd", self.monthly_usd),
        )


def read_names(option: str, given: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Return names, each once. Raises RequestError for one that the configuration does not have."""
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known)[:40])
            hint = did_you_mean(name, sorted(known))
            raise RequestError(
                f'{option} "{name}": the configuration has none of this name.{hint}'
                f" There are {listed}"
            )
    return tuple(dict.fromkeys(given))


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """Return the tags of `name=value`. Raises RequestError for what is not of that shape."""
    tags: dict[str, str] = {}
    for part in given:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and name and value) or not part.isprintable() or "," in part:
            raise RequestError(f"--tag {part[:_TAG_CHARS_MAX]!r}: write name=value, with no comma")
        if len(part) > _TAG_CHARS_MAX:
            raise RequestError(f"--tag {name!r}: is longer than {_TAG_CHARS_MAX} characters")
        if name in tags:
            raise RequestError(f"--tag {name!r}: comes twice; a tag has one value")
        tags[name] = value
    return tags


def read_quotas(given: Sequence[str], tiers: Collection[str]) -> dict[str, int]:
    """Return calls a day by tier, of `tier=number`. Raises RequestError for what is not that."""
    quotas: dict[str, int] = {}
    for part in given:
        name, equals, number = (piece.strip() for piece in part.rpartition("="))
        is_number = number.isascii() and number.isdecimal() and len(number) <= _COUNT_DIGITS_MAX
        if not (equals and is_number):
            raise RequestError(f'--tier-calls "{part[:80]}": write tier=number, such as power=100')
        (tier,) = read_names("--tier-calls", (name,), tiers)
        if tier in quotas:
            raise RequestError(f'--tier-calls "{tier}": comes twice; a tier has one number')
        quotas[tier] = int(number)
    return quotas


def read_count(option: str, given: int | None) -> int | None:
    """Return a limit, None where none is set. Raises RequestError for one that cannot be."""
    if given is not None and not 1 <= given <= _COUNT_MAX:
        raise RequestError(f"{option} {given}: goes from 1 to {_COUNT_MAX:,}, or leave it out")
    return given


def read_usd(option: str, given: str | None) -> int | None:
    """Return an amount in nano-USD, None where none is set. Raises RequestError."""
    if given is None:
        return None
    try:
        usd = Decimal(given.removeprefix("$"))
    except InvalidOperation as error:
        raise RequestError(f'{option} "{given}": write an amount in USD, such as 2.50') from error
    if not usd.is_finite() or not 0 < usd <= _USD_MAX:
        raise RequestError(f'{option} "{given}": goes from a little over 0 to {_USD_MAX:,.0f}')
    return max(1, nanousd_from_usd(usd))


def read_expiry(given: str | None, now_ns: int) -> int | None:
    """Return an end in Unix nanoseconds, None for never: a span from now, a UTC day or time.

    Raises RequestError for what is neither, or is over already.
    """
    if given is None:
        return None
    if (span_s := _span_s(given)) is not None:
        end_ns = now_ns + span_s * NS_PER_S
    else:
        try:
            end = datetime.fromisoformat(given)
            end_ns = int(end.replace(tzinfo=end.tzinfo or UTC).timestamp()) * NS_PER_S
        except (ValueError, OverflowError) as error:
            raise RequestError(
                f'--expires "{given}": write a span such as 30d, or a day such as 2027-01-31'
            ) from error
    if end_ns <= now_ns:
        raise RequestError(f'--expires "{given}": is over already; choose a later time')
    return end_ns


def read_grace_ns(given: str) -> int:
    """Return a span in nanoseconds, 0 for none. Raises RequestError for what is none."""
    span_s = 0 if given == "0" else _span_s(given)
    if span_s is None:
        raise RequestError(f'--grace "{given}": write a span such as 15m, 24h or 7d, or 0 for none')
    return span_s * NS_PER_S


def told_time(at_ns: int | None) -> str | None:
    """Return a time as it is told, "2026-11-23T08:30:00Z", None for never."""
    if at_ns is None:
        return None
    at = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _span_s(given: str) -> int | None:
    """Return the seconds of a span such as 90s, 15m, 24h, 7d or 2w; None for what is no span."""
    digits, unit = given[:-1], given[-1:]
    if not (digits.isascii() and digits.isdecimal()) or unit not in _UNITS or len(digits) > 4:
        return None
    return int(timedelta(**{_UNITS[unit]: int(digits)}).total_seconds())
