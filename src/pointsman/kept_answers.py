"""Kept answers: which answers go into the cache, and how they come out of it."""

import asyncio
from dataclasses import dataclass

from pointsman.cache import Cache, Filed
from pointsman.cache.entry import Entry, KeptAnswer, decode_entry, encode_entry
from pointsman.clock import Clock
from pointsman.core.cache_key import AnswerKeys
from pointsman.core.events import Started, ToolCallDelta, UsageReport
from pointsman.core.types import Caller, Decision, Snapshot
from pointsman.core.usage import Usage
from pointsman.gate import Committed
from pointsman.recording import Recording, free
from pointsman.repeats import ANSWER_BYTES_MAX, Repeat
from pointsman.stream import Hit

_NS_PER_S = 1_000_000_000
# What is kept in place of an entry that was purged: it reads as none, and an older write of the
# entry that is still under way does not replace it.
_PURGED = b""


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """A cache of whole answers. `entry_bytes_max`: a larger one is not kept."""

    cache: Cache
    entry_bytes_max: int
    clock: Clock

    def find(self, keys: AnswerKeys, caller: Caller, repeat: Repeat | None = None) -> Hit | None:
        """Return what is kept for a request, None where there is nothing that its caller takes.

        `repeat`: keeps it at hand for when its body comes again.
        """
        terms, now_s = caller.terms, self._now_s()
        if caller.cache != "on" or not terms.may_look:
            return None
        answer = self._answer(keys.exact, caller.tenant, now_s, repeat)
        if answer is None:
            return None
        age_s = max(0.0, now_s - answer.entry.created_at_s)
        if terms.age_max_s is not None and age_s > terms.age_max_s:
            return None
        return Hit("exact", age_s, answer)

    def entry(self, key: bytes) -> Entry | None:
        """Return what is kept under a key, whosever it is."""
        value = self.cache.get(key, now_s=self._now_s())
        return None if value is None else decode_entry(value)

    async def purge(self, key: bytes) -> bool:
        """Forget what is kept under a key; return whether it is gone for good."""
        self.cache.put(key, _PURGED, now_s=self._now_s())
        if not isinstance(self.cache, Filed):
            return True
        return await asyncio.to_thread(self.cache.is_filed, key, _PURGED)

    def _answer(
        self, key: bytes, tenant: str, now_s: float, repeat: Repeat | None
    ) -> KeptAnswer | None:
        """Return the answer kept under a key, None where there is none that is whole and fresh."""
        value = self.cache.get(key, now_s=now_s)
        if value is None:
            return None
        known = None if repeat is None else repeat.answer
        if known is not None and known.sealed == value and known.key == key:
            return known
        entry = decode_entry(value)
        if entry is None or entry.tenant != tenant:  # the key says it too
            return None
        answer = KeptAnswer(
            key=key,
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
        keys: AnswerKeys,
        decision: Decision,
        committed: Committed,
        recording: Recording,
        *,
        snapshot: Snapshot,
        caller: Caller,
    ) -> None:
        """Keep an answer that may be given again, and do nothing with any other."""
        if not caller.terms.may_keep:
            return
        if recording.size_bytes > self.entry_bytes_max or not _may_keep(committed, recording):
            return
        if committed.step.deployment.id != _meant(decision, committed, snapshot):
            return
        entry = Entry(
            events=tuple(recording.events),
            tenant=caller.tenant,
            tier=committed.step.tier,
            deployment=committed.step.deployment.id,
            policy=decision.policy,
            reason=decision.reason,
            created_at_s=self._now_s(),
            request_id=caller.request_id,
        )
        self.cache.put(keys.exact, encode_entry(entry), now_s=entry.created_at_s)

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
