"""Shared uses: the limits of a key hold over all workers together."""

import sys
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access import shared_uses
from pointsman.access.rates import RequestRates, TokenRates
from pointsman.access.shared_uses import SharedUses
from pointsman.core.errors import RateLimited
from pointsman.core.grants import Grant

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

SECONDS = st.integers(0, 300 * 8).map(lambda n: n / 8)


def seats(workers: int) -> list[SharedUses]:
    """Return what each worker has after a fork: the memory is one, the rest its own."""
    made = SharedUses(workers)
    found = []
    for place in range(workers):
        seat = copy(made)
        seat._here, seat._at = {}, {}
        seat.seat(place)
        found.append(seat)
    return found


def enter(rates: RequestRates, bounds: Grant, now_s: float, tenant: str = "web") -> bool:
    try:
        with rates.entered(tenant, bounds, now_s):
            return True
    except RateLimited:
        return False


@given(
    limit=st.integers(1, 6),
    came=st.lists(st.tuples(SECONDS, st.integers(0, 2)), max_size=40),
)
def test_it_does_not_matter_to_which_worker_requests_come(
    limit: int, came: list[tuple[float, int]]
):
    alone, bounds = RequestRates(), Grant(requests_per_minute=limit)
    workers = [RequestRates(seat) for seat in seats(3)]
    for now_s, place in sorted(came):
        assert enter(workers[place], bounds, now_s) == enter(alone, bounds, now_s)


def test_requests_in_flight_count_in_every_worker_and_those_of_a_dead_one_no_more():
    uses, bounds = seats(2), Grant(concurrency=2)
    one, two = (RequestRates(seat) for seat in uses)
    with one.entered("web", bounds, 0.0), two.entered("web", bounds, 0.0):
        assert not enter(one, bounds, 0.0)
        assert not enter(two, bounds, 0.0)
        assert enter(two, bounds, 0.0, tenant="other")
        uses[0].forget(1)
        assert enter(one, bounds, 0.0)
    assert enter(two, bounds, 0.0)


def test_tokens_that_one_worker_holds_are_held_from_the_other():
    bounds = Grant(tokens_per_minute=100)
    one, two = (TokenRates(seat) for seat in seats(2))
    one.hold("a", "web", bounds, 90, 0.0)
    with pytest.raises(RateLimited, match="held by requests in flight: 90 of 100"):
        two.hold("b", "web", bounds, 20, 1.0)
    one.note("a", "web", 150)
    with pytest.raises(RateLimited, match="150 of 100"):
        two.hold("b", "web", bounds, 1, 1.0)
    one.release("a", "web", 2.0)
    with pytest.raises(RateLimited, match="used up: 150 of 100"):
        two.hold("b", "web", bounds, 1, 3.0)
    two.hold("b", "web", bounds, 100, 63.0)


def test_a_request_that_held_nothing_and_took_something_counts():
    bounds = Grant(tokens_per_minute=100)
    one, two = (TokenRates(seat) for seat in seats(2))
    one.hold("a", "web", bounds, 0, 0.0)
    one.note("a", "web", 60)
    with pytest.raises(RateLimited, match="60 of 100"):
        two.hold("b", "web", bounds, 41, 0.0)
    one.release("a", "web", 1.0)
    with pytest.raises(RateLimited, match="used up: 60 of 100"):
        two.hold("b", "web", bounds, 41, 1.0)


def test_a_place_is_free_again_when_its_key_uses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_uses, "_BUCKETS", 1)
    (seat,) = seats(1)
    rates, bounds = RequestRates(seat), Grant(requests_per_minute=1)
    names = [f"key {number}" for number in range(20)]
    assert [enter(rates, bounds, 0.0, name) for name in names] == [True] * 16 + [False] * 4
    with pytest.raises(RateLimited, match="cannot be counted at the moment"):
        rates.entered("another", bounds, 60.0).__enter__()
    assert all(enter(rates, bounds, 61.0, f"later {number}") for number in range(16))
