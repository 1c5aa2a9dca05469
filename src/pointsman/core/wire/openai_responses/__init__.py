"""OpenAI's responses dialect, without state: nothing is kept from one request to the next.

Source: OpenAI API reference, "Responses": create, the object, the streamed events, and counting
input tokens (platform.openai.com/docs/api-reference/responses, as typed in openai-python 3.54, read
2026-11-23).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Need, Request, Step
from pointsman.core.wire.asked import Members, take_content
from pointsman.core.wire.openai_chat.errors import error_body, read_error
from pointsman.core.wire.openai_responses import decode, edit, encode, items, read, request, write
from pointsman.core.wire.prompt import Prompt, Written
from pointsman.core.wire.prompt_cache_key import with_cache_key
from pointsman.core.wire.sse_decoder import SseDecoder


class OpenAIResponses:
    """The codec of the dialect "openai-responses"."""

    name = items.DIALECT
    lacks: frozenset[Need] = frozenset(
        {
            Need.CHOICES,
            Need.AUDIO,
            Need.HOSTED_TOOLS,
            Need.OFFERED_TOOLS,
            Need.STORED_FILES,
            Need.EMBEDDINGS,
        }
    )

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return what follows an upstream's base URL."""
        del model, is_stream
        return "/responses"

    def count_path(self, model: str) -> str:
        """Return what follows an upstream's base URL to count a request's input tokens."""
        del model
        return "/responses/input_tokens"

    def headers(self, asked: Request, step: Step) -> Mapping[str, str]:
        """Return no headers: this dialect has none of its own."""
        del asked, step
        return {}

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""
        return request.decode_request(body, caller)

    def encode_request(self, asked: Request, step: Step) -> Written:
        """Return the body for a step's upstream."""
        return Written(edit.encode_request(asked, step))

    def refit_body(
        self, body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
    ) -> bytes:
        """Return a body whose history another deployment can take."""
        return edit.refit_body(body, keeps=keeps, call_id=call_id)

    def read_prompt(self, asked: Request) -> Prompt:
        """Return the whole request in no dialect's words. Raises RequestError."""
        return read.read_prompt(asked)

    def write_prompt(self, prompt: Prompt, step: Step) -> Written:
        """Return the body for an upstream, and what it does not carry. Raises RequestError."""
        return write.write_prompt(prompt, step)

    def shape(self, asked: Request) -> dict[str, object]:
        """Return every field that shapes the answer."""
        return request.shape(asked)

    def take_asked(self, shape: Members) -> str | None:
        """Return the text of the last user turn, taken out of the shape; None where none can be."""
        turns = shape.get("input")
        if isinstance(turns, str):
            shape["input"] = None
            return turns
        return take_content(turns, text_kind="input_text", image_kind="input_image")

    def mark_body(self, body: bytes, model: str, tenant: str) -> bytes:
        """Return a body with a key for the prompt cache, where it has none."""
        del model
        return with_cache_key(body, tenant, said_in="input")

    def count_request(self, body: bytes) -> bytes:
        """Return the body for counting the input of a body for an answer."""
        return edit.count_request(body)

    def read_count(self, body: bytes) -> int:
        """Return the input tokens that a count's reply tells. Raises UpstreamBadResponse."""
        return edit.read_count(body)

    def stream_decoder(self) -> SseDecoder:
        """Return a decoder for one streamed reply."""
        return SseDecoder(decode.ResponsesFrameReader())

    def decode_reply(self, body: bytes) -> Iterator[Event]:
        """Yield the events of a whole JSON reply. Raises UpstreamBadResponse."""
        return decode.decode_reply(body)

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""
        return read_error(status, body, retry_after_s)

    def stream_encoder(self, asked: Request, model: str) -> encode.ResponsesStreamEncoder:
        """Return an encoder for one stream to the client."""
        return encode.ResponsesStreamEncoder(asked, model)

    def encode_reply(self, events: Iterable[Event], asked: Request, model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""
        return encode.encode_reply(events, asked, model)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""
        return error_body(error, request_id)
