"""Retry-After: how long an upstream's reply asks to be left alone."""

import datetime
import email.utils
import re
from collections.abc import Mapping

RETRY_AFTER_S_MAX = 86_400.0
# The headers it is read from.
HEADERS = ("retry-after-ms", "retry-after", "date")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def retry_after_s(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """Return the wait that a reply asks for, in seconds, None where it names none that is sound.

    A date counts from the reply's own Date, so that neither clock need be right.
    Source: RFC 9110, sections 10.2.3 (seconds or an HTTP date) and 6.6.1; `retry-after-ms` is
    OpenAI's. Fractions of a second are nobody's standard, and sent all the same. What OpenAI's
    `x-ratelimit-reset-*` name is not this: by then a limit is back at its start, and long before
    that a request passes (its guide "Rate limits", as of 2026-06-26).
    """
    in_ms = headers.get("retry-after-ms", "").strip()
    plain = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(in_ms):
        return min(float(in_ms) / 1000, RETRY_AFTER_S_MAX)
    if _NUMBER.fullmatch(plain):
        return min(float(plain), RETRY_AFTER_S_MAX)
    until_s, sent_s = _unix_s(plain), _unix_s(headers.get("date", ""))
    if until_s is None:
        return None
    return min(max(0.0, until_s - (now_s if sent_s is None else sent_s)), RETRY_AFTER_S_MAX)


def _unix_s(http_date: str) -> float | None:
    try:
        when = email.utils.parsedate_to_datetime(http_date)
        return when.replace(tzinfo=when.tzinfo or datetime.UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
