"""Records: one request of a log, with as much of it and of its answer as the log has."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import msgspec

from pointsman.compare.told_answers import ToldAnswer
from pointsman.core.features import extract
from pointsman.core.types import Features, Request
from pointsman.core.usage import Usage

_NAMED_MAX = 10


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided when the request was served. `asked` is the model name the client sent."""

    policy: str
    tier: str
    reason: str
    asked: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one model made of a request, as it was measured.

    `quality`: 0..1. `cost_nanousd` None: to be priced by `usage`; both None: not known.
    `is_accepted`: the verdict of the free checks over this answer, None where none was recorded.
    """

    quality: float
    cost_nanousd: int | None = None
    usage: Usage | None = None
    latency_ms: int | None = None
    is_accepted: bool | None = None


class LoggedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was served once.

    `request` is None where the log keeps no prompts; then there is no cache key, and a policy that
    reads text can only go by `booked`. `usage` None: the answer is not known. `model` is the name
    of the model that answered, as the log has it. `latency_ms` and `at_s` (Unix seconds) None: not
    known. `is_hit`: a cache gave the answer. `is_keepable`: a cache would keep the answer.
    `conversation` is the id of the conversation that the request is a turn of, "" on its own.
    `answer`: by what an answer may be told from another, None where nothing is known of it.
    `outcomes`: by the model's name, `provider/model` or bare; empty where the data has no labels.
    """

    features: Features
    request: Request | None = None
    usage: Usage | None = None
    model: str = ""
    latency_ms: int | None = None
    at_s: float | None = None
    booked: Booked | None = None
    is_hit: bool = False
    is_keepable: bool = True
    conversation: str = ""
    answer: ToldAnswer | None = None
    outcomes: Mapping[str, Outcome] = {}

    @classmethod
    def of(
        cls,
        request: Request,
        usage: Usage | None,
        model: str,
        latency_ms: int | None,
        *,
        at_s: float | None = None,
        is_hit: bool = False,
        is_keepable: bool = True,
        conversation: str = "",
        answer: ToldAnswer | None = None,
    ) -> Self:
        """Return the record of a request whose text is known; `model` may be `provider/model`."""
        return cls(
            features=extract(request),
            request=request,
            usage=usage,
            model=model,
            latency_ms=latency_ms,
            at_s=at_s,
            is_hit=is_hit,
            is_keepable=is_keepable,
            conversation=conversation,
            answer=answer,
        )

    @property
    def is_measured(self) -> bool:
        """Return whether the tokens were counted by who served them."""
        return self.usage is not None and not self.usage.is_estimated


@dataclass(slots=True)
class LeftOut:
    """What an importer could not use.

    `lines` counts the lines, `named` says which and why of the first ones. `attempts` counts, by
    how they ended, the ledger's attempts that gave no answer.
    """

    lines: int = 0
    named: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)

    def add_line(self, number: int, reason: str) -> None:
        """Note that a line (counted from 1) is left out."""
        self.lines += 1
        if len(self.named) < _NAMED_MAX:
            self.named.append(f"line {number}: {reason}")

    def merge(self, other: Self, *, source: str = "") -> None:
        """Take in what was left out of a later file, called `source` in messages."""
        self.lines += other.lines
        room = _NAMED_MAX - len(self.named)
        lead = f"{source}, " if source else ""
        self.named += [f"{lead}{entry}" for entry in other.named[:room]]
        self.attempts += other.attempts
