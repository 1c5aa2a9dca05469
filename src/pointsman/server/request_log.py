"""Request log: one line of JSON for each request and each attempt, on the logger that is named so.

Never a body, never a key. What clients choose (paths, names of keys) is escaped to visible ASCII,
so that nobody can write lines of their own.
"""

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from pointsman.clock import Clock
from pointsman.core.secret import unsaid
from pointsman.ledger import Intent, Settlement

LOGGER = "pointsman.requests"
WAITING_LINES_MAX = 10_000

_PATH_CHARS_MAX = 200
_FINISH_S = 2.0
_LINES_AT_ONCE = 100
# What of a reply's headers the line repeats.
_REPEATED = {
    "x-pointsman-tier": "tier",
    "x-pointsman-model": "model",
    "x-pointsman-cache": "cache",
    "x-pointsman-idempotent": "idempotent",
}

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
        wall_ns, now_s = self._clock.wall_ns(), self._clock.monotonic_s()
        line = {
            "event": "request",
            "at": _when(wall_ns),
            "request_id": served.request_id,
            "key": served.key,
            "method": served.method,
            "path": served.path,
            "status": status,
            "code": code,
            "ms": round((now_s - served.began_s) * 1000),
            **{name: headers[header] for header, name in _REPEATED.items() if header in headers},
            "attempts": served.attempts,
            "input_tokens": served.input_tokens,
            "output_tokens": served.output_tokens,
            "cost_nanousd": served.cost_nanousd,
        }
        self.write(one_line(line))

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Write an attempt's line, or that of an answer that was found in the cache."""
        usage = settlement.usage
        if (served := self._served.get(intent.request_id)) is not None:
            _add(served, settlement)
        line = {
            "event": "attempt",
            "at": _when(self._clock.wall_ns()),
            "request_id": intent.request_id,
            "attempt": intent.attempt,
            "key": intent.key,
            "tier": intent.tier,
            "model": intent.deployment,
            "state": settlement.state,
            "outcome": settlement.outcome,
            "code": settlement.error,
            "cache": settlement.cache,
            "ms": settlement.latency_ms,
            "ttft_ms": settlement.ttft_ms,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "is_estimated": usage.is_estimated,
            "cost_nanousd": settlement.cost_nanousd,
        }
        self.write(one_line(line))


def one_line(line: dict[str, Any]) -> str:
    """Return JSON of visible ASCII alone, so that no terminal and no reader of lines is misled."""
    try:
        text = msgspec.json.encode(line).decode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can tell
        text = "\ud83d"
    if not text.isascii():
        text = json.dumps(line, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f")


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
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="pointsman-requests", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line without waiting."""
        self.put(record.getMessage())

    def put(self, line: str) -> None:
        """Queue a line without waiting."""
        if self._waiting.qsize() >= WAITING_LINES_MAX:
            self._dropped += 1
            return
        if self._dropped:
            self._waiting.put(one_line({"event": "dropped", "lines": self._dropped}))
            self._dropped = 0
        self._waiting.put(line)

    def finish(self) -> None:
        """Write what is queued, as long as that does not take long."""
        self._waiting.put(None)
        self._thread.join(_FINISH_S)

    def _write(self) -> None:
        line = self._waiting.get()
        while line is not None:
            lines = [line]
            while (line := self._next()) and len(lines) < _LINES_AT_ONCE:
                lines.append(line)
            try:
                self._stream.write("\n".join((*lines, "")))
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more, which ends no server
                self._dropped += len(lines)
            if line == "":
                line = self._waiting.get()

    def _next(self) -> str | None:
        """Return the next line that waits, "" where none does, None at the end."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return ""


def _add(served: Served, settlement: Settlement) -> None:
    served.attempts += settlement.outcome != "hit"
    served.input_tokens += settlement.usage.input_tokens
    served.output_tokens += settlement.usage.output_tokens
    if settlement.cost_nanousd is None or served.cost_nanousd is None:
        served.cost_nanousd = None
    else:
        served.cost_nanousd += settlement.cost_nanousd


def _when(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds")
