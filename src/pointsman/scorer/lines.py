"""Lines: what the lines of a folded text hold, kept of those that come again.

Most prompts of an application have the same instructions and examples around what is new. No word
or sign of form goes over a line's end, and no pair but that of the words on its two sides.
"""

import re
from array import array
from binascii import crc_hqx
from collections.abc import Collection, Iterable, Sequence
from itertools import islice, pairwise, repeat
from typing import NamedTuple

from pointsman.scorer.familiar import familiar_words, look_up
from pointsman.scorer.groups import signs_of

# A line is kept when it comes for the second time, since most never do. It takes about 1 kB, so all
# take 1 MB, and ten times that where each is as long as is kept at all.
_KEPT_MAX = 1_024
_KEPT_BYTES_MAX = 1_024
_MET_MAX = 8_192

# Letters; up to four digits; up to twelve bytes beyond ASCII; any other single mark.
_TOKEN = re.compile(rb"[a-z]+|0{1,4}|[\x80-\xff]{1,12}|[^ \n]")
find_tokens = _TOKEN.findall


class Lines(NamedTuple):
    """One or more lines: `words` and `pairs` are CRC-16 values, 0..65535, each once.

    `seen`: UNKNOWN, KNOWN or SILENT for each token, in their order. `first` is the first token,
    `last` the CRC-16 value of the last one. `signs`: the bits of `groups.signs_of`.
    """

    words: Collection[int]
    pairs: Collection[int]
    seen: bytes
    first: bytes
    last: int
    signs: int


_kept: dict[bytes, Lines] = {}
_met: set[int] = set()  # hashes of lines


def read_lines(data: bytes) -> list[Lines]:
    """Return what is in a folded text, piece by piece: lines that are kept, and those between."""
    pieces: list[Lines] = []
    new: list[bytes] = []
    for line in data.split(b"\n"):
        piece = _kept.get(line) or _met_again(line)
        if piece is None:
            new.append(line)
            continue
        if new:
            pieces.append(_read(b"\n".join(new)))
            new = []
        pieces.append(piece)
    if new:
        pieces.append(_read(b"\n".join(new)))
    return pieces


def first_tokens(data: bytes, count: int) -> list[bytes]:
    """Return the first tokens of a folded text."""
    return [token[0] for token in islice(_TOKEN.finditer(data), count)]


def crossing_pairs(pieces: Sequence[Lines]) -> Iterable[int]:
    """Return the CRC-16 values of the pairs of a piece's last word and the next one's first."""
    filled = [piece for piece in pieces if piece.seen]
    return [crc_hqx(after.first, before.last) for before, after in pairwise(filled)]


def _met_again(line: bytes) -> Lines | None:
    """Return what a line holds, and keep it, when it was met before; else note that it was met."""
    met = hash(line)
    if met not in _met:
        if len(_met) >= _MET_MAX:
            _met.clear()
        _met.add(met)
        return None
    lines = _read(line)
    if len(line) <= _KEPT_BYTES_MAX:
        if len(_kept) >= _KEPT_MAX:
            _kept.clear()
        lines = lines._replace(words=array("H", lines.words), pairs=array("H", lines.pairs))
        _kept[line] = lines
    return lines


def _read(data: bytes) -> Lines:
    tokens = find_tokens(data)
    words = list(map(crc_hqx, tokens, repeat(0)))
    kinds = set(words)
    return Lines(
        words=kinds,
        pairs=set(map(crc_hqx, tokens[1:], words)),  # a pair's CRC goes on from its first word's
        seen=bytes(look_up(familiar_words(), words)),
        first=tokens[0] if tokens else b"",
        last=words[-1] if words else 0,
        signs=signs_of(data, tokens, kinds),
    )
