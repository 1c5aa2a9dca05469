"""Validators: free checks of a draft. One file each, one switch each.

A third party's validator comes by the entry-point group `pointsman.validators`: a factory without
arguments that returns a `Validator`; `[validation] custom = ["name"]` switches it on.
"""

from typing import Protocol

import msgspec

from pointsman.core.types import Decision, Features, ResponseFormat, ToolCall


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as far as a check may look at it."""

    features: Features
    decision: Decision
    response_format: ResponseFormat | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, or its beginning while a stream is held back.

    `finish_reason` is None while it is still coming; then a validator speaks only of what more
    text could no longer mend.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether the answer has ended."""
        return self.finish_reason is not None


class Verdict(msgspec.Struct, frozen=True):
    """Accepted when `reason` is empty; else the validator that rejected the draft, and why."""

    validator: str = ""
    reason: str = ""

    @property
    def is_accepted(self) -> bool:
        """Return whether no validator objects."""
        return not self.reason


ACCEPTED = Verdict()


class Validator(Protocol):
    """Checks a draft. Deterministic, without I/O, linear in the draft's length."""

    name: str

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return why the draft is rejected, in words for a person, or "" when it is not."""


def judge(validators: tuple[Validator, ...], draft: Draft, ask: Ask) -> Verdict:
    """Return the first rejection, or `ACCEPTED`.

    An answer that a content filter cut is never rejected: escalation must not shop around it
    (FAULTS, row 15).
    """
    if draft.finish_reason == "content_filter":
        return ACCEPTED
    for validator in validators:
        reason = validator.check(draft, ask)
        if reason:
            return Verdict(validator.name, reason)
    return ACCEPTED
