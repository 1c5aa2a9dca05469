"""Too short: a long ask brushed off with a few words."""

import re
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from pointsman.validators.draft import Ask, Draft, is_cut_by_client

# Scripts written without spaces (Thai, Lao, Burmese, Khmer, kana, Han, Hangul): there each letter
# counts as a word, which errs towards accepting.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
# `total = sum(x)` is three words: code counts as what it names.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")

# A client that allows fewer tokens than this does not expect sentences: 12 words are about 16.
_TOKENS_FOR_PROSE = 64
_END_CHARS = 4000

# Wordings that let an answer be a few words. Wide on purpose: a missed brush-off costs nothing, a
# wrong rejection costs a call to a dearer tier.
_WISHES = (
    r"yes[ /]*(?:or|/|,)[ /]*no|true[ /]*(?:or|/)[ /]*false|y/n",
    r"(?:one|single|two|three|few|\d+)[ -](?:words?|letters?|characters?|lines?|liner|sentences?)",
    r"(?:only|just) (?:with |the |an? |one )*(?:numbers?|names?|answer|words?|letter|result|value)",
    r"only (?:reply|respond|answer|return|output|print|say|write|give)",
    r"(?:reply|respond|answer|return|output|print|say|write)(?: \w+)? (?:only|just|exactly)",
    r"nothing (?:but|else)|briefly|in brief|concise|concisely|terse|(?:keep it|be|answer) short",
    r"no explanations?|(?:without|do not|don't) (?:any )?(?:explain|explanations?|explaining)",
    r"classify|classification|categori[sz]e|label|sentiment|rate|rating|extract|choose|pick",
    r"title for|headline|subject line|slogan|tagline|slug|regex|the (?:\w+ )?command",
    r"calculate|solve for|final answer|remember this|acknowledge|confirm|wait for|ready\?",
)
_WISHES_FEW_WORDS = re.compile(rf"\b(?:{'|'.join(_WISHES)})(?!\w)", re.IGNORECASE)
# A sentence that asks for one fact, and the options of a multiple choice.
_ASKS_FOR_A_FACT = re.compile(
    r"(?:^|[.!?:;\n])\s?(?:and |so |then )?(?:which|who|whom|whose|when|where|how (?:many|much|old"
    r"|long|far)|what(?:'s| is| was| are| were)|is|are|was|were|does|do|did|has|have)\b"
    r"[^.!?\n]{0,300}\?"
    r"|^[ \t(]*[A-D][).:] ",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class TooShort:
    """Rejects fewer than `min_words` words for an ask of at least `long_ask_words`.

    60 words are three or four sentences: such an ask sets out a task with its conditions, which a
    sentence cannot meet, while most questions that a word may answer are shorter. 12 words are
    one short sentence. 0 `min_words` accepts everything.
    """

    min_words: int = 12
    long_ask_words: int = 60
    name: ClassVar[str] = "too_short"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return a reason when a whole answer is a brush-off that nothing in the ask permits."""
        if not draft.is_whole or draft.tool_calls:
            return ""
        words = len(list(islice(_WORD.finditer(draft.text), self.min_words)))
        if words >= self.min_words or ask.features.words < self.long_ask_words:
            return ""
        if is_cut_by_client(draft, ask) or _may_be_short(ask):
            return ""
        return f"{words} words for an ask of {ask.features.words}, fewer than {self.min_words}"


def _may_be_short(ask: Ask) -> bool:
    """Return whether the ask wants few words: by its form, its token limit or its wording.

    In a tool loop the long text is an earlier ask, and "Done." may be all that is left to say.
    """
    features = ask.features
    return (
        ask.response_format is not None
        or features.is_tool_loop
        or (features.max_tokens is not None and features.max_tokens < _TOKENS_FOR_PROSE)
        or _ASKS_FOR_A_FACT.search(_ends(features.text)) is not None
        or _WISHES_FEW_WORDS.search(_ends(features.text)) is not None
        or _WISHES_FEW_WORDS.search(_ends(features.system)) is not None
    )


def _ends(text: str) -> str:
    """Return a text without its middle: instructions stand before or after what they are about."""
    if len(text) <= 2 * _END_CHARS:
        return text
    return f"{text[:_END_CHARS]}\n{text[-_END_CHARS:]}"
