"""Labelled data: rows are read whole or left out with a reason, and every figure is worked out."""

import io
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.compare.builders import BIG, TIERS, deployment, logged, price

from pointsman.compare import Comparison, LeftOut, LoggedRequest, StrategyRow, compare
from pointsman.compare.formats import find_format
from pointsman.compare.labelled import read_labelled
from pointsman.core.errors import ConfigError
from pointsman.core.types import Capability, Reading, Snapshot, Tier
from pointsman.core.usage import Usage
from pointsman.policies import PolicySettings
from pointsman.scorer.reading import pack_reading, read
from pointsman.scorer.tuning import Tuning

# Quality and cost in micro-USD at small, middle and big; `signals` goes where the comment says.
TOY: list[tuple[str, tuple[float, ...], tuple[int, ...]]] = [
    ("what is a monad", (1, 1, 1), (1, 2, 10)),  # small
    ("explain tides", (0, 1, 1), (1, 2, 10)),  # middle
    ("architect it", (0, 0, 1), (1, 2, 20)),  # big
    ("word " * 600, (1, 0, 0.5), (1, 2, 40)),  # big
]
CHAT = {"role": "user", "content": "what is a monad"}
MODELS = ("acme/small", "middle", "acme/big")


def by_model(values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(MODELS, values, strict=True))


def toy_rows() -> list[dict[str, Any]]:
    return [
        {
            "prompt": prompt,
            "scores": by_model(scores),
            "costs": {model: cost / 1e6 for model, cost in by_model(costs).items()},
        }
        for prompt, scores, costs in TOY
    ]


def records(rows: list[dict[str, Any]]) -> tuple[list[LoggedRequest], LeftOut]:
    left_out = LeftOut()
    file = io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return list(read_labelled(file, left_out)), left_out


@pytest.fixture
def signals_alone(monkeypatch):
    """Without `learned`, which weighs words, `signals` is the reference of all rows."""
    monkeypatch.setattr("pointsman.compare.strategies._policies", lambda: ("signals",))


def compared(rows: list[dict[str, Any]], *strategies: str) -> Comparison:
    return compare(records(rows)[0], snapshot=TIERS, strategies=strategies or None)


def rows_of(comparison: Comparison) -> Mapping[str, StrategyRow]:
    return {row.strategy: row for row in comparison.rows}


RANDOM_SHARE = (63 - 4) / (80 - 4)
# From middle, which serves the short ones better: the longest two are raised, two are alike.
LENGTH_SHARE = (63 - 8 - 38 - 8) / (8 + 18)
CHEAP_SHARE = (63 - 4 - 9 - 9 - 19) / 39  # all but the dearest are raised


@pytest.mark.parametrize(
    ("strategy", "cost", "quality"),
    [
        ("all-power", 80, 3.5),
        ("all-mid", 8, 2.0),
        ("all-fast", 4, 2.0),
        ("best single model", 80, 3.5),
        ("signals", 1 + 2 + 20 + 40, 3.5),
        ("random at equal cost", 63, RANDOM_SHARE * 3.5 + (1 - RANDOM_SHARE) * 2.0),
        ("length at equal cost", 63, 0.5 + 1 + 2 * LENGTH_SHARE + (1 - LENGTH_SHARE)),
        ("cheapest first at equal cost", 63, 3 + 0.5 * CHEAP_SHARE + 1 - CHEAP_SHARE),
        ("cascade", 1 + (1 + 2) + (1 + 2 + 20) + 1, 4.0),
        ("oracle", 1 + 2 + 20 + 1, 4.0),
    ],
)
@pytest.mark.usefixtures("signals_alone")
def test_every_figure_is_what_was_worked_out_by_hand(strategy, cost, quality):
    row = rows_of(compared(toy_rows()))[strategy]
    assert row.cost_nanousd == cost * 1_000
    assert row.cost_share == pytest.approx(cost / 80)
    assert row.quality == pytest.approx(quality / 4)
    assert row.quality_share == pytest.approx(quality / 3.5)
    assert not row.is_cost_estimated and row.unlabelled == 0 and row.labelled == 4


def test_a_recorded_verdict_decides_where_there_is_one():
    rows = toy_rows()
    rows[0]["accepted"] = by_model((False, True, True))  # a good draft is rejected
    rows[2]["accepted"] = by_model((True, True, True))  # a bad one passes
    row = rows_of(compared(rows, "cascade"))["cascade"]
    assert row.cost_nanousd == ((1 + 2) + (1 + 2) + 1 + 1) * 1_000
    assert row.quality == (1 + 1 + 0 + 1) / 4


def test_latencies_of_a_cascade_add_up():
    rows = toy_rows()
    for row in rows:
        row["latency_ms"] = by_model((100, 200, 400))
    found = rows_of(compared(rows, "cascade"))["cascade"]
    assert found.latency_mean_ms == (100 + 300 + 700 + 100) / 4 and not found.is_latency_estimated


