"""Heads: the linear functions of each group, and the file that holds them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from math import exp, fsum, sqrt
from operator import mul

import msgspec

from pointsman.core.types import Reading
from pointsman.scorer.familiar import BUCKETS, look_up, pack_bits, unpack_bits
from pointsman.scorer.reading import COUNT_NAMES, COUNTS, COUNTS_OF_TEXT, GROUPS

FORMAT = 2
_HEADER_SIZE_BYTES = 4
_RAW_BYTES_MAX = 16 * 1024 * 1024
_NUMBER_MAX = 1e6
_LOG_GAIN_MAX = 100.0
_KEPT_MAX = 64
_UNWEIGHTED = bytes.maketrans(b"0", b"\x80")


class Linear(msgspec.Struct, frozen=True):
    """A linear function of counts: bias + weights @ counts; a count without a weight has 0."""

    bias: float
    weights: tuple[float, ...]

    def value(self, counts: Sequence[float]) -> float:
        """Return the exact sum, rounded to six decimals so that no platform's log shows."""
        return round(fsum((self.bias, *map(mul, self.weights, counts))), 6)


class Curves(msgspec.Struct, frozen=True):
    """What a need means in one group, measured on prompts that the head had not seen.

    relative_gain: (need, relative gain) knots, both rising; straight between them, flat outside.
    spread: (share of requests below, relative gain there, share of the group's gain they hold).
    """

    relative_gain: tuple[tuple[float, float], ...]
    spread: tuple[tuple[float, float, float], ...]


class Rules(msgspec.Struct, frozen=True):
    """All of one group but its gram weights.

    need: of the counts; grams add to it.  gram_unit: what 1 in the table of grams is worth.
    gain_per_usd: log of it, of the counts; `gain_slope` times the need is added.
    output_tokens: log of it.  count_means: of the training prompts, to tell much from little.
    """

    group: str
    need: Linear
    gram_unit: float
    gain_per_usd: Linear
    gain_slope: float
    output_tokens: Linear
    count_means: tuple[float, ...]
    curves: Curves


@dataclass(frozen=True, slots=True)
class Head:
    """The functions of one group.

    table: (65536,), text weight + 128, one byte a CRC-16 value, in units of `rules.gram_unit`.
    """

    rules: Rules
    table: bytes

    def need(self, reading: Reading) -> float:
        """Return bias + counts + grams; the grams' sum over n is divided by sqrt(n).

        Gram weights are whole numbers and the rest is summed exactly, then rounded to six decimals:
        the order of a set, the platform and its math library leave no trace.
        """
        rules, grams = self.rules, reading.grams
        text = rules.gram_unit * _units(self.table, grams) / sqrt(len(grams) or 1)
        need = rules.need
        return round(fsum((need.bias, text, *map(mul, need.weights, reading.counts))), 6)

    def gain_per_usd(self, reading: Reading) -> float:
        """Return gain over cost, > 0 and finite, in units that only rank."""
        rules = self.rules
        money = rules.gain_per_usd.value(reading.counts)
        log_gain = round(money + rules.gain_slope * self.need(reading), 6)
        return exp(min(max(log_gain, -_LOG_GAIN_MAX), _LOG_GAIN_MAX))


@dataclass(frozen=True, slots=True)
class Heads:
    """One head a group.  stand_ins: group without training data -> the group whose head it uses."""

    version: str
    by_group: Mapping[str, Head]
    stand_ins: Mapping[str, str]

    def __getitem__(self, group: str) -> Head:
        return self.by_group[self.stand_ins.get(group, group)]


class _Header(msgspec.Struct, frozen=True):
    format: int
    version: str
    count_names: tuple[str, ...]
    rules: tuple[Rules, ...]
    gram_counts: tuple[int, ...]
    stand_ins: dict[str, str]


