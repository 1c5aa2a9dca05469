"""HTTP call: one call of an upstream, from its first byte to the answer's end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import msgspec

from pointsman.core.errors import UpstreamError
from pointsman.core.events import Event, Finished, Sink, Started, has_content
from pointsman.core.types import Request, Step
from pointsman.core.wire import Codec, StreamDecoder
from pointsman.providers import Timeouts
from pointsman.providers.http_body import BodyReader
from pointsman.providers.transport import PIECE_BYTES, Reply

# So many events of one piece are passed on before others may run.
_EVENTS_AT_ONCE = 100


class Begun(NamedTuple):
    """A reply whose headers have come. `dropped`: what of the request was not sent."""

    reply: Reply
    reader: BodyReader
    codec: Codec
    is_stream: bool
    dropped: tuple[str, ...]


Begin: TypeAlias = Callable[[Request, Step], Awaitable[Begun]]


class HttpCall:
    """A `Call` over HTTP. `begin` sends the request, once the first event is asked for.

    `blank` takes the deployment's key out of an error.
    """

    __slots__ = (
        "_begin", "_begun", "_blank", "_decoder", "_fault", "_given", "_is_full", "_is_over",
        "_is_whole", "_request", "_step", "_timeouts",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        step: Step,
        begin: Begin,
        timeouts: Timeouts,
        blank: Callable[[UpstreamError, Step], None],
    ) -> None:
        self._request = request
        self._step = step
        self._begin = begin
        self._timeouts = timeouts
        self._blank = blank
        self._begun: Begun | None = None
        self._given: Iterator[Sequence[Event]] = iter(())
        self._fault: Exception | None = None
        self._is_full = False
        self._is_over = False  # nothing more is read
        self._is_whole = False

    async def more(self, sink: Sink | None = None) -> Sequence[Event] | None:
        """Return what comes next, None at the end, () where the sink has had enough.

        Raises UpstreamError, and RequestError for what the upstream's dialect cannot say.
        """
        try:
            begun = self._begun
            if begun is None:
                begun = self._begun = await self._begin(self._request, self._step)
                if begun.is_stream:
                    self._decoder = begun.codec.stream_decoder()
                else:
                    whole = await begun.reader.whole()
                    self._given, self._is_over = _batches(begun.codec.decode_reply(whole)), True
            while True:
                for batch in self._given:
                    if len(batch) >= _EVENTS_AT_ONCE:
                        await asyncio.sleep(0)
                    return self._told(batch, begun)
                if self._is_over:
                    return None
                if sink is None or begun.reader.is_encoded:
                    await self._feed(await begun.reader.piece())
                elif (piece := begun.reader.at_hand()) is not None:
                    await self._feed(piece)
                elif not await self._flow(sink, begun.reader):
                    return ()
        except UpstreamError as error:
            self._blank(error, self._step)
            raise

    async def aclose(self) -> None:
        """Let go of the connection: one that was read to its end can be used again.

        Any other is cut, so that the upstream stops working for nobody.
        """
        begun, self._is_over, self._given = self._begun, True, iter(())
        if begun is None:
            return
        try:
            if self._is_whole and begun.is_stream:  # the others are read to their end
                await begun.reader.drain()
        finally:
            begun.reply.close()

    def _told(self, batch: Sequence[Event], begun: Begun) -> Sequence[Event]:
        if isinstance(batch[-1], Finished):
            self._is_whole = self._is_over = True
        elif has_content(batch):
            begun.reader.give_time(self._timeouts.idle_s)
        return _telling(batch, begun.dropped) if begun.dropped else batch

    async def _feed(self, piece: bytes) -> None:
        if not piece:
            self._given, self._is_over = _batches(self._decoder.finish()), True
            return
        self._given = _batches(self._decoder.feed(piece))
        if len(piece) >= PIECE_BYTES:  # there may be more, for which nothing has to wait
            await asyncio.sleep(0)

    async def _flow(self, sink: Sink, reader: BodyReader) -> bool:
        """Have the sink told of what comes, without a step of any task for each piece.

        It ends where there is something to return, or to wait for. Return False where the sink has
        had enough.
        """
        self._is_full = False
        await reader.flow(partial(self._take, sink, reader, self._decoder))
        if (fault := self._fault) is not None:
            raise fault
        return not self._is_full

    def _take(self, sink: Sink, reader: BodyReader, decoder: StreamDecoder, piece: bytes) -> bool:
        """Pass on what has come; return whether `_flow` is to end."""
        try:
            if (delta := decoder.delta(piece)) is not None:  # as nearly all are
                reader.count(piece, self._timeouts.idle_s)
                self._is_full = is_full = not sink((delta,))
                return is_full
            reader.count(piece)
            events = decoder.feed(piece)
            if type(events) is not list or len(events) >= _EVENTS_AT_ONCE:
                self._given = _batches(events)
                return True
            if not events:
                return False
            if isinstance(events[-1], Finished):
                self._given = iter((events,))
                return True
            assert self._begun is not None, "it flows"
            self._is_full = not sink(self._told(events, self._begun))
        except Exception as error:  # it is the task's to raise, not the connection's
            self._fault = error
            return True
        return self._is_full


def _batches(events: Iterable[Event]) -> Iterator[Sequence[Event]]:
    """Return the events of one piece, so many at once; what goes wrong follows what came before."""
    if type(events) is list and len(events) <= _EVENTS_AT_ONCE:
        return iter((events,) if events else ())
    return _dosed(events)


def _dosed(events: Iterable[Event]) -> Iterator[Sequence[Event]]:
    batch: list[Event] = []
    try:
        for event in events:
            batch.append(event)
            if len(batch) >= _EVENTS_AT_ONCE:
                yield batch
                batch = []
    except UpstreamError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _telling(batch: Sequence[Event], dropped: tuple[str, ...]) -> Sequence[Event]:
    """Return the events, their opening with the names of what was left out before it was sent."""
    return [
        msgspec.structs.replace(event, dropped=(*dropped, *event.dropped))
        if isinstance(event, Started)
        else event
        for event in batch
    ]
