"""Content copy: what was asked and answered, kept in full where the configuration says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from pointsman.core.answer import AnswerBuilder
from pointsman.core.types import Request
from pointsman.ledger.contents import Contents
from pointsman.stream import AnswerStream


@contextmanager
def copied(stream: AnswerStream, request: Request, contents: Contents | None) -> Iterator[None]:
    """Keep the request and as much of its answer as has been read by the end of the block."""
    if contents is None:
        yield
        return
    builder = AnswerBuilder()
    stream.on_event = builder.add
    try:
        yield
    finally:
        contents.keep(
            request_id=stream.request_id,
            tenant=request.caller.tenant,
            request=request.body,
            answer=builder.text,
        )
