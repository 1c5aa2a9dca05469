"""Chat: a dialect's completion route, streamed or not, and the decision without a call."""

import asyncio
from collections.abc import Sequence

import msgspec

from pointsman.core.errors import GatewayError
from pointsman.core.events import Event, Finished
from pointsman.core.types import Decision, Request
from pointsman.core.wire import CODECS, Codec, StreamEncoder
from pointsman.deciding import INLINE_BYTES_MAX
from pointsman.providers.transport import PIECE_BYTES
from pointsman.router import Pipeline
from pointsman.server.auth import KEY_HEADERS
from pointsman.server.caller import read_caller
from pointsman.server.exchange import Exchange, Headers, Responder, reply_json
from pointsman.server.headers import name_list, printable, printable_name
from pointsman.stream import AnswerStream

# Clients and the proxies before them give a silent connection up after 30 s or more.
PING_S = 15.0
_ALWAYS = (("cache-control", "private, no-store"), ("vary", ", ".join(KEY_HEADERS)))


async def complete(
    pipeline: Pipeline,
    exchange: Exchange,
    responder: Responder,
    *,
    dialect: str,
    is_stream: bool | None = None,
) -> None:
    """Answer a request of `dialect`. Raises GatewayError before the first byte went out.

    `is_stream` says what the path does, None where the body says it.
    """
    codec = CODECS[dialect]
    request = await read_request(pipeline, exchange, codec, is_stream=is_stream)
    async with pipeline.open(request) as stream:
        if request.is_stream:
            await _send_stream(stream, request, codec, responder)
        else:
            body = await _whole_reply(stream, request, codec)
            reply_json(responder, 200, body, answer_headers(stream))


async def decide(pipeline: Pipeline, exchange: Exchange, responder: Responder) -> None:
    """Tell the decision for a chat body, calling nobody. Raises RequestError."""
    request = await read_request(pipeline, exchange, CODECS["openai-chat"])
    explanation = await asyncio.to_thread(pipeline.explain, request)
    reply_json(responder, 200, msgspec.json.encode(decision_object(explanation.decision)))


def decision_object(decision: Decision) -> dict[str, object]:
    """Return a decision as users see it (SPEC, section 4); a conversation's with the sum done."""
    told: dict[str, object] = {
        "tier": decision.tier,
        "model": decision.deployments[0],
        "policy": decision.policy,
        "reason": decision.reason,
        "scores": decision.scores,
        "signals": decision.signals,
        "filtered": decision.filtered,
        "would_change": decision.would_change,
    }
    return told if decision.move is None else {**told, "move": decision.move}


async def read_request(
    pipeline: Pipeline, exchange: Exchange, codec: Codec, *, is_stream: bool | None = None
) -> Request:
    """Return the request of a body, its headers and its path. Raises RequestError."""
    caller = read_caller(exchange, codec.name, is_stream=is_stream)
    if len(exchange.body) <= INLINE_BYTES_MAX:
        return pipeline.read(codec, exchange.body, caller)
    return await asyncio.to_thread(codec.decode_request, exchange.body, caller)


def answer_headers(stream: AnswerStream) -> Headers:
    """Return what is known of an answer, for its headers (SPEC, section 4)."""
    headers = [
        ("x-pointsman-tier", printable_name(stream.tier)),
        ("x-pointsman-model", printable_name(stream.model)),
        ("x-pointsman-cache", stream.cache),
        ("x-pointsman-attempts", str(stream.attempts)),
        ("x-pointsman-policy", printable_name(stream.decision.policy)),
        ("x-pointsman-reason", printable(stream.reason)),
        *_ALWAYS,
    ]
    if (hit := stream.hit) is not None:
        headers.append(("x-pointsman-cache-tier", hit.tier))
        if hit.kept is not None:
            headers.append(("x-pointsman-cache-id", stream.cache_id))
            headers.append(("age", str(int(hit.age_s))))
    if stream.is_whole or stream.cache == "hit":  # then its cost is final
        cost_nanousd = stream.cost_nanousd
        if cost_nanousd is not None:
            headers.append(("x-pointsman-cost-usd", f"{cost_nanousd / 1e9:.9f}"))
    if stream.is_empty:
        headers.append(("x-pointsman-empty", "1"))
    if dropped := stream.dropped:
        headers.append(("x-pointsman-dropped", name_list(dropped)))
    return headers


async def _whole_reply(stream: AnswerStream, request: Request, codec: Codec) -> bytes:
    """Read a stream to its end and return it as a reply; one from the cache is written once."""
    events: list[Event] = []
    while batch := await stream.more():
        events += batch
    if stream.hit is None or (kept := stream.hit.kept) is None:
        return codec.encode_reply(events, request, stream.model)
    if not kept.reply:
        kept.reply = codec.encode_reply(events, request, stream.model)
    return kept.reply


async def _send_stream(
    stream: AnswerStream, request: Request, codec: Codec, responder: Responder
) -> None:
    encoder = codec.stream_encoder(request, stream.model)
    has_ended = False

    def error_frame(error: GatewayError) -> bytes:
        """Return an error's frame; none after the end, which its reader may still wait for."""
        return b"" if has_ended else encoder.error(error, request_id=stream.request_id)

    kind = ("content-type", "text/event-stream; charset=utf-8")
    responder.start(200, [kind, *answer_headers(stream)], error_frame=error_frame)
    line = _Line(responder, encoder)
    try:
        while (batch := await stream.more(line.take)) or line.is_full:
            frames, size = [], 0
            for event in batch:
                if isinstance(event, Finished):
                    line.hang_up()
                    has_ended = True
                frames.append(encoder.encode(event))
                size += len(frames[-1])
                if size >= PIECE_BYTES:  # a slow reader may have us hold no more at once
                    line.send(b"".join(frames))
                    frames, size = [], 0
                    await line.drained()
            line.send(b"".join(frames))
            await line.drained()
    finally:
        line.hang_up()


class _Line:
    """A stream's way to its client. Where nothing has gone out for `PING_S`, a ping does.

    `is_full`: when it last took events, the client had yet to take what was sent before.
    """

    def __init__(self, responder: Responder, encoder: StreamEncoder) -> None:
        self.is_full = False
        self._responder = responder
        self._encode = encoder.encode
        self._ping = encoder.ping
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._quiet_since_s = self._time()
        self._timer = self._loop.call_later(PING_S, self._look)

    def take(self, batch: Sequence[Event]) -> bool:
        """Send events that came at once; return whether the client takes more now."""
        responder = self._responder
        if frames := b"".join(map(self._encode, batch)):
            responder.write(frames)
            self._quiet_since_s = self._time()
        self.is_full = is_full = responder.is_slow
        return not is_full

    def send(self, frame: bytes) -> None:
        """Send a frame, where it has bytes, without waiting."""
        if frame:
            self._responder.write(frame)
            self._quiet_since_s = self._time()

    async def drained(self) -> None:
        """Wait until the client can take more."""
        self.is_full = False
        if self._responder.is_slow:
            await self._responder.drained()

    def hang_up(self) -> None:
        """Send no more pings."""
        self._timer.cancel()

    def _look(self) -> None:
        """Send a ping where one is due, and look again when the next may be."""
        now_s = self._time()
        left_s = self._quiet_since_s + PING_S - now_s
        if left_s <= 0:
            left_s, self._quiet_since_s = PING_S, now_s
            if not self._responder.is_slow and (ping := self._ping()):
                self._responder.write(ping)
        self._timer = self._loop.call_later(left_s, self._look)
