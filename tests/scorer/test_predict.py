"""The shipped scorer: what the public functions promise of any prompts."""

import math
import subprocess
import sys
import zlib
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.scorer import predict_gain_per_usd, predict_need
from pointsman.scorer.familiar import KNOWN, familiar_words, pack_bits, unpack_words
from pointsman.scorer.model import Scorer, held_out, shipped
from pointsman.scorer.reading import GROUPS, read

TRAINED = [group for group in GROUPS if group not in ("edit", "code")]
WEIGHTS_BYTES_MAX = 471_859  # 0.45 MiB, the shipped weights and their twin together


@given(prompts=st.lists(st.text(), max_size=5))
def test_every_prompt_gets_a_finite_number_of_its_own(prompts: list[str]):
    needs, gains = predict_need(prompts), predict_gain_per_usd(prompts)
    assert len(needs) == len(gains) == len(prompts)
    assert all(math.isfinite(need) for need in needs)
    assert all(gain > 0 for gain in gains)
    assert needs == [predict_need([prompt])[0] for prompt in prompts]


@given(text=st.text())
def test_relative_gain_and_tokens_are_in_range(text: str):
    reading = read(text)
    assert shipped().relative_gain(reading) >= 0
    assert 1 <= shipped().output_tokens(reading) < 32_769


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("scorer", [shipped, held_out], ids=["shipped", "held-out"])
def test_the_spread_of_a_group_is_a_lorenz_curve(scorer, group: str):
    model: Scorer = scorer()
    spread = model.spread(group)
    assert len(spread) == 33
    assert (spread[0][0], spread[0][2]) == (0, 0)
    assert (spread[-1][0], spread[-1][2]) == (1, 1)
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(spread))


def test_only_groups_with_data_count_as_trained():
    assert [group for group in GROUPS if shipped().is_trained(group)] == TRAINED


def test_a_version_is_told():
    assert shipped().version.startswith("2026-11-23")
    assert held_out().version != shipped().version


def test_the_weights_are_small():
    names = ("shipped.bin", "held_out.bin", "familiar.bin")
    assert sum(len(files("pointsman.scorer").joinpath(name).read_bytes()) for name in names) < (
        WEIGHTS_BYTES_MAX
    )


def test_reasons_come_with_the_shipped_weights():
    text = "Prove that the square root of two is irrational."
    reasons = shipped().reasons(text, read(text), limit=3)
    assert len(reasons) == 3
    assert all(reason.weight for reason in reasons)


def test_the_map_of_words_survives_its_packed_form():
    bits = pack_bits({300, 301, 65_535})
    table = unpack_words(bits)
    assert [at for at, kind in enumerate(table) if kind == KNOWN] == [300, 301, 65_535]
    packed = files("pointsman.scorer").joinpath("familiar.bin").read_bytes()
    assert unpack_words(zlib.decompress(packed)) == familiar_words()


def test_a_damaged_map_of_words_is_refused():
    with pytest.raises(ValueError, match="has 3 bytes, not 8192"):
        unpack_words(b"abc")


def test_scoring_loads_no_numpy():
    code = (
        "import sys, pointsman.scorer as s; s.predict_need(['a']); "
        "sys.exit(any(m.split('.')[0] in ('numpy', 'scipy') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
