"""Familiar: which words the training prompts had, as a map of one bit a CRC-16 value."""

import zlib
from binascii import crc_hqx
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from operator import itemgetter
from pkgutil import get_data

BUCKETS = 65_536
UNKNOWN, KNOWN, SILENT = 0, 1, 2
FAMILIARITY_MIN = 0.7
"""Below this a prompt is unlike what the scorer learned from. Of the training prompts that were
left out when the map of words was made, fold by fold, the 1st percentile has 0.71."""
_FILE = "familiar.bin"
_KINDS = bytes.maketrans(b"01", bytes([UNKNOWN, KNOWN]))


@cache
def familiar_words() -> bytes:
    """Return UNKNOWN, KNOWN or SILENT for each CRC-16 value, (65536,), read once.

    SILENT are digits, blanks and single ASCII marks and letters: they occur in every language,
    in logs and in base64, so they say nothing.

    Raises ValueError when the file in the package is damaged.
    """
    packed = get_data(__package__, _FILE)
    if packed is None:
        raise ValueError(f"pointsman/scorer/{_FILE} is missing; reinstall pointsman")
    return unpack_words(zlib.decompress(packed))


def unpack_words(bits: bytes) -> bytes:
    """Return the table of `familiar_words` from its bits, (8192,), lowest bit first.

    Raises ValueError when there are not 65,536 bits.
    """
    if len(bits) * 8 != BUCKETS:
        raise ValueError(f"the map of familiar words has {len(bits)} bytes, not {BUCKETS // 8}")
    table = bytearray(unpack_bits(bits).translate(_KINDS))
    for token in silent_tokens():
        table[crc_hqx(token, 0)] = SILENT
    return bytes(table)


def pack_bits(buckets: Iterable[int]) -> bytes:
    """Return one bit a CRC-16 value, (8192,), lowest bit first: 1 for those given."""
    bits = bytearray(BUCKETS // 8)
    for bucket in buckets:
        bits[bucket // 8] |= 1 << bucket % 8
    return bytes(bits)


def unpack_bits(bits: bytes) -> bytes:
    """Return the digit 0 or 1 for each of the bits of `pack_bits`."""
    return f"{int.from_bytes(bits, 'little'):0{8 * len(bits)}b}"[::-1].encode()


def look_up(table: bytes, at: Collection[int]) -> Sequence[int]:
    """Return the table's byte at each place; faster than one place after another."""
    if len(at) > 1:
        found: Sequence[int] = itemgetter(*at)(table)
        return found
    return [table[place] for place in at]


def silent_tokens() -> tuple[bytes, ...]:
    """Return the tokens that say nothing of the language: see `familiar_words`."""
    singles = (bytes([byte]) for byte in range(128))
    return (*singles, b"00", b"000", b"0000")
