"""Anthropic's messages dialect, in both of its API versions.

Source: Anthropic API reference, "Messages", create, count_tokens, streaming and errors
(platform.claude.com/docs/en/api, as typed in anthropic-python 2.12, read 2026-11-23).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Need, Request, Step
from pointsman.core.wire.anthropic import (
    decode,
    encode,
    errors,
    own_marks,
    read,
    refit,
    reply,
    request,
    versions,
    write,
)
from pointsman.core.wire.asked import Members, take_content
from pointsman.core.wire.prompt import Prompt, Written
from pointsman.core.wire.sse_decoder import SseDecoder


class Anthropic:
    """The codec of the dialect "anthropic"."""

    name = "anthropic"
    lacks: frozenset[Need] = frozenset(
        {
            Need.AUDIO,
            Need.CHOICES,
            Need.EMBEDDINGS,
            Need.HOSTED_TOOLS,
            Need.OFFERED_TOOLS,
            Need.LOGPROBS,
            Need.STORED_FILES,
        }
    )

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return what follows an upstream's base URL."""
        del model, is_stream
        return "/messages"

    def count_path(self, model: str) -> str:
        """Return what follows a base URL to count a request's input."""
        del model
        return "/messages/count_tokens"

    def headers(self, asked: Request, step: Step) -> Mapping[str, str]:
        """Return the API version and the beta features."""
        return versions.headers(asked, step)

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""
        return request.decode_request(body, caller)

    def encode_request(self, asked: Request, step: Step) -> Written:
        """Return the body for a step's upstream, and what it does not carry."""
        return request.encode_request(asked, step)

    def refit_body(
        self, body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
    ) -> bytes:
        """Return a body whose thinking and tool calls another deployment takes."""
        return refit.refit_body(body, keeps, call_id)

    def read_prompt(self, asked: Request) -> Prompt:
        """Return all that a client's body says. Raises RequestError naming the field."""
        return read.read_prompt(asked)

    def write_prompt(self, prompt: Prompt, step: Step) -> Written:
        """Return a body and what it does not carry. Raises RequestError for what is refused."""
        return write.write_prompt(prompt, step)

    def mark_body(self, body: bytes, model: str, tenant: str) -> bytes:
        """Return a body with marks for the prompt cache, where it has none."""
        del tenant
        return own_marks.with_own_marks(body, model)

    def count_request(self, body: bytes) -> bytes:
        """Return the body that counts the input of a body for an answer."""
        return request.count_request(body)

    def read_count(self, body: bytes) -> int:
        """Return the input tokens that a count's reply tells. Raises UpstreamBadResponse."""
        return request.read_count(body)

    def shape(self, asked: Request) -> dict[str, object]:
        """Return every field that shapes the answer."""
        return request.shape(asked)

    def take_asked(self, shape: Members) -> str | None:
        """Return the text of the last user turn, taken out of the shape; None where none can be."""
        return take_content(shape.get("messages"), text_kind="text", image_kind="image")

    def stream_decoder(self) -> SseDecoder:
        """Return a decoder for one streamed reply."""
        reader = decode.MessagesFrameReader()
        return SseDecoder(reader, said=reader.said)

    def decode_reply(self, body: bytes) -> Iterator[Event]:
        """Yield the events of a whole JSON reply. Raises UpstreamBadResponse."""
        return decode.decode_reply(body)

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""
        return errors.read_error(status, body, retry_after_s)

    def stream_encoder(self, asked: Request, model: str) -> encode.MessagesStreamEncoder:
        """Return an encoder for one stream to the client."""
        del asked
        return encode.MessagesStreamEncoder(model)

    def encode_reply(self, events: Iterable[Event], asked: Request, model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""
        del asked
        return reply.encode_reply(events, model)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""
        return errors.error_body(error, request_id)
