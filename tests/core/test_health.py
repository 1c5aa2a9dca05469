"""Who rests, until when, and what may be tried meanwhile: FAULTS, rows 1 to 7, 27 and 28."""

import pytest

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
from pointsman.core.health import Call, Health

NAME = "p/a"
DOWN = UpstreamUnavailable("down")


def told(after_s: float) -> UpstreamRateLimited:
    return UpstreamRateLimited("slow down", retry_after_s=after_s)


def healthy(chance: float = 0.0) -> Health:
    return Health(lambda: chance)


def call(health: Health, now_s: float, name: str = NAME) -> Call:
    """Return a call that has begun and ended, its outcome not yet told."""
    made = health.begin(name, now_s, is_retry=False)
    health.end(made)
    return made


def fail(health: Health, times: int, now_s: float = 0.0, error: UpstreamError = DOWN) -> list[bool]:
    """Have calls that were under way together fail."""
    calls = [call(health, now_s) for _ in range(times)]
    return [health.note_failure(made, error, now_s) for made in calls]


def answer(health: Health, now_s: float) -> None:
    health.note_success(call(health, now_s), now_s)


def note(health: Health, now_s: float, *, is_failure: bool) -> None:
    if is_failure:
        fail(health, 1, now_s)
    else:
        answer(health, now_s)


def rests(health: Health, now_s: float, for_s: float) -> bool:
    """Return whether it rests for exactly so long from now."""
    return (
        not health.is_ready(NAME, now_s + for_s - 0.001)
        and health.is_ready(NAME, now_s + for_s)
        and health.rest_left_s(NAME, now_s) == pytest.approx(for_s)
    )


def test_who_has_not_been_called_is_ready():
    health = healthy()
    assert health.is_ready(NAME, 0) and health.rest_left_s(NAME, 0) == 0
    assert not health.is_rate_limited(NAME, 0) and health.is_last_resort(NAME, 0)


@pytest.mark.parametrize(
    "error",
    [DOWN, UpstreamConnect(""), UpstreamTimeout(""), UpstreamReset(""), UpstreamBadResponse(""),
     UpstreamTooLarge("")],
    ids=lambda error: error.code,
)  # fmt: skip
def test_the_fifth_failure_in_a_row_opens_the_breaker_for_half_a_minute(error):
    health = healthy()
    assert fail(health, 4, error=error) == [False] * 4 and health.is_ready(NAME, 0)
    assert fail(health, 1, error=error) == [True]
    assert rests(health, 0, 30) and not health.is_rate_limited(NAME, 0)


def test_a_success_between_starts_the_count_again():
    health = healthy()
    fail(health, 4)
    answer(health, 0)
    assert not any(fail(health, 4)) and health.is_ready(NAME, 0)


@pytest.mark.parametrize(("calls", "opens"), [(18, False), (20, True)])
def test_half_of_twenty_calls_in_ten_seconds_open_the_breaker(calls, opens):
    health = healthy()
    for number in range(calls):
        note(health, number * 0.4, is_failure=number % 2 == 1)
    assert health.is_ready(NAME, 8) is not opens


def test_calls_older_than_ten_seconds_do_not_count():
    health = healthy()
    for number in range(200):
        now_s = number * 0.6  # 16 or 17 of them in any ten seconds
        note(health, now_s, is_failure=number % 2 == 1)
        assert health.is_ready(NAME, now_s)


def test_fewer_failures_than_half_do_not_open_it():
    health = healthy()
    for number in range(300):
        note(health, number * 0.01, is_failure=number % 3 == 2)
        assert health.is_ready(NAME, number * 0.01)


def test_many_failures_of_one_moment_open_the_breaker_once():
    """A hundred calls in flight when the upstream dies are one outage, not twenty."""
    health = healthy()
    assert fail(health, 100).count(True) == 1
    assert rests(health, 0, 30)


def test_after_the_rest_one_failure_opens_it_again_for_longer_up_to_five_minutes():
    health = healthy()
    fail(health, 5)
    now_s, waits = 0.0, []
    for _ in range(12):
        waits.append(health.rest_left_s(NAME, now_s))
        now_s += waits[-1]
        assert health.is_ready(NAME, now_s)
        assert fail(health, 1, now_s) == [True]
    assert waits == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_a_breaker_that_a_share_opened_opens_again_at_the_first_failure_too():
    health = healthy()
    for number in range(20):
        note(health, 0, is_failure=number % 2 == 1)
    assert rests(health, 0, 30)
    assert fail(health, 1, 30) == [True] and rests(health, 30, 60)


