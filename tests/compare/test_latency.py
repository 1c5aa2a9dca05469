"""Samples are exact while they fit, fair after; a speed is the line that the answers lie on."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.compare.latency import Latencies, Line, Sample, Speed, percentile


@given(values=st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_the_percentile_of_all_values_is_the_nearest_rank(values):
    sample = Sample()
    for value in values:
        sample.add(value)
    rank = -(-95 * len(values) // 100)
    assert percentile(sample.weighted(), 0.95) == sorted(values)[rank - 1]


def test_a_sample_keeps_no_more_than_it_may_and_stays_fair():
    sample = Sample(size_max=500)
    for value in range(100_000):
        sample.add(value)
    kept = [value for value, _ in sample.weighted()]
    assert len(kept) == 500
    assert (sample.count, sample.total) == (100_000, sum(range(100_000)))
    assert statistics.mean(kept) == pytest.approx(50_000, rel=0.1)
    assert percentile(sample.weighted(), 0.95) == pytest.approx(95_000, rel=0.05)


def test_two_passes_over_the_same_values_draw_the_same_sample():
    samples = [Sample(size_max=10), Sample(size_max=10)]
    for sample in samples:
        for value in range(1_000):
            sample.add(value)
    assert list(samples[0].weighted()) == list(samples[1].weighted())


def speed(*answers: tuple[int, int]) -> Speed:
    result = Speed()
    for tokens, latency_ms in answers:
        result.add(tokens, latency_ms)
    return result


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ([(10, 300), (20, 500)], Line(100.0, 20.0)),
        ([(10, 300)], Line(0.0, 30.0)),
        ([(10, 300), (10, 500)], Line(0.0, 40.0)),
        ([(0, 300), (0, 500)], Line(400.0, 0.0)),
        ([(10, 500), (20, 300)], Line(400.0, 0.0)),  # longer answers came sooner
        ([(10, 100), (20, 400)], Line(0.0, 18.0)),  # the line would start below zero
    ],
)
def test_a_speed_is_a_line_with_no_negative_part(answers, line):
    found = speed(*answers).line()
    assert found.overhead_ms == pytest.approx(line.overhead_ms)
    assert found.ms_per_token == pytest.approx(line.ms_per_token)


def test_speeds_add_up():
    assert speed((1, 2)) + speed((3, 4)) == speed((1, 2), (3, 4))


def test_hits_measured_and_estimated_latencies_make_one_mean():
    latencies = Latencies(hits=1)
    latencies.measured.add(500)
    latencies.add_length("a", 10)
    latencies.add_length("a", 20)
    mean, p95 = latencies.summary(lambda _: Line(100.0, 20.0))
    assert mean == (0 + 500 + 300 + 500) / 4 and p95 == 500
    assert latencies.summary(lambda _: None) == (None, None)
    assert Latencies().summary(lambda _: None) == (None, None)
