"""Conversations: which model each strategy had for a conversation's last call, and when.

Two things hang on it. The router sends a tool's result back to the model that asked for it; and a
provider's prompt cache helps only the model that wrote it, and only for a while.
"""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from pointsman.compare.records import LoggedRequest
from pointsman.core.conversation import Conversation, Standing
from pointsman.core.usage import Usage

CONVERSATIONS_MAX = 20_000
# How long a prompt stays in the provider's cache after its last use, where nothing else is asked
# for. Source: Anthropic, "Prompt caching" (five minutes); OpenAI, "Prompt caching" (five to ten
# minutes of inactivity), both read 2026-11-23.
LIFETIME_S = 300.0


class LastCall(msgspec.Struct, frozen=True):
    """A conversation's last call: when, in Unix seconds, and on which deployment, by strategy.

    `known` is the conversation itself as each policy has it.
    """

    at_s: float | None = None
    deployments: Mapping[str, str] = MappingProxyType({})
    known: Mapping[str, Conversation] = MappingProxyType({})

    def standing(self, spec: str, record: LoggedRequest, usage: Usage) -> Standing | None:
        """Return the conversation as a policy finds it now, None where none has begun.

        `usage` is the request's own. Where the log has no times it counts as gone on with at once.
        """
        found = self.known.get(spec)
        if found is None:
            return None
        at_s = found.at_s if record.at_s is None else record.at_s
        return Standing(
            conversation=found,
            idle_s=max(0.0, at_s - found.at_s),
            new_tokens=max(0, usage.input_tokens - found.context_tokens),
            is_open=record.features.is_tool_loop,
        )

    def is_warm(
        self, spec: str, deployment: str, at_s: float | None, answered_by: frozenset[str]
    ) -> bool:
        """Return whether a deployment still has the prompt of the last call in its cache.

        Yes where nothing is known of a last call, for then the log alone says what was cached; and
        where this very deployment answered in the log too, which says how much it found.
        """
        last = self.deployments.get(spec)
        if last is None:
            return True
        if last != deployment:
            return False
        if deployment in answered_by or self.at_s is None or at_s is None:
            return True
        return at_s - self.at_s <= LIFETIME_S


_NO_CALL = LastCall()


class Conversations:
    """The last calls of the latest conversations, at most `conversations_max` of them."""

    def __init__(self, conversations_max: int = CONVERSATIONS_MAX) -> None:
        self._conversations_max = conversations_max
        self._last: OrderedDict[str, LastCall] = OrderedDict()

    def last(self, record: LoggedRequest) -> LastCall:
        """Return the last call before this one, one without deployments where there is none."""
        if not record.conversation:
            return _NO_CALL
        return self._last.get(record.conversation, _NO_CALL)

    def note(
        self,
        record: LoggedRequest,
        deployments: Mapping[str, str],
        known: Mapping[str, Conversation],
    ) -> None:
        """Note which deployment each strategy called, and how the conversation stands with each."""
        name = record.conversation
        if not name:
            return
        self._last[name] = LastCall(record.at_s, deployments, known)
        self._last.move_to_end(name)
        if len(self._last) > self._conversations_max:
            self._last.popitem(last=False)


def unwarmed(usage: Usage) -> Usage:
    """Return the usage of a call that finds nothing in the provider's cache.

    What the log read from the cache is sent anew: written to it where the log wrote to it, for
    that is charged by some providers and asked for by the client, else plain input. As large a
    share of it is kept for an hour as of what the log wrote.
    """
    written, long = usage.cache_write_tokens, usage.long_cache_write_tokens
    if written:
        written += usage.cached_input_tokens
        long = long * written // usage.cache_write_tokens
    return msgspec.structs.replace(
        usage, cached_input_tokens=0, cache_write_tokens=written, long_cache_write_tokens=long
    )
