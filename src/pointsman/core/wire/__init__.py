"""Wire formats: each dialect turns bytes into requests and events, and back. Nothing here does I/O.

A dialect is one package with a `Codec`, registered in `CODECS`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.events import Event
from pointsman.core.types import Caller, Request, Step
from pointsman.core.wire.openai_chat import OpenAIChat


class StreamDecoder(Protocol):
    """Turns an upstream's stream into events, however the network cuts it."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that `chunk` completes. Raises UpstreamError."""

    def finish(self) -> Iterator[Event]:
        """Yield what the end completes. Raises UpstreamReset when the answer is not whole."""


class StreamEncoder(Protocol):
    """Turns events into a client's stream."""

    def encode(self, event: Event) -> bytes:
        """Return the bytes for one event, maybe none."""

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return the in-stream error that ends a broken stream; nothing may follow it."""


class Codec(Protocol):
    """One dialect: request and reply, both ways."""

    name: str
    path: str

    def decode_request(self, body: bytes, caller: Caller) -> Request:
        """Read a client's body. Raises RequestError that names the field at fault."""

    def encode_request(self, request: Request, step: Step) -> bytes:
        """Return the body for a step's upstream."""

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed reply."""

    def decode_reply(self, body: bytes) -> Iterator[Event]:
        """Yield the events of a whole JSON reply. Raises UpstreamBadResponse."""

    def read_error(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """Return the error that an upstream's error reply means."""

    def stream_encoder(self, request: Request, model: str) -> StreamEncoder:
        """Return an encoder for one stream to the client; `model` is `provider/model`."""

    def encode_reply(self, events: Iterable[Event], model: str) -> bytes:
        """Return a whole answer as the client's JSON reply."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Return the JSON error body."""

    def shape(self, request: Request) -> Mapping[str, object]:
        """Return every field that shapes the answer, for the cache's key; `model` is not in it."""


CODECS: Mapping[str, Codec] = {codec.name: codec for codec in (OpenAIChat(),)}
