"""Fake: a provider that follows a script.

For tests of faults that no real upstream can be told to show, and for trying a configuration
without spending anything.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

import msgspec

from pointsman.core.errors import UpstreamError
from pointsman.core.events import Event, Finished, Started, TextDelta, UsageReport
from pointsman.core.types import Request, Step
from pointsman.core.usage import Usage


class Scripted(msgspec.Struct, frozen=True, kw_only=True):
    """One reply: its pieces of text, then its end, or an error after them.

    `usage` None: the upstream reports none. `events` replace all else.
    """

    pieces: tuple[str, ...] = ()
    finish_reason: str = "stop"
    usage: Usage | None = Usage(input_tokens=10, output_tokens=5)
    error: UpstreamError | None = None
    events: tuple[Event, ...] = ()


class FakeProvider:
    """Gives each model's replies in turn, the last one again and again.

    `calls` lists the deployments called, `open_calls` counts those neither ended nor closed.
    """

    def __init__(self, script: Mapping[str, Sequence[Scripted | str]]) -> None:
        self._script = {
            model: [Scripted(pieces=(r,)) if isinstance(r, str) else r for r in replies]
            for model, replies in script.items()
        }
        self.calls: list[str] = []
        self.open_calls = 0

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        """Yield the next reply of the step's model. Raises the error that the script names."""
        del request
        model = step.deployment.model
        self.calls.append(step.deployment.id)
        replies = self._script[model]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        self.open_calls += 1
        try:
            for event in reply.events or _events(reply, model):
                yield event
            if reply.error is not None:
                raise _copy(reply.error)  # what is raised may be written on
        finally:
            self.open_calls -= 1

    async def close(self) -> None:
        """Do nothing: there are no connections."""


def _copy(error: UpstreamError) -> UpstreamError:
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    return copied


def _events(reply: Scripted, model: str) -> Iterator[Event]:
    if not reply.pieces and reply.error is not None:
        return
    yield Started(id="fake-1", created=0, model=model, dialect="", is_stream=True)
    for piece in reply.pieces:
        yield TextDelta(piece)
    if reply.error is None:
        if reply.usage is not None:
            yield UsageReport(reply.usage)
        yield Finished(reply.finish_reason)
