"""Moulds: most frames of a stream differ from the one before in one text, and in no other byte.

What stands around that text is read once. A later frame with the same bytes around a JSON string
means the same with another text, so nothing else of it is looked at. That rests on how JSON is
read: where one string stands as a value, any other is read the same way.
"""

import json

import msgspec

from pointsman.core.wire.decoding import UNREADABLE

_text = msgspec.json.Decoder(str).decode


class Mould:
    """The bytes around a frame's text: `head` ends with its opening quote, `tail` begins with the
    closing one.
    """

    __slots__ = ("_start", "_stop", "head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail
        self._start = len(head) - 1
        self._stop = 1 - len(tail)

    def text(self, frame: bytes) -> str | None:
        """Return the text in a frame of this mould, None for any other frame."""
        if frame.startswith(self.head) and frame.endswith(self.tail):
            try:
                return _text(frame[self._start : self._stop])
            except UNREADABLE:
                return None
        return None

    def filled(self, text: str) -> bytes:
        """Return the frame of this mould with a text."""
        return self.head[:-1] + msgspec.json.encode(text) + self.tail[1:]


class Recast:
    """What the frames of a mould become: their text as it is written, between other bytes."""

    __slots__ = ("_before", "_behind", "_head", "_start", "_stop", "_tail")

    def __init__(self, mould: Mould, before: bytes, behind: bytes) -> None:
        self._head, self._tail = mould.head, mould.tail
        self._start, self._stop = len(mould.head) - 1, 1 - len(mould.tail)
        self._before, self._behind = before, behind

    def of(self, frame: bytes) -> bytes:
        """Return what a frame of the mould becomes, b"" for any other frame."""
        if frame.startswith(self._head) and frame.endswith(self._tail):
            string = frame[self._start : self._stop]
            try:
                _text(string)
            except UNREADABLE:
                return b""
            return self._before + string + self._behind
        return b""


# No frame fits: none goes on behind an empty line.
NO_MOULD = Mould(b'\n\n"', b'"')
NO_RECAST = Recast(NO_MOULD, b"", b"")


def mould_of(frame: bytes, last: bytes, text: str) -> Mould | None:
    """Return what may be the mould of a frame that says `text`; its user has to try it.

    None where `last`, the frame before it, is of another one: the next may be too.
    """
    written = msgspec.json.encode(text)
    at = frame.rfind(written)
    if at < 0:
        written = json.dumps(text).encode()  # as many write it: without a letter beyond ASCII
        at = frame.rfind(written)
    head, tail = frame[: at + 1], frame[at + len(written) - 1 :]
    is_alike = at >= 0 and last.startswith(head) and last.endswith(tail)
    return Mould(head, tail) if is_alike else None
