"""The figures of a comparison: worked out by hand, and true whatever the log."""

import io
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compare.builders import BIG, LOGS, TIERS, deployment, image_request, logged, price

from pointsman.compare import Comparison, LeftOut, LoggedRequest, StrategyRow, compare, latency
from pointsman.compare.key_window import Kept, KeyWindow
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.core.cache_key import answer_keys
from pointsman.core.decision import Target, decide
from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Caller, Snapshot, Tier
from pointsman.core.usage import Usage
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy

USAGES = st.builds(
    Usage,
    input_tokens=st.integers(1, 5_000),
    cached_input_tokens=st.integers(0, 500),
    output_tokens=st.integers(0, 2_000),
    is_estimated=st.booleans(),
)
RECORDS = st.lists(
    st.builds(
        logged,
        st.sampled_from(["what is a monad", "architect a service", "explain tides"]),
        usage=USAGES,
        model=st.sampled_from(["acme/big", "small", "middle-2026-01-02", "elsewhere"]),
        latency_ms=st.none() | st.integers(0, 5_000),
        at_s=st.none() | st.floats(0, 1_000),
        is_keepable=st.booleans(),
    ),
    max_size=30,
)


def compared(
    records: list[LoggedRequest], *strategies: str, ttl_s: float | None = None
) -> Comparison:
    return compare(
        records,
        snapshot=TIERS,
        aliases=("auto",),
        strategies=strategies or None,
        ttl_s=ttl_s,
    )


def row_of(comparison: Comparison, strategy: str) -> StrategyRow:
    return next(row for row in comparison.rows if row.strategy == strategy)


def only(records: list[LoggedRequest], strategy: str, ttl_s: float | None = None) -> StrategyRow:
    return compared(records, strategy, ttl_s=ttl_s).rows[0]


def golden() -> list[LoggedRequest]:
    with (LOGS / "pairs.jsonl").open("rb") as file:
        return list(read_openai_jsonl(file, LeftOut()))


# In nano-USD, a price of 1 USD per million tokens being 1,000 a token. The big model answered the
# first (1000 in, 200 of them cached, 500 out) and the third (1000 in, 400 out), the small one the
# second (2000 in, 100 out). Third and first are the same request.
@pytest.mark.parametrize(
    ("strategy", "cost", "estimated_tokens", "hits"),
    [
        ("all-power", 23_200_000 + 23_000_000 + 22_000_000, 100, 0),
        ("all-power + cache", 23_200_000 + 23_000_000, 100, 1),
        ("all-mid", 6_000_000 + 4_800_000 + 5_200_000, 1_000, 0),
        ("all-mid + cache", 6_000_000 + 4_800_000, 600, 1),
        ("all-fast", 2_000_000 + 2_200_000 + 1_800_000, 900, 0),
        ("all-fast + cache", 2_000_000 + 2_200_000, 500, 1),
        ("signals", 2_000_000 + 4_800_000 + 1_800_000, 1_000, 0),
        ("signals + cache", 2_000_000 + 4_800_000, 600, 1),
    ],
)
def test_the_golden_log_costs_what_was_worked_out_by_hand(strategy, cost, estimated_tokens, hits):
    row = only(golden(), strategy, ttl_s=3_600)
    assert (row.cost_nanousd, row.estimated_tokens, row.cache_hits) == (
        cost,
        estimated_tokens,
        hits,
    )
    assert row.cost_share == cost / 68_200_000
    assert row.is_cost_estimated


# The big model takes 4 ms a token, the small one 3; the middle one was never measured.
@pytest.mark.parametrize(
    ("strategy", "mean", "p95", "is_estimated"),
    [
        ("all-power", (2_000 + 400 + 1_600) / 3, 2_000, True),
        ("all-power + cache", (2_000 + 400 + 0) / 3, 2_000, True),
        ("all-fast", (1_500 + 300 + 1_200) / 3, 1_500, True),
        ("all-mid", None, None, True),
        ("signals", None, None, True),
    ],
)
def test_the_golden_log_takes_as_long_as_was_worked_out_by_hand(strategy, mean, p95, is_estimated):
    row = only(golden(), strategy, ttl_s=3_600)
    assert row.latency_mean_ms == (None if mean is None else pytest.approx(mean))
    assert row.latency_p95_ms == (None if p95 is None else pytest.approx(p95))
    assert row.is_latency_estimated is is_estimated


