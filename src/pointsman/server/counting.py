"""Counting: how many tokens a request's input has, in the shape of whoever asks."""

from collections.abc import Mapping

import msgspec

from pointsman.core.wire import CODECS
from pointsman.router import Pipeline
from pointsman.server.chat import read_request
from pointsman.server.exchange import Exchange, Responder, reply_json

# Source: anthropic 2.12, `MessageTokensCount`; google-genai 3.4, `CountTokensResponse`.
_FIELDS: Mapping[str, str] = {"anthropic": "input_tokens", "gemini": "totalTokens"}


async def count(
    pipeline: Pipeline, exchange: Exchange, responder: Responder, *, dialect: str
) -> None:
    """Tell the tokens of a body of `dialect`: exact where the model's provider counts them.

    Raises RequestError.
    """
    request = await read_request(exchange, CODECS[dialect], is_stream=False)
    counted = await pipeline.count(request)
    headers = [("x-pointsman-estimated", "1")] if counted.is_estimated else []
    body = msgspec.json.encode({_FIELDS[dialect]: counted.tokens})
    await reply_json(responder, 200, body, headers)
