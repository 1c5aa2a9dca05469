"""Keeping: which answers may be given again. What is not sure to be as good the next time is not.

Words and shapes of English and of common keys: a guess, that errs on the side of asking anew.
"""

import re
from collections.abc import Container, Iterator

from pointsman.core.cache_key import AnswerKeys
from pointsman.core.events import Event, TextDelta, ToolCallDelta
from pointsman.core.needs import Need
from pointsman.core.types import Features, Request
from pointsman.gate import Committed
from pointsman.recording import Recording
from pointsman.validators.refusal import declines

# A stated temperature above this asks for another answer each time.
TEMPERATURE_MAX = 0.3
# A longer ask brings what it is about along: words of time in it are about that.
_DATED_CHARS_MAX = 400
_SECRET_CHARS_MAX = 32 * 1024

_WORD = re.compile(r"[a-z]+")
_DATED_WORDS = frozenset(
    {
        *("today", "tonight", "tomorrow", "yesterday", "nowadays", "currently", "latest", "newest"),
        *("recent", "recently", "upcoming", "weather", "forecast", "headlines", "news"),
    }
)
# One of these is in whatever else is dated.
_DATED_MARKS = frozenset(
    {
        *("now", "current", "moment", "days", "far", "this", "last", "next", "time", "date", "day"),
        *("weeks", "months", "price", "rate", "score"),
    }
)
_DATED = re.compile(
    r"""\b(?:
        (?:right|just|as\ of|until|by|up\ to)\ now | now(?=\s*[?.!]*\s*\Z)
      | current\ (?!(?:working\ )?(?:director|folder|file|line|user|path|branch|code|class))
      | at\ (?:the|this)\ moment | these\ days | so\ far\ this
      | this\ (?:morning|afternoon|evening|week|weekend|month|quarter|year|season)
      | (?:last|next)\ (?:night|week|weekend|month|quarter|year|season
            |(?:mon|tues|wednes|thurs|fri|satur|sun)day)
      | what(?:'s|\ is|\ was)?\ (?:the\ )?(?:time|date|day)\b
      | (?:days|weeks|months)\ (?:until|since)
      | stock\ price | share\ price | exchange\ rate | score\ of
    )""",
    re.VERBOSE,
)

_VALUE = r"""["']?\s*(?:[:=]\s*["']?[^\s"']{4,99}|is\s+["']?(?=[^\s"']{,99}\d)[^\s"']{6,99})"""
# What a text must have in it, and then how each shape begins, in lower case, and goes on. No shape
# is without a bound: made to begin at every place, it would take time that grows by the square.
_SHAPES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "_",
        (
            *((mark, r"\w{16,99}") for mark in ("sk_", "pk_", "rk_", "github_pat_")),
            *((f"gh{kind}_", r"[a-z0-9]{20,99}") for kind in "pousr"),
            ("api_key", _VALUE),
            ("access_token", _VALUE),
        ),
    ),
    (
        "-",
        (
            *((mark, r"[\w-]{16,99}") for mark in ("sk-", "pk-", "glpat-")),
            ("xox", r"[abprs]-[\w-]{10,99}"),
            ("-----begin", r"[a-z ]{,20} private key"),
            ("api-key", _VALUE),
            ("access-token", _VALUE),
        ),
    ),
    ("pass", tuple((f"pass{rest}", _VALUE) for rest in ("word", "wd", "phrase"))),
    ("secret", (("secret", _VALUE),)),
    ("api", (("apikey", _VALUE), ("api key", _VALUE))),
    ("access token", (("access token", _VALUE),)),
    ("bearer ", (("bearer ", r"[\w.~+/-]{20,99}"),)),
    ("://", (("://", r"[^\s/:@]{1,99}:[^\s/@]{1,99}@"),)),
    ("eyj", (("eyj", r"[\w-]{8,99}\.eyj[\w-]{8,99}"),)),
    ("aiza", (("aiza", r"[\w-]{30,99}"),)),
    ("akia", (("akia", r"[a-z0-9]{16}(?![a-z0-9])"),)),
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
    if not may_come_again(request, features, keys, also):
        return False
    if Need.EMBEDDINGS in request.needs:
        return True
    said = _said(recording.events)
    return said is not None and may_be_said_again(said, also)


def may_come_again(
    request: Request, features: Features, keys: AnswerKeys, also: Container[str]
) -> bool:
    """Return whether what is asked has the same answer the next time."""
    if request.choices > 1 and CHOICES not in also:
        return False
    if is_varied(keys, also):
        return False
    if Need.EMBEDDINGS in request.needs:
        return True
    asked = features.text
    if DATED not in also and is_dated(asked):
        return False
    return SECRETS in also or not has_secret(asked)


def may_be_said_again(said: str, also: Container[str] = ()) -> bool:
    """Return whether a text is an answer, and nobody's secret."""
    return not declines(said) and (SECRETS in also or not has_secret(said))


def is_varied(keys: AnswerKeys, also: Container[str]) -> bool:
    """Return whether a request wants another answer each time."""
    if keys.temperature is None or VARIED in also:
        return False
    return keys.temperature > TEMPERATURE_MAX


def is_dated(text: str) -> bool:
    """Return whether what is asked has another answer on another day."""
    if len(text) > _DATED_CHARS_MAX:
        return False
    lowered = text.lower()
    words = set(_WORD.findall(lowered))
    if not words.isdisjoint(_DATED_WORDS):
        return True
    return not words.isdisjoint(_DATED_MARKS) and _DATED.search(lowered) is not None


def has_secret(text: str) -> bool:
    """Return whether a key, a password or a token stands in a text's first 32 Ki characters."""
    return next(_secrets(text[:_SECRET_CHARS_MAX]), None) is not None


def without_secrets(text: str) -> str:
    """Return a text to be shown, keys, passwords and tokens in it blanked."""
    shown, start = "", 0
    for first, end in sorted(_secrets(text)):
        if first >= start:
            shown, start = f"{shown}{text[start:first]}(secret)", end
    return shown + text[start:]


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield where secrets begin and end."""
    lowered = text.lower() if text.isascii() else "".join(map(_lower, text))
    for needed, shapes in _SHAPES:
        if needed in lowered:
            for mark, rest in shapes:
                yield from _found(text, lowered, mark, rest)


def _found(text: str, lowered: str, mark: str, rest: str) -> Iterator[tuple[int, int]]:
    at = lowered.find(mark)
    while at >= 0:
        is_within = mark[0].isalnum() and text[at - 1 : at].isalnum()
        if not is_within:
            shape = re.compile(re.escape(mark) + rest, re.IGNORECASE)  # it remembers these
            if found := shape.match(text, at):
                yield found.span()
        at = lowered.find(mark, at + 1)


def _lower(letter: str) -> str:
    """Return a letter in lower case, where that is one too: places stay what they are."""
    lowered = letter.lower()
    return lowered if len(lowered) == 1 else letter


def _said(events: list[Event]) -> str | None:
    """Return the text of an answer, None where the model says that it is a refusal."""
    texts = [event for event in events if isinstance(event, TextDelta)]
    if any(event.is_refusal for event in texts):
        return None
    return "".join([event.text for event in texts])
