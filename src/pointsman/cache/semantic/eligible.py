"""Eligible: which prompts may share an answer with one that is worded otherwise.

Not those whose answer is another tomorrow, or another for somebody else; not secrets; not what is
no English sentence, for there the rules know nothing.
"""

import re

from pointsman.cache.semantic.language import is_english
from pointsman.cache.semantic.lexicon import PERIODS, TIME_WORDS
from pointsman.cache.semantic.opaque import split_fences, split_quotes

_PROSE_CHARACTERS_MAX = 600
_TEXT_CHARACTERS_MAX = 20_000
_QUOTE_CHARACTERS_MAX = 2_000

_WORD = re.compile(r"[a-z0-9']+")
_TIME = re.compile(
    r"\b(?:(?<!and )(?<!but )now|" + "|".join(sorted(TIME_WORDS))
    + r"|at the moment|right now|as of now|so far|these days|"
    r"(?:this|next|last|past|coming|previous) (?:\d+ )?(?:"
    + "|".join(sorted(PERIODS)) + r")s?)\b"
)  # fmt: skip
_SECRET = re.compile(
    r"\b(?:passw(?:or)?d|passphrase|pin|secret|token|api[ _-]?key|key|credential)s?\b ?(?:is|:|"
    r"=) ?\S"
    r"|\b(?:sk|pk|ghp|gho|xox[abp]|eyj|akia)[-_a-z0-9]{12,}"
    r"|\b[\w.+-]{1,64}@[\w-]{1,63}\.\w"
    r"|\b(?:\d[ -]?){13,19}\b"
    r"|-----begin"
)
_CLOCK = re.compile(r"\bwhat(?: is|'s)? (?:the )?time\b|\bwhat (?:day|date|year) is it\b")
_CLOCK_TOLD = re.compile(r"\d ?(?:[ap]\.?m\b|o'clock|:\d\d)")
# Facts about the asker, or a look at what is theirs. Advice is the same for everybody ("how do I
# reset my password"), and so is what is named by an identifier.
_OWN = re.compile(r"\b(?:my|our|mine|ours)\b")
_ASKS_FACT = re.compile(
    r"\bhow (?:many|much|long|old|far|often|soon)\b"
    r"|^(?:when|where|who|whose|what|which)(?: |'s )"
    r"|\b(?:balance|status|remaining)\b"
    r"|^(?:summar\w+|analy[sz]e|review|read|show|list|check|open|find|count)\b"
    r"|\b(?:do|have|had|am|did|are|can) (?:i|we) "
    r"(?:have(?! to\b)|had|still|already|left|owe|owed|get|got)\b"
    r"|\b(?:i|we) have (?:left|used|taken|remaining)\b|^(?:am|was) i\b"
)
_ADVICE = re.compile(
    r"\bhow (?:do|can|could|should|would|to)\b|\bsteps\b|\bshould i\b|\badvice\b|\btips\b|\bideas\b"
    r"|\bwhat (?:should|can|could|do) (?:i|we)\b|\bways? (?:to|of|for)\b|\bcauses?\b|\bwhy\b|, how$"
    r"|\ba good\b|\brecommend|\bsuggest"
)
_IDENTIFIER = re.compile(r"\b[a-z]{0,4}-?\d{3,}\b")
_CODE_LIKE = re.compile(r"[{};=<>|\\]")


def may_enter(prompt: str) -> bool:
    """Return whether a normalised prompt may share its answer beyond its own words."""
    if len(prompt) > _TEXT_CHARACTERS_MAX:
        return False
    prose: list[str] = []
    for block in split_fences(prompt):
        if block.is_opaque:
            continue
        if "\n" in block.text.strip():
            return False
        for span in split_quotes(block.text):
            if not span.is_opaque:
                prose.append(span.text)
            elif len(span.text) > _QUOTE_CHARACTERS_MAX:
                return False
    said = " ".join(" ".join(prose).split())
    if not 3 <= len(said) <= _PROSE_CHARACTERS_MAX or not is_english(said):
        return False
    if _CLOCK.search(said) and not _CLOCK_TOLD.search(said):
        return False
    return not (_TIME.search(said) or _SECRET.search(said) or _is_personal(said) or _is_code(said))


def _is_personal(said: str) -> bool:
    """Return whether the answer depends on who asks."""
    if _IDENTIFIER.search(said) or not _ASKS_FACT.search(said):
        return False
    if re.search(r"\b(?:i|we) have (?:left|used|taken|remaining)\b", said):
        return True
    return bool(_OWN.search(said)) and not _ADVICE.search(said)


def _is_code(said: str) -> bool:
    return len(_CODE_LIKE.findall(said)) * 12 > len(said)
