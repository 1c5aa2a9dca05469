"""Validators: free checks of a draft. One file each, one switch each.

A third party's validator comes by the entry-point group `pointsman.validators`: a factory without
arguments that returns a `Validator`, or a plain function `(draft, ask) -> str`;
`[validation] custom = ["name"]` switches it on.
"""

from typing import Annotated, Protocol, TypeAlias

import msgspec

from pointsman.validators.code_block import CodeBlock
from pointsman.validators.custom import load_custom
from pointsman.validators.cut_off import CutOff
from pointsman.validators.draft import Ask, Draft
from pointsman.validators.empty import Empty
from pointsman.validators.json_format import JsonFormat
from pointsman.validators.refusal import Refusal
from pointsman.validators.repetition import Repetition
from pointsman.validators.too_short import TooShort

__all__ = [
    "ACCEPTED",
    "Ask",
    "Draft",
    "ValidationSettings",
    "Validator",
    "Verdict",
    "build_validators",
    "judge",
]

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class ValidationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The checks, one switch each, and what follows from a rejection.

    `min_words_for_long_ask`: a long ask wants at least so many words; 0 switches the check off.
    `escalate`: a rejected draft goes on to the next tier. `stream_hold_chars`: a streamed draft is
    held until its verdict or until so many characters have come; 0 holds nothing. `custom`: names
    from the entry-point group `pointsman.validators`.
    """

    empty: bool = True
    refusal: bool = True
    json_format: bool = True
    cut_off: bool = True
    code_block: bool = True
    repetition: bool = True
    min_words_for_long_ask: _Count = 12
    escalate: bool = True
    stream_hold_chars: _Count = 400
    custom: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """Accepted when `reason` is empty; else the validator that rejected the draft, and why."""

    validator: str = ""
    reason: str = ""

    @property
    def is_accepted(self) -> bool:
        """Return whether no validator objects."""
        return not self.reason


ACCEPTED = Verdict()

# How an answer ends that no other model shall be asked for: a filter cut it, or the model refused
# in so many words, as Anthropic's `stop_reason` "refusal" says.
_FINAL = frozenset({"content_filter", "refusal"})


class Validator(Protocol):
    """Checks a draft. Deterministic, without I/O, linear in the draft's length."""

    @property
    def name(self) -> str:
        """Return the name that verdicts and the ledger show."""

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return why the draft is rejected, in words for a person, or "" when it is not."""


def build_validators(settings: ValidationSettings) -> tuple[Validator, ...]:
    """Return the checks that are switched on, the cheapest first, a third party's last.

    Raises ConfigError for a name in `custom` that is not installed or cannot be used.
    """
    words = settings.min_words_for_long_ask
    built_in: tuple[tuple[bool, Validator], ...] = (
        (settings.cut_off, CutOff()),
        (settings.empty, Empty()),
        (settings.refusal, Refusal()),
        (words > 0, TooShort(min_words=words)),
        (settings.repetition, Repetition()),
        (settings.json_format, JsonFormat()),
        (settings.code_block, CodeBlock()),
    )
    switched_on = tuple(validator for is_on, validator in built_in if is_on)
    return switched_on + tuple(load_custom(name) for name in settings.custom)


def judge(validators: tuple[Validator, ...], draft: Draft, ask: Ask) -> Verdict:
    """Return the first rejection, or `ACCEPTED`.

    An answer that a content filter cut or that is declared a refusal is never rejected: escalation
    must not shop around it (FAULTS, row 15).
    """
    if draft.finish_reason in _FINAL:
        return ACCEPTED
    for validator in validators:
        reason = validator.check(draft, ask)
        if reason:
            return Verdict(validator.name, reason)
    return ACCEPTED
