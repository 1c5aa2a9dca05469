"""Evaluation: figures of policies that grade, and of those that only pick."""

import pytest
from tests.training.builders import TWO_TIERS, labelled

from pointsman.compare.chart_file import check_chart
from pointsman.core.errors import ConfigError
from pointsman.core.types import Decision, Features, Snapshot
from pointsman.policies import PolicySettings
from pointsman.policies import registry as policies
from pointsman.training.evaluation import Evaluated, default_policies, evaluate_policies
from pointsman.training.evaluation_chart import write_chart
from pointsman.training.evaluation_views import show_evaluation
from pointsman.training.labels import gather
from pointsman.training.metrics import UNKNOWN

LABELS = gather(labelled(300), TWO_TIERS)


class Oracle:
    """Grades by the hard words of the made-up traffic."""

    name = "oracle"

    def __init__(self, settings: PolicySettings) -> None:
        del settings

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        hard = sum(len(word) > 7 for word in features.text.split()) / features.words
        fast = 0.95 - hard
        tier = "fast" if fast > 0.85 else "power"
        return Decision(tier=tier, reason="x", scores={"fast": fast, "power": 0.95})


class Failing(Oracle):
    name = "failing"

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        raise KeyError("oops")


@pytest.fixture(scope="module")
def evaluated() -> Evaluated:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "BUILT_IN", {**policies.BUILT_IN, "oracle": Oracle})
        names = ("oracle", "fixed:fast", "fixed:power", "signals")
        return evaluate_policies(LABELS, names, PolicySettings(), "made up")


def test_a_policy_that_grades_is_ranked(evaluated):
    oracle = evaluated.evaluation.scores[0]
    assert oracle.apgr.low > 0.5 and oracle.cpt50.high < 0.5
    assert set(oracle.calibration_error) == {"fast", "power"}
    assert oracle.calibration_error["power"].value < 0.1


def test_a_policy_that_picks_has_its_operating_point_and_no_ranking(evaluated):
    _, fast, power, signals, length = evaluated.evaluation.scores
    for score in (fast, power, signals):
        assert score.apgr == UNKNOWN and score.calibration_error == {}
    assert fast.quality.value == pytest.approx(LABELS.quality[:, 0].mean(), abs=1e-6)
    assert fast.saving.value == pytest.approx(1 - 1_000 / 20_000)
    assert fast.share_down.value == 1
    assert (power.quality_kept.value, power.saving.value) == (1, 0)
    assert length.policy == "length alone" and length.quality == UNKNOWN


def test_decisions_are_timed_with_an_interval(evaluated):
    oracle = evaluated.evaluation.scores[0]
    p50, p99 = oracle.latency_p50_us, oracle.latency_p99_us
    assert 0 < p50.low <= p50.value <= p50.high <= p99.high
    assert "one thread" in evaluated.evaluation.timed and "from text" in evaluated.evaluation.timed


def test_the_text_has_a_dash_where_nothing_can_be_said(evaluated):
    told = show_evaluation(evaluated.evaluation)
    assert "300 labelled requests from made up" in told
    ranked, routed = told.split("as it routes")
    assert "oracle" in ranked and "signals" not in ranked and "signals" in routed
    assert "calibration error of oracle" in told


def test_the_picture_is_drawn(evaluated, tmp_path):
    path = tmp_path / "quality.svg"
    write_chart(evaluated, path)
    drawn = path.read_text()
    assert drawn.startswith("<?xml") and "</svg>" in drawn
    assert [it.name for it in tmp_path.iterdir()] == ["quality.svg"]


@pytest.mark.parametrize("name", ["chart.gif", "nowhere/chart.png"])
def test_a_picture_that_cannot_be_is_refused_beforehand(tmp_path, name):
    with pytest.raises(ConfigError, match="--chart"):
        check_chart(tmp_path / name)


def test_a_third_partys_failing_policy_is_named(monkeypatch):
    monkeypatch.setattr(policies, "BUILT_IN", {**policies.BUILT_IN, "failing": Failing})
    with pytest.raises(ConfigError, match='policy "failing" fails on a request: KeyError'):
        evaluate_policies(LABELS, ("failing",), PolicySettings(), "x")


def test_what_labels_cannot_say_anything_of_is_refused():
    with pytest.raises(ConfigError, match="compare"):
        evaluate_policies(LABELS, ("cascade",), PolicySettings(), "x")
    few = gather(labelled(5), TWO_TIERS)
    with pytest.raises(ConfigError, match="20 are needed"):
        evaluate_policies(few, ("learned",), PolicySettings(), "x")


def test_without_names_every_policy_and_each_tier_is_scored():
    names = default_policies(LABELS)
    assert {"learned", "signals", "fixed:fast", "fixed:power"} <= set(names)
    assert "cascade" not in names