def test_requests_without_an_outcome_are_told_and_never_mixed_in():
    rows = toy_rows()
    del rows[0]["scores"]["acme/big"]
    del rows[1]["scores"]["acme/small"]
    comparison = compared(rows, "all-power", "all-fast", "oracle")
    table = rows_of(comparison)
    assert (table["all-power"].labelled, table["all-power"].unlabelled) == (3, 1)
    assert (table["all-fast"].labelled, table["all-fast"].unlabelled) == (2, 2)
    assert table["all-fast"].quality == (0 + 1) / 2
    assert table["all-fast"].quality_share == pytest.approx((0 + 1) / (1 + 0.5))
    assert table["oracle"].labelled == 2
    (note,) = [note for note in comparison.notes if "only requests with an outcome" in note]
    assert "of 4: all-power 3, all-fast 2, oracle 2" in note


def test_tokens_are_priced_where_no_cost_is_given():
    row = {
        "prompt": "a",
        "scores": {"acme/big": 1.0},
        "usage": {"acme/big": {"input_tokens": 10, "output_tokens": 2}},
    }
    table = rows_of(compared([row], "all-power"))
    assert table["all-power"].cost_nanousd == 10 * 10_000 + 2 * 30_000
    assert not table["all-power"].is_cost_estimated


def test_a_model_without_an_outcome_is_estimated_by_the_others():
    row = {
        "prompt": "a",
        "scores": {"acme/big": 1.0},
        "usage": {"acme/big": {"input_tokens": 10, "output_tokens": 2}},
    }
    (cheap,) = compared([row], "all-fast").rows
    assert (cheap.cost_nanousd, cheap.is_cost_estimated) == (10 * 1_000 + 2 * 2_000, True)
    assert cheap.quality is None and cheap.unlabelled == 1


def test_the_best_single_model_is_the_cheaper_of_equals():
    rows = [{**row, "scores": by_model((0.5, 1, 1))} for row in toy_rows()]
    comparison = compared(rows, "best-single")
    assert comparison.best_single == "acme/middle"
    assert comparison.rows[0].cost_nanousd == 8_000


def test_without_labels_the_best_single_model_is_the_cheapest_of_the_strongest_tier():
    spare = Tier(name="power", deployments=(BIG, TIERS.tiers[1].deployments[0]))
    snapshot = Snapshot(tiers=(TIERS.tiers[0], spare), default_tier="power")
    (record,), _ = records(toy_rows()[:1])
    bare = LoggedRequest(
        features=record.features, request=record.request, usage=Usage(input_tokens=1)
    )
    comparison = compare([bare], snapshot=snapshot, strategies=["best-single"])
    assert comparison.best_single == "acme/middle"


@pytest.mark.parametrize("name", ["cascade", "oracle"])
def test_what_needs_labels_is_refused_without_them_by_name_and_else_left_out(name):
    (record,), _ = records(toy_rows()[:1])
    bare = LoggedRequest(
        features=record.features, request=record.request, usage=Usage(input_tokens=1)
    )
    with pytest.raises(ConfigError, match=f'strategy "{name}": .* labelled data set'):
        compare([bare], snapshot=TIERS, strategies=[name])
    assert name not in rows_of(compare([bare], snapshot=TIERS))


def test_a_tier_asked_for_that_cannot_serve_is_no_crash():
    blind = Capability(context_tokens=1)
    small = msgspec.structs.replace(TIERS.tiers[0].deployments[0], capability=blind)
    tiers = (Tier(name="fast", deployments=(small,)), *TIERS.tiers[1:])
    row = {**toy_rows()[0], "prompt": None, "request": {"model": "fast", "messages": [CHAT]}}
    found, _ = records([row])
    comparison = compare(
        found,
        snapshot=Snapshot(tiers=tiers, default_tier="mid"),
        strategies=["all-power", "cascade"],
    )
    assert (comparison.log.compared, comparison.log.unserved) == (0, 1)


READING = read("fix the typo in this sentence")


