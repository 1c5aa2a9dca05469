"""OpenAI's chat completions dialect.

Source: OpenAI API reference, "Chat Completions", create, the object, and the streamed chunk
(platform.openai.com/docs/api-reference/chat, as typed in openai-python 3.54, read 2026-11-23).
"""

from collections.abc import Iterable, Iterator, Mapping

from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Request, Step
from pointsman.core.wire.openai_chat import decode, encode, errors, request


class OpenAIChat:
    """The codec of the dialect "openai-chat"."""

    name = "openai-chat"
    path = "/chat/completions"

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""
        return request.decode_request(body, caller)

    def encode_request(self, asked: Request, step: Step) -> bytes:
        """Return the body for a step's upstream."""
        return request.encode_request(asked, step)

    def shape(self, asked: Request) -> Mapping[str, object]:
        """Return every field that shapes the answer."""
        return request.shape(asked)

    def stream_decoder(self) -> decode.ChatStreamDecoder:
        """Return a decoder for one streamed reply."""
        return decode.ChatStreamDecoder()

    def decode_reply(self, body: bytes) -> Iterator[Event]:
        """Yield the events of a whole JSON reply. Raises UpstreamBadResponse."""
        return decode.decode_reply(body)

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""
        return errors.read_error(status, body, retry_after_s)

    def stream_encoder(self, asked: Request, model: str) -> encode.ChatStreamEncoder:
        """Return an encoder for one stream to the client."""
        return encode.ChatStreamEncoder(model, wants_usage=asked.wants_usage)

    def encode_reply(self, events: Iterable[Event], model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""
        return encode.encode_reply(events, model)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""
        return errors.error_body(error, request_id)
