"""Inflate: undoes a reply's compression piece by piece, and bounds what comes of it.

We ask for none, so whoever compresses all the same is believed only within limits. Source: FAULTS,
section 4 (at most 100 times); RFC 9110, section 8.4.1: "deflate" is zlib's format; RFC 1952,
section 2.2: a gzip file may have several members.
"""

import zlib
from collections.abc import Iterator

from pointsman.core.errors import UpstreamBadResponse, UpstreamTooLarge

RATIO_MAX = 100
# Below this nobody is harmed, and a short text of blanks is no attack.
UNMINDED_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_WINDOWS = {
    "gzip": _GZIP_WINDOW,
    "x-gzip": _GZIP_WINDOW,
    "deflate": zlib.MAX_WBITS,
}


class Inflater:
    """Undoes one Content-Encoding; "" and "identity" are none.

    Raises UpstreamBadResponse for an encoding that we do not know.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in {"", "identity", *_WINDOWS}:
            raise UpstreamBadResponse(
                f'the upstream compressed its answer with "{encoding[:40]}", which it was not'
                " asked to; only gzip and deflate are read"
            )
        self._taken = 0
        self._given = 0
        self._work = self._fresh() if self._encoding in _WINDOWS else None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece becomes, no more than `PIECE_BYTES` at a time.

        Raises UpstreamTooLarge where it is more than `RATIO_MAX` times what came, and
        UpstreamBadResponse where it cannot be read.
        """
        work = self._work
        if work is None:
            yield piece
            return
        self._taken += len(piece)
        plain = b""
        while piece or len(plain) == PIECE_BYTES:
            try:
                plain = work.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise UpstreamBadResponse(
                    f"the upstream's answer is not the {self._encoding} that it says it is"
                ) from error
            self._given += len(plain)
            if self._given > max(UNMINDED_BYTES, RATIO_MAX * self._taken):
                raise UpstreamTooLarge(
                    f"the upstream's answer grows to more than {RATIO_MAX} times what was sent"
                )
            if plain:
                yield plain
            piece = work.unconsumed_tail
            if work.eof:
                piece = work.unused_data
                work = self._work = self._fresh()

    def _fresh(self) -> "zlib._Decompress":
        return zlib.decompressobj(_WINDOWS[self._encoding])
