"""Who rests, until when, and what may be tried meanwhile: FAULTS, rows 1 to 7, 27 and 28."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pointsman.core.errors import (
    ContextLengthExceeded,
    UpstreamAuth,
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnavailable,
)
from pointsman.core.health import Health

NAME = "p/a"
DOWN = UpstreamUnavailable("down")


def told(after_s: float) -> UpstreamRateLimited:
    return UpstreamRateLimited("slow down", retry_after_s=after_s)


def fail(health: Health, times: int, now_s: float = 0.0, error: UpstreamError = DOWN) -> list[bool]:
    return [health.note_failure(NAME, error, now_s) for _ in range(times)]


def note(health: Health, now_s: float, *, is_failure: bool) -> None:
    if is_failure:
        health.note_failure(NAME, DOWN, now_s)
    else:
        health.note_success(NAME, now_s)


def rests(health: Health, now_s: float, for_s: float) -> bool:
    """Return whether it rests for exactly so long from now."""
    return (
        not health.is_ready(NAME, now_s + for_s - 0.001)
        and health.is_ready(NAME, now_s + for_s)
        and health.rest_left_s(NAME, now_s) == pytest.approx(for_s)
    )


def test_who_has_not_been_called_is_ready():
    health = Health()
    assert health.is_ready(NAME, 0) and health.rest_left_s(NAME, 0) == 0
    assert not health.is_rate_limited(NAME, 0) and health.is_due_for_probe(NAME, 0)


@pytest.mark.parametrize(
    "error",
    [DOWN, UpstreamConnect(""), UpstreamTimeout(""), UpstreamReset(""), UpstreamBadResponse(""),
     UpstreamTooLarge("")],
    ids=lambda error: error.code,
)  # fmt: skip
def test_the_fifth_failure_in_a_row_opens_the_breaker_for_half_a_minute(error):
    health = Health()
    assert fail(health, 4, error=error) == [False] * 4 and health.is_ready(NAME, 0)
    assert fail(health, 1, error=error) == [True]
    assert rests(health, 0, 30) and not health.is_rate_limited(NAME, 0)


def test_a_success_between_starts_the_count_again():
    health = Health()
    fail(health, 4)
    health.note_success(NAME, 0)
    assert not any(fail(health, 4)) and health.is_ready(NAME, 0)


@pytest.mark.parametrize(("calls", "opens"), [(18, False), (20, True)])
def test_half_of_twenty_calls_in_ten_seconds_open_the_breaker(calls, opens):
    health = Health()
    for number in range(calls):
        note(health, number * 0.4, is_failure=number % 2 == 1)
    assert health.is_ready(NAME, 8) is not opens


def test_calls_older_than_ten_seconds_do_not_count():
    health = Health()
    for number in range(200):
        now_s = number * 0.6  # 16 or 17 of them in any ten seconds
        note(health, now_s, is_failure=number % 2 == 1)
        assert health.is_ready(NAME, now_s)


def test_fewer_failures_than_half_do_not_open_it():
    health = Health()
    for number in range(300):
        note(health, number * 0.01, is_failure=number % 3 == 2)
        assert health.is_ready(NAME, number * 0.01)


def test_many_failures_of_one_moment_open_the_breaker_once():
    """A hundred calls in flight when the upstream dies are one outage, not twenty."""
    health = Health()
    assert fail(health, 100).count(True) == 1
    assert rests(health, 0, 30)


def test_after_the_rest_one_failure_opens_it_again_for_longer_up_to_five_minutes():
    health = Health()
    fail(health, 5)
    now_s, waits = 0.0, []
    for _ in range(12):
        waits.append(health.rest_left_s(NAME, now_s))
        now_s += waits[-1]
        assert health.is_ready(NAME, now_s)
        assert fail(health, 1, now_s) == [True]
    assert waits == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_a_breaker_that_a_share_opened_opens_again_at_the_first_failure_too():
    health = Health()
    for number in range(20):
        note(health, 0, is_failure=number % 2 == 1)
    assert rests(health, 0, 30)
    assert fail(health, 1, 30) == [True] and rests(health, 30, 60)


def test_a_success_closes_the_breaker_and_forgets_its_openings():
    health = Health()
    fail(health, 5)
    fail(health, 1, 30)
    health.note_success(NAME, 45)
    assert health.is_ready(NAME, 45)
    assert fail(health, 5, 60)[-1] and rests(health, 60, 30)


def test_a_failed_probe_does_not_lengthen_the_rest():
    health = Health()
    fail(health, 5)
    assert fail(health, 1, 10) == [False] and rests(health, 10, 20)


def test_a_retry_after_is_kept_to_the_second_and_nobody_probes_before_it():
    health = Health()
    assert health.note_failure(NAME, told(7), 100)
    assert rests(health, 100, 7)
    assert health.is_rate_limited(NAME, 106.9) and not health.is_due_for_probe(NAME, 106.9)
    assert not health.is_rate_limited(NAME, 107) and health.is_due_for_probe(NAME, 107)


def test_a_shorter_retry_after_does_not_shorten_the_rest():
    health = Health()
    health.note_failure(NAME, told(60), 0)
    assert not health.note_failure(NAME, told(1), 5)
    assert rests(health, 5, 55)
    health.note_failure(NAME, told(60), 30)
    assert rests(health, 30, 60)


@pytest.mark.parametrize("after_s", [3, 3.0])
def test_a_whole_number_of_seconds_is_a_time_as_well(after_s):
    health = Health()
    health.note_failure(NAME, told(after_s), 0)
    assert rests(health, 0, 3)


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_longer_rest_of_the_breaker_does_not_hide_what_the_upstream_named(is_told_first):
    health = Health()
    if is_told_first:
        health.note_failure(NAME, told(10), 0)
    fail(health, 5)
    health.note_failure(NAME, told(10), 0)
    assert rests(health, 0, 30)
    assert not health.is_due_for_probe(NAME, 9.9) and health.is_rate_limited(NAME, 9.9)
    assert health.is_due_for_probe(NAME, 10) and not health.is_rate_limited(NAME, 10)


def test_a_success_does_not_end_a_time_that_the_upstream_named():
    health = Health()
    fail(health, 5)
    health.note_failure(NAME, told(10), 0)
    health.note_success(NAME, 1)
    assert rests(health, 1, 9)


def test_a_429_without_a_time_rests_nobody_and_is_no_failure_of_the_breaker():
    health = Health()
    assert not any(fail(health, 50, error=UpstreamRateLimited("slow down")))
    assert health.is_ready(NAME, 0)


@pytest.mark.parametrize("error", [UpstreamAuth("no"), UpstreamModelMissing("no")])
def test_who_refuses_our_key_or_model_is_parked_for_five_minutes(error):
    health = Health()
    assert fail(health, 1, error=error) == [True]
    assert rests(health, 0, 300) and health.is_due_for_probe(NAME, 0)


@pytest.mark.parametrize("kind", [UpstreamRejected, ContextLengthExceeded])
def test_what_the_request_is_at_fault_for_rests_nobody(kind):
    health = Health()
    assert not any(fail(health, 50, error=kind("bad", status=400, body=b"")))
    assert health.is_ready(NAME, 0)


def test_who_rests_is_probed_once_a_second():
    health = Health()
    fail(health, 5)
    probes = 0
    for tenth in range(100):
        if health.is_due_for_probe(NAME, tenth / 10):
            health.begin(NAME, tenth / 10, is_retry=False)
            health.end(NAME, is_retry=False)
            probes += 1
    assert probes == 10


@pytest.mark.parametrize(
    ("in_flight", "retries"), [(0, 3), (3, 3), (12, 3), (16, 4), (100, 25), (200, 50)]
)
def test_retries_are_a_fifth_of_what_is_in_flight_but_three_are_always_allowed(in_flight, retries):
    health = Health()
    for _ in range(in_flight):
        health.begin(NAME, 0, is_retry=False)
    allowed = 0
    while health.may_retry(NAME):
        health.begin(NAME, 0, is_retry=True)
        allowed += 1
    assert allowed == retries
    health.end(NAME, is_retry=True)
    health.end(NAME, is_retry=True)
    assert health.may_retry(NAME)


def test_deployments_do_not_share_their_fate():
    health = Health()
    fail(health, 5)
    assert health.is_ready("p/b", 0) and health.may_retry("p/b")


class HealthMachine(RuleBasedStateMachine):
    """Any order of calls, ends, failures and successes, on a clock that goes forward."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.health = Health()
        self.now_s = 0.0
        self.told_until_s = 0.0
        self.until_s = 0.0
        self.in_flight = self.retrying = 0

    @rule(by_s=st.sampled_from([0.0, 0.5, 1.0, 9.0, 30.0, 400.0]))
    def time_passes(self, by_s):
        self.now_s += by_s
        self.until_s = self.now_s + self.health.rest_left_s(NAME, self.now_s)

    @rule(target=calls, is_retry=st.booleans())
    def call_begins(self, is_retry):
        self.health.begin(NAME, self.now_s, is_retry=is_retry)
        self.in_flight += 1
        self.retrying += is_retry
        return is_retry

    @rule(is_retry=consumes(calls))
    def call_ends(self, is_retry):
        self.health.end(NAME, is_retry=is_retry)
        self.in_flight -= 1
        self.retrying -= is_retry

    @rule(
        error=st.sampled_from(
            [DOWN, UpstreamReset(""), UpstreamAuth(""), UpstreamRateLimited(""),
             UpstreamRejected("", status=400, body=b"")]
        )
        | st.builds(told, st.floats(0, 100)),
        times=st.integers(1, 6),
    )  # fmt: skip
    def calls_fail(self, error, times):
        for _ in range(times):
            was_ready = self.health.is_ready(NAME, self.now_s)
            began = self.health.note_failure(NAME, error, self.now_s)
            assert began == (was_ready and not self.health.is_ready(NAME, self.now_s))
            until_s = self.now_s + self.health.rest_left_s(NAME, self.now_s)
            assert until_s >= self.until_s
            self.until_s = until_s
        if isinstance(error, UpstreamRateLimited) and error.retry_after_s is not None:
            self.told_until_s = max(self.told_until_s, self.now_s + error.retry_after_s)

    @rule()
    def call_succeeds(self):
        self.health.note_success(NAME, self.now_s)
        self.until_s = max(self.now_s, self.told_until_s)
        left_s = max(0.0, self.told_until_s - self.now_s)
        assert self.health.rest_left_s(NAME, self.now_s) == left_s

    @invariant()
    def what_the_upstream_named_is_kept(self):
        is_told = self.now_s < self.told_until_s
        assert self.health.is_rate_limited(NAME, self.now_s) is is_told
        if is_told:
            assert not self.health.is_ready(NAME, self.now_s)
            assert not self.health.is_due_for_probe(NAME, self.now_s)

    @invariant()
    def nobody_rests_longer_than_five_minutes_unless_told(self):
        left_s = self.health.rest_left_s(NAME, self.now_s)
        assert 0 <= left_s <= max(300.0, self.told_until_s - self.now_s)

    @invariant()
    def calls_are_counted(self):
        record = self.health._records.get(NAME)
        if record is not None:
            assert (record.in_flight, record.retrying) == (self.in_flight, self.retrying)


TestHealthMachine = HealthMachine.TestCase
