"""Provider: calls the weak local model and leaves the worked examples of its template unbilled.

Gemma is a base model: its chat template puts about 400 tokens of examples before each request, and
llama.cpp counts them as input. No hosted model that stands in for it would bill them, and they
would make every other tier look dearer by as much.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from pointsman.core.events import Event, UsageReport
from pointsman.core.types import Request, Step
from pointsman.core.usage import Usage
from pointsman.providers import Provider


class WithoutTemplate:
    """Calls through `provider` and takes `template_tokens` off the input that it reports."""

    def __init__(self, provider: Provider, template_tokens: int) -> None:
        self._provider = provider
        self._template_tokens = template_tokens

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        """Call the step's deployment and yield the answer's events. Raises UpstreamError."""
        async with aclosing(self._provider.call(request, step)) as events:
            async for event in events:
                if isinstance(event, UsageReport):
                    yield msgspec.structs.replace(event, usage=self._own(event.usage))
                else:
                    yield event

    async def close(self) -> None:
        """Let go of connections."""
        await self._provider.close()

    def _own(self, usage: Usage) -> Usage:
        return msgspec.structs.replace(
            usage,
            input_tokens=max(0, usage.input_tokens - self._template_tokens),
            cached_input_tokens=max(0, usage.cached_input_tokens - self._template_tokens),
        )
