"""Fitting: heads that the scorer can hold, pack and read again."""

import msgspec
import pytest
from tests.compare.builders import request
from tests.training.builders import TWO_TIERS, labelled

from pointsman.compare.records import LoggedRequest, Outcome
from pointsman.core.features import extract
from pointsman.core.usage import Usage
from pointsman.scorer.heads import pack_heads, unpack_heads
from pointsman.scorer.model import Scorer, shipped
from pointsman.scorer.reading import COUNTS
from pointsman.training.fitting import fit_heads, fitted_groups, only_fitted
from pointsman.training.labels import Labels, gather

PRIOR = shipped().heads


def edits(count: int) -> list[LoggedRequest]:
    """Return short edits, of a group for which another may stand in, some of them failed."""
    return [
        LoggedRequest(
            features=extract(request(f"Rename the variable x{number} to y in line {number}.")),
            outcomes={
                "small": Outcome(quality=float(number % 3 > 0), cost_nanousd=1),
                "big": Outcome(quality=1.0, cost_nanousd=9),
            },
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def labels() -> Labels:
    return gather([*labelled(200), *edits(40)], TWO_TIERS)


def test_each_group_with_enough_labels_has_a_head_of_its_own(labels):
    assert {reading.group for reading in labels.readings} >= {"chat", "edit"}
    heads = fit_heads(labels, PRIOR)
    assert fitted_groups(heads, PRIOR) == ("chat", "edit")
    assert "edit" not in heads.stand_ins
    assert heads["maths"] is PRIOR["maths"]


def test_fitted_heads_are_packed_and_read_again(labels):
    heads = fit_heads(labels, PRIOR)
    again = unpack_heads(pack_heads(only_fitted(heads, PRIOR)), base=PRIOR)
    assert again.version == heads.version != PRIOR.version
    for reading in labels.readings[::20]:
        assert Scorer(again).need(reading) == Scorer(heads).need(reading)


def test_a_group_with_few_labels_keeps_the_priors_head():
    heads = fit_heads(gather([*labelled(100), *edits(19)], TWO_TIERS), PRIOR)
    assert fitted_groups(heads, PRIOR) == ("chat",)
    assert heads.stand_ins.get("edit") == PRIOR.stand_ins.get("edit")


def test_needs_stay_on_the_priors_scale(labels):
    chats = [reading for reading in labels.readings if reading.group == "chat"]
    fitted = Scorer(fit_heads(labels, PRIOR))
    before, after = ([it.need(r) for r in chats] for it in (shipped(), fitted))
    middle = sum(before) / len(before)
    assert sum(after) / len(after) == pytest.approx(middle, abs=max(before) - min(before))


def test_what_stands_beside_the_text_gets_weights(labels):
    head = fit_heads(labels, PRIOR)["chat"]
    assert len(head.rules.need.weights) == COUNTS == len(head.rules.count_means)


def test_answers_that_are_longer_than_expected_raise_what_is_expected():
    records = list(labelled(60))
    bare, told = gather(records, TWO_TIERS), gather(map(verbose, records), TWO_TIERS)
    before, after = (Scorer(fit_heads(it, PRIOR)) for it in (bare, told))
    reading = bare.readings[0]
    assert after.output_tokens(reading) > 2 * before.output_tokens(reading)


def verbose(record: LoggedRequest) -> LoggedRequest:
    """Return the record with answers of 20,000 tokens."""
    usage = Usage(input_tokens=10, output_tokens=20_000)
    outcomes = {
        name: msgspec.structs.replace(it, usage=usage) for name, it in record.outcomes.items()
    }
    return msgspec.structs.replace(record, outcomes=outcomes)
