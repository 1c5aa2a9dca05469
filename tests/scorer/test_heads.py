"""Heads: the file of weights, what it refuses, and sums that no order or platform changes."""

import zlib
from dataclasses import replace

import msgspec
import pytest

from pointsman.scorer.heads import Curves, Head, Heads, Linear, Rules, pack_heads, unpack_heads
from pointsman.scorer.model import Scorer, interpolate
from pointsman.scorer.reading import COUNT_OF_LENGTH, COUNTS_OF_TEXT, GROUPS, read

FLAT = Curves(relative_gain=((0.0, 1.0),), spread=((0.0, 1.0, 0.0), (1.0, 1.0, 1.0)))
STAND_INS = {group: "chat" for group in GROUPS if group != "chat"}


def a_head(group: str = "chat", length: float = 0.5, grams: dict[int, int] | None = None) -> Head:
    table = bytearray([128]) * 65_536
    for gram, weight in (grams or {}).items():
        table[gram] = weight + 128
    weights = [0.0] * COUNTS_OF_TEXT
    weights[COUNT_OF_LENGTH] = length
    rules = Rules(
        group=group,
        need=Linear(0.25, tuple(weights)),
        gram_unit=0.01,
        gain_per_usd=Linear(1.0, tuple(weights)),
        gain_slope=2.0,
        output_tokens=Linear(5.0, ()),
        count_means=(0.0,) * COUNTS_OF_TEXT,
        curves=FLAT,
    )
    return Head(rules, bytes(table))


def test_the_file_gives_back_what_was_packed():
    head = a_head(grams={0: -128, 7: 127, 65_535: 1})
    heads = Heads("v", {"chat": head}, STAND_INS)
    assert unpack_heads(pack_heads(heads)) == heads


def test_groups_left_out_come_from_the_base():
    base = Heads("base", {"chat": a_head(), "maths": a_head("maths")}, STAND_INS)
    twin = Heads("twin", {"maths": a_head("maths", length=9.0)}, STAND_INS)
    heads = unpack_heads(pack_heads(twin), base)
    assert heads["chat"] == base["chat"]
    assert heads.by_group["maths"] == twin.by_group["maths"]


def test_a_file_without_a_group_is_refused():
    packed = pack_heads(Heads("v", {"chat": a_head()}, {}))
    with pytest.raises(ValueError, match='lack the group "choice"; train'):
        unpack_heads(packed)


@pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"\x02\x00\x00\x00{]")])
def test_a_damaged_file_is_refused(packed: bytes):
    with pytest.raises(ValueError, match=r"damaged .* reinstall"):
        unpack_heads(packed)


def test_a_file_of_another_format_is_refused():
    raw = zlib.decompress(pack_heads(Heads("v", {"chat": a_head()}, STAND_INS)))
    other = raw.replace(b'"format":2', b'"format":1')
    with pytest.raises(ValueError, match="format 1, this version reads 2"):
        unpack_heads(zlib.compress(other))


def test_need_adds_bias_counts_and_grams():
    plain = read("zebra crossing")
    head = a_head(length=0.0, grams=dict.fromkeys(plain.grams, 100))
    n = len(plain.grams)
    assert head.need(plain) == pytest.approx(0.25 + 0.01 * 100 * n**0.5, abs=1e-6)


def test_a_need_is_the_same_on_every_platform_and_version():
    reading = read("Sort 12 names, please.")
    words = [13254, 16091, 28490, 30044, 39427, 49971, 50205, 50604, 58862, 60418, 65454]
    assert sorted(reading.grams) == words
    assert a_head(grams={gram: gram % 200 - 100 for gram in words}).need(reading) == 0.370493


def test_the_order_of_grams_leaves_no_trace():
    reading = read("one two three four five six seven eight nine ten")
    turned = msgspec.structs.replace(reading, grams=frozenset(sorted(reading.grams, reverse=True)))
    head = a_head(grams={gram: gram % 200 - 100 for gram in reading.grams})
    assert head.need(reading) == head.need(turned)


def test_counts_without_a_weight_count_for_nothing():
    reading = read("Explain.")
    beside = msgspec.structs.replace(
        reading, counts=(*reading.counts[:COUNTS_OF_TEXT], 9.0, 9.0, 1.0, 9.0, 9.0)
    )
    assert a_head().need(reading) == a_head().need(beside)


def test_a_group_without_data_uses_its_stand_in_and_says_so():
    scorer = Scorer(Heads("v", {"chat": a_head()}, STAND_INS))
    assert scorer.is_trained("chat")
    assert not scorer.is_trained("edit")
    assert scorer.spread("edit") == scorer.spread("chat")


def test_reasons_name_the_words_that_moved_the_need():
    reading = read("please prove that it holds")
    words = read("prove that").grams - read("that").grams - read("prove").grams
    head = a_head(length=0.0, grams=dict.fromkeys(words, 127))
    reasons = Scorer(Heads("v", {"chat": head}, STAND_INS)).reasons(
        "please prove that it holds", reading
    )
    assert reasons[0].what == '"prove that"'
    assert reasons[0].weight > 0


def test_reasons_tell_a_count_from_its_mean():
    reading = read("short")
    rules = msgspec.structs.replace(a_head().rules, count_means=(7.0,) * COUNTS_OF_TEXT)
    head = replace(a_head(), rules=rules)
    (reason,) = Scorer(Heads("v", {"chat": head}, STAND_INS)).reasons("short", reading, limit=1)
    assert reason.what == "short text"
    assert reason.weight < 0


@pytest.mark.parametrize(("x", "y"), [(-9, 1), (0, 1), (1, 2), (2, 3), (3, 3.5), (9, 4)])
def test_knots_are_joined_by_straight_lines(x: float, y: float):
    assert interpolate(((0, 1), (2, 3), (4, 4)), x) == y
