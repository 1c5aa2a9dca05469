"""Keeping: which answers may be given again. What is not sure to be as good the next time is not.

Words and shapes of English and of common keys: a guess, that errs on the side of asking anew.
"""

import re

from pointsman.core.cache_key import AnswerKeys
from pointsman.core.events import Event, TextDelta, ToolCallDelta
from pointsman.core.needs import Need
from pointsman.core.types import Features, Request
from pointsman.gate import Committed
from pointsman.recording import Recording
from pointsman.validators.refusal import declines

# A stated temperature above this asks for another answer each time.
TEMPERATURE_MAX = 0.3
# Of a longer text what is looked at for words of time: an ask stands at one of its ends.
_END_CHARS = 2_000
_SECRET_CHARS_MAX = 64 * 1024

_DATED = re.compile(
    r"""\b(?:
        today|tonight|tomorrow|yesterday|nowadays|currently|latest|newest|recent(?:ly)?|upcoming
      | (?:right|just|as\ of|until|by|up\ to)\ now | now(?=\s*[?.!]*\s*\Z)
      | current\ (?!(?:working\ )?(?:director|folder|file|line|user|path|branch|code|class))
      | at\ (?:the|this)\ moment | these\ days | so\ far\ this
      | this\ (?:morning|afternoon|evening|week|weekend|month|quarter|year|season)
      | (?:last|next)\ (?:night|week|weekend|month|quarter|year|season
            |(?:mon|tues|wednes|thurs|fri|satur|sun)day)
      | what(?:'s|\ is|\ was)?\ (?:the\ )?(?:time|date|day)\b
      | (?:days|weeks|months)\ (?:until|since)
      | weather|forecast|headlines|news|stock\ price|share\ price|exchange\ rate|score\ of
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_SECRET = re.compile(
    r"""
        \b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,} | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b | \bAIza[\w-]{30,}
      | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
      | \bxox[abprs]-[\w-]{10,} | \beyJ[\w-]{8,}\.eyJ[\w-]{8,} | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY
      | (?i:\b(?:password|passwd|passphrase|secret|api[_\ -]?key|access[_\ -]?token)\b
            ["']?\s*(?:is|[:=])\s*["']?[^\s"']{4,})
      | \b(?i:bearer)\ [A-Za-z0-9._~+/-]{20,} | ://[^\s/:@]+:[^\s/@]+@
    """,
    re.VERBOSE,
)
# One of these stands in whatever that finds; to look for them takes a hundredth of the time.
_SECRET_MARKS = (
    *("sk", "pk", "rk", "akia", "asia", "aiza", "gh", "glpat-", "xox", "eyj", "-----begin"),
    *("password", "passwd", "passphrase", "secret", "key", "token", "bearer", "://"),
)

# What `[cache] also_keep` may name.
VARIED, CHOICES, DATED, SECRETS, TOOL_CALLS = ALSO = (
    *("varied", "choices", "dated", "secrets", "tool_calls"),
)


def may_keep(
    committed: Committed,
    recording: Recording,
    *,
    request: Request,
    features: Features,
    keys: AnswerKeys,
    also: frozenset[str],
) -> bool:
    """Return whether an answer is whole, accepted, and would be as good the next time.

    `also`: which of `ALSO` do not matter.
    """
    if committed.is_empty or not committed.is_accepted or not request.caller.terms.may_keep:
        return False
    reasons = {"stop", "tool_calls"} if TOOL_CALLS in also else {"stop"}
    if committed.finish_reason not in reasons:
        return False
    if TOOL_CALLS not in also and ToolCallDelta in map(type, recording.events):
        return False
    if request.choices > 1 and CHOICES not in also:
        return False
    if keys.temperature is not None and keys.temperature > TEMPERATURE_MAX and VARIED not in also:
        return False
    if Need.EMBEDDINGS in request.needs:
        return True
    asked, said = features.text, _said(recording.events)
    if said is None or declines(said):
        return False
    if DATED not in also and is_dated(asked):
        return False
    return SECRETS in also or not (has_secret(asked) or has_secret(said))


def is_dated(text: str) -> bool:
    """Return whether what is asked has another answer on another day."""
    if len(text) > 2 * _END_CHARS:
        text = f"{text[:_END_CHARS]} {text[-_END_CHARS:]}"
    return _DATED.search(text) is not None


def has_secret(text: str) -> bool:
    """Return whether a key, a password or a token stands in a text; its first 64 Ki characters."""
    text = text[:_SECRET_CHARS_MAX]
    lowered = text.lower()
    return any(mark in lowered for mark in _SECRET_MARKS) and _SECRET.search(text) is not None


def without_secrets(text: str) -> str:
    """Return a text to be shown, keys, passwords and tokens in it blanked."""
    return _SECRET.sub("(secret)", text)


def _said(events: list[Event]) -> str | None:
    """Return the text of an answer, None where the model says that it is a refusal."""
    texts = [event for event in events if isinstance(event, TextDelta)]
    if any(event.is_refusal for event in texts):
        return None
    return "".join([event.text for event in texts])
