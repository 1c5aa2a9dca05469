"""History: make a conversation that one deployment began fit for another. Pure; nothing said goes.

Reasoning is its maker's alone: sealed, so that no other can check it, and no part of what was said.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from pointsman.core.types import CallIds, Request, Step
from pointsman.core.wire.prompt import Call, Message, Part, Prompt, Result, Thinking

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGEST_CHARS_MAX = 24


def is_foreign(request: Request, step: Step) -> bool:
    """Return whether the request's history has anything that the step's deployment cannot take."""
    if request.signatures:
        keeps = keeper(request, step)
        if not all(map(keeps, request.signatures)):
            return True
    rule = step.deployment.call_ids
    for turn in request.turns:
        for made in turn.tool_call_ids:
            if valid_call_id(made, rule) != made:
                return True
    return False


def keeper(request: Request, step: Step) -> Callable[[str], bool]:
    """Return whether a signature may go to the step's deployment: only where that made it."""
    makers, own = request.history.makers, step.deployment.id
    return lambda signature: makers.get(signature) == own


def recalled(prompt: Prompt, call_signatures: Mapping[str, str]) -> Prompt:
    """Return the prompt with the signatures that calls had and the client's dialect left out."""
    if not call_signatures:
        return prompt
    messages = tuple(
        Message(message.role, tuple(_recalled(part, call_signatures) for part in message.parts))
        for message in prompt.messages
    )
    return msgspec.structs.replace(prompt, messages=messages)


def refit(prompt: Prompt, keeps: Callable[[str], bool], rule: CallIds) -> Prompt:
    """Return the prompt without foreign reasoning and signatures, its call ids as `rule` has them.

    Text, images, files, calls and results all stay, in their order; a message of which only
    reasoning was left goes.
    """
    messages = (
        Message(message.role, tuple(_refitted(message.parts, keeps, rule)))
        for message in prompt.messages
    )
    kept = tuple(
        new
        for new, old in zip(messages, prompt.messages, strict=True)
        if new.parts or not old.parts
    )
    return msgspec.structs.replace(prompt, messages=kept)


def valid_call_id(made: str, rule: CallIds) -> str:
    """Return the id of a tool call as a provider takes it: as it is, else a digest of it.

    The same id always gives the same one, so calls and results still meet.
    """
    is_long_enough = not rule.chars_exact or len(made) == rule.chars_max
    if len(made) <= rule.chars_max and is_long_enough and re.fullmatch(rule.pattern, made):
        return made
    length = rule.chars_max if rule.chars_exact else min(rule.chars_max, _DIGEST_CHARS_MAX)
    alphabet = _alphabet(rule.pattern, length)
    number = int.from_bytes(hashlib.sha256(made.encode("utf-8", "surrogatepass")).digest())
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(digits)


@lru_cache(maxsize=64)
def _alphabet(pattern: str, length: int) -> str:
    """Return the letters and digits of which an id that matches `pattern` can be made."""
    fitting = (char for char in _LETTERS if re.fullmatch(pattern, char * length))
    return "".join(fitting) or _LETTERS


def _recalled(part: Part, call_signatures: Mapping[str, str]) -> Part:
    if isinstance(part, Call) and not part.signature and part.id in call_signatures:
        return msgspec.structs.replace(part, signature=call_signatures[part.id])
    return part


def _refitted(parts: tuple[Part, ...], keeps: Callable[[str], bool], rule: CallIds) -> "list[Part]":
    left: list[Part] = []
    for part in parts:
        match part:
            case Thinking(signature=signature) if not signature or not keeps(signature):
                continue
            case Call(id=made, signature=signature):
                kept = signature if signature and keeps(signature) else ""
                left.append(
                    msgspec.structs.replace(part, id=valid_call_id(made, rule), signature=kept)
                )
            case Result(call_id=made):
                left.append(msgspec.structs.replace(part, call_id=valid_call_id(made, rule)))
            case _:
                left.append(part)
    return left
