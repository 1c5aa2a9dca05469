"""Wire formats: each dialect turns bytes into requests and events, and back. Nothing here does I/O.

A dialect is one package with a `Codec`, registered in `CODECS`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Protocol

from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Need, Request, Step
from pointsman.core.wire.anthropic import Anthropic
from pointsman.core.wire.asked import Members
from pointsman.core.wire.gemini import Gemini
from pointsman.core.wire.openai_chat import OpenAIChat
from pointsman.core.wire.openai_embeddings import SERVED_BY, OpenAIEmbeddings
from pointsman.core.wire.openai_responses import OpenAIResponses
from pointsman.core.wire.prompt import Prompt, Written


class StreamDecoder(Protocol):
    """Turns an upstream's stream into events, however the network cuts it."""

    def feed(self, chunk: bytes) -> Iterable[Event]:
        """Return the events that `chunk` completes, to be taken before the next is fed.

        Raises UpstreamError, at once or when the events before it have been taken.
        """

    def delta(self, chunk: bytes) -> Event | None:
        """Return more of a text, where `chunk` is that and no more, as most are.

        None where `feed` is to read it.
        """

    def finish(self) -> Iterator[Event]:
        """Yield what the end completes. Raises UpstreamReset when the answer is not whole."""


class StreamEncoder(Protocol):
    """Turns events into a client's stream."""

    def encode(self, event: Event) -> bytes:
        """Return the bytes for one event, maybe none."""

    def ping(self) -> bytes:
        """Return what keeps a silent stream open, b"" where the dialect has no word for it."""

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return the in-stream error that ends a broken stream; nothing may follow it."""


class Codec(Protocol):
    """One dialect: request and reply, both ways.

    `lacks`: needs that the dialect has no word for, so that a request of another dialect which has
    one of them does not go to an upstream of this one.
    """

    name: str
    lacks: frozenset[Need]

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read what routing needs of a client's body. Raises RequestError naming the field."""

    def shape(self, request: Request) -> dict[str, object]:
        """Return every field that shapes the answer, for the cache's key; `model` is not in it."""

    def take_asked(self, shape: Members) -> str | None:
        """Return the text of the last user turn, taken out of what `shape` gave.

        None, and nothing is taken, where there is no such text that could be told apart.
        """

    def path(self, model: str, *, is_stream: bool) -> str:
        """Return what follows an upstream's base URL."""

    def headers(self, request: Request, step: Step) -> Mapping[str, str]:
        """Return the dialect's own headers for an upstream, lower case; keys are not among them."""

    def encode_request(self, request: Request, step: Step) -> Written:
        """Return the body for a step's upstream of this dialect: the client's own, but for the
        model's name, the step's parameters, what a stream needs for its usage, and what the
        upstream would refuse for the sake of the history; that is named.
        """

    def refit_body(
        self, body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
    ) -> bytes:
        """Return a body whose history another deployment can take, and else as it is.

        Reasoning and signatures for whose signature `keeps` is False go; each tool call and result
        gets the id that `call_id` gives for its own.
        """

    def read_prompt(self, request: Request) -> Prompt:
        """Return all that a client's body says, in no dialect's words.

        What has no place in a `Prompt` is named in its `unread`, or in `refused` where the client
        would miss it. Raises RequestError naming the field that is not of its type.
        """

    def write_prompt(self, prompt: Prompt, step: Step) -> Written:
        """Return a body for a step's upstream, and the names of what it does not carry.

        Raises RequestError for what is refused, or may not be dropped and has no word here.
        """

    def mark_body(self, body: bytes, model: str, tenant: str) -> bytes:
        """Return a body for an upstream that asks its prompt cache to keep what comes again.

        Where the client has asked for that in its own way, or the dialect has no word for it, the
        body is returned as it is; else every byte but for the marks is.
        """

    def count_path(self, model: str) -> str:
        """Return what follows a base URL to count a request's input, "" where nothing does."""

    def count_request(self, body: bytes) -> bytes:
        """Return the body that counts the input of a body for an answer."""

    def read_count(self, body: bytes) -> int:
        """Return the input tokens that a count's reply tells. Raises UpstreamBadResponse."""

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed reply."""

    def decode_reply(self, body: bytes) -> Iterable[Event]:
        """Return the events of a whole JSON reply. Raises UpstreamBadResponse."""

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""

    def stream_encoder(self, request: Request, model: str) -> StreamEncoder:
        """Return an encoder for one stream to the client; `model` is `provider/model`."""

    def encode_reply(self, events: Iterable[Event], request: Request, model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""


CODECS: Mapping[str, Codec] = {
    codec.name: codec
    for codec in (OpenAIChat(), OpenAIResponses(), Anthropic(), Gemini(), OpenAIEmbeddings())
}

# What servers of another dialect take beside their own: the codec's name, and theirs.
_BESIDE: Mapping[str, frozenset[str]] = {OpenAIEmbeddings.name: SERVED_BY}


@lru_cache(maxsize=256)
def upstream_codec(asked: str, dialect: str) -> Codec:
    """Return the codec to speak to an upstream of `dialect` for a request that came as `asked`."""
    return CODECS[asked if dialect in _BESIDE.get(asked, ()) else dialect]