def test_a_success_closes_the_breaker_and_forgets_its_openings():
    health = healthy()
    fail(health, 5)
    fail(health, 1, 30)
    answer(health, 45)
    assert health.is_ready(NAME, 45)
    assert fail(health, 5, 60)[-1] and rests(health, 60, 30)


def test_a_failed_probe_does_not_lengthen_the_rest():
    health = healthy()
    fail(health, 5)
    assert fail(health, 1, 10) == [False] and rests(health, 10, 20)


def test_a_retry_after_is_kept_to_the_second_and_nobody_probes_before_it():
    health = healthy()
    assert fail(health, 1, 100, told(7))[0]
    assert rests(health, 100, 7)
    assert health.is_rate_limited(NAME, 106.9) and not health.is_last_resort(NAME, 106.9)
    assert not health.is_rate_limited(NAME, 107) and health.is_last_resort(NAME, 107)


def test_a_shorter_retry_after_does_not_shorten_the_rest():
    health = healthy()
    fail(health, 1, 0, told(60))[0]
    assert not fail(health, 1, 5, told(1))[0]
    assert rests(health, 5, 55)
    fail(health, 1, 30, told(60))[0]
    assert rests(health, 30, 60)


@pytest.mark.parametrize("after_s", [3, 3.0])
def test_a_whole_number_of_seconds_is_a_time_as_well(after_s):
    health = healthy()
    fail(health, 1, 0, told(after_s))[0]
    assert rests(health, 0, 3)


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_longer_rest_of_the_breaker_does_not_hide_what_the_upstream_named(is_told_first):
    health = healthy()
    if is_told_first:
        fail(health, 1, 0, told(10))[0]
    fail(health, 5)
    fail(health, 1, 0, told(10))[0]
    assert rests(health, 0, 30)
    assert not health.is_last_resort(NAME, 9.9) and health.is_rate_limited(NAME, 9.9)
    assert health.is_last_resort(NAME, 10) and not health.is_rate_limited(NAME, 10)


def test_a_success_does_not_end_a_time_that_the_upstream_named():
    health = healthy()
    fail(health, 5)
    fail(health, 1, 0, told(10))[0]
    answer(health, 1)
    assert rests(health, 1, 9)


def test_a_429_without_a_time_rests_nobody_and_is_no_failure_of_the_breaker():
    health = healthy()
    assert not any(fail(health, 50, error=UpstreamRateLimited("slow down")))
    assert health.is_ready(NAME, 0)


@pytest.mark.parametrize("error", [UpstreamAuth("no"), UpstreamModelMissing("no")])
def test_who_refuses_our_key_or_model_is_parked_for_five_minutes(error):
    health = healthy()
    assert fail(health, 1, error=error) == [True]
    assert rests(health, 0, 300) and health.is_last_resort(NAME, 0)


@pytest.mark.parametrize("error", [UpstreamAuth("no"), UpstreamModelMissing("no")])
def test_who_was_parked_is_probed_by_one_call_before_the_others_come_back(error):
    health = healthy()
    fail(health, 1, error=error)
    assert health.is_ready(NAME, 300) and not health.is_trusted(NAME, 300)
    probe = health.begin(NAME, 300, is_retry=False)
    assert not health.is_ready(NAME, 300)
    health.note_content(probe)
    assert health.is_trusted(NAME, 300)


@pytest.mark.parametrize("kind", [UpstreamRejected, ContextLengthExceeded])
def test_what_the_request_is_at_fault_for_rests_nobody(kind):
    health = healthy()
    assert not any(fail(health, 50, error=kind("bad", status=400, body=b"")))
    assert health.is_ready(NAME, 0)


def test_who_rests_is_probed_once_a_second():
    health = healthy()
    fail(health, 5)
    probes = 0
    for tenth in range(100):
        if health.is_last_resort(NAME, tenth / 10):
            fail(health, 1, tenth / 10)
            probes += 1
    assert probes == 10


@pytest.mark.parametrize(
    ("in_flight", "retries"), [(0, 3), (3, 3), (12, 3), (20, 4), (100, 20), (200, 40)]
)
def test_retries_are_a_fifth_of_what_is_in_flight_but_three_are_always_allowed(in_flight, retries):
    health = healthy()
    for _ in range(in_flight):
        health.begin(NAME, 0, is_retry=False)
    allowed = 0
    made = None
    while health.may_retry(NAME):
        made = health.begin(NAME, 0, is_retry=True)
        allowed += 1
    assert allowed == retries and made is not None


