"""Scrapes: several workers' figures read as one server's."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pointsman.server.scrapes import summed


def figures(calls: dict[str, int], took: list[float], labels: int | None = None) -> bytes:
    registry = CollectorRegistry()
    counter = Counter("calls", "How many: a # and a \\", ("name",), registry=registry)
    for name, count in calls.items():
        counter.labels(name).inc(count)
    histogram = Histogram("took_seconds", "How long", buckets=(1, 2), registry=registry)
    for seconds in took:
        histogram.observe(seconds)
    if labels is not None:
        Gauge("labels", "Audits", registry=registry).set(labels)
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_counters_and_histograms_add_up_and_of_gauges_the_largest_is_shown():
    one = figures({"a": 2, 'b "x" } 1\n#': 3}, [0.5, 1.5, 9], labels=7)
    two = figures({'b "x" } 1\n#': 4, "c": 5}, [0.25], labels=9)
    found = samples(summed([one, b"", two]))
    first, second = samples(one), samples(two)
    assert found.keys() == first.keys() | second.keys()
    for key, value in found.items():
        parts = [each[key] for each in (first, second) if key in each]
        if key[0].endswith("_created"):
            assert value == min(parts)
        elif key[0] == "labels":
            assert value == 9
        else:
            assert value == sum(parts)
    assert found["took_seconds_bucket", (("le", "1.0"),)] == 2
    assert found["took_seconds_bucket", (("le", "+Inf"),)] == 4


def test_sums_can_be_summed_again_and_one_alone_stays_what_it_was():
    one, two, three = (figures({"a": n}, [n]) for n in (1, 2, 3))
    assert samples(summed([one])) == samples(one)
    assert samples(summed([summed([one, two]), three])) == samples(summed([one, two, three]))
    assert summed([]) == summed([b""]) == b""
