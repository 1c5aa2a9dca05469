"""SSE: splits a byte stream into server-sent events, wherever the network cuts it.

Source: WHATWG HTML, section 9.2 "Server-sent events" (living standard, read 2026-11): lines end in
LF, CR or CRLF; an empty line ends an event; "data" lines join with LF; a line that starts with a
colon is a comment; one space after the colon is dropped; a leading byte order mark is dropped.
"""

import re

import msgspec

FRAME_BYTES_MAX = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_FRAME_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_EMPTY_LINE = b"\n\n"
_UNDECIDED = b"\r"
_DATA = re.compile(rb"(?:\A|[\r\n])data: ?")


class FrameTooLarge(ValueError):
    """A single event is larger than `FRAME_BYTES_MAX`."""


class SseFrame(msgspec.Struct, frozen=True, gc=False):
    """One event: its name ("" where unnamed), its data, and its bytes as they came.

    A frame of comments alone has `data` None.
    """

    event: str
    data: bytes | None
    raw: bytes


class SseSplitter:
    """Feed it bytes as they come; it gives the bytes of whole frames, their empty lines included.

    Keeps no more than one open frame. Raises FrameTooLarge when one passes `FRAME_BYTES_MAX`.
    `is_open`: bytes are held, or may have to be.
    """

    def __init__(self) -> None:
        self._rest = bytearray()  # grows in place: a long frame in small pieces stays linear
        self._searched = 0
        self._is_first = True
        self.is_open = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the frames that `chunk` completes, in order."""
        if self.is_open:
            chunk = self._joined(chunk)
        if b"\r" in chunk or len(chunk) > FRAME_BYTES_MAX:
            return self._split(chunk)
        _, end, more = chunk.partition(_EMPTY_LINE)
        if end and not more:  # as a stream comes that is written one event after another
            return [chunk]
        frames = chunk.split(_EMPTY_LINE)
        self._hold(frames.pop())
        return [frame + _EMPTY_LINE for frame in frames]

    def finish(self) -> list[bytes]:
        """Return what stands at the stream's end: a frame that only lacks its last line end.

        The standard drops an unfinished event; upstreams that end without the empty line are
        common, so a last frame with data is given, and its reader decides whether it is whole.
        """
        rest, self._rest = bytes(self._rest.rstrip(b"\r\n")), bytearray()
        return [rest + _EMPTY_LINE] if rest else []

    def _joined(self, chunk: bytes) -> bytes:
        """Return what is open with `chunk` behind it, b"" while that is no whole frame."""
        buffer = self._rest
        buffer += chunk
        if self._is_first:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return b""
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
            self._is_first = False
            self.is_open = bool(buffer)
        if _FRAME_END.search(buffer, self._searched) is None:
            self._searched = max(0, len(buffer) - 3)
            _check_size(len(buffer))
            return b""
        joined = bytes(buffer)
        del buffer[:]
        self._searched = 0
        self.is_open = False
        return joined

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._rest += rest
            self.is_open = True

    def _split(self, chunk: bytes) -> list[bytes]:
        """Return the frames of bytes with any line ends, and of any length."""
        frames: list[bytes] = []
        start = 0
        for match in _FRAME_END.finditer(chunk):
            end = match.end()
            # A CR at the very end may be half of a CRLF: wait for the next chunk to tell.
            if end == len(chunk) and chunk.endswith(_UNDECIDED):
                break
            _check_size(end - start)
            frames.append(chunk[start:end])
            start = end
        self._hold(chunk[start:])
        _check_size(len(self._rest))
        return frames


def parse_frame(raw: bytes) -> SseFrame:
    """Return the frame whose bytes, its empty line included, are `raw`."""
    event, data = "", list[bytes]()
    for line in _LINE_END.split(raw) if b"\r" in raw else raw.split(b"\n"):
        if line.startswith(b"data: "):
            data.append(line[6:])
        elif line:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = value.decode("utf-8", "replace")
    return SseFrame(event, b"\n".join(data) if data else None, raw)


def data_frame(data: bytes, event: bytes = b"") -> bytes:
    """Return an event with this JSON on one line; unnamed where `event` is empty.

    The line ends in it are in no string: JSON writes those as escapes.
    """
    line = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return (b"event: " + event + b"\n" if event else b"") + b"data: " + line + b"\n\n"


def with_data(frame: SseFrame, data: bytes) -> bytes:
    """Return an event's bytes with other JSON for its data, its other lines as they are.

    Of an event whose data came on several lines only the name is kept beside it.
    """
    if frame.data is None or frame.data == data:
        return frame.raw
    found = _DATA.search(frame.raw)
    if found is None or b"\n" in frame.data:
        return data_frame(data, frame.event.encode())
    # By its place: a comment, a name or an id may say the same before it.
    start = found.end()
    return frame.raw[:start] + data + frame.raw[start + len(frame.data) :]


def _check_size(size_bytes: int) -> None:
    if size_bytes > FRAME_BYTES_MAX:
        raise FrameTooLarge(f"an SSE frame is larger than {FRAME_BYTES_MAX} bytes")
