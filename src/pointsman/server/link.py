"""Link: what a server's first process and its workers say to each other, over a pair of sockets.

A message is its length in four bytes and then MessagePack.
"""

import socket
import struct
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

_LENGTH = struct.Struct(">I")
_READ_BYTES = 65_536
_SEND_S = 1.0


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker takes connections."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A worker cannot start; `code` is the error's."""

    code: str
    message: str


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Get ready to go by new settings, MessagePack of `Settings`."""

    number: int
    settings: bytes


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """A worker could go by the new settings, or could not: why, else ""."""

    number: int
    fault: str


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """Go by the settings that were prepared."""

    number: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Take no more requests; end with the last that runs."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Break off what runs."""


class Labelled(msgspec.Struct, frozen=True, tag=True):
    """An audit of a worker's has come to a label: the others are to count it."""


class Scrape(msgspec.Struct, frozen=True, tag=True):
    """A worker with these figures asks for the sums over all."""

    figures: bytes


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Tell your figures."""

    number: int


class Told(msgspec.Struct, frozen=True, tag=True):
    """A worker's figures; `number` 0: nobody has asked, it ends."""

    number: int
    figures: bytes


class Sums(msgspec.Struct, frozen=True, tag=True):
    """What was asked for by `Scrape`."""

    figures: bytes


Message: TypeAlias = (
    Ready
    | Refused
    | Prepare
    | Prepared
    | Adopt
    | Drain
    | Stop
    | Labelled
    | Scrape
    | Ask
    | Told
    | Sums
)

_decoder = msgspec.msgpack.Decoder(Message)
_encoder = msgspec.msgpack.Encoder()


def framed(message: Message) -> bytes:
    """Return a message as it is sent."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Puts messages together from the bytes that come."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def add(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole now."""
        self._waiting += data
        while len(self._waiting) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._waiting)
            end = _LENGTH.size + length
            if len(self._waiting) < end:
                return
            body = bytes(self._waiting[_LENGTH.size : end])
            del self._waiting[:end]
            yield _decoder.decode(body)


class Link:
    """The first process's end of the pair, used without waiting but for a full socket."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._frames = Frames()
        end.settimeout(_SEND_S)

    def send(self, message: Message) -> bool:
        """Send a message, to nobody where the worker is gone; False where it has long not read."""
        try:
            self.socket.sendall(framed(message))
        except TimeoutError:
            return False
        except OSError:  # its end is told by the system
            return True
        return True

    def received(self) -> tuple[Message, ...] | None:
        """Return what has come, None where the worker has closed its end."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except OSError:
            return None
        return tuple(self._frames.add(data)) if data else None

    def close(self) -> None:
        """Let go of the socket."""
        self.socket.close()
