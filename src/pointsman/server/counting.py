"""Counting: how many tokens a request's input has, in the shape of whoever asks."""

from collections.abc import Mapping

import msgspec

from pointsman.core.wire import CODECS
from pointsman.router import Pipeline
from pointsman.server.chat import read_request
from pointsman.server.exchange import Exchange, Responder, reply_json

# Source: anthropic 2.12, `MessageTokensCount`; google-genai 3.4, `CountTokensResponse`; openai
# 3.54, `InputTokenCountResponse`. Read 2026-11-23.
_SHAPES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "anthropic": ("input_tokens", {}),
    "gemini": ("totalTokens", {}),
    "openai-responses": ("input_tokens", {"object": "response.input_tokens"}),
}


async def count(
    pipeline: Pipeline, exchange: Exchange, responder: Responder, *, dialect: str
) -> None:
    """Tell the tokens of a body of `dialect`: exact where the model's provider counts them.

    Raises RequestError.
    """
    request = await read_request(pipeline, exchange, CODECS[dialect], is_stream=False)
    counted = await pipeline.count(request)
    headers = [("x-pointsman-estimated", "1")] if counted.is_estimated else []
    field, beside = _SHAPES[dialect]
    body = msgspec.json.encode({field: counted.tokens, **beside})
    reply_json(responder, 200, body, headers)
