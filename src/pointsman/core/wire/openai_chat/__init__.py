"""OpenAI's chat completions dialect.

Source: OpenAI API reference, "Chat Completions", create, the object, and the streamed chunk
(platform.openai.com/docs/api-reference/chat, as typed in openai-python 3.54, read 2026-11-23).
"""

from collections.abc import Callable, Iterable, Mapping

from pointsman.core.errors import GatewayError, UpstreamBadResponse, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Need, Request, Step
from pointsman.core.wire.asked import Members, take_content
from pointsman.core.wire.openai_chat import decode, encode, errors, read, refit, request, write
from pointsman.core.wire.prompt import Prompt, Written
from pointsman.core.wire.prompt_cache_key import with_cache_key
from pointsman.core.wire.sse_decoder import SseDecoder


class OpenAIChat:
    """The codec of the dialect "openai-chat"."""

    name = "openai-chat"
    lacks: frozenset[Need] = frozenset({Need.HOSTED_TOOLS, Need.OFFERED_TOOLS, Need.STORED_FILES})

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return what follows an upstream's base URL."""
        del model, is_stream
        return "/chat/completions"

    def headers(self, asked: Request, step: Step) -> Mapping[str, str]:
        """Return no headers: this dialect has none of its own."""
        del asked, step
        return {}

    def refit_body(
        self, body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
    ) -> bytes:
        """Return a body whose tool calls have ids that another deployment takes."""
        return refit.refit_body(body, keeps=keeps, call_id=call_id)

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""
        return request.decode_request(body, caller)

    def encode_request(self, asked: Request, step: Step) -> Written:
        """Return the body for a step's upstream."""
        return Written(request.encode_request(asked, step))

    def read_prompt(self, asked: Request) -> Prompt:
        """Return all that a body says, in no dialect's words. Raises RequestError."""
        return read.read_prompt(asked)

    def write_prompt(self, prompt: Prompt, step: Step) -> Written:
        """Return the body for a step's upstream. Raises RequestError for what it cannot say."""
        return write.write_prompt(prompt, step)

    def count_path(self, model: str) -> str:
        """Return "": this API counts nothing ahead."""
        del model
        return ""

    def mark_body(self, body: bytes, model: str, tenant: str) -> bytes:
        """Return a body with a key for the prompt cache, where it has none."""
        del model
        return with_cache_key(body, tenant, said_in="messages")

    def count_request(self, body: bytes) -> bytes:
        """Return the body as it is, for there is nowhere to send it."""
        return body

    def read_count(self, body: bytes) -> int:
        """Raise UpstreamBadResponse: nobody was asked."""
        raise UpstreamBadResponse(f"chat completions count no tokens ahead, but gave {body[:40]!r}")

    def shape(self, asked: Request) -> dict[str, object]:
        """Return every field that shapes the answer."""
        return request.shape(asked)

    def take_asked(self, shape: Members) -> str | None:
        """Return the text of the last user turn, taken out of the shape; None where none can be."""
        turns = shape.get("messages")
        return take_content(turns, text_kind="text", image_kind="image_url")

    def stream_decoder(self) -> SseDecoder:
        """Return a decoder for one streamed reply."""
        return SseDecoder(decode.ChatFrameReader(), said=decode.said)

    def decode_reply(self, body: bytes) -> list[Event]:
        """Return the events of a whole JSON reply. Raises UpstreamBadResponse."""
        return decode.decode_reply(body)

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""
        return errors.read_error(status, body, retry_after_s)

    def stream_encoder(self, asked: Request, model: str) -> encode.ChatStreamEncoder:
        """Return an encoder for one stream to the client."""
        return encode.ChatStreamEncoder(
            model, wants_usage=asked.wants_usage, has_functions=request.has_functions(asked)
        )

    def encode_reply(self, events: Iterable[Event], asked: Request, model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""
        return encode.encode_reply(events, model, has_functions=request.has_functions(asked))

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""
        return errors.error_body(error, request_id)
