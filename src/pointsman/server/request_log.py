"""Request log: one line of JSON for each request and each attempt, on the logger that is named so.

Never a body, never a key. What clients choose (paths, names of keys) is escaped to visible ASCII,
so that nobody can write lines of their own.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import msgspec

from pointsman.clock import Clock
from pointsman.core.secret import unsaid
from pointsman.ledger import Intent, Settlement

LOGGER = "pointsman.requests"
WAITING_LINES_MAX = 10_000

_PATH_CHARS_MAX = 200
_FINISH_S = 2.0
# PIPE_BUF on Linux: a pipe keeps so much in one piece, whatever other workers write to it.
_CHARS_AT_ONCE = 4_096
_GATHER_S = 0.05
_UNSET = msgspec.UNSET

log = logging.getLogger(LOGGER)


class Served(msgspec.Struct, kw_only=True):
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
        self.write: Callable[[str], None] = log.info
        self._clock = clock
        self._served: dict[str, Served] = {}

    def begin(self, request_id: str, method: str, path: str) -> Served:
        """Begin a request; end it whatever happens."""
        served = Served(
            request_id=request_id,
            method=method,
            path=path[:_PATH_CHARS_MAX],
            began_s=self._clock.monotonic_s(),
        )
        self._served[request_id] = served
        return served

    def end(self, served: Served, status: int, code: str, headers: Mapping[str, str]) -> None:
        """Write a request's line. `code`: what the client was told is wrong, "" for nothing.

        Status 499: it hung up first. Costs and tokens are those of its own attempts so far.
        """
        self._served.pop(served.request_id, None)
        header = headers.get
        line = _RequestLine(
            at=_when(self._clock.wall_ns()),
            request_id=served.request_id,
            key=served.key,
            method=served.method,
            path=served.path,
            status=status,
            code=code,
            ms=round((self._clock.monotonic_s() - served.began_s) * 1000),
            tier=header("x-pointsman-tier", _UNSET),
            model=header("x-pointsman-model", _UNSET),
            cache=header("x-pointsman-cache", _UNSET),
            idempotent=header("x-pointsman-idempotent", _UNSET),
            attempts=served.attempts,
            input_tokens=served.input_tokens,
            output_tokens=served.output_tokens,
            cost_nanousd=served.cost_nanousd,
        )
        self.write(one_line(line))

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Write an attempt's line, or that of an answer that was found in the cache."""
        usage = settlement.usage
        if (served := self._served.get(intent.request_id)) is not None:
            _add(served, settlement)
        line = _AttemptLine(
            at=_when(self._clock.wall_ns()),
            request_id=intent.request_id,
            attempt=intent.attempt,
            key=intent.key,
            tier=intent.tier,
            model=intent.deployment,
            state=settlement.state,
            outcome=settlement.outcome,
            code=settlement.error,
            cache=settlement.cache,
            ms=settlement.latency_ms,
            ttft_ms=settlement.ttft_ms,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            is_estimated=usage.is_estimated,
            cost_nanousd=settlement.cost_nanousd,
        )
        self.write(one_line(line))


def one_line(line: msgspec.Struct | dict[str, Any]) -> str:
    """Return JSON of visible ASCII alone, so that no terminal and no reader of lines is misled."""
    try:
        text = msgspec.json.encode(line).decode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can tell
        text = "\ud83d"
    if text.isascii() and text.isprintable():
        return text
    whole = line if isinstance(line, dict) else msgspec.to_builtins(line)
    return json.dumps(whole, separators=(",", ":")).replace("\x7f", "\\u007f")


@contextmanager
def written_to(stream: TextIO) -> Iterator[Callable[[str], None]]:
    """Write the lines to a stream, by a thread of its own: a full pipe must not hold up the loop.

    Gives what queues a line. Where the stream takes none for long, lines are dropped, and their
    number is told.
    """
    lines = _Lines(stream)
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield lines.put
    finally:
        log.removeHandler(lines)
        lines.finish()
        log.setLevel(logging.NOTSET)
        log.propagate = True


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


class _Lines(logging.Handler):
    """Has a thread write what is logged; what it cannot take in time is counted instead."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._is_awake = False
        self._has_come = threading.Event()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointsman-requests", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line without waiting."""
        self.put(record.getMessage())

    def put(self, line: str) -> None:
        """Queue a line without waiting."""
        if len(self._waiting) >= WAITING_LINES_MAX:
            self._dropped += 1
            return
        if self._dropped:
            self._waiting.append(one_line({"event": "dropped", "lines": self._dropped}))
            self._dropped = 0
        self._waiting.append(line)
        if not self._is_awake:
            self._is_awake = True
            self._has_come.set()

    def finish(self) -> None:
        """Write what is queued, as long as that does not take long."""
        self._is_over.set()
        self._has_come.set()
        self._thread.join(_FINISH_S)

    def _run(self) -> None:
        """Write what comes, some of it at once: each time it wakes it takes the loop's turn."""
        while not self._is_over.is_set() or self._waiting:
            self._has_come.wait()
            self._has_come.clear()
            self._is_over.wait(_GATHER_S)
            self._is_awake = False  # before it looks, so that what comes then wakes it again
            while self._waiting:
                lines = [self._waiting.popleft()]
                chars = len(lines[0]) + 1
                while self._waiting and chars + len(self._waiting[0]) < _CHARS_AT_ONCE:
                    lines.append(self._waiting.popleft())
                    chars += len(lines[-1]) + 1
                self._write(lines)

    def _write(self, lines: list[str]) -> None:
        try:
            self._stream.write("\n".join((*lines, "")))
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more, which ends no server
            self._dropped += len(lines)


def _add(served: Served, settlement: Settlement) -> None:
    served.attempts += settlement.outcome != "hit"
    served.input_tokens += settlement.usage.input_tokens
    served.output_tokens += settlement.usage.output_tokens
    if settlement.cost_nanousd is None or served.cost_nanousd is None:
        served.cost_nanousd = None
    else:
        served.cost_nanousd += settlement.cost_nanousd


def _when(wall_ns: int) -> str:
    second, ns = divmod(wall_ns, 1_000_000_000)
    return f"{_second(second)}.{ns // 1_000_000:03d}+00:00"


@lru_cache(maxsize=2)
def _second(wall_s: int) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat()[:19]
