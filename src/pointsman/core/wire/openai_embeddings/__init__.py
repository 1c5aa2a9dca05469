"""OpenAI's embeddings: a body and its vectors, passed on as they are but for the model's name.

It is no dialect that an upstream speaks by itself: servers of OpenAI's dialects take it beside
their own (`SERVED_BY`), and nothing translates it, for the vectors of one model mean nothing to
another.

Source: OpenAI API reference, "Embeddings", create (as typed in openai 3.54: `EmbeddingCreateParams`
and `CreateEmbeddingResponse`, read 2026-11-23).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from pointsman.core.errors import GatewayError, RequestError, UpstreamBadResponse, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Need, Request, Step
from pointsman.core.wire.asked import Members
from pointsman.core.wire.openai_chat import errors
from pointsman.core.wire.openai_embeddings import reply, request
from pointsman.core.wire.prompt import Prompt, Written

SERVED_BY = frozenset({"openai-chat", "openai-responses"})


class OpenAIEmbeddings:
    """The codec of embeddings. There is no stream of them, and no history in them."""

    name = "openai-embeddings"
    lacks: frozenset[Need] = frozenset(Need) - {Need.EMBEDDINGS}

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""
        return request.decode_request(body, caller)

    def encode_request(self, asked: Request, step: Step) -> Written:
        """Return the body for a step's upstream."""
        return Written(request.encode_request(asked, step))

    def shape(self, asked: Request) -> dict[str, object]:
        """Return every field that shapes the vectors."""
        return request.shape(asked)

    def take_asked(self, shape: Members) -> str | None:
        """Return None: a vector belongs to the very text."""
        del shape
        return None

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return what follows an upstream's base URL."""
        del model, is_stream
        return "/embeddings"

    def headers(self, asked: Request, step: Step) -> Mapping[str, str]:
        """Return no headers: there are none of its own."""
        del asked, step
        return {}

    def refit_body(
        self, body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
    ) -> bytes:
        """Return the body as it is: it has no history."""
        del keeps, call_id
        return body

    def read_prompt(self, asked: Request) -> Prompt:
        """Raise RequestError: what is to be embedded is no prompt."""
        raise RequestError(
            f'model "{asked.model}" is not served by an upstream that makes embeddings in OpenAI\'s'
            " dialect; ask for one that is",
            param="model",
        )

    def write_prompt(self, prompt: Prompt, step: Step) -> Written:
        """Raise RequestError: no prompt becomes an embedding."""
        del prompt
        raise RequestError(f"{step.deployment.id} makes embeddings alone; ask for another model")

    def mark_body(self, body: bytes, model: str, tenant: str) -> bytes:
        """Return the body as it is: this dialect has no marks for a prompt cache."""
        del model, tenant
        return body

    def count_path(self, model: str) -> str:
        """Return "": nothing counts the input beforehand."""
        del model
        return ""

    def count_request(self, body: bytes) -> bytes:
        """Return the body; there is nowhere to send it."""
        return body

    def read_count(self, body: bytes) -> int:
        """Raise UpstreamBadResponse: nothing counts."""
        del body
        raise UpstreamBadResponse("no upstream counts the input of embeddings")

    def stream_decoder(self) -> reply.NoStreamDecoder:
        """Return a decoder that refuses what an upstream streams all the same."""
        return reply.NoStreamDecoder()

    def decode_reply(self, body: bytes) -> Iterator[Event]:
        """Yield the events of a JSON reply. Raises UpstreamBadResponse."""
        return reply.decode_reply(body)

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""
        return errors.read_error(status, body, retry_after_s)

    def stream_encoder(self, asked: Request, model: str) -> reply.NoStreamEncoder:
        """Return an encoder that is never asked: `decode_request` never asks for a stream."""
        del asked, model
        return reply.NoStreamEncoder()

    def encode_reply(self, events: Iterable[Event], asked: Request, model: str) -> bytes:
        """Return the vectors as the client's JSON reply. Raises UpstreamBadResponse for none."""
        del asked
        return reply.encode_reply(events, model)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""
        return errors.error_body(error, request_id)
