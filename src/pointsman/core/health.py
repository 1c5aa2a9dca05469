"""Health: which deployments rest, until when, and who may try them meanwhile.

Time is passed in, in seconds, never read; so is chance. Source of the rules and figures: FAULTS,
"Retry" and rows 1 to 7, 27 and 28.
"""

from collections import deque
from collections.abc import Callable, Set
from dataclasses import dataclass, field

import msgspec

from pointsman.core.errors import (
    UpstreamAuth,
    UpstreamError,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)

FAILURES_IN_ROW_MAX = 5
WINDOW_S = 10.0
WINDOW_CALLS_MIN = 20
WINDOW_FAILED_SHARE = 0.5
OPEN_S = 30.0
OPEN_S_MAX = 300.0
JITTER_SHARE = 0.1
PARKED_S = 300.0
PROBE_EVERY_S = 1.0
RETRIES_MIN = 3
CALLS_PER_RETRY = 5  # a share of 20%
_EARNED_MAX = RETRIES_MIN * CALLS_PER_RETRY  # more only while more calls are under way
_NEVER = float("-inf")
_NOBODY: Set[str] = frozenset()


class Call(msgspec.Struct, frozen=True):
    """One call under way, by its number.

    `is_probe`: it began while its deployment rested or was half-open. `opening` is the number of
    the deployment's last opening when it began: what a call from before it tells is old news.
    """

    number: int
    deployment: str
    is_retry: bool
    is_probe: bool
    opening: int


@dataclass(slots=True)
class _Record:
    """One deployment. It rests until the latest of three times.

    `told_until_s` the upstream itself has named, so nothing is sent before it; `parked_until_s` is
    of who refuses our key or model; `open_until_s` is the breaker's. After the last two it is half
    open: one call at a time, until one of them brings content. `openings` counts the breaker's
    since the last success, `opening` all of them, those of a parked one included. `probes` are the
    numbers of the calls that probe it: under way, and without content so far. `earned`: the calls
    that no retry has been made for yet.
    """

    told_until_s: float = _NEVER
    parked_until_s: float = _NEVER
    open_until_s: float = _NEVER
    is_half_open: bool = False
    failures_in_row: int = 0
    openings: int = 0
    opening: int = 0
    probed_at_s: float = _NEVER
    calls: deque[tuple[float, bool]] = field(default_factory=deque)
    probes: set[int] = field(default_factory=set)
    in_flight: int = 0
    earned: int = _EARNED_MAX
    retrying: int = 0

    @property
    def resting_until_s(self) -> float:
        """Return when the deployment may be called again."""
        return max(self.told_until_s, self.parked_until_s, self.open_until_s)

    def open(self, until_s: float) -> None:
        """Have the breaker rest until then, at least."""
        self.open_until_s = max(self.open_until_s, until_s)
        self.is_half_open = True
        self.opening += 1

    def park(self, until_s: float) -> None:
        """Have it rest until then, at least: our key or model is refused."""
        self.parked_until_s = max(self.parked_until_s, until_s)
        self.is_half_open = True
        self.opening += 1

    def revive(self) -> None:
        """End the rests that are ours, not the one that the upstream has named."""
        self.open_until_s = self.parked_until_s = _NEVER
        self.is_half_open = False


