"""The sentence under the table claims what the data shows, and no more."""

import pytest

from pointsman.compare.paired import Paired
from pointsman.compare.verdict import Rival, Standing, verdict

COUNT = 400


def pairs(share: float, beside: float, *, doubt: float = 0.0) -> Paired:
    """Return the sums of two qualities, whose difference varies by `doubt`."""
    result = Paired()
    for number in range(COUNT):
        sign = 1 if number % 2 else -1
        result.add(share + sign * doubt, beside)
    return result


def rival(name: str, share: float, cost: int | None, *, doubt: float = 0.01) -> Rival:
    return Rival(name, cost, pairs(share, 1.0), pairs(share, 0.9, doubt=doubt))


def standing(
    *,
    singles: list[Rival] | None = None,
    random: Rival | None = None,
    length: Rival | None = None,
    cheapest: Rival | None = None,
    cost: int | None = 40,
    quality: Paired | None = None,
    is_estimated: bool = False,
    compared: int = COUNT,
    quality_floor: float = 0.0,
) -> Standing:
    return Standing(
        name="learned",
        baseline="all-power",
        cost_nanousd=cost,
        baseline_cost_nanousd=100,
        is_estimated=is_estimated,
        quality=quality or pairs(0.9, 1.0, doubt=0.1),
        singles=[rival("acme/big", 1.0, 100), *(singles or [])],
        mixes={
            "random": random or rival("random", 0.8, 40),
            "length": length or rival("length", 0.82, 40),
            "cheapest-first": cheapest or rival("cheapest-first", 0.7, 40),
        },
        compared=compared,
        quality_floor=quality_floor,
    )


def test_routing_pays_where_it_beats_everything_beyond_the_error():
    assert verdict(standing()) == (
        "routing pays here: learned keeps 90.0% (89.0 to 91.0) of all-power's quality for 40% of"
        " its cost; random at that cost keeps 80.0%, length alone keeps 82.0%"
    )


def test_what_is_estimated_is_said_to_be():
    assert "for about 40% of its cost" in verdict(standing(is_estimated=True))


def test_who_knows_the_costs_beforehand_is_named_where_it_is_not_beaten():
    told = verdict(standing(cheapest=rival("cheapest-first", 0.95, 40)))
    assert told.startswith("routing pays here")
    assert told.endswith("cheapest first keeps 95.0%, but knows what each answer will cost")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"singles": [rival("acme/mid", 0.9, 30), rival("acme/old", 0.95, 35)]},
            "routing does not pay here: acme/mid alone keeps 90.0% for 30%, learned keeps 90.0%",
        ),
        (
            {"random": rival("random", 0.92, 40)},
            "routing does not pay here: learned keeps 90.0% (89.0 to 91.0) of all-power's quality"
            " for 40% of its cost, random at that cost keeps 92.0%",
        ),
        ({"length": rival("length", 0.92, 40)}, "routing does not pay here"),
        (
            {"length": rival("length", 0.89, 40, doubt=0.5)},
            "within the error of the next best: length alone keeps 89.0%",
        ),
        (
            {"singles": [rival("acme/mid", 0.89, 30, doubt=0.5)]},
            "it is not shown that routing pays here",
        ),
        ({"cost": None}, "whether routing pays is not known, for not all"),
        ({"quality": Paired()}, "whether routing pays is not known, for nothing is labelled"),
    ],
    ids=["single", "random", "length", "length-near", "single-near", "unpriced", "unlabelled"],
)
def test_otherwise_it_says_what_stands_against_it(changes, words):
    assert words in verdict(standing(**changes))


def test_a_better_model_that_costs_more_is_no_objection():
    told = verdict(standing(singles=[rival("acme/mid", 0.95, 60)]))
    assert told.startswith("routing pays here")


def test_quality_over_fewer_requests_than_the_cost_is_named():
    told = verdict(standing(compared=1_492))
    assert told.endswith("; quality over 400 of 1,492 requests, cost over all")


@pytest.mark.parametrize(("floor", "is_missed"), [(0.9, False), (0.95, True), (0.0, False)])
def test_a_floor_above_the_whole_interval_is_missed(floor: float, is_missed: bool):
    told = verdict(standing(quality_floor=floor))
    assert told.endswith("; learned misses the quality floor of 95% here") is is_missed
