"""Kept answers: which answers go into the cache, and how they come out of it."""

from dataclasses import dataclass

from pointsman.cache import Cache
from pointsman.cache.entry import Entry, KeptAnswer, decode_entry, encode_entry
from pointsman.clock import Clock
from pointsman.core.events import Started, ToolCallDelta, UsageReport
from pointsman.core.types import Decision, Snapshot
from pointsman.core.usage import Usage
from pointsman.gate import Committed
from pointsman.recording import Recording, free
from pointsman.repeats import ANSWER_BYTES_MAX, Repeat

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """A cache of whole answers. `entry_bytes_max`: a larger one is not kept."""

    cache: Cache
    entry_bytes_max: int
    clock: Clock

    def find(self, key: bytes, repeat: Repeat | None = None) -> KeptAnswer | None:
        """Return the answer kept under a key, None where there is none that is whole and fresh.

        `repeat`: keeps it at hand for when its body comes again.
        """
        value = self.cache.get(key, now_s=self._now_s())
        if value is None:
            return None
        if repeat is not None and repeat.answer is not None and repeat.answer.sealed == value:
            return repeat.answer
        entry = decode_entry(value)
        if entry is None:
            return None
        answer = KeptAnswer(
            sealed=value,
            entry=entry,
            events=tuple(map(free, entry.events)),
            usage=_usage(entry),
            dropped=_dropped(entry),
        )
        if repeat is not None and len(value) <= ANSWER_BYTES_MAX:
            repeat.answer = answer
        return answer

    def keep(
        self,
        key: bytes,
        decision: Decision,
        committed: Committed,
        recording: Recording,
        *,
        snapshot: Snapshot,
        request_id: str,
    ) -> None:
        """Keep an answer that may be given again, and do nothing with any other."""
        if recording.size_bytes > self.entry_bytes_max or not _may_keep(committed, recording):
            return
        if committed.step.deployment.id != _meant(decision, committed, snapshot):
            return
        entry = Entry(
            events=tuple(recording.events),
            tier=committed.step.tier,
            deployment=committed.step.deployment.id,
            policy=decision.policy,
            reason=decision.reason,
            created_at_s=self._now_s(),
            request_id=request_id,
        )
        self.cache.put(key, encode_entry(entry), now_s=entry.created_at_s)

    def _now_s(self) -> float:
        return self.clock.wall_ns() / _NS_PER_S


def _usage(entry: Entry) -> Usage:
    """Return the tokens of a kept answer."""
    reports = (event for event in reversed(entry.events) if isinstance(event, UsageReport))
    last = next(reports, None)
    return Usage() if last is None else last.usage


def _dropped(entry: Entry) -> tuple[str, ...]:
    """Return what of the request did not reach the upstream whose answer is kept."""
    opening = next((event for event in entry.events if isinstance(event, Started)), None)
    return () if opening is None else opening.dropped


def _may_keep(committed: Committed, recording: Recording) -> bool:
    """Return whether an answer is whole, accepted, and calls no tools."""
    return (
        committed.finish_reason == "stop"
        and not committed.is_empty
        and committed.is_accepted
        and ToolCallDelta not in map(type, recording.events)
    )


def _meant(decision: Decision, committed: Committed, snapshot: Snapshot) -> str:
    """Return the deployment that was to answer: a fallback's answer is not kept in its name."""
    if committed.step.tier == decision.tier:
        return decision.deployments[0]
    return snapshot.tier(committed.step.tier).deployments[0].id
