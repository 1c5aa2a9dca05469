"""Content copy: what was asked and answered, kept in full where the configuration says so."""

from pointsman.core.answer import AnswerBuilder
from pointsman.core.types import Request
from pointsman.ledger.contents import Contents
from pointsman.stream import AnswerStream


def copy_of(stream: AnswerStream, request: Request, contents: Contents) -> AnswerStream:
    """Return the stream; once it is closed, its request is kept and what of it was read."""
    builder = AnswerBuilder()

    def keep() -> None:
        contents.keep(
            request_id=stream.request_id,
            tenant=request.caller.tenant,
            request=request.body,
            answer=builder.text,
        )

    stream.on_event, stream.on_closed = builder.add, keep
    return stream
