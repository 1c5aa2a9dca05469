"""Content copy: what was asked and answered, kept in full where the configuration says so."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from pointsman.core.answer import AnswerBuilder
from pointsman.core.types import Request
from pointsman.ledger.contents import Contents
from pointsman.stream import AnswerStream

_NO_COPY = nullcontext()


def copied(
    stream: AnswerStream, request: Request, contents: Contents | None
) -> AbstractContextManager[None]:
    """Keep the request and as much of its answer as has been read by the end of the block."""
    return _NO_COPY if contents is None else _copied(stream, request, contents)


@contextmanager
def _copied(stream: AnswerStream, request: Request, contents: Contents) -> Iterator[None]:
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
