"""Request log: one line of JSON for each request and each attempt, on the logger that is named so.

Never a body, never a key. What clients choose (paths, names of keys) is escaped to visible ASCII,
so that nobody can write lines of their own.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from pointsman.clock import Clock
from pointsman.core.secret import unsaid
from pointsman.ledger import Intent, Settlement
from pointsman.server.line_writer import LOGGER, Line, one_line

_PATH_CHARS_MAX = 200
_UNSET = msgspec.UNSET

log = logging.getLogger(LOGGER)


class Served(msgspec.Struct):
    """One request, as far as it has come. `status` 0: nothing has been sent.

    `began_s`: on the monotonic clock. `key`: the name of the key, never the key.
    """

    request_id: str
    method: str
    path: str
    began_s: float
    key: str = ""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int | None = 0


class _RequestLine(msgspec.Struct, kw_only=True, tag_field="event", tag="request"):
    """What is said of a request, in the order in which it is."""

    at: str
    request_id: str
    key: str
    method: str
    path: str
    status: int
    code: str
    ms: int
    tier: str | msgspec.UnsetType
    model: str | msgspec.UnsetType
    cache: str | msgspec.UnsetType
    cache_tier: str | msgspec.UnsetType
    idempotent: str | msgspec.UnsetType
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int | None


class _AttemptLine(msgspec.Struct, kw_only=True, tag_field="event", tag="attempt"):
    """What is said of an attempt, in the order in which it is."""

    at: str
    request_id: str
    attempt: int
    key: str
    tier: str
    model: str
    state: str
    outcome: str
    code: str
    cache: str
    ms: int
    ttft_ms: int | None
    input_tokens: int
    output_tokens: int
    is_estimated: bool
    cost_nanousd: int | None


class RequestLog:
    """Writes the lines. Hang `observe` on a pipeline's observers.

    `write` takes each of them: the logger, unless it is set to what `written_to` gives, which is
    quicker.
    """

    def __init__(self, clock: Clock) -> None:
        self.write: Callable[[Line], None] = _log
        self._clock = clock
        self._served: dict[str, Served] = {}

    def begin(self, request_id: str, method: str, path: str) -> Served:
        """Begin a request; end it whatever happens."""
        served = Served(request_id, method, path, self._clock.monotonic_s())
        self._served[request_id] = served
        return served

    def end(self, served: Served, status: int, code: str, headers: Mapping[str, str]) -> None:
        """Write a request's line. `code`: what the client was told is wrong, "" for nothing.

        Status 499: it hung up first. Costs and tokens are those of its own attempts so far.
        """
        request_id = served.request_id
        self._served.pop(request_id, None)
        header = headers.get
        line = _RequestLine(
            at=_when(self._clock.wall_ns()),
            request_id=request_id,
            key=served.key,
            method=served.method,
            path=served.path[:_PATH_CHARS_MAX],
            status=status,
            code=code,
            ms=round((self._clock.monotonic_s() - served.began_s) * 1000),
            tier=header("x-pointsman-tier", _UNSET),
            model=header("x-pointsman-model", _UNSET),
            cache=header("x-pointsman-cache", _UNSET),
            cache_tier=header("x-pointsman-cache-tier", _UNSET),
            idempotent=header("x-pointsman-idempotent", _UNSET),
            attempts=served.attempts,
            input_tokens=served.input_tokens,
            output_tokens=served.output_tokens,
            cost_nanousd=served.cost_nanousd,
        )
        self.write(line)

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Write an attempt's line, or that of an answer that was found in the cache."""
        request_id, outcome, usage = intent.request_id, settlement.outcome, settlement.usage
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        cost_nanousd = settlement.cost_nanousd
        if (served := self._served.get(request_id)) is not None:
            served.attempts += outcome != "hit"
            served.input_tokens += input_tokens
            served.output_tokens += output_tokens
            served.cost_nanousd = _sum(served.cost_nanousd, cost_nanousd)
        line = _AttemptLine(
            at=_when(self._clock.wall_ns()),
            request_id=request_id,
            attempt=intent.attempt,
            key=intent.key,
            tier=intent.tier,
            model=intent.deployment,
            state=settlement.state,
            outcome=outcome,
            code=settlement.error,
            cache=settlement.cache,
            ms=settlement.latency_ms,
            ttft_ms=settlement.ttft_ms,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            is_estimated=usage.is_estimated,
            cost_nanousd=cost_nanousd,
        )
        self.write(line)


class PlainFormatter(logging.Formatter):
    """Formats a record so that its text cannot pass for another record.

    Control characters are escaped, and the lines of a trace are indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the record's line."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Return the trace, without what the error says: that may quote a request."""
        told = unsaid(ei[1])
        lines = super().formatException((type(told), told, told.__traceback__)).splitlines()
        return "\n".join(f"  {escaped(line)}" for line in lines)


def escaped(text: str) -> str:
    """Return text with its control characters, and those that end a line, written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _log(line: Line) -> None:
    log.info(one_line(line))


def _sum(one_nanousd: int | None, other_nanousd: int | None) -> int | None:
    """Return the sum of two costs, None where one of them is not known."""
    if one_nanousd is None or other_nanousd is None:
        return None
    return one_nanousd + other_nanousd


def _when(wall_ns: int) -> str:
    second, ms = divmod(wall_ns // 1_000_000, 1_000)
    return f"{_second(second)}.{ms:03d}+00:00"


@lru_cache(maxsize=2)
def _second(wall_s: int) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat()[:19]
