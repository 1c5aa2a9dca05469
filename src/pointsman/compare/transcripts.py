"""Transcripts: what a model call of a coding agent knew, told from the lines written before it.

An agent sends its whole conversation with every call, so what the calls sent grows with the square
of the transcript's length. None of that is kept: a call's features need only the newest user
message, counts, and the tokens as the provider counted them.
"""

from dataclasses import dataclass

import msgspec

from pointsman.compare.records import LoggedRequest
from pointsman.core.types import Caller, Features, Need, Request, Turn
from pointsman.core.usage import Usage
from pointsman.core.wire.openai_chat import OpenAIChat

# A longer gap between a message and its answer is a laptop asleep or a person away.
_LATENCY_S_MAX = 900
# An agent's calls carry its tools, and no two of them are alike: a cache would not be asked.
_AGENT = Caller(cache="off")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What stood in a conversation when a call was made. `at_s` None: nothing new, or no time."""

    text: str
    turns: int
    needs: frozenset[Need]
    is_tool_loop: bool
    at_s: float | None


@dataclass(slots=True)
class Conversation:
    """A conversation as it grows: no more of it than its next call's features need.

    `turns` counts what the transcript has: the messages of a branch that the user took back too.
    `system` is the agent's own prompt, "" where the transcript does not tell.
    """

    id: str = ""
    system: str = ""
    text: str = ""
    turns: int = 0
    has_images: bool = False
    is_tool_loop: bool = False
    at_s: float | None = None

    def hear(self, text: str, at_s: float | None, *, has_images: bool = False) -> None:
        """Take a user's message."""
        self.text = text
        self._add(1, at_s, has_images=has_images)
        self.is_tool_loop = False

    def take_results(self, count: int, at_s: float | None, *, has_images: bool = False) -> None:
        """Take the results of `count` tool calls."""
        self._add(count, at_s, has_images=has_images)
        self.is_tool_loop = True

    def answer(self) -> None:
        """Take the model's message."""
        self.turns += 1
        self.is_tool_loop = False
        self.at_s = None

    def compact(self, turns: int) -> None:
        """Put a summary of `turns` messages in place of all that was said."""
        self.turns = turns
        self.has_images = self.is_tool_loop = False
        self.at_s = None

    def ask(self) -> Asked:
        """Return what a call sends that is made now."""
        images = {Need.IMAGES} if self.has_images else set[Need]()
        return Asked(
            text=self.text,
            turns=self.turns,
            needs=frozenset({Need.TOOLS, *images}),
            is_tool_loop=self.is_tool_loop,
            at_s=self.at_s,
        )

    def record(
        self,
        asked: Asked,
        usage: Usage,
        model: str,
        *,
        began_s: float | None,
        ended_s: float | None,
    ) -> LoggedRequest:
        """Return the record of a call; `began_s` and `ended_s` are the times of its lines.

        Its latency runs from the newest message it was sent to the end of its answer: so it holds
        the agent's own work between them, and a retry's wait. Its request holds the newest user
        message alone, to be decided on as any other, and asks for no cache.
        """
        return LoggedRequest(
            features=Features(
                text=asked.text,
                system=self.system,
                turns=asked.turns,
                input_tokens=usage.input_tokens,
                max_tokens=None,
                needs=asked.needs,
                is_tool_loop=asked.is_tool_loop,
            ),
            request=Request(
                dialect=OpenAIChat.name,
                body=b"",
                model="",
                turns=(Turn(role="user", text=asked.text),),
                needs=asked.needs,
                caller=_AGENT,
            ),
            usage=usage,
            model=model,
            latency_ms=_latency_ms(asked.at_s, ended_s),
            at_s=began_s if asked.at_s is None else asked.at_s,
            is_keepable=False,
            conversation=self.id,
        )

    def _add(self, count: int, at_s: float | None, *, has_images: bool) -> None:
        self.turns += count
        self.has_images = self.has_images or has_images
        self.at_s = at_s


def _latency_ms(asked_s: float | None, ended_s: float | None) -> int | None:
    if asked_s is None or ended_s is None or not 0 < ended_s - asked_s <= _LATENCY_S_MAX:
        return None
    return round((ended_s - asked_s) * 1_000)
