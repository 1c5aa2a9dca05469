"""Providers: make one upstream call and give its events. One small file per way of calling.

A third party's provider comes by the entry-point group `pointsman.providers`: a factory that takes
`Timeouts` and a function from a variable's name to the secret in it, and returns a `Provider`;
`[providers.x] kind` chooses it.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from pointsman.core.errors import ConfigError
from pointsman.core.events import Event, Sink
from pointsman.core.types import Request, Step
from pointsman.extensions import entry_points


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits in seconds, each > 0.

    `connect_s`: until connected, TLS included. `first_byte_s`: until a streamed reply's headers and
    its first content; `first_byte_by_effort`: the same where that effort is asked for. `reply_s`:
    until a reply that is not streamed has come. `idle_s`: between two pieces of content; pings do
    not count. `total_s`: the whole request with all its attempts.
    """

    connect_s: float = 2.0
    first_byte_s: float = 60.0
    first_byte_by_effort: Mapping[str, float] = {}
    reply_s: float = 300.0
    idle_s: float = 30.0
    total_s: float = 600.0


class Provider(Protocol):
    """Serves deployments. Its stream ends in one `Finished` or raises an UpstreamError."""

    def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        """Call the step's deployment and yield the answer's events as they come.

        Closing the generator cancels the upstream call. Raises UpstreamError, and RequestError for
        what the deployment cannot be told.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Call(Protocol):
    """One call, begun when its first events are asked for. Whoever has it closes it."""

    async def more(self, sink: Sink | None = None) -> Sequence[Event] | None:
        """Return what comes next, all that came at once; None where nothing does.

        With a sink, what comes before the end may go there instead; () where that has had enough.
        Raises as `Provider.call` does.
        """

    async def aclose(self) -> None:
        """Cancel the call, where it is still under way."""


class Calling(Protocol):
    """What a provider has besides, if it knows which events came at once: fewer steps for each."""

    def calling(self, request: Request, step: Step) -> Call:
        """Return the call that `call` makes, not yet begun."""


def call_of(provider: Provider, request: Request, step: Step) -> Call:
    """Return a call of a provider, of whatever kind that is."""
    calling: Callable[[Request, Step], Call] | None = getattr(provider, "calling", None)
    return _Generated(provider.call(request, step)) if calling is None else calling(request, step)


class _Generated:
    """A call whose events come one by one."""

    def __init__(self, events: AsyncGenerator[Event]) -> None:
        self._events = events

    async def more(self, sink: Sink | None = None) -> Sequence[Event] | None:
        """Return the next event."""
        del sink
        event = await anext(self._events, None)
        return None if event is None else (event,)

    async def aclose(self) -> None:
        """Close the generator."""
        await self._events.aclose()


@runtime_checkable
class Counting(Protocol):
    """What a provider has besides, if it can tell exactly how long a request's input is."""

    async def count(self, request: Request, step: Step) -> int | None:
        """Return how many tokens the request's input is to the step's deployment.

        None where that deployment does not count. Raises UpstreamError, and RequestError for what
        it cannot be told.
        """


ProviderFactory: TypeAlias = Callable[[Timeouts, Callable[[str], str | None]], Provider]

ENTRY_POINTS = "pointsman.providers"


def installed_kinds() -> tuple[str, ...]:
    """Return the kinds of provider that installed packages bring."""
    return tuple(sorted(entry_points(group=ENTRY_POINTS).names))


def build_installed(kind: str, timeouts: Timeouts, key_of: Callable[[str], str | None]) -> Provider:
    """Return a provider that an installed package brings.

    Raises ConfigError when there is none of that kind, or it does not start.
    """
    for point in entry_points(group=ENTRY_POINTS, name=kind):
        try:
            factory: ProviderFactory = point.load()
            return factory(timeouts, key_of)
        except Exception as error:  # a third party's code: whatever it raises stops the start
            raise ConfigError(
                f'[providers] kind = "{kind}": {point.value} does not start: {error!r}'
            ) from error
    known = ", ".join(installed_kinds()) or "none"
    raise ConfigError(f'[providers] kind = "{kind}": no such kind; installed: {known}')
