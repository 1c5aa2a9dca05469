"""Rates: never more than allowed in any minute, and the time that is told is the time it takes."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access.rates import WINDOW_S, Minute, OwnUses, RequestRates, TokenRates
from pointsman.core.errors import RateLimited
from pointsman.core.grants import EVERYTHING, Grant

# Binary fractions of a second: sums of them are exact.
SECONDS = st.integers(0, 300 * 64).map(lambda n: n / 64)


def grant(**bounds: Any) -> Grant:
    return Grant(**bounds)


def enter(
    rates: RequestRates, bounds: Grant, now_s: float, tenant: str = "web"
) -> RateLimited | None:
    """Let one request in and out again; return why it was refused."""
    try:
        with rates.entered(tenant, bounds, now_s):
            return None
    except RateLimited as refusal:
        return refusal


def most_in_a_window(times: Sequence[tuple[float, int]]) -> int:
    """Return the most that any window of 60 s has: one of them begins at something taken."""
    return max(
        (sum(n for t, n in times if begin <= t < begin + WINDOW_S) for begin, _ in times),
        default=0,
    )


@given(limit=st.integers(1, 8), came=st.lists(SECONDS, max_size=60))
def test_no_minute_anywhere_has_more_requests_than_the_limit(limit: int, came: list[float]):
    rates, bounds = RequestRates(), grant(requests_per_minute=limit)
    taken = [(now_s, 1) for now_s in sorted(came) if enter(rates, bounds, now_s) is None]
    assert most_in_a_window(taken) <= limit


@given(limit=st.integers(1, 8), came=st.lists(SECONDS, max_size=60))
def test_nothing_is_refused_that_leaves_61_seconds_within_the_limit(limit: int, came: list[float]):
    rates, taken = RequestRates(), []
    for now_s in sorted(came):
        if enter(rates, grant(requests_per_minute=limit), now_s) is None:
            taken.append(now_s)
        else:
            assert sum(1 for t in taken if now_s - t < WINDOW_S + 1) >= limit


@given(limit=st.integers(1, 5), came=st.lists(SECONDS, min_size=1, max_size=40))
def test_who_waits_as_long_as_told_is_let_in_and_who_waits_less_is_not(
    limit: int, came: list[float]
):
    bounds = grant(requests_per_minute=limit)
    rates = RequestRates()
    for now_s in sorted(came):
        refusal = enter(rates, bounds, now_s)
        if refusal is None:
            continue
        assert refusal.retry_after_s is not None
        assert 0 < refusal.retry_after_s <= WINDOW_S + 1
        early = enter(rates, bounds, now_s + refusal.retry_after_s - 1 / 64)
        assert early is not None
        assert enter(rates, bounds, now_s + refusal.retry_after_s) is None
        return


@given(
    limit=st.integers(1, 100),
    came=st.lists(st.tuples(SECONDS, st.integers(1, 150), st.integers(0, 100)), max_size=40),
)
def test_no_minute_has_more_tokens_than_the_limit_where_none_takes_more_than_it_held(
    limit: int, came: list[tuple[float, int, int]]
):
    bounds, rates = grant(tokens_per_minute=limit), TokenRates()
    taken: list[tuple[float, int]] = []
    for number, (now_s, wanted, share) in enumerate(sorted(came)):
        try:
            rates.hold(str(number), "web", bounds, wanted, now_s)
        except RateLimited:
            continue
        used = min(wanted, limit) * share // 100
        rates.note(str(number), "web", used)
        rates.release(str(number), "web", now_s)
        taken.append((now_s, used))
    assert most_in_a_window(taken) <= limit


def test_tokens_count_from_their_hold_to_a_minute_after_their_end():
    bounds, rates = grant(tokens_per_minute=100), TokenRates()
    rates.hold("a", "web", bounds, 90, 0.0)
    with pytest.raises(RateLimited, match="held by requests in flight: 90 of 100"):
        rates.hold("b", "web", bounds, 20, 500.0)
    rates.note("a", "web", 70)
    rates.release("a", "web", 500.5)
    rates.hold("b", "web", bounds, 20, 501.0)
    with pytest.raises(RateLimited, match="used up: 70 of 100") as refusal:
        rates.hold("c", "web", bounds, 20, 501.0)
    assert refusal.value.retry_after_s == 60.0
    rates.note("b", "web", 0)
    rates.release("b", "web", 502.0)
    rates.hold("c", "web", bounds, 30, 502.0)


@pytest.mark.parametrize(
    ("named", "counted"), [({}, 0), ({"input_tokens": 7}, 7)], ids=["not told", "told"]
)
def test_of_a_request_whose_use_nobody_can_tell_its_input_counts(
    named: dict[str, int], counted: int
):
    bounds, rates = grant(tokens_per_minute=100), TokenRates()
    rates.hold("a", "web", bounds, 90, 0.0, **named)
    rates.note("a", "web", None)
    rates.release("a", "web", 0.0)
    rates.hold("b", "web", bounds, 100 - counted, 0.0)
    rates.release("b", "web", 0.0)
    if counted:
        with pytest.raises(RateLimited, match=f"used up: {counted} of 100"):
            rates.hold("c", "web", bounds, 100, 0.0)


def test_a_request_larger_than_the_limit_goes_alone_and_is_counted_in_full():
    bounds, rates = grant(tokens_per_minute=100), TokenRates()
    rates.hold("small", "web", bounds, 1, 0.0)
    with pytest.raises(RateLimited):
        rates.hold("huge", "web", bounds, 5_000, 0.0)
    rates.note("small", "web", 1)
    rates.release("small", "web", 0.0)
    with pytest.raises(RateLimited) as refusal:
        rates.hold("huge", "web", bounds, None, 1.0)
    now_s = 1.0 + (refusal.value.retry_after_s or 0)
    rates.hold("huge", "web", bounds, None, now_s)
    with pytest.raises(RateLimited):
        rates.hold("other", "web", bounds, 1, now_s)
    rates.note("huge", "web", 3_000)
    rates.release("huge", "web", now_s)
    with pytest.raises(RateLimited, match="used up: 3000 of 100"):
        rates.hold("other", "web", bounds, 1, now_s + 59)
    rates.hold("other", "web", bounds, 1, now_s + 61)


def test_settling_twice_or_what_was_never_held_counts_once_or_not_at_all():
    bounds, rates = grant(tokens_per_minute=100), TokenRates()
    rates.note("never", "web", 100)
    rates.release("never", "web", 0.0)
    rates.hold("a", "web", bounds, 100, 0.0)
    rates.note("a", "web", 60)
    rates.release("a", "web", 0.0)
    rates.note("a", "web", 60)
    rates.release("a", "web", 0.0)
    rates.hold("b", "web", bounds, 40, 0.0)


def test_only_so_many_are_in_flight_and_every_end_makes_room():
    bounds, rates = grant(concurrency=2), RequestRates()
    with rates.entered("web", bounds, 0.0), rates.entered("web", bounds, 0.0):
        refusal = enter(rates, bounds, 0.0)
        assert refusal is not None
        assert "2 of its requests are in flight" in refusal.message
        assert refusal.retry_after_s == 1.0
        assert enter(rates, bounds, 0.0, tenant="other") is None
    with pytest.raises(ZeroDivisionError), rates.entered("web", bounds, 0.0):
        raise ZeroDivisionError
    with rates.entered("web", bounds, 0.0), rates.entered("web", bounds, 0.0):
        assert enter(rates, bounds, 0.0) is not None


def test_a_refusal_takes_no_place_and_counts_for_no_minute():
    bounds, rates = grant(concurrency=1, requests_per_minute=2), RequestRates()
    with rates.entered("web", bounds, 0.0):
        for _ in range(50):
            assert enter(rates, bounds, 0.0) is not None
    assert enter(rates, bounds, 0.0) is None
    for _ in range(50):
        assert enter(rates, bounds, 1.0) is not None
    assert enter(rates, bounds, 61.0) is None


def test_keys_do_not_use_up_each_others_limits():
    bounds = grant(requests_per_minute=1, tokens_per_minute=10)
    requests, tokens = RequestRates(), TokenRates()
    for tenant in ("a", "b", "c"):
        assert enter(requests, bounds, 0.0, tenant=tenant) is None
        tokens.hold("r", tenant, bounds, 10, 0.0)
    assert enter(requests, bounds, 0.0, tenant="a") is not None


def test_without_limits_nothing_is_kept_or_refused():
    uses = OwnUses()
    requests, tokens = RequestRates(uses), TokenRates(uses)
    for _ in range(1_000):
        assert enter(requests, EVERYTHING, 0.0) is None
        tokens.hold("r", "web", EVERYTHING, None, 0.0)
        tokens.note("r", "web", 10**9)
        tokens.release("r", "web", 0.0)
    assert not uses._keys
    assert not tokens._in_flight


def test_time_that_goes_back_forgets_nothing_and_a_minute_keeps_61_numbers_at_most():
    minute = Minute()
    for tick in range(10_000):
        minute.add(1, tick / 10)
        assert len(minute._seconds) <= WINDOW_S + 1 or minute.used(tick / 10) <= 610
    assert minute.used(1_000.0) <= 610
    assert len(minute._seconds) <= WINDOW_S + 1
    before = minute.used(1_000.0)
    minute.add(5, 900.0)
    assert minute.used(1_000.0) == before + 5


def test_what_is_told_in_words_is_what_the_header_will_say():
    bounds, rates = grant(requests_per_minute=1), RequestRates()
    enter(rates, bounds, 0.5)
    refusal = enter(rates, bounds, 10.25)
    assert refusal is not None
    assert f"try again in {ceil(refusal.retry_after_s or 0)} s" in refusal.message
