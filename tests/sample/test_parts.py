"""Parts: the bundled samples are whole, hold no text that is not ours, and can be compared."""

import json
from typing import Any

import pytest

from pointsman.config import parse_settings
from pointsman.policies import FAST_PHRASES, POWER_PHRASES
from pointsman.sample.parts import PARTS, Part
from pointsman.scorer.groups import GROUPS
from pointsman.scorer.reading import COUNTS

EVERY = pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)


def rows(part: Part) -> list[dict[str, Any]]:
    with part.open() as file:
        return [json.loads(line) for line in file]


@EVERY
def test_its_configuration_names_models_that_every_row_has(part: Part):
    settings = parse_settings(part.config_text, part.name, {}, needs_keys=False)
    models = {entry.model for tier in settings.tiers for entry in tier.entries}
    assert models <= set(settings.prices)
    for row in rows(part):
        labelled = row.get("outcomes") or row.get("scores")
        assert isinstance(labelled, dict) and models <= set(labelled), row["id"]


@EVERY
def test_no_row_comes_twice(part: Part):
    ids = [row["id"] for row in rows(part)]
    assert len(ids) == len(set(ids)) > 400


def test_the_figures_hold_no_word_but_our_own_phrases():
    ours, keys = {*POWER_PHRASES, *FAST_PHRASES}, set()
    for row in rows(PARTS["sample"]):
        keys |= set(row)
        assert set(row["signals"]) <= ours
        assert row["group"] in GROUPS
        group, counts, grams, familiarity = row["reading"]
        assert group == row["group"] and len(counts) == COUNTS
        assert " " not in grams and 0 <= familiarity <= 1
    assert keys == {
        *("id", "source", "group", "words", "input_tokens", "signals", "reading", "outcomes")
    }


def test_the_title_counts_the_rows():
    assert f"{len(rows(PARTS['sample'])):,}" in PARTS["sample"].title
