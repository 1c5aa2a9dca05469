"""Kept answers: which answers go into the cache, and how they come out of it."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pointsman.attempt import Job
from pointsman.cache import Cache, CacheSettings, Filed
from pointsman.cache.entry import (
    Entry,
    KeptAnswer,
    decode_alias,
    decode_entry,
    encode_alias,
    encode_entry,
)
from pointsman.cache.semantic.literal import wording
from pointsman.clock import Clock
from pointsman.core.cache_key import AnswerKeys
from pointsman.core.events import Started, UsageReport
from pointsman.core.types import CacheTier, Caller, Decision, Snapshot
from pointsman.core.usage import Usage
from pointsman.gate import Committed
from pointsman.keeping import is_varied, may_keep
from pointsman.recording import Recording, free
from pointsman.repeats import ANSWER_BYTES_MAX, Repeat
from pointsman.stream import Hit

if TYPE_CHECKING:
    from pointsman.kept_prompts import KeptPrompts

_NS_PER_S = 1_000_000_000
_BYTES_PER_MB = 1024 * 1024
# What is kept in place of an entry that was purged: it reads as none, and an older write of the
# entry that is still under way does not replace it.
_PURGED = b""
# A longer text is looked for as it is: few come in two wordings, and reading one takes its time.
_READ_CHARS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """A cache of whole answers. An answer stands under the exact key of its request.

    `is_normalised`: under the key of its text's normal form stands where, so that other wordings
    find it. `prompts`: what else finds it where `canonical_keys` or `canonical_models` name who
    asks, or what for; None where they name nothing. `entry_bytes_max`: a larger one is not kept.
    `also`: see `keeping.may_keep`.
    """

    cache: Cache
    clock: Clock
    entry_bytes_max: int
    is_normalised: bool
    also: frozenset[str]
    canonical_keys: frozenset[str] = frozenset()
    canonical_models: frozenset[str] = frozenset()
    prompts: "KeptPrompts | None" = None

    @classmethod
    def of(cls, cache: Cache, settings: CacheSettings, clock: Clock) -> Self:
        """Return what the settings say, of a cache."""
        prompts = None
        if settings.canonical_keys or settings.canonical_models:
            from pointsman.kept_prompts import KeptPrompts

            prompts = KeptPrompts()
        return cls(
            cache,
            clock,
            entry_bytes_max=settings.entry_mb * _BYTES_PER_MB,
            is_normalised=settings.normalised,
            also=frozenset(settings.also_keep),
            canonical_keys=frozenset(settings.canonical_keys),
            canonical_models=frozenset(settings.canonical_models),
            prompts=prompts,
        )

    def find(
        self, keys: AnswerKeys, caller: Caller, repeat: Repeat | None = None, *, model: str = ""
    ) -> Hit | None:
        """Return what is kept for a request, None where there is nothing that its caller takes.

        `model`: the name that is asked for. `repeat`: keeps what is found at hand for when its body
        comes again.
        """
        if not _may_look(caller):
            return None
        now_s = self._now_s()
        if answer := self._answer(keys.exact, caller, now_s, repeat):
            return _hit("exact", answer, now_s)
        key = self._other_key(keys)
        alias = None if key is None else self.cache.get(key, now_s=now_s)
        found = None if alias is None else decode_alias(alias)
        if found is not None and (answer := self._answer(found, caller, now_s, repeat)):
            return _hit("normalised", answer, now_s)
        prompts = self._prompts(keys, caller.tenant, model)
        if prompts is None or keys.asked is None:
            return None
        found = prompts.find(keys.context, keys.asked)
        if found is None:
            return None
        if answer := self._answer(found, caller, now_s, repeat):
            return _hit("canonical", answer, now_s)
        if self.entry(found) is None:
            prompts.remove(found)
        return None

    def flight_key(self, keys: AnswerKeys, caller: Caller) -> bytes:
        """Return the key that requests under way share one answer by.

        Other wordings share it too, unless their caller wants no answer that was there before.
        """
        return (self._other_key(keys) if _may_look(caller) else None) or keys.exact

    def entry(self, key: bytes) -> Entry | None:
        """Return what is kept under a key, whosever it is."""
        value = self.cache.get(key, now_s=self._now_s())
        return None if value is None else decode_entry(value)

    async def purge(self, key: bytes) -> bool:
        """Forget what is kept under a key; return whether it is gone for good."""
        self.cache.put(key, _PURGED, now_s=self._now_s())
        if self.prompts is not None:
            self.prompts.remove(key)
        if not isinstance(self.cache, Filed):
            return True
        return await asyncio.to_thread(self.cache.is_filed, key, _PURGED)

    def _answer(
        self, key: bytes, caller: Caller, now_s: float, repeat: Repeat | None
    ) -> KeptAnswer | None:
        """Return the answer kept under a key, None where none is whole, fresh and the caller's."""
        value = self.cache.get(key, now_s=now_s)
        if value is None:
            return None
        known = None if repeat is None else repeat.answer
        age_max_s = caller.terms.age_max_s
        if known is not None and known.sealed == value and known.key == key:
            return known if _is_young(known.entry, now_s, age_max_s) else None
        entry = decode_entry(value)
        if entry is None or entry.tenant != caller.tenant:  # the key says it too
            return None
        if not _is_young(entry, now_s, age_max_s):
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

    def keep(self, keys: AnswerKeys, job: Job, committed: Committed, recording: Recording) -> None:
        """Keep an answer that may be given again, and do nothing with any other."""
        request, decision = job.request, job.decision
        if recording.size_bytes > self.entry_bytes_max or not may_keep(
            committed,
            recording,
            request=request,
            features=job.features,
            keys=keys,
            also=self.also,
        ):
            return
        if committed.step.deployment.id != _meant(decision, committed, job.offered):
            return
        entry = Entry(
            events=tuple(recording.events),
            tenant=request.caller.tenant,
            tier=committed.step.tier,
            deployment=committed.step.deployment.id,
            policy=decision.policy,
            reason=decision.reason,
            created_at_s=self._now_s(),
            request_id=request.caller.request_id,
        )
        self.put(keys, entry, model=request.model)

    def put(self, keys: AnswerKeys, entry: Entry, *, model: str = "") -> None:
        """Keep an entry, for all wordings that are read as its request's."""
        self.cache.put(keys.exact, encode_entry(entry), now_s=entry.created_at_s)
        if (key := self._other_key(keys)) is not None:
            self.cache.put(key, encode_alias(keys.exact), now_s=entry.created_at_s)
        prompts = self._prompts(keys, entry.tenant, model)
        if prompts is not None and keys.asked is not None:
            prompts.add(keys.context, keys.asked, keys.exact)

    def _prompts(self, keys: AnswerKeys, tenant: str, model: str) -> "KeptPrompts | None":
        """Return what a request may be found by beside its keys, None where it asks for none."""
        if self.prompts is None or keys.asked is None or is_varied(keys, self.also):
            return None
        is_named = not self.canonical_keys.isdisjoint({tenant, "*"})
        is_named = is_named or not self.canonical_models.isdisjoint({model, "*"})
        return self.prompts if is_named else None

    def _other_key(self, keys: AnswerKeys) -> bytes | None:
        """Return the key that other wordings have too, None where none is looked for."""
        if not self.is_normalised or is_varied(keys, self.also):
            return None
        return normal_key(keys)

    def _now_s(self) -> float:
        return self.clock.wall_ns() / _NS_PER_S


