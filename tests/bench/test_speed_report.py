"""The arithmetic of the speed report, on figures that were made up."""

import pytest
from bench.speed import report
from bench.speed.footprint import core_packages, needed
from bench.speed.load import percentile
from bench.speed.picture import write_bars
from bench.speed.results import Result, append, read, rounds
from bench.speed.scaling import Point, multiply, table
from bench.speed.targets import TARGETS, Target, over, own, reached
from bench.speed.workers import reckoned
from tests.ledger.attempts import intent

from pointsman.ledger import Settlement
from pointsman.ledger.sqlite import SqliteLedger


def result(name: str, number: int, **figures: float) -> Result:
    return Result(
        name=name, round=number, at="2026-11-23T00:00:00Z", commit="abc", machine="m",
        figures=figures,
    )  # fmt: skip


RATIO = Target("request", "CPU", "x", 6.0, 4.0, over("cpu_ms", "nginx"))
FLOOR = Target("reads", "", "", 99.0, None, own("reads"), is_floor=True)


def test_ratios_are_formed_within_a_round_and_their_median_counts():
    found = rounds(
        [
            result("nginx", 0, cpu_ms=1.0),
            result("pointsman", 0, cpu_ms=4.0),
            result("nginx", 1, cpu_ms=4.0),
            result("pointsman", 1, cpu_ms=20.0),
            result("nginx", 2, cpu_ms=2.0),
            result("pointsman", 2, cpu_ms=18.0),
        ]
    )
    row = reached(RATIO, found)
    assert row is not None
    assert (row.median, row.least, row.greatest, row.rounds) == (5.0, 4.0, 9.0, 3)
    assert row.verdict == "must"


def test_a_round_without_the_limit_has_no_ratio():
    assert reached(RATIO, rounds([result("pointsman", 0, cpu_ms=4.0)])) is None


@pytest.mark.parametrize(
    ("target", "figures", "verdict"),
    [
        (RATIO, {"cpu_ms": 4.0}, "aim"),
        (RATIO, {"cpu_ms": 6.0}, "must"),
        (RATIO, {"cpu_ms": 6.1}, "short"),
        (FLOOR, {"reads": 99.0}, "aim"),
        (FLOOR, {"reads": 98.9}, "short"),
    ],
)
def test_a_row_says_which_bound_holds(target, figures, verdict):
    found = rounds([result("nginx", 0, cpu_ms=1.0), result("pointsman", 0, **figures)])
    row = reached(target, found)
    assert row is not None
    assert row.verdict == verdict


def test_a_failed_round_counts_for_nothing_and_is_told():
    failed = Result(name="pointsman", round=0, at="", commit="", machine="", failed="did not start")
    assert rounds([failed]) == []
    assert list(report.failures([failed])) == ["pointsman, round 0: did not start"]


def test_every_row_of_targets_is_printed_whatever_a_run_has():
    table = report.targets_table([result("nginx", 0, cpu_ms=0.02)]).splitlines()
    assert len(table) == len(TARGETS) + 2
    assert all("not in this run" in line for line in table[2:])


def test_an_aim_is_never_laxer_than_its_must():
    for target in TARGETS:
        assert target.aim is None or target.holds(target.aim, target.must), target.what


def test_the_gateways_table_has_multiples_of_the_limit_and_names_what_failed():
    table = report.gateways_table(
        [
            result("nginx", 0, cpu_ms=0.02),
            result("pointsman", 0, cpu_ms=0.1, hit_cpu_ms=0.05),
            Result(name="other", round=0, at="", commit="", machine="", failed="no port"),
        ],
        {"other": "Other"},
    )
    assert "| 0.100 (5x) |" in table
    assert "| 0.050 (2.50x) |" in table
    assert table.endswith("Not measured: Other: no port")


