"""The watch: steps by group, the same after every restart, and none while the floor holds."""

from random import Random

import msgspec
import pytest
from tests.contracts.test_ledger_labels import label

from pointsman.audit.watch import ERROR, Watch
from pointsman.ledger import AuditLabel


def fed(
    watch: Watch, qualities: list[tuple[float, float]], group: str = "code"
) -> list[AuditLabel]:
    """Count labels as an auditor does, each decided under the steps in force; return them."""
    booked = []
    for number, (routed, strongest) in enumerate(qualities):
        counted = watch.counted(
            label(
                f"{group}{number}",
                group=group,
                steps=watch.steps.get(group, 0),
                quality_routed=routed,
                quality_strongest=strongest,
            )
        )
        watch.add(counted)
        booked.append(counted)
    return booked


BAD = [(0.0, 1.0)] * 200
GOOD = [(1.0, 1.0)] * 200


def test_a_broken_floor_lowers_the_threshold_of_its_group_alone_until_nothing_goes_down():
    watch = Watch("1a2b")
    fed(watch, GOOD, "chat")
    booked = fed(watch, BAD)
    assert watch.steps == {"code": 4}
    steps = [it.steps_after - it.steps for it in booked]
    assert set(steps) == {0, 1} and sum(steps) == 4
    standings = {it.group: (it.labels, it.steps) for it in watch.standings()}
    assert standings == {"chat": (200, 0), "code": (200, 4)}


def test_a_restart_that_reads_the_labels_comes_to_the_same_state():
    rng = Random(7)
    watch = Watch("1a2b")
    booked = fed(watch, [(float(rng.random() < 0.6), 1.0) for _ in range(120)])
    again = Watch("1a2b", booked)
    assert watch.steps == again.steps and watch.steps["code"] >= 1
    assert watch.standings() == again.standings()


def test_labels_of_another_configuration_say_nothing():
    booked = fed(Watch("1a2b"), BAD)
    assert Watch("other", booked).standings() == ()


def test_a_label_decided_before_a_step_does_not_count_for_the_threshold_after_it():
    watch = Watch("1a2b")
    fed(watch, BAD[:60])
    before = watch.standings()[0]
    assert before.steps >= 1
    late = watch.counted(label("late", steps=before.steps - 1))
    watch.add(late)
    (after,) = watch.standings()
    assert late.steps_after == before.steps
    assert after == msgspec.structs.replace(before, labels=before.labels + 1)


@pytest.mark.parametrize("share_down", [0.5, 1.0])
def test_a_floor_that_holds_is_rarely_called_broken(share_down: float):
    """At the very floor: of those that went down the routed answer fails just as often as it may.

    200 users of 300 labels each; the promise is ERROR over an endless stream.
    """
    floor, wrongly = 0.95, 0
    for seed in range(200):
        rng, watch = Random(seed), Watch("1a2b")
        for number in range(300):
            is_down = rng.random() < share_down
            is_bad = is_down and rng.random() < (1 - floor) / share_down
            watch.add(label(f"r{number}", floor=floor, quality_routed=1.0 - is_bad))
            if watch.steps:
                wrongly += 1
                break
    # Three standard deviations of 200 draws above the promised share.
    assert wrongly <= 200 * ERROR + 3 * (200 * ERROR * (1 - ERROR)) ** 0.5