class Health:
    """Breakers and cooldowns of all deployments, by id.

    `chance` gives numbers from 0 up to 1, for the jitter of rests: each is shorter by up to a
    tenth, so that not all who opened their breakers in one moment come back in one.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._records: dict[str, _Record] = {}
        self._suspects: set[str] = set()  # all who may rest, and perhaps others
        self._calls = 0

    def resting(self, now_s: float) -> Set[str]:
        """Return who may not be called: the deployments that are not ready."""
        if not self._suspects:
            return _NOBODY
        rested = {name for name in self._suspects if self.is_trusted(name, now_s)}
        self._suspects -= rested
        return {name for name in self._suspects if not self.is_ready(name, now_s)}

    def is_ready(self, deployment: str, now_s: float) -> bool:
        """Return whether the deployment may be called: out of cooldown, and nobody probes it."""
        if deployment not in self._suspects:
            return True
        record = self._records[deployment]
        return now_s >= record.resting_until_s and not (record.is_half_open and record.probes)

    def is_trusted(self, deployment: str, now_s: float) -> bool:
        """Return whether it may be called and has no need of a probe."""
        if deployment not in self._suspects:
            return True
        record = self._records[deployment]
        return now_s >= record.resting_until_s and not record.is_half_open

    def is_last_resort(self, deployment: str, now_s: float) -> bool:
        """Return whether a resting deployment may be tried because all others rest too.

        Never before a time that the upstream itself has named. One that still answers now and then
        may be; one that only fails, or refuses us, once a second at most.
        """
        record = self._record(deployment)
        if now_s < record.told_until_s:
            return False
        is_refused = record.parked_until_s > _NEVER
        answers = record.failures_in_row < FAILURES_IN_ROW_MAX and not is_refused
        return answers or now_s - record.probed_at_s >= PROBE_EVERY_S

    def rest_left_s(self, deployment: str, now_s: float) -> float:
        """Return for how long the deployment still rests, 0 when it does not."""
        record = self._records.get(deployment)
        return max(0.0, record.resting_until_s - now_s) if record else 0.0

    def is_rate_limited(self, deployment: str, now_s: float) -> bool:
        """Return whether a time that the upstream itself has named is still to come."""
        record = self._records.get(deployment)
        return record is not None and now_s < record.told_until_s

    def begin(self, deployment: str, now_s: float, *, is_retry: bool) -> Call:
        """Note a call that starts, and return it."""
        record = self._record(deployment)
        is_probe = not self.is_trusted(deployment, now_s)
        record.in_flight += 1
        if is_retry:
            record.retrying += 1
            record.earned -= CALLS_PER_RETRY
        elif record.earned < _EARNED_MAX or record.earned < record.in_flight:
            record.earned += 1
        self._calls += 1
        if is_probe:
            record.probes.add(self._calls)
            record.probed_at_s = now_s
        return Call(self._calls, deployment, is_retry, is_probe, record.opening)

    def end(self, call: Call) -> None:
        """Note that a call has ended, however it did."""
        record = self._records[call.deployment]
        record.in_flight -= 1
        if call.is_retry:
            record.retrying -= 1
        if call.is_probe:
            record.probes.discard(call.number)

    def may_retry(self, deployment: str) -> bool:
        """Return whether another retry on the same deployment keeps within its share.

        Of what is under way, and of all calls, so that few at a time do not all come twice.
        """
        record = self._record(deployment)
        at_once_max = max(RETRIES_MIN, record.in_flight / CALLS_PER_RETRY)
        return record.retrying < at_once_max and record.earned >= CALLS_PER_RETRY

    def note_content(self, call: Call) -> None:
        """Note that an answer has begun: where the call was a probe, others may come again.

        The breaker does not forget before the answer's end: one that always breaks off opens it.
        """
        if call.is_probe:
            record = self._records[call.deployment]
            record.probes.discard(call.number)
            record.revive()

    def note_success(self, call: Call, now_s: float) -> None:
        """Close the breaker: the deployment has answered to the end.

        A call from before its last opening closes nothing: a rest gets no shorter by old news.
        """
        record = self._records[call.deployment]
        if call.opening != record.opening:
            return
        record.revive()
        record.failures_in_row = 0
        record.openings = 0
        self._count(record, now_s, is_failure=False)

    def note_failure(self, call: Call, error: UpstreamError, now_s: float) -> bool:
        """Rest the deployment as the failure asks; return whether it has just begun to rest.

        A rest only ever gets longer. What the request itself is at fault for rests nobody, and
        shows that the upstream is there. The breaker opens once per rest, however many calls were
        in flight; until a success, the first failure after a rest opens it again, for longer.
        """
        record = self._records[call.deployment]
        was_resting = now_s < record.resting_until_s
        match error:
            case UpstreamRejected():
                self.note_content(call)
            case UpstreamRateLimited():
                self._note_told(record, error, now_s)
            case UpstreamAuth() | UpstreamModelMissing():
                record.park(now_s + PARKED_S)
            case _:
                if isinstance(error, UpstreamUnavailable):
                    self._note_told(record, error, now_s)
                if call.opening == record.opening:
                    self._break(record, now_s)
        self._suspects.add(call.deployment)
        return not was_resting and now_s < record.resting_until_s

    def _note_told(self, record: _Record, error: UpstreamError, now_s: float) -> None:
        """Keep to the time that the upstream names, and to the latest of several."""
        if error.retry_after_s is not None:
            record.told_until_s = max(record.told_until_s, now_s + error.retry_after_s)

    def _break(self, record: _Record, now_s: float) -> None:
        """Count a failure, and open the breaker where it is one too many."""
        record.failures_in_row += 1
        self._count(record, now_s, is_failure=True)
        if now_s >= record.open_until_s and self._is_tripped(record):
            record.openings += 1
            rest_s = min(OPEN_S_MAX, OPEN_S * record.openings)
            record.open(now_s + rest_s * (1 - JITTER_SHARE * self._chance()))

    def _record(self, deployment: str) -> _Record:
        record = self._records.get(deployment)
        if record is None:
            record = self._records[deployment] = _Record()
        return record

    def _count(self, record: _Record, now_s: float, *, is_failure: bool) -> None:
        record.calls.append((now_s, is_failure))
        while record.calls and record.calls[0][0] <= now_s - WINDOW_S:
            record.calls.popleft()

    def _is_tripped(self, record: _Record) -> bool:
        if record.openings or record.failures_in_row >= FAILURES_IN_ROW_MAX:
            return True
        failed = sum(is_failure for _, is_failure in record.calls)
        total = len(record.calls)
        return total >= WINDOW_CALLS_MIN and failed >= WINDOW_FAILED_SHARE * total
