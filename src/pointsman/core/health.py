"""Health: which deployments rest, and until when. Time is passed in, in seconds, never read.

Source of the rules and figures: FAULTS, rows 1 to 7, 27 and 28.
"""

from collections import deque
from dataclasses import dataclass, field

from pointsman.core.errors import (
    UpstreamAuth,
    UpstreamError,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRejected,
)

FAILURES_IN_ROW_MAX = 5
WINDOW_S = 10.0
WINDOW_CALLS_MIN = 20
WINDOW_FAILED_SHARE = 0.5
OPEN_S = 30.0
OPEN_S_MAX = 300.0
PARKED_S = 300.0
PROBE_EVERY_S = 1.0
RETRY_SHARE = 0.2
RETRIES_MIN = 3


@dataclass(slots=True)
class _Record:
    """One deployment. It rests until the later of two times.

    `told_until_s` the upstream itself has named, so nothing is sent before it; `open_until_s` is
    the breaker's. `openings` counts those since the last success.
    """

    told_until_s: float = float("-inf")
    open_until_s: float = float("-inf")
    failures_in_row: int = 0
    openings: int = 0
    probed_at_s: float = float("-inf")
    calls: deque[tuple[float, bool]] = field(default_factory=deque)
    in_flight: int = 0
    retrying: int = 0

    @property
    def resting_until_s(self) -> float:
        """Return when the deployment may be called again."""
        return max(self.told_until_s, self.open_until_s)


class Health:
    """Breakers and cooldowns of all deployments, by id."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def is_ready(self, deployment: str, now_s: float) -> bool:
        """Return whether the deployment is out of cooldown."""
        record = self._records.get(deployment)
        return record is None or now_s >= record.resting_until_s

    def is_due_for_probe(self, deployment: str, now_s: float) -> bool:
        """Return whether a resting deployment may be tried because all others rest too.

        Once a second at most, and never before a time the upstream itself has named.
        """
        record = self._record(deployment)
        is_told = now_s < record.told_until_s
        return not is_told and now_s - record.probed_at_s >= PROBE_EVERY_S

    def rest_left_s(self, deployment: str, now_s: float) -> float:
        """Return for how long the deployment still rests, 0 when it does not."""
        record = self._records.get(deployment)
        return max(0.0, record.resting_until_s - now_s) if record else 0.0

    def is_rate_limited(self, deployment: str, now_s: float) -> bool:
        """Return whether a time that its own Retry-After named is still to come."""
        record = self._records.get(deployment)
        return record is not None and now_s < record.told_until_s

    def begin(self, deployment: str, now_s: float, *, is_retry: bool) -> None:
        """Note a call that starts."""
        record = self._record(deployment)
        record.in_flight += 1
        record.retrying += is_retry
        if now_s < record.resting_until_s:
            record.probed_at_s = now_s

    def end(self, deployment: str, *, is_retry: bool) -> None:
        """Note that a call has ended, however it did."""
        record = self._record(deployment)
        record.in_flight -= 1
        record.retrying -= is_retry

    def may_retry(self, deployment: str) -> bool:
        """Return whether another retry on the same deployment keeps within its share of calls."""
        record = self._record(deployment)
        return record.retrying < max(RETRIES_MIN, RETRY_SHARE * record.in_flight)

    def note_success(self, deployment: str, now_s: float) -> None:
        """Close the breaker: the deployment has answered."""
        record = self._record(deployment)
        record.failures_in_row = 0
        record.openings = 0
        record.open_until_s = float("-inf")
        self._count(record, now_s, is_failure=False)

    def note_failure(self, deployment: str, error: UpstreamError, now_s: float) -> bool:
        """Rest the deployment as the failure asks; return whether it has just begun to rest.

        A rest only ever gets longer. What the request itself is at fault for rests nobody. The
        breaker opens once per rest, however many calls were in flight; until a success, the first
        failure after a rest opens it again, for longer.
        """
        record = self._record(deployment)
        was_resting = now_s < record.resting_until_s
        match error:
            case UpstreamRejected():
                return False
            case UpstreamRateLimited(retry_after_s=None):
                return False
            case UpstreamRateLimited(retry_after_s=float() | int() as after_s):
                record.told_until_s = max(record.told_until_s, now_s + after_s)
            case UpstreamAuth() | UpstreamModelMissing():
                record.open_until_s = max(record.open_until_s, now_s + PARKED_S)
            case _:
                record.failures_in_row += 1
                self._count(record, now_s, is_failure=True)
                if now_s >= record.open_until_s and self._is_tripped(record):
                    record.openings += 1
                    record.open_until_s = now_s + min(OPEN_S_MAX, OPEN_S * record.openings)
        return not was_resting and now_s < record.resting_until_s

    def _record(self, deployment: str) -> _Record:
        return self._records.setdefault(deployment, _Record())

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