def test_what_the_log_called_is_measured_and_nothing_of_it_estimated():
    records = [logged("a", latency_ms=100), logged("b", latency_ms=300)]
    row = only(records, "all-power")
    assert (row.is_cost_estimated, row.estimated_tokens, row.is_latency_estimated) == (
        False,
        0,
        False,
    )
    assert (row.latency_mean_ms, row.latency_p95_ms) == (200, 300)


def test_signals_cost_what_calling_decide_directly_costs():
    records = golden()
    policy = build_policy("signals", PolicySettings())
    prices = {d.id: d.price for tier in TIERS.tiers for d in tier.deployments}
    wanted = 0
    for record in records:
        decision = decide(record.features, Target(), TIERS, policy)
        price = prices[decision.deployments[0]]
        assert price is not None and record.usage is not None
        wanted += cost_nanousd(record.usage, price)
    assert only(records, "signals").cost_nanousd == wanted


PLAIN = ("all-power", "all-mid", "all-fast", "signals")
NAMES = tuple(name for base in PLAIN for name in (base, f"{base} + cache"))


@given(records=RECORDS, ttl_s=st.none() | st.floats(0.1, 1_000))
def test_a_cache_never_costs_more_and_the_baseline_is_one_hundred_percent(records, ttl_s):
    rows = {row.strategy: row for row in compared(records, *NAMES, ttl_s=ttl_s).rows}
    for name in PLAIN:
        plain, cached = rows[name].cost_nanousd, rows[f"{name} + cache"].cost_nanousd
        assert plain is not None and cached is not None and cached <= plain
        assert sum(rows[name].requests_by_tier.values()) == len(records)
        assert rows[name].cache_hits == 0
    assert rows["all-power"].cost_share == (1.0 if records else None)


@settings(max_examples=20)
@given(records=RECORDS)
def test_a_row_does_not_depend_on_which_others_are_compared(records):
    every = compared(records, ttl_s=100)
    for row in every.rows:
        assert only(records, row.strategy, ttl_s=100) == row


def test_an_answer_ages():
    records = [logged("a", at_s=0), logged("a", at_s=99), logged("a", at_s=100)]
    assert only(records, "all-fast + cache", ttl_s=100).cache_hits == 1
    assert only(records, "all-fast + cache", ttl_s=101).cache_hits == 2
    assert only(records, "all-fast + cache", ttl_s=None).cache_hits == 2


def test_what_production_would_not_keep_is_not_kept():
    records = [logged("a", is_keepable=False), logged("a")]
    assert only(records, "all-fast + cache").cache_hits == 0


def test_a_caller_who_wants_no_cache_gets_none():
    off, refresh = Caller(cache="off"), Caller(cache="refresh")
    assert only([logged("a"), logged("a", caller=off)], "all-fast + cache").cache_hits == 0
    assert only([logged("a", caller=off), logged("a")], "all-fast + cache").cache_hits == 0
    assert only([logged("a"), logged("a", caller=refresh)], "all-fast + cache").cache_hits == 0
    assert only([logged("a", caller=refresh), logged("a")], "all-fast + cache").cache_hits == 1


def test_tenants_share_no_answers():
    records = [logged("a", caller=Caller(tenant="x")), logged("a", caller=Caller(tenant="y"))]
    assert only(records, "all-fast + cache").cache_hits == 0


def test_the_key_window_forgets_the_key_not_asked_for_longest():
    window = KeyWindow(ttl_s=None, keys_max=2)
    for key in (b"a", b"b"):
        window.put(key, Kept())
    assert window.find(b"a", None) == Kept()
    window.put(b"c", Kept())
    assert [window.find(key, None) for key in (b"a", b"b", b"c")] == [Kept(), None, Kept()]
    assert window.dropped == 1


def test_a_request_that_nobody_can_serve_is_in_no_row():
    comparison = compared([logged("a"), image_request()])
    assert (comparison.log.compared, comparison.log.unserved) == (1, 1)
    assert all(sum(row.requests_by_tier.values()) == 1 for row in comparison.rows)
    assert any("no configured model can serve them" in note for note in comparison.notes)


def test_a_model_without_a_price_makes_a_cost_unknown():
    free = Tier(name="fast", deployments=(deployment("small", None),))
    snapshot = Snapshot(tiers=(free, *TIERS.tiers[1:]), default_tier="mid")
    rows = compare([logged("a")], snapshot=snapshot, strategies=["all-fast", "all-power"]).rows
    assert (rows[0].cost_nanousd, rows[0].cost_share, rows[0].unpriced) == (None, None, 1)
    assert rows[1].cost_share == 1.0


