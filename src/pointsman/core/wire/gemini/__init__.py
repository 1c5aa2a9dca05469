"""Google's Gemini dialect: `generateContent` and `streamGenerateContent`.

The Gemini API (generativelanguage, v1beta), not Google Cloud's. The path names the model and says
whether to stream, so a client's request has both from its `Caller`.
Source: ai.google.dev/api/generate-content, as typed in google-genai 3.4 (read 2026-11-23).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Need, Request, Step
from pointsman.core.wire.asked import Members, last_turn, take_part
from pointsman.core.wire.gemini import decode, encode, errors, read, refit, request, write
from pointsman.core.wire.prompt import Prompt, Written
from pointsman.core.wire.sse_decoder import SseDecoder

_IMAGES = frozenset({"inlineData", "inline_data"})


class Gemini:
    """The codec of the dialect "gemini"."""

    name = "gemini"
    lacks: frozenset[Need] = frozenset(
        {Need.HOSTED_TOOLS, Need.OFFERED_TOOLS, Need.STORED_FILES, Need.EMBEDDINGS}
    )

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return what follows an upstream's base URL, which ends in the API's version."""
        method = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
        return f"/models/{quote(model, safe='')}:{method}"

    def headers(self, asked: Request, step: Step) -> Mapping[str, str]:
        """Return no headers: this dialect has none of its own."""
        del asked, step
        return {}

    def refit_body(
        self, body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
    ) -> bytes:
        """Return a body without foreign thoughts and signatures, whose calls have fitting ids."""
        return refit.refit_body(body, keeps=keeps, call_id=call_id)

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""
        return request.decode_request(body, caller)

    def encode_request(self, asked: Request, step: Step) -> Written:
        """Return the body for a step's upstream."""
        return Written(request.encode_request(asked, step))

    def shape(self, asked: Request) -> dict[str, object]:
        """Return every field that shapes the answer."""
        return request.shape(asked)

    def take_asked(self, shape: Members) -> str | None:
        """Return the text of the last user turn, taken out of the shape; None where none can be."""
        turn = last_turn(shape.get("contents"))
        if turn is None or turn.get("role") not in (None, "user"):
            return None
        return take_part(turn.get("parts"), is_text=_is_text, is_image=_is_image)

    def read_prompt(self, asked: Request) -> Prompt:
        """Return all that a client's body says. Raises RequestError naming the field at fault."""
        return read.read_prompt(asked)

    def write_prompt(self, prompt: Prompt, step: Step) -> Written:
        """Return a body for a step's upstream. Raises RequestError for what is refused."""
        return write.write_prompt(prompt, step)

    def mark_body(self, body: bytes, model: str, tenant: str) -> bytes:
        """Return the body as it is: this dialect has no marks for a prompt cache."""
        del model, tenant
        return body

    def count_path(self, model: str) -> str:
        """Return what follows an upstream's base URL to count a request's input."""
        return f"/models/{quote(model, safe='')}:countTokens"

    def count_request(self, body: bytes) -> bytes:
        """Return the body that counts the input of a body for an answer."""
        return request.count_request(body)

    def read_count(self, body: bytes) -> int:
        """Return the input tokens that a count's reply tells. Raises UpstreamBadResponse."""
        return decode.read_count(body)

    def stream_decoder(self) -> SseDecoder:
        """Return a decoder for one streamed reply."""
        return SseDecoder(decode.GeminiFrameReader())

    def decode_reply(self, body: bytes) -> Iterator[Event]:
        """Yield the events of a whole JSON reply. Raises UpstreamBadResponse."""
        return decode.decode_reply(body)

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""
        return errors.read_error(status, body, retry_after_s)

    def stream_encoder(self, asked: Request, model: str) -> encode.GeminiStreamEncoder:
        """Return an encoder for one stream to the client."""
        del asked
        return encode.GeminiStreamEncoder(model)

    def encode_reply(self, events: Iterable[Event], asked: Request, model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""
        del asked
        return encode.encode_reply(events, model)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""
        return errors.error_body(error, request_id)


def _is_text(part: Mapping[str, object]) -> bool:
    return part.keys() == {"text"}


def _is_image(part: Mapping[str, object]) -> bool:
    return not part.keys().isdisjoint(_IMAGES)
