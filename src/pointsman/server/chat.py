"""Chat: a dialect's completion route, streamed or not, and the decision without a call."""

import asyncio
from functools import partial

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import CacheMode, Caller, Decision, Request
from pointsman.core.wire import CODECS, Codec
from pointsman.router import Pipeline
from pointsman.server.apart import read_apart
from pointsman.server.exchange import Exchange, Headers, Responder, reply_json
from pointsman.server.headers import printable
from pointsman.stream import AnswerStream

_TAGS_MAX = 20
_TAG_CHARS_MAX = 200


async def complete(
    pipeline: Pipeline, exchange: Exchange, responder: Responder, *, dialect: str
) -> None:
    """Answer a request of `dialect`. Raises GatewayError before the first byte went out."""
    codec = CODECS[dialect]
    request = await read_request(exchange, codec)
    async with pipeline.open(request) as stream:
        if request.is_stream:
            await _send_stream(stream, request, codec, responder)
        else:
            events = [event async for event in stream]
            body = codec.encode_reply(events, request, stream.model)
            await reply_json(responder, 200, body, answer_headers(stream))


async def decide(pipeline: Pipeline, exchange: Exchange, responder: Responder) -> None:
    """Tell the decision for a chat body, calling nobody. Raises RequestError."""
    request = await read_request(exchange, CODECS["openai-chat"])
    explanation = await asyncio.to_thread(pipeline.explain, request)
    await reply_json(responder, 200, msgspec.json.encode(decision_object(explanation.decision)))


def decision_object(decision: Decision) -> dict[str, object]:
    """Return a decision as users see it (SPEC, section 4)."""
    return {
        "tier": decision.tier,
        "model": decision.deployments[0],
        "policy": decision.policy,
        "reason": decision.reason,
        "scores": decision.scores,
        "signals": decision.signals,
        "filtered": decision.filtered,
        "would_change": decision.would_change,
    }


async def read_request(exchange: Exchange, codec: Codec) -> Request:
    """Return the request of a body and its headers. Raises RequestError."""
    return await read_apart(codec.decode_request, exchange.body, read_caller(exchange))


def read_caller(exchange: Exchange) -> Caller:
    """Return what the headers say of the caller. Raises RequestError."""
    headers = exchange.headers
    return Caller(
        request_id=exchange.request_id,
        tenant=exchange.tenant,
        tags=_tags(headers.get("x-pointsman-tags", "")),
        session=headers.get("x-pointsman-session", ""),
        tier=headers.get("x-pointsman-tier", ""),
        cache=_cache_mode(headers.get("x-pointsman-cache", "")),
    )


def answer_headers(stream: AnswerStream) -> Headers:
    """Return what is known of an answer, for its headers (SPEC, section 4)."""
    headers = [
        ("x-pointsman-tier", printable(stream.tier)),
        ("x-pointsman-model", printable(stream.model)),
        ("x-pointsman-cache", stream.cache),
        ("x-pointsman-attempts", str(stream.attempts)),
        ("x-pointsman-policy", printable(stream.decision.policy)),
        ("x-pointsman-reason", printable(stream.reason)),
        ("cache-control", "private, no-store"),
        ("vary", "authorization"),
    ]
    is_cost_final = stream.is_whole or stream.cache == "hit"
    if is_cost_final and stream.cost_nanousd is not None:
        headers.append(("x-pointsman-cost-usd", f"{stream.cost_nanousd / 1e9:.9f}"))
    if stream.is_empty:
        headers.append(("x-pointsman-empty", "1"))
    return headers


async def _send_stream(
    stream: AnswerStream, request: Request, codec: Codec, responder: Responder
) -> None:
    encoder = codec.stream_encoder(request, stream.model)
    kind = ("content-type", "text/event-stream; charset=utf-8")
    await responder.start(
        200,
        [kind, *answer_headers(stream)],
        error_frame=partial(encoder.error, request_id=stream.request_id),
    )
    async for event in stream:
        if frame := encoder.encode(event):
            await responder.send(frame)


def _cache_mode(stated: str) -> CacheMode:
    match stated.strip().lower():
        case "" | "on":
            return "on"
        case "off":
            return "off"
        case "refresh":
            return "refresh"
        case _:
            raise RequestError(f'x-pointsman-cache is "{stated}"; it takes off or refresh')


def _tags(stated: str) -> tuple[tuple[str, str], ...]:
    """Return the tags of `k=v,k=v`. Raises RequestError where a part is not of that shape."""
    tags: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in stated.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or len(part) > _TAG_CHARS_MAX:
            raise RequestError(
                f'x-pointsman-tags has "{part[:_TAG_CHARS_MAX]}"; write k=v, parts joined by commas'
            )
        tags[name] = value
    if len(tags) > _TAGS_MAX:
        raise RequestError(f"x-pointsman-tags has {len(tags)} tags; the limit is {_TAGS_MAX}")
    return tuple(tags.items())