def normal_key(keys: AnswerKeys) -> bytes | None:
    """Return the key of the text's normal form, None where there is no text or too long a one."""
    asked = keys.asked
    if asked is None or len(asked) > _READ_CHARS_MAX:
        return None
    if keys.normalised is None:
        keys.normalised = keys.read_as("normalised", wording(asked))
    return keys.normalised


def _usage(entry: Entry) -> Usage:
    """Return the tokens of a kept answer."""
    reports = (event for event in reversed(entry.events) if isinstance(event, UsageReport))
    last = next(reports, None)
    return Usage() if last is None else last.usage


def _dropped(entry: Entry) -> tuple[str, ...]:
    """Return what of the request did not reach the upstream whose answer is kept."""
    opening = next((event for event in entry.events if isinstance(event, Started)), None)
    return () if opening is None else opening.dropped


def _may_look(caller: Caller) -> bool:
    """Return whether an answer that was there before will do."""
    return caller.cache == "on" and caller.terms.may_look


def _is_young(entry: Entry, now_s: float, age_max_s: float | None) -> bool:
    return age_max_s is None or now_s - entry.created_at_s <= age_max_s


def _hit(tier: CacheTier, answer: KeptAnswer, now_s: float) -> Hit:
    return Hit(tier, max(0.0, now_s - answer.entry.created_at_s), answer)


def _meant(decision: Decision, committed: Committed, snapshot: Snapshot) -> str:
    """Return the deployment that was to answer: a fallback's answer is not kept in its name."""
    if committed.step.tier == decision.tier:
        return decision.deployments[0]
    return snapshot.tier(committed.step.tier).deployments[0].id
