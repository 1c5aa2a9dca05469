"""Inflate: undoes a reply's compression piece by piece, and bounds what comes of it.

We ask for none, so whoever compresses all the same is believed only within limits. Source: FAULTS,
section 4 (at most 100 times); RFC 9110, section 8.4.1: "deflate" is zlib's format; RFC 1952,
section 2.2: a gzip file may have several members; RFC 7932: brotli.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping

from pointsman.core.errors import UpstreamBadResponse, UpstreamTooLarge

RATIO_MAX = 100
# Below this nobody is harmed, and a short text of blanks is no attack.
UNMINDED_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


class Inflater:
    """Undoes one Content-Encoding; "" and "identity" are none.

    Raises UpstreamBadResponse for an encoding that we do not know, and for brotli without the
    package that reads it.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._taken = 0
        self._given = 0
        if self._encoding in {"", "identity"}:
            self._inflated: _Inflated | None = None
        elif reading := _READERS.get(self._encoding):
            self._inflated = reading()
        else:
            raise UpstreamBadResponse(
                f'the upstream compressed its answer with "{encoding[:40]}", which it was not'
                " asked to; only gzip, deflate and br are read"
            )

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece becomes, no more than twice `PIECE_BYTES` at a time.

        Raises UpstreamTooLarge where it is more than `RATIO_MAX` times what came, and
        UpstreamBadResponse where it cannot be read.
        """
        if self._inflated is None:
            yield piece
            return
        self._taken += len(piece)
        try:
            for plain in self._inflated(piece):
                self._given += len(plain)
                if self._given > max(UNMINDED_BYTES, RATIO_MAX * self._taken):
                    raise UpstreamTooLarge(
                        f"the upstream's answer grows to more than {RATIO_MAX} times what was sent"
                    )
                yield plain
        except _Unreadable as error:
            raise UpstreamBadResponse(
                f"the upstream's answer is not the {self._encoding} that it says it is"
            ) from error


_Inflated = Callable[[bytes], Iterator[bytes]]


class _Unreadable(Exception):
    """The bytes are not of their encoding."""


def _zlib(window: int) -> _Inflated:
    """Return what undoes zlib's format or gzip's, as `window` has it."""
    work = zlib.decompressobj(window)

    def inflated(piece: bytes) -> Iterator[bytes]:
        nonlocal work
        plain = b""
        while piece or len(plain) == PIECE_BYTES:
            try:
                plain = work.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise _Unreadable from error
            if plain:
                yield plain
            piece = work.unconsumed_tail
            if work.eof:
                piece = work.unused_data
                work = zlib.decompressobj(window)

    return inflated


def _brotli() -> _Inflated:
    """Return what undoes brotli. Raises UpstreamBadResponse without the package."""
    try:
        import brotli
    except ModuleNotFoundError as error:
        raise UpstreamBadResponse(
            'the upstream compressed its answer with "br", which it was not asked to; to read'
            " it, pip install 'pointsman[brotli]'"
        ) from error
    work = brotli.Decompressor()

    def inflated(piece: bytes) -> Iterator[bytes]:
        try:
            # It gives at most about the limit, and the rest for calls that bring nothing new.
            while plain := work.process(piece, output_buffer_limit=PIECE_BYTES):
                yield plain
                piece = b""
        except brotli.error as error:
            raise _Unreadable from error

    return inflated


def _gzip() -> _Inflated:
    return _zlib(16 + zlib.MAX_WBITS)


def _deflate() -> _Inflated:
    return _zlib(zlib.MAX_WBITS)


_READERS: Mapping[str, Callable[[], _Inflated]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
}
