"""Reading: what one pass over a prompt finds; all that the scorer knows of it.

The text is clipped first, so that a body of megabytes costs no more than one of 2,500 characters.
Nothing here depends on the platform: tokens are cut from bytes, and CRC-16 is the hash.
"""

import re
from base64 import b85decode, b85encode
from binascii import crc_hqx
from functools import lru_cache, partial
from itertools import repeat
from math import log1p
from typing import Final, NamedTuple

import msgspec

from pointsman.core.types import Features, Need, Reading
from pointsman.scorer.familiar import FAMILIARITY_MIN, KNOWN, UNKNOWN, familiar_words
from pointsman.scorer.groups import GROUPS, find_group, joined_signs
from pointsman.scorer.lines import crossing_pairs, find_tokens, first_tokens, read_lines
from pointsman.scorer.plain import plain

__all__ = [
    "GROUPS",
    "Facts",
    "PackedReading",
    "Reading",
    "pack_reading",
    "read",
    "read_features",
]

HEAD_CHARS = 2_000
TAIL_CHARS = 500
CLIP_CHARS = HEAD_CHARS + TAIL_CHARS
_KEPT_MAX = 64  # of 70 kB at most, where no word comes twice

COUNTED: Final = tuple(bytes([mark]) for mark in b'0\n.,?$\\(=%"')
_NOT_COUNTED: Final = bytes(range(256)).translate(None, b"".join(COUNTED))
_FOREIGN_WORD_BYTES: Final = 4
_TAKEN_AS_KNOWN: Final = 6
# Of letters beyond ASCII, tokens of at most 12 bytes, so many more bytes count as a word more.
_FOREIGN_TOKEN_BYTES: Final = 6
# A half is taken for the whole only when so much of it is known: a few words of a language that
# was not learned from are known by chance. docs/model-card.md has what that lets through.
_HALF_FAMILIARITY_MIN: Final = 0.8

# One name for each of `Reading.counts`, as a person may read it.
COUNT_NAMES: Final = (
    *("digits", "lines", "full stops", "commas", "question marks", "dollar signs", "backslashes"),
    *("brackets", "equals signs", "percent signs", "quotation marks"),
    *("length", "words", "variety of words", "length of words", "share of digits"),
    *("turns", "system prompt", "tools", "text beyond the clip", "code fences"),
)
COUNTS: Final = len(COUNT_NAMES)
COUNT_OF_LENGTH: Final = COUNT_NAMES.index("length")
# The counts before this one are of the text, and trained; those from it on tell of what stands
# beside or beyond it, and have no weight until `pointsman train` gives them one.
COUNTS_OF_TEXT: Final = COUNT_NAMES.index("turns")


class Facts(msgspec.Struct, frozen=True):
    """What stands beside the text.

    turns: of the conversation, this one included.  system_chars: length of the system prompt.
    has_tools: whether the request offers tools.
    """

    turns: int = 1
    system_chars: int = 0
    has_tools: bool = False


class PackedReading(msgspec.Struct, frozen=True, array_like=True):
    """A `Reading` for JSON; `grams` are steps between the sorted values, in base 85."""

    group: str
    counts: tuple[float, ...]
    grams: str
    familiarity: float

    def unpack(self) -> Reading:
        """Return the reading; raises ValueError when `grams` were not written by `pack_reading`."""
        return Reading(self.group, self.counts, _unpack_grams(self.grams), self.familiarity)


def pack_reading(reading: Reading) -> PackedReading:
    """Return a small form of a reading for JSON; counts keep six decimals."""
    counts = tuple(round(count, 6) for count in reading.counts)
    return PackedReading(reading.group, counts, _pack_grams(reading.grams), reading.familiarity)


def read(text: str, facts: Facts = Facts()) -> Reading:  # noqa: B008 - frozen
    """Return what the first 2,000 and last 500 characters of a text hold; "" is read too.

    It is read as a person sees it, without what is hidden in it (`plain`).
    """
    found = _read_folded(_fold(_clip(text)))
    counts = (
        *found.counts,
        log1p(max(facts.turns - 1, 0)),
        log1p(facts.system_chars),
        float(facts.has_tools),
        log1p(max(len(text) - CLIP_CHARS, 0)),
        log1p(found.fences),
    )
    return Reading(found.group, counts, found.grams, found.familiarity)


def read_features(features: Features) -> Reading:
    """Return what the scorer reads of a request, or the reading that came in place of its text."""
    if features.reading is not None:
        return features.reading
    facts = Facts(
        turns=features.turns,
        system_chars=len(features.system),
        has_tools=Need.TOOLS in features.needs,
    )
    return read(features.text, facts)


def all_values(features: Features, reading: Reading) -> frozenset[int] | None:
    """Return the CRC-16 values of all words of a request's text, and of more; None for not known.

    A word that stands alone in the text, but for marks, has its `first_word_value` among them.
    """
    text = features.text
    is_read_whole = features.reading is None and len(text) <= CLIP_CHARS and text.isascii()
    return reading.grams if is_read_whole else None


def first_word_value(lowered: str) -> int:
    """Return the CRC-16 value of the letters, digits or mark that a word in lower case starts with.

    For a word that starts beyond ASCII it is of no use in texts of ASCII, which do not have it.
    """
    return crc_hqx(find_tokens(_fold(lowered))[0], 0)


