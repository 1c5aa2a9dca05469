"""Stream: an answer on its way to whoever asked, with what is known about it."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Self

import msgspec

from pointsman.cache.entry import KeptAnswer, entry_id
from pointsman.core.answer import AnswerBuilder
from pointsman.core.events import Event, Finished, More, Sink
from pointsman.core.types import Answer, CacheOutcome, CacheTier, Decision
from pointsman.core.usage import Usage


class Hit(msgspec.Struct, frozen=True):
    """How an answer was found that is given again.

    `age_s`: of the answer. `kept`: where it came from the cache, None where another request shares
    its own, which has yet to end.
    """

    tier: CacheTier
    age_s: float = 0.0
    kept: KeptAnswer | None = None


def told_of(hit: Hit) -> tuple[str, ...]:
    """Return what there is to say of a hit: nothing where it answers the very request."""
    if hit.tier == "exact" or hit.kept is None:
        return ()
    return (f"kept for another wording ({hit.tier}), entry {entry_id(hit.kept.key)}",)


class AnswerStream:
    """An answer past its gate. Iterate it once; it ends in one `Finished` or raises.

    `tier` and `model` (`provider/model`) are those that answer, after fallback and escalation;
    `decision` is what was decided before. `attempts` counts the upstream calls made so far.
    `is_whole`: its end has been read. `on_event` is told of each event as it is read, `on_whole`
    of the end before it is given, `on_closed` once, when it is closed: by whoever has opened it.
    `dropped` names what of the request reached no upstream. `hit`: None where it was made for
    this request. `cost_nanousd` is known at the end (a hit's at once): None before, and where there
    is no price.
    """

    is_whole = False
    on_event: Callable[[Event], None] | None = None
    on_closed: Callable[[], None] | None = None
    _at_hand: deque[Event] | tuple[()] = ()

    def __init__(
        self,
        more: More,
        *,
        decision: Decision,
        request_id: str,
        tier: str,
        model: str,
        attempts: int,
        cache: CacheOutcome,
        is_empty: bool,
        cost: Callable[[], int | None],
        detours: Sequence[str] = (),
        dropped: Sequence[str] = (),
        hit: Hit | None = None,
        on_whole: Callable[[], None] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._more = more
        self._cost = cost
        self._on_whole = on_whole
        self._close = close
        self._detours = detours
        self._dropped = dropped
        self.decision = decision
        self.request_id = request_id
        self.tier = tier
        self.model = model
        self.attempts = attempts
        self.cache = cache
        self.is_empty = is_empty
        self.hit = hit

    def __aiter__(self) -> Self:
        """Return the stream, to be iterated once."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event."""
        if not self._at_hand:
            self._at_hand = deque(await self.more())
            if not self._at_hand:
                raise StopAsyncIteration
        return self._at_hand.popleft()

    async def more(self, sink: Sink | None = None) -> Sequence[Event]:
        """Return what comes next, all that came at once; nothing after its `Finished`.

        With a sink, what comes before that may go there instead; then () says that the sink has had
        enough.
        """
        if self._at_hand:
            left, self._at_hand = self._at_hand, ()
            return left
        if self.is_whole:
            return ()
        batch = await self._more(sink if self.on_event is None else None)
        if self.on_event is not None:
            for event in batch:
                self.on_event(event)
        if batch and isinstance(batch[-1], Finished):
            self.is_whole = True
            if self._on_whole is not None:
                self._on_whole()
        return batch

    async def aclose(self) -> None:
        """Stop the upstream call, unless others read the same answer."""
        on_closed, self.on_closed = self.on_closed, None
        if on_closed is not None:
            on_closed()
        if self._close is not None:
            await self._close()

    @property
    def cost_nanousd(self) -> int | None:
        """Return what the whole request has cost so far, None where that is not known."""
        return self._cost()

    @property
    def reason(self) -> str:
        """Return why this tier was chosen, and which attempts had to be given up, and why."""
        return "; ".join((self.decision.reason, *self._detours))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Return the names of what was left out of the request, each once."""
        return tuple(dict.fromkeys(self._dropped))

    @property
    def cache_tier(self) -> CacheTier | Literal[""]:
        """Return how a hit was found, "" where it is none."""
        return "" if self.hit is None else self.hit.tier

    @property
    def cache_id(self) -> str:
        """Return the name of the entry that the answer came from, "" where it came from none."""
        return "" if self.hit is None or self.hit.kept is None else entry_id(self.hit.kept.key)

    async def collect(self) -> Answer:
        """Read the stream to its end: this is all that "non-streaming" means."""
        builder = AnswerBuilder()
        while batch := await self.more():
            for event in batch:
                builder.add(event)
        return self.answer(builder)

    def answer(self, builder: AnswerBuilder) -> Answer:
        """Return the answer that a builder has gathered from this stream, read to its end."""
        return Answer(
            content=builder.text,
            reasoning=builder.reasoning,
            tool_calls=builder.tool_calls,
            finish_reason=builder.finish_reason or "",
            usage=builder.usage or Usage(),
            tier=self.tier,
            model=self.model,
            cost_nanousd=self.cost_nanousd,
            reason=self.reason,
            policy=self.decision.policy,
            request_id=self.request_id,
            attempts=self.attempts,
            cache=self.cache,
            cache_tier=self.cache_tier,
            cache_id=self.cache_id,
        )


class Opening:
    """An answer to be opened: entered once a draft has passed its gate, and closed when left."""

    __slots__ = ("_opened", "_stream")

    def __init__(self, opened: Callable[[], Awaitable[AnswerStream]]) -> None:
        self._opened = opened

    async def __aenter__(self) -> AnswerStream:
        """Return the answer. Raises GatewayError."""
        self._stream = await self._opened()
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        """Stop the upstream call, unless others read the same answer."""
        await self._stream.aclose()
