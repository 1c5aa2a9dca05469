"""Replies: an upstream's vectors as events, and events as the client's reply."""

from collections.abc import Iterable, Iterator

import msgspec

from pointsman.core.errors import GatewayError, UpstreamBadResponse
from pointsman.core.events import Event, Finished, Started, TextDelta, UsageReport
from pointsman.core.usage import Usage
from pointsman.core.wire.decoding import upstream_json
from pointsman.core.wire.openai_chat.errors import error_in_stream
from pointsman.core.wire.openai_embeddings.request import DIALECT
from pointsman.core.wire.splice import splice


class _Usage(msgspec.Struct):
    prompt_tokens: int | float | None = None
    total_tokens: int | float | None = None


class _Reply(msgspec.Struct):
    data: list[msgspec.Raw] | None = None
    model: str | None = None
    usage: _Usage | None = None


_reply = msgspec.json.Decoder(_Reply)


def decode_reply(body: bytes) -> Iterator[Event]:
    """Yield the events of a JSON reply; the opening carries the body, vectors and all.

    To whoever reads the events the answer's text is how many vectors there are: that there is an
    answer, and what a person would be shown of it.

    Raises UpstreamBadResponse when it is not such a reply, or the error it carries.
    """
    reply = upstream_json(_reply.decode, body, "reply")
    if not reply.data:
        if b'"error"' in body and (said := error_in_stream(body)) is not None:
            raise said
        raise UpstreamBadResponse("the upstream's reply has no vectors")
    yield Started(
        id="", created=0, model=reply.model or "", dialect=DIALECT, is_stream=False, frame=body
    )
    count = len(reply.data)
    yield TextDelta("1 vector" if count == 1 else f"{count} vectors", frame=b"")
    usage = reply.usage
    if usage is not None and (tokens := usage.prompt_tokens or usage.total_tokens) is not None:
        yield UsageReport(Usage(input_tokens=max(0, int(tokens))), b"")
    yield Finished("stop", b"")


def encode_reply(events: Iterable[Event], model: str) -> bytes:
    """Return the reply that the events came in, with `provider/model` as its model.

    Raises UpstreamBadResponse where there is none: vectors stand nowhere else.
    """
    for event in events:
        if isinstance(event, Started) and event.dialect == DIALECT and event.frame:
            return splice(event.frame, {"model": msgspec.json.encode(model)})
    raise UpstreamBadResponse(f"{model} gave no vectors")


class NoStreamDecoder:
    """What reads an upstream that streams where nothing can be streamed."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Raise UpstreamBadResponse."""
        del chunk
        raise UpstreamBadResponse("the upstream streams its embeddings, which cannot be read")

    def delta(self, chunk: bytes) -> None:
        """Return that `feed` is to read it."""
        del chunk

    def finish(self) -> Iterator[Event]:
        """Raise UpstreamBadResponse."""
        return self.feed(b"")


class NoStreamEncoder:
    """Writes nothing: no client can ask for a stream of embeddings."""

    def encode(self, event: Event) -> bytes:
        """Return nothing."""
        del event
        return b""

    def ping(self) -> bytes:
        """Return nothing."""
        return b""

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return nothing."""
        del error, request_id
        return b""
