"""Any order of calls, contents, ends and failures: what health promises holds at each moment.

Calls are made as the router makes them: what is ready, and where nothing is, the last resort.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pointsman.core import errors
from pointsman.core.errors import UpstreamError
from pointsman.core.health import (
    CALLS_PER_RETRY,
    OPEN_S_MAX,
    PROBE_EVERY_S,
    RETRIES_MIN,
    Call,
    Health,
)

NAMES = ("p/a", "p/b")
ERRORS = (
    errors.UpstreamUnavailable("down"),
    errors.UpstreamReset("gone"),
    errors.UpstreamTimeout("late"),
    errors.UpstreamAuth("no"),
    errors.UpstreamModelMissing("no"),
    errors.UpstreamRateLimited("slow down"),
    errors.UpstreamRejected("bad", status=400, body=b""),
)
waits = st.sampled_from([0.0, 0.5, 1.0, 5.0]) | st.floats(0, 1_000)
failures = (
    st.sampled_from(ERRORS)
    | st.builds(lambda s: errors.UpstreamRateLimited("", retry_after_s=s), waits)
    | st.builds(lambda s: errors.UpstreamUnavailable("", retry_after_s=s), waits)
)


@dataclass
class Known:
    """What the test itself knows of a deployment."""

    told_until_s: float = 0.0
    rests_until_s: float = 0.0
    called_at_s: float = -1_000.0
    calls: int = 0
    retries: int = 0
    in_flight: list[Call] = field(default_factory=list)
    probes: list[Call] = field(default_factory=list)

    def take(self, call: Call) -> None:
        self.in_flight.remove(call)
        if call in self.probes:
            self.probes.remove(call)


class HealthMachine(RuleBasedStateMachine):
    """Two deployments on one clock that goes forward."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.chance = 0.0
        self.health = Health(lambda: self.chance)
        self.known = {name: Known() for name in NAMES}

    @rule(
        by_s=st.sampled_from([0.0, 0.5, 1.0, 9.0, 30.0, 400.0]),
        chance=st.floats(0, 1, exclude_max=True),
    )
    def time_passes(self, by_s, chance):
        self.now_s += by_s
        self.chance = chance

    @rule(target=calls, name=st.sampled_from(NAMES), wants_retry=st.booleans())
    def a_call_begins_where_it_may(self, name, wants_retry):
        health, known, now_s = self.health, self.known[name], self.now_s
        is_ready = health.is_ready(name, now_s)
        all_rest = not any(health.is_ready(each, now_s) for each in NAMES)
        if not (is_ready or (all_rest and health.is_last_resort(name, now_s))):
            return None
        retrying = sum(call.is_retry for call in known.in_flight)
        is_retry = wants_retry and health.may_retry(name)
        if is_retry:
            assert retrying < max(RETRIES_MIN, len(known.in_flight) / CALLS_PER_RETRY)
            known.retries += 1
            assert known.retries <= RETRIES_MIN + known.calls / CALLS_PER_RETRY
        assert now_s >= known.told_until_s
        if is_ready:
            assert now_s >= known.rests_until_s
        call = health.begin(name, now_s, is_retry=is_retry)
        if call.is_probe:
            assert not (is_ready and known.probes), "two probes of one half-open deployment"
            known.probes.append(call)
        known.in_flight.append(call)
        known.calls += not is_retry
        known.called_at_s = now_s
        return call

    @rule(call=calls)
    def content_comes(self, call):
        if call is None or call not in self.known[call.deployment].in_flight:
            return
        known = self.known[call.deployment]
        self.health.note_content(call)
        if call.is_probe:
            known.rests_until_s = 0.0
            if call in known.probes:
                known.probes.remove(call)
            assert self.health.is_trusted(call.deployment, max(self.now_s, known.told_until_s))

    @rule(call=consumes(calls))
    def an_answer_ends(self, call):
        if call is None:
            return
        known = self.known[call.deployment]
        left_s = self.health.rest_left_s(call.deployment, self.now_s)
        self.health.end(call)
        known.take(call)
        self.health.note_success(call, self.now_s)
        if call.is_probe:
            known.rests_until_s = 0.0
        else:
            assert self.health.rest_left_s(call.deployment, self.now_s) == left_s

    @rule(call=consumes(calls))
    def a_caller_leaves(self, call):
        if call is not None:
            self.health.end(call)
            self.known[call.deployment].take(call)

    @rule(call=consumes(calls), error=failures)
    def a_call_fails(self, call, error: UpstreamError):
        if call is None:
            return
        name, known = call.deployment, self.known[call.deployment]
        was_resting = self.health.rest_left_s(name, self.now_s) > 0
        self.health.end(call)
        known.take(call)
        began = self.health.note_failure(call, error, self.now_s)
        rests = self.health.rest_left_s(name, self.now_s) > 0
        assert began == (rests and not was_resting)
        if isinstance(error, errors.UpstreamRejected) and call.is_probe:
            known.rests_until_s = 0.0
        if error.retry_after_s is not None:
            known.told_until_s = max(known.told_until_s, self.now_s + error.retry_after_s)

    @invariant()
    def a_rest_never_gets_shorter(self):
        for name, known in self.known.items():
            until_s = self.now_s + self.health.rest_left_s(name, self.now_s)
            assert until_s >= known.rests_until_s - 1e-6
            known.rests_until_s = max(until_s, known.told_until_s)

    @invariant()
    def nobody_rests_longer_than_five_minutes_unless_told(self):
        for name, known in self.known.items():
            left_s = self.health.rest_left_s(name, self.now_s)
            assert 0 <= left_s <= max(OPEN_S_MAX, known.told_until_s - self.now_s) + 1e-6

    @invariant()
    def breakers_alone_leave_nobody_out_for_longer_than_a_second(self):
        for name, known in self.known.items():
            is_due = self.now_s - known.called_at_s >= PROBE_EVERY_S
            if is_due and self.now_s >= known.told_until_s:
                assert self.health.is_last_resort(name, self.now_s)

    @invariant()
    def what_the_upstream_named_is_kept(self):
        for name, known in self.known.items():
            is_told = self.now_s < known.told_until_s
            assert self.health.is_rate_limited(name, self.now_s) is is_told
            if is_told:
                assert not self.health.is_ready(name, self.now_s)
                assert not self.health.is_last_resort(name, self.now_s)


TestHealthMachine = HealthMachine.TestCase
