"""Streams: look at the beginning of a file without losing it, and cut a JSON array to its objects.

Nothing here holds more than a part of the file, and nothing seeks: a log may come from a pipe.
"""

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

_CHUNK_BYTES = 256 * 1024
# A text whole, or what begins an object, ends one, or begins a text that goes on in the next chunk.
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}]', re.DOTALL)
_TEXT_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def peeked(file: BinaryIO, count: int) -> tuple[bytes, BinaryIO]:
    """Return the next `count` bytes, fewer at the end, and a stream that has them still ahead.

    Where the file breaks off in what is looked at, the stream raises what it raised, when it comes
    to it.
    """
    head = bytearray()
    with suppress(EOFError, zlib.error):
        while len(head) < count and (part := _read_some(file, count - len(head))):
            head += part
    return bytes(head), io.BufferedReader(_Rejoined(bytes(head), file), _CHUNK_BYTES)


def array_objects(file: BinaryIO, bytes_max: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield each object of a JSON array as its bytes, with the number of the line it begins on.

    None stands for an object longer than `bytes_max`, which is not held. What stands between the
    objects is not checked. An object that the file does not end is yielded as far as it goes.
    """
    nesting, held, is_long = _Nesting(), bytearray(), False
    line, begun_on = 1, 1
    while chunk := nesting.next_chunk(file):
        held_from, counted_to = 0, 0
        for position, is_begin in nesting.edges(chunk):
            if is_begin:
                line += chunk.count(b"\n", counted_to, position)
                held_from = counted_to = position
                begun_on, is_long = line, False
                continue
            held += chunk[held_from:position]
            yield begun_on, None if is_long or len(held) > bytes_max else bytes(held)
            held.clear()
        line += chunk.count(b"\n", counted_to)
        if nesting.depth:
            held += chunk[held_from:]
            is_long = is_long or len(held) > bytes_max
            if is_long:
                held.clear()
    if nesting.depth:
        yield begun_on, None if is_long else bytes(held)


class _Nesting:
    """Where in a JSON text a reader is: how many objects deep, and whether in a text."""

    def __init__(self) -> None:
        self.depth = 0
        self._is_text = False
        self._rest = b""

    def next_chunk(self, file: BinaryIO) -> bytes:
        """Return some more of the file, cut where no backslash stands before the cut."""
        while part := _read_some(file, _CHUNK_BYTES):
            chunk = self._rest + part
            is_cut = (len(chunk) - len(chunk.rstrip(b"\\"))) % 2
            self._rest = chunk[len(chunk) - is_cut :]
            if chunk := chunk[: len(chunk) - is_cut]:
                return chunk
        chunk, self._rest = self._rest, b""
        return chunk

    def edges(self, chunk: bytes) -> Iterator[tuple[int, bool]]:
        """Yield where outermost objects begin, as (position, True), and end, as (behind, False)."""
        begin = _TEXT_END.match(chunk) if self._is_text else None
        if self._is_text and not begin:
            return
        self._is_text = False
        for mark in _MARK.finditer(chunk, begin.end() if begin else 0):
            match mark.group():
                case b"{":
                    self.depth += 1
                    if self.depth == 1:
                        yield mark.start(), True
                case b"}" if self.depth:
                    self.depth -= 1
                    if self.depth == 0:
                        yield mark.end(), False
                case b'"':
                    self._is_text = True
                    return
                case _:
                    pass


class _Rejoined(io.RawIOBase):
    """A stream whose beginning was read already."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        super().__init__()
        self._head = memoryview(head)
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill the buffer from what was read already, then from the file."""
        part = bytes(self._head[: len(buffer)]) or _read_some(self._file, len(buffer))
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def _read_some(file: BinaryIO, count: int) -> bytes:
    """Return what one read gives, so that what precedes a broken end is not lost with it."""
    part: bytes = getattr(file, "read1", file.read)(count)
    return part