def pack_heads(heads: Heads) -> bytes:
    """Return the bytes that `unpack_heads` reads; weights of 0 are left out."""
    weights = [_weights(head.table) for head in heads.by_group.values()]
    header = _Header(
        format=FORMAT,
        version=heads.version,
        count_names=COUNT_NAMES[:COUNTS_OF_TEXT],
        rules=tuple(head.rules for head in heads.by_group.values()),
        gram_counts=tuple(len(some) for some in weights),
        stand_ins=dict(heads.stand_ins),
    )
    told = msgspec.json.encode(header)
    size = len(told).to_bytes(_HEADER_SIZE_BYTES, "little")
    return zlib.compress(b"".join((size, told, *map(_pack_weights, weights))), 9)


def unpack_heads(packed: bytes, base: Heads | None = None) -> Heads:
    """Return the heads in a data file; groups that it leaves out come from `base`.

    Raises ValueError when the file was written for other counts or groups, or is damaged.
    """
    try:
        raw = zlib.decompressobj().decompress(packed, _RAW_BYTES_MAX)
        size = int.from_bytes(raw[:_HEADER_SIZE_BYTES], "little")
        at = _HEADER_SIZE_BYTES + size
        header = msgspec.json.decode(raw[_HEADER_SIZE_BYTES:at], type=_Header)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"the scorer's weights are damaged ({error}); reinstall them") from None
    if header.format != FORMAT or header.count_names != COUNT_NAMES[:COUNTS_OF_TEXT]:
        raise ValueError(
            f"the scorer's weights are of format {header.format}, this version reads {FORMAT} with "
            f"{COUNTS_OF_TEXT} counts of the text; train them again or reinstall them"
        )
    by_group = dict(base.by_group) if base else {}
    for rules, n in zip(header.rules, header.gram_counts, strict=True):
        if fault := _fault(rules):
            raise ValueError(f'the scorer\'s weights for "{rules.group}" {fault}; train them again')
        table, at = _unpack_weights(raw, at, n)
        by_group[rules.group] = Head(rules, table)
    heads = Heads(header.version, by_group, header.stand_ins)
    for group in GROUPS:
        if heads.stand_ins.get(group, group) not in by_group:
            raise ValueError(f'the scorer\'s weights lack the group "{group}"; train them again')
    return heads


@lru_cache(maxsize=_KEPT_MAX)
def _units(table: bytes, grams: frozenset[int]) -> int:
    """Return the sum of the grams' weights, at once where it was asked for not long ago."""
    return sum(look_up(table, grams)) - 128 * len(grams)


def _fault(rules: Rules) -> str:
    """Return what is wrong with the rules of one group, which would fail a request later; or ""."""
    linear = (rules.need, rules.gain_per_usd, rules.output_tokens)
    if any(len(one.weights) > COUNTS for one in linear):
        return f"are for more than {COUNTS} counts"
    knots, spread = rules.curves.relative_gain, rules.curves.spread
    if not knots or not spread:
        return "have an empty curve"
    if any(left[0] > right[0] for left, right in pairwise(knots)):
        return "have a curve that goes back"
    numbers = chain.from_iterable(
        ((rules.gram_unit, rules.gain_slope), rules.count_means, *knots, *spread)
    )
    terms = chain.from_iterable((one.bias, *one.weights) for one in linear)
    if any(not abs(number) <= _NUMBER_MAX for number in chain(numbers, terms)):
        return f"have a number beyond {_NUMBER_MAX:g}"
    return ""


def _weights(table: bytes) -> list[tuple[int, int]]:
    return [(bucket, byte) for bucket, byte in enumerate(table) if byte != 128]


def _pack_weights(weights: Sequence[tuple[int, int]]) -> bytes:
    """Return one bit a bucket that has a weight, then the weights in that order."""
    return pack_bits({bucket for bucket, _ in weights}) + bytes(byte for _, byte in weights)


def _unpack_weights(raw: bytes, at: int, n: int) -> tuple[bytes, int]:
    """Return the table of `n` weights packed at `at`, and where the next one starts."""
    start = at + BUCKETS // 8
    places, weights = unpack_bits(raw[at:start]), raw[start : start + n]
    if not len(weights) == n == places.count(b"1"):
        raise ValueError("the scorer's weights are damaged (a table is not whole); reinstall them")
    filled = places.translate(_UNWEIGHTED).replace(b"1", b"%c") % tuple(weights)
    return filled, start + n
