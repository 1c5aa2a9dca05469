"""Repeats: what is made of a body that comes again, made once.

Kept is only what follows from the body's bytes, its dialect and what its caller states: the decoded
request, its features, what was said in it; the choice that a policy of ours, which is pure, makes
of these; the key and the bytes of an answer that is in the cache. Never what depends on anything
else: conversations, budgets, rates, health. Held in memory, by tenant, until others make room.
"""

from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias

import msgspec

from pointsman.cache.entry import KeptAnswer
from pointsman.conversations import said_in
from pointsman.core.cache_key import AnswerKeys, KeyFacts, answer_keys, key_facts
from pointsman.core.features import extract
from pointsman.core.types import Caller, Decision, Features, Request, Snapshot
from pointsman.core.wire import Codec
from pointsman.policies import Policy
from pointsman.policies.registry import PURE

BODY_BYTES_MAX = 4 * 1024
ANSWER_BYTES_MAX = 4 * 1024
COUNT_MAX = 128
BYTES_MAX = 1_500_000
# What one takes is reckoned as so many times its body (as it came, decoded, in the features and
# the policy's reasons), and so much for all else: a kept answer as stored, decoded and as a reply.
_TIMES_BODY = 4
_FLAT_BYTES = 16 * 1024
_SEEN_MAX = 1024

# Of a caller all that any codec, or anything kept here, reads. Two of one tenant's keys are one.
_stated: Callable[[Caller], tuple[object, ...]] = attrgetter(
    "tenant", "tags", "model", "is_stream", "headers"
)
_Key: TypeAlias = tuple[str, bytes, tuple[object, ...]]


class Remembered:
    """A pure policy, whose latest choice is given again for the very features and snapshot."""

    __slots__ = ("_decision", "_features", "_snapshot", "name", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.name = policy.name
        self._features: Features | None = None
        self._snapshot: Snapshot | None = None
        self._decision: Decision

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the policy's decision."""
        if features is not self._features or snapshot is not self._snapshot:
            self._decision = self.policy.decide(features, snapshot)
            self._features, self._snapshot = features, snapshot
        return self._decision


class Repeat:
    """A body that came again. `request`: as it was given out last; `answer`: what it got last."""

    __slots__ = ("_keyed", "_remembered", "answer", "features", "request", "said")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.features = extract(request)
        self.said = said_in(request)
        self.answer: KeptAnswer | None = None
        self._remembered: Remembered | None = None
        self._keyed: tuple[KeyFacts, Snapshot, AnswerKeys] | None = None

    def policy(self, policy: Policy) -> Policy:
        """Return what decides as the policy does; whoever may not be pure is asked each time."""
        remembered = self._remembered
        if remembered is None or remembered.policy is not policy:
            if type(policy) not in PURE:
                return policy
            remembered = self._remembered = Remembered(policy)
        return remembered

    def keys(self, decision: Decision, snapshot: Snapshot) -> AnswerKeys:
        """Return the keys of the answer that a decision leads to. Raises RequestError."""
        facts, keyed = key_facts(decision), self._keyed
        if keyed is None or keyed[0] != facts or keyed[1] is not snapshot:
            keys = answer_keys(self.request, decision, snapshot)
            keyed = self._keyed = facts, snapshot, keys
        return keyed[2]


class Repeats:
    """The latest `COUNT_MAX` bodies that came again, of `BYTES_MAX` in all; for one event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, Repeat] = OrderedDict()
        self._bytes = 0
        self._seen = [0] * _SEEN_MAX
        self._latest: Repeat | None = None

    @property
    def count(self) -> int:
        """Return how many are kept."""
        return len(self._known)

    @property
    def bytes_reckoned(self) -> int:
        """Return about how much memory they take, at most `BYTES_MAX`."""
        return self._bytes

    def read(self, codec: Codec, body: bytes, caller: Caller) -> Request:
        """Return what the codec makes of a body, decoded anew or not. Raises RequestError."""
        if len(body) > BODY_BYTES_MAX:
            return codec.decode_request(body, caller)
        key = (codec.name, body, _stated(caller))
        found = self._known.get(key)
        if found is None:
            request = codec.decode_request(body, caller)
            number = hash(key)
            place = number % _SEEN_MAX
            if self._seen[place] != number:  # most never come again
                self._seen[place] = number
            else:
                self._keep(key, request)
            return request
        self._known.move_to_end(key)
        self._latest = found
        found.request = request = msgspec.structs.replace(found.request, caller=caller)
        return request

    def of(self, request: Request) -> Repeat | None:
        """Return what is known of the very request that `read` gave last, None of any other."""
        latest = self._latest
        return latest if latest is not None and latest.request is request else None

    def clear(self) -> None:
        """Forget all of it."""
        self._known.clear()
        self._bytes = 0
        self._latest = None

    def _keep(self, key: _Key, request: Request) -> None:
        self._latest = self._known[key] = Repeat(request)
        self._bytes += _cost_bytes(key)
        while self._bytes > BYTES_MAX or len(self._known) > COUNT_MAX:
            oldest, _ = self._known.popitem(last=False)
            self._bytes -= _cost_bytes(oldest)


def _cost_bytes(key: _Key) -> int:
    return _TIMES_BODY * len(key[1]) + _FLAT_BYTES