def test_few_calls_at_a_time_are_retried_no_more_than_many():
    health, retries = healthy(), 0
    for _ in range(1_000):
        health.end(health.begin(NAME, 0, is_retry=False))
        if health.may_retry(NAME):
            health.end(health.begin(NAME, 0, is_retry=True))
            retries += 1
    assert retries == 3 + 1_000 // 5 - 1


def test_deployments_do_not_share_their_fate():
    health = healthy()
    fail(health, 5)
    assert health.is_ready("p/b", 0) and health.may_retry("p/b")


@pytest.mark.parametrize(("chance", "rest_s"), [(0.0, 30.0), (0.5, 28.5), (0.9, 27.3)])
def test_chance_makes_a_rest_shorter_by_a_tenth_at_most(chance: float, rest_s: float):
    health = healthy(chance)
    fail(health, 5)
    assert rests(health, 0, rest_s)


def test_after_the_rest_one_call_probes_and_the_others_wait_for_its_first_content():
    health = healthy()
    fail(health, 5)
    probe = health.begin(NAME, 30, is_retry=False)
    assert probe.is_probe and not health.is_ready(NAME, 30) and not health.is_trusted(NAME, 30)
    health.note_content(probe)
    assert health.is_ready(NAME, 30) and health.is_trusted(NAME, 30)
    assert not health.begin(NAME, 30, is_retry=False).is_probe


def test_a_probe_that_nobody_waits_for_any_more_makes_room_for_the_next():
    health = healthy()
    fail(health, 5)
    health.end(health.begin(NAME, 30, is_retry=False))
    assert health.is_ready(NAME, 30) and not health.is_trusted(NAME, 30)


def test_an_answer_under_way_since_an_earlier_probe_does_not_keep_the_next_probe_away():
    health = healthy()
    fail(health, 5)
    long = health.begin(NAME, 30, is_retry=False)
    health.note_content(long)
    fail(health, 1, 31)
    assert rests(health, 31, 60)


def test_one_that_begins_its_answers_and_breaks_them_off_rests_longer_and_longer():
    health, now_s, waits = healthy(), 0.0, []
    fail(health, 5)
    for _ in range(4):
        waits.append(health.rest_left_s(NAME, now_s))
        now_s += waits[-1]
        begun = health.begin(NAME, now_s, is_retry=False)
        health.note_content(begun)
        assert health.is_ready(NAME, now_s)
        health.end(begun)
        health.note_failure(begun, UpstreamReset("gone"), now_s)
    assert waits == [30, 60, 90, 120]


def test_what_began_before_the_breaker_opened_neither_closes_it_nor_opens_it_again():
    health = healthy()
    good, bad = (health.begin(NAME, 0, is_retry=False) for _ in range(2))
    fail(health, 5)
    health.note_content(good)
    health.note_success(good, 1)
    assert rests(health, 1, 29)
    assert not health.note_failure(bad, DOWN, 31) and health.is_ready(NAME, 31)


@pytest.mark.parametrize("error", [told(7), UpstreamUnavailable("busy", retry_after_s=7)])
def test_whoever_names_a_time_is_left_alone_until_then(error):
    health = healthy()
    assert fail(health, 1, 100, error) == [True]
    assert rests(health, 100, 7) and not health.is_last_resort(NAME, 106.9)


def test_an_upstream_that_names_a_time_and_fails_rests_for_the_longer_of_both():
    health = healthy()
    fail(health, 5, error=UpstreamUnavailable("busy", retry_after_s=40))
    assert rests(health, 0, 40) and health.is_rate_limited(NAME, 39.9)


def test_one_that_still_answers_now_and_then_is_never_wholly_left_out():
    health = healthy()
    for number in range(20):
        note(health, 0, is_failure=number % 2 == 1)
    assert not health.is_ready(NAME, 1)
    for _ in range(4):
        assert health.is_last_resort(NAME, 1)
        fail(health, 1, 1)
    assert not health.is_last_resort(NAME, 1)  # five in a row: now it only fails


def test_who_refuses_our_key_is_tried_once_a_second_at_most_even_as_the_last_resort():
    health = healthy()
    fail(health, 1, error=UpstreamAuth("no"))
    assert health.is_last_resort(NAME, 0)
    health.begin(NAME, 0, is_retry=False)
    assert not health.is_last_resort(NAME, 0.9) and health.is_last_resort(NAME, 1)


def test_an_upstream_that_refuses_the_request_of_a_probe_is_there_again():
    health = healthy()
    fail(health, 5)
    fail(health, 1, 30, UpstreamRejected("bad", status=400, body=b""))
    assert health.is_trusted(NAME, 30)
