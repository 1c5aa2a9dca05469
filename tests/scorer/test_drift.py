from random import Random

import msgspec
import pytest

from pointsman.scorer.bounds import clopper_pearson
from pointsman.scorer.drift import Audit, SequentialTest, floor_margin, start_audit

FLOOR = 0.95
ERROR = 0.1


def margins(rng: Random, count: int, *, loss: float, win: float = 0.0) -> list[float]:
    """Return audit values where the strongest is right in 80%, the routed one as told."""
    values = []
    for _ in range(count):
        strongest = float(rng.random() < 0.8)
        change = loss if strongest else win
        routed = abs(strongest - float(rng.random() < change))
        values.append(floor_margin(routed, strongest, floor=FLOOR))
    return values


def labels_until_broken(values: list[float], error: float = ERROR) -> int | None:
    test = SequentialTest(error=error)
    for count, value in enumerate(values, start=1):
        test = test.add(value)
        if test.is_broken:
            return count
    return None


@pytest.mark.parametrize(
    ("loss", "win"), [(0.05, 0.0), (0.25, 0.8)], ids=["losses only", "losses and wins"]
)
def test_false_alarms_stay_within_the_error_where_the_floor_only_just_holds(
    loss: float, win: float
):
    assert 0.8 * loss - 0.2 * win == pytest.approx(0.05 * 0.8)  # what may be lost
    rng = Random(f"{loss}")
    alarms = sum(
        labels_until_broken(margins(rng, 500, loss=loss, win=win)) is not None for _ in range(300)
    )
    assert clopper_pearson(alarms, 300, confidence=0.999)[0] <= ERROR


def test_a_broken_floor_is_found():
    rng = Random(2)
    found = [labels_until_broken(margins(rng, 600, loss=0.25)) for _ in range(60)]
    assert all(found)
    assert sorted(it or 0 for it in found)[30] < 150


def test_a_break_after_a_long_good_time_is_found_as_well():
    rng = Random(3)
    for _ in range(20):
        good, bad = margins(rng, 2_000, loss=0.01), margins(rng, 600, loss=0.3)
        count = labels_until_broken(good + bad)
        assert count is not None and count > 2_000


def test_the_wealth_of_a_value_that_says_nothing_stays_one():
    test = SequentialTest(error=ERROR)
    for _ in range(50):
        test = test.add(0.0)
        assert test.wealth == pytest.approx(1)


def test_the_expected_wealth_does_not_rise_while_the_floor_holds():
    test = SequentialTest(error=ERROR)
    for value in (-0.95, 0.05, -0.5, 1.0, 0.05):
        fair = 0.05 * test.add(-0.95).wealth + 0.95 * test.add(0.05).wealth
        assert fair == pytest.approx(test.wealth)
        test = test.add(value)


def test_once_broken_stays_broken():
    test = SequentialTest(error=ERROR)
    for value in [-0.95] * 100 + [0.05] * 5_000:
        test = test.add(value)
    assert test.is_broken and test.wealth < 1 / ERROR


def test_an_audit_survives_being_stored_and_replayed():
    values = margins(Random(4), 200, loss=0.2)
    audit = start_audit(0.2, error=ERROR)
    for value in values:
        audit = msgspec.json.decode(msgspec.json.encode(audit.add(value)), type=Audit)
    assert audit == start_audit(0.2, error=ERROR, values=values)
    assert audit.alarms > 0


def test_each_alarm_halves_the_threshold_and_the_error_until_all_go_to_the_strongest():
    audit = start_audit(0.2, error=ERROR)
    seen = [(audit.threshold, audit.test.error)]
    while audit.threshold is not None:
        after = audit.add(-0.95)
        if after.step != audit.step:
            seen.append((after.threshold, after.test.error))
            assert after.test.labels == 0
        audit = after
    assert [threshold for threshold, _ in seen] == [0.2, 0.1, 0.05, 0.025, None]
    errors = [error for threshold, error in seen if threshold is not None]
    assert errors == [0.05, 0.025, 0.0125, 0.00625] and sum(errors) <= ERROR
    assert audit.alarms == 4 and audit.add(-0.95) == audit


@pytest.mark.parametrize("threshold", [0.0, -0.02])
def test_a_threshold_that_cannot_be_halved_steps_to_the_strongest_at_once(threshold: float):
    assert start_audit(threshold, error=ERROR).ladder == (threshold, None)


def test_what_was_never_sent_down_is_not_audited():
    audit = start_audit(None, error=ERROR, values=[-0.95] * 200)
    assert audit.threshold is None and audit.alarms == 0


def test_nonsense_is_refused_by_name_and_value():
    with pytest.raises(ValueError, match=r"audit value -1.5"):
        SequentialTest(error=ERROR).add(-1.5)
    with pytest.raises(ValueError, match="audit value nan"):
        SequentialTest(error=ERROR).add(float("nan"))
    with pytest.raises(ValueError, match="audit error 1"):
        start_audit(0.1, error=1)