@pytest.mark.parametrize(
    "reading",
    [
        {
            "group": READING.group,
            "counts": list(READING.counts),
            "grams": sorted(READING.grams),
            "familiarity": READING.familiarity,
        },
        json.loads(msgspec.json.encode(pack_reading(READING))),
    ],
    ids=["plain", "packed"],
)
def test_a_sample_row_needs_no_text(reading):
    row = {
        "id": "x",
        "source": "y",
        "group": "edit",
        "signals": ["what is", "convert"],
        "words": 6,
        "input_tokens": 12,
        "reading": reading,
        "outcomes": {
            "acme/big": {
                "quality": 0.5,
                "cost_usd": 0.001,
                "input_tokens": 12,
                "output_tokens": 3,
            }
        },
    }
    (record,), left_out = records([row])
    assert left_out.lines == 0
    features = record.features
    assert (features.text, features.words, features.input_tokens) == ("what is convert", 6, 12)
    assert isinstance(features.reading, Reading) and features.reading.grams == READING.grams
    table = rows_of(compare([record], snapshot=TIERS, strategies=["signals", "all-power"]))
    assert table["signals"].requests_by_tier == {"fast": 1}
    assert (table["all-power"].cost_nanousd, table["all-power"].quality) == (1_000_000, 0.5)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is no labelled request"),
        (b'{"scores": {"a": 1}}', "has no prompt, messages or request"),
        (b'{"prompt": "a", "scores": {}}', "has no score"),
        (b'{"prompt": "a", "scores": {"a": null}}', "has no score"),
        (b'{"prompt": "a", "scores": {"a": 1.5}}', "is no labelled request"),
        (b'{"prompt": "a", "scores": {"a": 1}, "costs": {"a": -1}}', "is no labelled request"),
        (b'{"prompt": "a", "scores": {"a": 1}, "costs": {"a": 1e300}}', "<= 1000000"),
        (b'{"prompt": "a", "scores": {"a": 1}, "latency_ms": {"a": 1e308}}', "<= 1000000000"),
        (
            b'{"prompt": "a", "scores": {"a": 1},'
            b' "usage": {"a": {"input_tokens": 1000000000001, "output_tokens": 1}}}',
            "<= 1000000000000",
        ),
        (
            b'{"reading": {}, "outcomes": {"a": {"quality": 1, "cost_usd": 1e300}}}',
            "<= 1000000",
        ),
        (b'{"messages": [], "scores": {"a": 1}}', "messages"),
        (b'{"reading": {}, "outcomes": {"a": {"quality": 1}}}', "is no labelled request"),
        (b'{"reading": {"grams": "x"}, "outcomes": {"a": {"quality": 1}}}', "unpacked"),
        (
            b'{"reading": {"group": "x", "counts": [], "grams": [], "familiarity": 0},'
            b' "outcomes": {"a": {"quality": 1}}}',
            "another version",
        ),
    ],
)
def test_a_row_of_no_use_is_left_out_with_its_reason(line: bytes, reason: str):
    left_out = LeftOut()
    assert list(read_labelled(io.BytesIO(line), left_out)) == []
    assert left_out.lines == 1 and reason in left_out.named[0]


def test_labelled_data_is_told_from_other_logs():
    line = json.dumps(toy_rows()[0]).encode()
    assert find_format(io.BytesIO(line))[0] == "labelled"


OTHER = Snapshot(
    tiers=(
        Tier(name="fast", deployments=(deployment("new", price(1, 2)),)),
        Tier(name="power", deployments=(deployment("newer", price(10, 30)),)),
    ),
    default_tier="power",
)


def test_labels_of_other_models_make_no_claim():
    comparison = compare(records(toy_rows())[0], snapshot=OTHER)
    named = rows_of(comparison)
    assert comparison.quality_note == "not known"
    assert not {"cascade", "oracle"} & set(named) and "all-power" in named
    assert not any("best labelled" in note for note in comparison.notes)
    assert any("not of the models shown here" in note for note in comparison.notes)
    with pytest.raises(ConfigError, match="does not have of these tiers"):
        compare(records(toy_rows())[0], snapshot=OTHER, strategies=["oracle"])


def test_a_known_quality_is_said_to_be_measured():
    assert compared(toy_rows()).quality_note == "measured"


TUNING = Tuning(scorer="1", trained_on="2026-11-01", data="x", labels=1)


@pytest.mark.parametrize(
    ("strategy", "tuning", "is_told"),
    [("learned", TUNING, True), ("learned", None, False), ("signals", TUNING, False)],
)
def test_a_scorer_that_may_have_learned_from_the_labels_is_told(strategy, tuning, is_told):
    policies = PolicySettings(tuning=tuning)
    comparison = compare(
        records(toy_rows())[0], snapshot=TIERS, policies=policies, strategies=[strategy]
    )
    assert any("its row is flattered" in note for note in comparison.notes) is is_told


def test_the_floor_that_is_configured_is_the_one_that_is_missed(signals_alone):
    rows = toy_rows()[2:3] * 50 + toy_rows()[1:2] * 50
    rows = [{**row, "scores": by_model((0.0, 0.1, 1.0))} for row in rows]
    summaries = [
        compare(records(rows)[0], snapshot=TIERS, policies=settings).summary
        for settings in (PolicySettings(quality_floor=0.9), PolicySettings(goal="budget"))
    ]
    assert summaries[0].endswith("signals misses the quality floor of 90% here")
    assert "floor" not in summaries[1]


def test_requests_without_labels_are_in_the_cost_alone_and_the_verdict_says_so(signals_alone):
    some = [*records(toy_rows())[0], logged("what is a monad")]
    summary = compare(some, snapshot=TIERS).summary
    assert summary.split("; ")[1] == "quality over 4 of 5 requests, cost over all"
    assert "cost over all" not in compare(some[:4], snapshot=TIERS).summary