def test_a_baseline_that_costs_nothing_has_no_percentages():
    local = Tier(name="only", deployments=(deployment("local", price(0, 0)),))
    comparison = compare([logged("a")], snapshot=Snapshot(tiers=(local,), default_tier="only"))
    assert [row.cost_share for row in comparison.rows] == [None] * len(comparison.rows)
    assert "all-only costs nothing" in comparison.summary


def test_output_that_nobody_knows_is_assumed_and_bounded_by_the_request():
    with (LOGS / "bodies.jsonl").open("rb") as file:
        comparison = compared(list(read_openai_jsonl(file, LeftOut())), "all-fast")
    # 9 tokens of text in all and 4 around each in; 100 and 250 out.
    assert comparison.rows[0].cost_nanousd == (9 + 2 * 4) * 1_000 + (100 + 250) * 2_000
    assert comparison.rows[0].estimated_tokens == 9 + 2 * 4 + 100 + 250
    assert comparison.log.without_answer == 2


def test_a_deployment_with_parameters_of_its_own_is_not_the_model_of_the_log():
    keen = msgspec.structs.replace(BIG, params={"reasoning_effort": "high"})
    snapshot = Snapshot(tiers=(Tier(name="power", deployments=(keen,)),), default_tier="power")
    bare = compare([logged("a", model="big")], snapshot=snapshot, strategies=["all-power"])
    exact = compare([logged("a", model="acme/big")], snapshot=snapshot, strategies=["all-power"])
    assert bare.rows[0].is_cost_estimated and not exact.rows[0].is_cost_estimated


def test_a_model_never_measured_is_as_fast_as_its_tier():
    spare = deployment("spare", price(1, 2))
    tiers = (Tier(name="fast", deployments=(spare, *TIERS.tiers[0].deployments)),)
    records = [logged("a", model="small", latency_ms=100)]
    row = compare(
        records, snapshot=Snapshot(tiers=tiers, default_tier="fast"), strategies=["all-fast"]
    ).rows[0]
    assert (row.latency_mean_ms, row.is_latency_estimated) == (100, True)


def test_an_answer_key_tells_tiers_tenants_and_settings_apart():
    record = logged("a")
    assert record.request is not None
    request = record.request
    keys = set()
    for spec in ("fixed:fast", "fixed:mid", "signals"):
        decision = decide(record.features, Target(), TIERS, build_policy(spec, PolicySettings()))
        keys.add(answer_keys(request, decision, TIERS).exact)
    bounded = msgspec.structs.replace(TIERS.tiers[0], max_tokens=5)
    other = Snapshot(tiers=(bounded, *TIERS.tiers[1:]), default_tier="mid")
    fast = decide(
        record.features, Target(tier="fast"), other, build_policy("cascade", PolicySettings())
    )
    keys.add(answer_keys(request, fast, other).exact)
    keys.add(answer_keys(request, fast, TIERS).exact)
    assert len(keys) == 5


LINE = (
    b'{"request": {"model": "%b", "messages": [{"role": "user", "content": "explain %d %b"}]},'
    b' "response": {"created": %d, "choices": [{"message": {"content": "%b"}}],'
    b' "usage": {"prompt_tokens": 90, "completion_tokens": %d}}, "latency_ms": %d}\n'
)


def log_lines(count: int) -> Iterator[bytes]:
    words, answer = b"tides " * 50, b"x" * 500
    for number in range(count):
        model = (b"small", b"middle", b"big")[number % 3]
        tokens = 1 + number * 7_919 % 200
        ask, at_s = number * 31 % 500, 1_793_000_000 + number
        yield LINE % (model, ask, words, at_s, answer, tokens, 100 + 9 * tokens)


class Lines(io.RawIOBase):
    """A log that is made while it is read."""

    def __init__(self, count: int) -> None:
        self._lines = log_lines(count)

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"")


def peak_bytes(count: int) -> tuple[int, int]:
    tracemalloc.start()
    try:
        records = read_openai_jsonl(Lines(count), LeftOut())  # type: ignore[arg-type]
        comparison = compare(records, snapshot=TIERS, strategies=["all-power + cache"], ttl_s=3_600)
        return tracemalloc.get_traced_memory()[1], comparison.log.compared
    finally:
        tracemalloc.stop()


def test_a_log_is_streamed_whatever_its_length(monkeypatch):
    monkeypatch.setattr(latency, "SAMPLE_MAX", 200)
    peak_bytes(100)  # what is loaded once
    short, long = peak_bytes(2_000), peak_bytes(20_000)
    assert (short[1], long[1]) == (2_000, 20_000)
    # Ten times the log. The few hundred keys and all samples are full in the short one already.
    assert long[0] < 2 * short[0]