def test_what_is_kept_is_read_again(tmp_path):
    kept = tmp_path / "results.jsonl"
    lines = [result("nginx", 0, cpu_ms=0.02), result("pointsman", 0, cpu_ms=0.1)]
    for line in lines:
        append(kept, line)
    assert read(kept) == lines


def test_a_foreign_line_is_named(tmp_path):
    kept = tmp_path / "results.jsonl"
    kept.write_text('{"name": "nginx"}\n')
    with pytest.raises(SystemExit, match=r"line 1: .*remove it"):
        read(kept)


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [([], 50, None), ([1.0], 99, 1.0), ([1.0, 2.0, 3.0], 50, 2.0), (list(range(101)), 99, 99)],
)
def test_percentiles_are_of_the_nearest_rank(values, percent, found):
    assert percentile(values, percent) == found


def test_workers_scale_by_their_cost_and_their_balance():
    assert reckoned({"cpu_ms": 1.0}, {"cpu_ms": 1.0, "balance": 1.0}) == 2.0
    assert reckoned({"cpu_ms": 1.0}, {"cpu_ms": 1.25, "balance": 0.5}) == 0.8


def test_the_core_is_counted_without_extras():
    names = {name for name, _ in core_packages("pointsman")}
    assert {"pointsman", "msgspec", "httptools"} <= names
    assert not names & {"matplotlib", "numpy", "ray", "pytest"}


def test_an_extra_brings_what_only_it_needs():
    requirements = ["a>=1", "b; extra == 'fast'", "c; python_version < '3'"]
    assert needed(requirements, frozenset()) == [("a", frozenset())]
    assert [name for name, _ in needed(requirements, frozenset({"fast"}))] == ["a", "b"]


def test_rows_against_peers_name_the_gateway_that_they_take():
    rows = [target for target in TARGETS if target.peer]
    assert {target.peer for target in rows} == {"litellm", "portkey", "tensorzero"}
    for target in rows:
        found = rounds([result("pointsman", 0, cpu_ms=1.0), result(target.peer, 0, cpu_ms=20.0)])
        row = reached(target, found)
        assert row is not None
        assert row.median == 0.05


async def test_a_ledger_is_multiplied_row_by_row(tmp_path):
    file = tmp_path / "ledger.db"
    ledger = SqliteLedger(str(file))
    await ledger.reserve(intent("first", at_ns=5_000_000_000))
    await ledger.settle("first", 1, Settlement(state="settled", outcome="answered", cost_nanousd=7))
    await ledger.close()
    multiply(file, 4)
    ledger = SqliteLedger(str(file))
    rows = {row.intent.request_id: row for row in ledger.rows()}
    await ledger.close()
    whens = {name: row.intent.at_ns for name, row in rows.items()}
    older = {f"old_{n}": 5_000_000_000 - n * 10**9 for n in (1, 2, 3)}
    assert whens == {"first": 5_000_000_000, **older}
    assert {row.settlement.cost_nanousd for row in rows.values()} == {7}


def test_pictures_are_drawn_of_what_a_run_has(tmp_path):
    results = [result("nginx", 0, cpu_ms=0.02, stream_cpu_ms=3.0), result("pointsman", 0, cpu_ms=1)]
    write_bars(results, {"nginx": "nginx, `the limit`"}, tmp_path / "bars.svg")
    assert "<svg" in (tmp_path / "bars.svg").read_text("utf-8")
    with pytest.raises(SystemExit, match="no figures of nginx"):
        write_bars(results[1:], {}, tmp_path / "none.svg")


def test_a_curve_is_told_point_by_point():
    points = [
        Point(
            curve="prompt", size=size, cpu_ms=cpu_ms, nginx_cpu_ms=0.05, at="2026-11-23T00:00:00Z",
            commit="abc", machine="m",
        )
        for size, cpu_ms in ((1_000, 0.2), (100_000, 0.5))
    ]  # fmt: skip
    assert table(points).splitlines()[-1] == "| 100,000 | 0.500 | 0.050 | 10 |"