class _Folded(NamedTuple):
    """What a folded text holds; `counts` are those of the text, `fences` its code fences."""

    group: str
    counts: tuple[float, ...]
    grams: frozenset[int]
    familiarity: float
    fences: int


@lru_cache(maxsize=_KEPT_MAX)
def _read_folded(data: bytes) -> _Folded:
    """Return what is in a folded text, at once where it was read not long ago.

    The same prompt comes again with a retry or another answer asked for, and the same one but for
    its numbers from an application.
    """
    pieces = read_lines(data)
    distinct = list({id(piece): piece for piece in pieces}.values())
    words: set[int] = set().union(*[piece.words for piece in distinct])
    grams = frozenset().union(words, crossing_pairs(pieces), *[piece.pairs for piece in distinct])
    seen = b"".join([piece.seen for piece in pieces])
    marks = _count_marks(data)
    chars, size, n = len(data.decode()), len(data) + 1, len(seen) + 1
    counts = (
        *map(log1p, marks),
        *(log1p(chars), log1p(n), len(words) / n, size / n / 8, marks[0] / size),
    )
    familiarity = _familiarity(seen, foreign_bytes=len(data) - chars)
    if familiarity < FAMILIARITY_MIN and seen:
        half = _familiarity_of_half(data.decode())
        familiarity = half if half >= _HALF_FAMILIARITY_MIN else familiarity
    signs = joined_signs(data, [piece.signs for piece in pieces])
    group = find_group(data, signs, marks, partial(first_tokens, data))
    return _Folded(group, counts, grams, familiarity, data.count(b"```"))


def _count_marks(data: bytes) -> list[int]:
    """Return how often each of `COUNTED` occurs."""
    marks = data.translate(None, _NOT_COUNTED)
    return list(map(marks.count, COUNTED))


def _familiarity(seen: bytes, *, foreign_bytes: int) -> float:
    """Return the share of known words, with a few more taken as known: two names prove nothing."""
    known = seen.count(KNOWN)
    unknown = seen.count(UNKNOWN) + foreign_bytes // _FOREIGN_WORD_BYTES
    if not known + unknown:
        return 0.0
    return (known + _TAKEN_AS_KNOWN) / (known + unknown + _TAKEN_AS_KNOWN)


def _familiarity_of_half(folded: str) -> float:
    """Return the share of known words in the first or the last half of a text, the better one.

    So an ask with at most as much stuck before or behind it is as familiar as without. A word that
    comes again says no more than before, and a sign beyond ASCII that is no letter as little as one
    of ASCII.
    """
    known: list[bool] = []
    table = familiar_words()
    for token in dict.fromkeys(find_tokens(_drop_signs(" ", folded).encode())):
        if not token.isascii():
            known += [False] * (1 + len(token) // _FOREIGN_TOKEN_BYTES)
        elif (seen := table[crc_hqx(token, 0)]) in (KNOWN, UNKNOWN):
            known.append(seen == KNOWN)
    half = (len(known) + 1) // 2
    return max(sum(known[:half]), sum(known[-half:])) / half if known else 0.0


def word_values(text: str) -> set[int]:
    """Return the CRC-16 values, 0..65535, of the words of a text alone; clipped as in `read`."""
    return set(map(crc_hqx, find_tokens(_fold(_clip(text))), repeat(0)))


def words_and_pairs(text: str) -> dict[int, str]:
    """Return the readable words and pairs of a text by their CRC-16, the first one for each.

    A digit is shown as "#", whichever it was. For reasons only: it is several times slower than
    `read`, though clipped like it.
    """
    tokens = find_tokens(_fold(_clip(text)))
    shown = [token.decode("utf-8", "replace").replace("0", "#") for token in tokens]
    named: dict[int, str] = {}
    for at, token in enumerate(tokens):
        word = crc_hqx(token, 0)
        named.setdefault(word, shown[at])
        if at + 1 < len(tokens):
            named.setdefault(crc_hqx(tokens[at + 1], word), f"{shown[at]} {shown[at + 1]}")
    return named


def _clip(text: str) -> str:
    """Return what is read of a text, in plain letters."""
    if len(text) > CLIP_CHARS:
        text = f"{text[:HEAD_CHARS]} {text[-TAIL_CHARS:]}"
    return plain(text)


def _fold(text: str) -> bytes:
    return text.encode("utf-8", "replace").translate(_FOLD)


def _pack_grams(grams: frozenset[int]) -> str:
    steps, before = bytearray(), 0
    for gram in sorted(grams):
        full, rest = divmod(gram - before, 255)
        steps += b"\xff" * full + bytes([rest])
        before = gram
    return b85encode(steps).decode("ascii")


def _unpack_grams(packed: str) -> frozenset[int]:
    grams, gram = [], 0
    for step in b85decode(packed):
        gram += step
        if step != 255:
            grams.append(gram)
    return frozenset(grams)


def _fold_table() -> bytes:
    """Return the byte map: small letters, every digit 0, every blank but a new line a space."""
    table = bytearray(range(256))
    for letter in range(ord("A"), ord("Z") + 1):
        table[letter] = letter + 32
    for digit in b"0123456789":
        table[digit] = ord("0")
    for blank in b"\t\r\x0b\x0c":
        table[blank] = ord(" ")
    return bytes(table)


_FOLD = _fold_table()
_drop_signs = re.compile(r"[^\x00-\x7f\w]+").sub
