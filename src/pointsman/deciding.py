"""Deciding: all that is known of a request before its first call, its conversation included."""

import asyncio
from collections.abc import Sequence

import msgspec

from pointsman.attempt import Job
from pointsman.clock import Clock
from pointsman.conversations import Answered, Conversations, said_in
from pointsman.core.cache_key import AnswerKeys, answer_keys
from pointsman.core.conversation import Standing
from pointsman.core.decision import decide, resolve
from pointsman.core.errors import Forbidden
from pointsman.core.features import extract
from pointsman.core.types import Decision, Features, Place, Request, Snapshot
from pointsman.core.wire.steering import names_model
from pointsman.gate import Committed
from pointsman.repeats import Repeat, Repeats
from pointsman.routing import Routing

# What is larger is read in a thread: the worst of this size takes 0.1 s, prose a hundredth of that.
INLINE_BYTES_MAX = 256 * 1024


class Decided(msgspec.Struct, frozen=True):
    """A request with what it brings back told apart, and where it goes.

    `offered`: what there is for it to use. `keys` are its answer's in the cache, None where none
    is kept. `standing`: the conversation that it goes on with, None for a new one; `said`: what has
    been said in it, see `conversations.said_in`. `repeat`: its body has come before.
    """

    request: Request
    features: Features
    decision: Decision
    offered: Snapshot
    keys: AnswerKeys | None
    standing: Standing | None
    said: Sequence[int]
    repeat: Repeat | None = None


class Decider:
    """Decides for one pipeline, and remembers its conversations."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._conversations = Conversations()
        self.repeats = Repeats()

    async def decided(self, request: Request, routing: Routing, *, is_kept: bool) -> Decided:
        """Return what `decide` does; of a large body from a thread. Raises RequestError."""
        if len(request.body) <= INLINE_BYTES_MAX:
            repeat = self.repeats.of(request)
            return self.decide(request, routing, is_kept=is_kept, repeat=repeat)
        return await asyncio.to_thread(self.decide, request, routing, is_kept=is_kept)

    def decide(
        self,
        request: Request,
        routing: Routing,
        *,
        is_kept: bool = False,
        standing: Standing | None = None,
        repeat: Repeat | None = None,
    ) -> Decided:
        """Return where a request goes, calling nobody. `is_kept`: its answer may be in the cache.

        `standing`: in place of what is known of its conversation. `repeat`: what is known of its
        body. Raises RequestError.
        """
        snapshot, known = routing.offered(request), self._conversations
        is_whole = snapshot is routing.snapshot or snapshot is routing.embedders
        if not is_whole and names_model(request.body):
            raise Forbidden(
                "a tool of the request names a model, and what its key may use is bounded;"
                " leave the tool out"
            )
        if repeat is None:
            features, said, policy = extract(request), said_in(request), routing.policy
        else:
            features, said, policy = repeat.features, repeat.said, repeat.policy(routing.policy)
        target = resolve(request.model, snapshot, routing.aliases_for(request, snapshot))
        if standing is None:
            standing = known.standing(request, now_s=self._clock.monotonic_s(), said=said)
        decision = decide(
            features,
            target,
            snapshot,
            policy,
            tier_pin=request.caller.tier,
            standing=standing,
            caches=known.caches,
        )
        if (
            decision.group and snapshot is not routing.snapshot
        ):  # the floor is that of other tiers, so no audit of it
            decision = msgspec.structs.replace(decision, group="")
        keys = None
        if is_kept and repeat is not None:
            keys = repeat.keys(decision, snapshot)
        elif is_kept:
            keys = answer_keys(request, decision, snapshot)
        # Where nobody knows who sealed some reasoning, it is whoever the client asks for by name.
        history = known.history(request, otherwise=target.deployment)
        if history is not request.history:
            request = msgspec.structs.replace(request, history=history)
        return Decided(request, features, decision, snapshot, keys, standing, said, repeat)

    def remember(self, job: Job, committed: Committed) -> None:
        """Note how a request was answered: its conversation is there now."""
        answered = Answered(
            place=Place(committed.step.tier, committed.step.deployment.id),
            usage=committed.usage,
            cost_nanousd=committed.cost_nanousd(),
            calls=committed.tool_calls,
            signatures=committed.signatures,
        )
        self._conversations.remember(
            job.request,
            job.standing,
            answered,
            now_s=self._clock.monotonic_s(),
            snapshot=job.offered,
            said=job.said,
        )

    def pass_on(self, job: Job) -> None:
        """Note that a request was answered without a call."""
        self._conversations.pass_on(job.request, job.standing, said=job.said)
