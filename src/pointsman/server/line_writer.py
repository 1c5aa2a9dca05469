"""Line writer: writes the request log's lines by a thread of its own, many at once.

A full pipe must not hold up the event loop. Neither need it make the JSON: a thread that makes that
of all the lines of a moment at once is quicker than anybody who makes them one by one.
"""

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeAlias

import msgspec

LOGGER = "pointsman.requests"
WAITING_LINES_MAX = 10_000

_FINISH_S = 2.0
# PIPE_BUF on Linux: a pipe keeps so much in one piece, whatever other workers write to it.
_CHARS_AT_ONCE = 4_096
_GATHER_S = 0.05
_LINES_AT_ONCE = 256

# What JSON is made of; a text goes out as it is.
Line: TypeAlias = msgspec.Struct | msgspec.Raw | dict[str, Any]

log = logging.getLogger(LOGGER)
_encoder = msgspec.json.Encoder()


def one_line(line: Line) -> str:
    """Return JSON of visible ASCII alone, so that no terminal and no reader of lines is misled."""
    try:
        text = _encoder.encode(line).decode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can tell
        text = "\ud83d"
    if isinstance(line, msgspec.Raw) or (text.isascii() and text.isprintable()):
        return text
    whole = line if isinstance(line, dict) else msgspec.to_builtins(line)
    return json.dumps(whole, separators=(",", ":")).replace("\x7f", "\\u007f")


def joined(lines: list[Line]) -> str:
    """Return what `one_line` makes of each, and after each a line's end."""
    try:
        text = _encoder.encode_lines(lines).decode()
    except UnicodeEncodeError:
        text = "\ud83d"
    if text.isascii() and text.replace("\n", "").isprintable():  # within JSON it is escaped
        return text
    return "".join(f"{one_line(line)}\n" for line in lines)


@contextmanager
def written_to(stream: TextIO) -> Iterator[Callable[[Line], None]]:
    """Write the lines to a stream.

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


class _Lines(logging.Handler):
    """Has a thread write what is logged; what it cannot take in time is counted instead."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._dropped = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointsman-requests", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line without waiting."""
        self.put(msgspec.Raw(record.getMessage()))

    def put(self, line: Line) -> None:
        """Queue a line without waiting."""
        if self._waiting.qsize() >= WAITING_LINES_MAX:
            self._dropped += 1
            return
        if self._dropped:
            self._waiting.put({"event": "dropped", "lines": self._dropped})
            self._dropped = 0
        self._waiting.put(line)

    def finish(self) -> None:
        """Write what is queued, as long as that does not take long."""
        self._is_over.set()
        self._waiting.put(None)
        self._thread.join(_FINISH_S)

    def _run(self) -> None:
        """Write what comes, some of it at once: each time it wakes it takes the loop's turn."""
        is_over = False
        while not is_over:
            lines = [self._waiting.get()]
            if self._waiting.qsize() < _LINES_AT_ONCE:
                self._is_over.wait(_GATHER_S)
            count = min(self._waiting.qsize(), _LINES_AT_ONCE)
            lines += [self._waiting.get() for _ in range(count)]
            is_over = None in lines
            self._write(joined([line for line in lines if line is not None]))

    def _write(self, text: str) -> None:
        """Write whole lines, as many at once as a pipe keeps together."""
        start = 0
        while start < len(text):
            end = text.rfind("\n", start, start + _CHARS_AT_ONCE) + 1
            end = end or text.index("\n", start) + 1
            try:
                self._stream.write(text[start:end])
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more, which ends no server
                self._dropped += text.count("\n", start, end)
            start = end
