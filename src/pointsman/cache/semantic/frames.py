"""Frames: phrases and sentences that say one thing in several shapes, as rules for `forms`.

Each rests on grammar or on fixed usage: particles, superlatives, comparisons, genitives,
conversions, translations, and code or a command that does a thing for how it is done.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

WH = r"(?:what|which|who|whom|whose|when|where|why|how)"
ITEM = r"[^,:;?()| ]+"
_NOUNS = rf"(?!{WH}\b){ITEM}(?: (?!{WH}\b){ITEM}){{0,2}}"

Rules: TypeAlias = tuple[tuple[re.Pattern[str], str], ...]


def rules(written: Iterable[tuple[str, str]]) -> Rules:
    """Return patterns with the forms that replace what they match."""
    return tuple((re.compile(pattern), form) for pattern, form in written)


# Wherever they stand.
PHRASES = rules(
    (
        (r"\b(?:turn|switch|toggle|put)(?:ing)? on\b", "enable"),
        (r"\b(?:turn|switch|toggle|shut)(?:ing)? off\b", "disable"),
        (
            r"\b(?:turn|switch)(?:ing)? ((?:[^,:;?()| ]+ ){1,3})on\b(?= (?:in|on|for|at)\b|$)",
            r"enable \1",
        ),
        (
            r"\b(?:turn|switch)(?:ing)? ((?:[^,:;?()| ]+ ){1,3})off\b(?= (?:in|on|for|at)\b|$)",
            r"disable \1",
        ),
        (r"\bcall(?:ed|ing)? off\b", "cancel"),
        (r"\bget(?:ting)? rid of\b", "delete"),
        (r"\b(?:log|sign) (?:in|on)(?:to| to)?\b", "login"),
        (r"\b(?:log|sign) out(?: of)?\b", "logout"),
        (
            r"\b(?:least expensive|lowest priced|lowest cost|most affordable|most inexpensive)\b",
            "cheapest",
        ),
        (
            r"\b(?:arrange|set up|book|organize)(?= (?:a|an|my|the) (?:⟨\d+⟩ )?(?:meeting|call|"
            r"appointment|"
            r"interview)\b)",
            "schedule",
        ),
        (r"\b(?:draft|compose|pen)(?= (?:me |us )?(?:a|an|the|some) )", "write"),
        (r"\bturn(?:ing)? down\b", "decline"),
        (r"\b(?:regular expression|reg ex)(s?)\b", r"regex\1"),
        (r"\bsquare root\b", "sqrt"),
        (rf"\b(?:the )?(?:city )?cent(?:er|re) of ({ITEM})", r"downtown \1"),
        (rf"(?<![^,:;?()| ])({ITEM}) (?:city|town) cent(?:er|re)\b", r"downtown \1"),
        (
            r"\brail (?=(?:tickets?|stations?|travel|journeys?|pass|fares?|connections?)\b)",
            "train ",
        ),
        (r"\bdelivery (?=(?:to|cost|fee|charges?|time)\b)", "shipping "),
        (r"\brich in\b", "high in"),
        (r"\bi would like\b", "i want"),
        (r"\b(?:last|previous|latest) (?=⟨)", "last "),
        (
            r"\b(?:while|when)(?: (?:i am|you are|she is|being))? pregnant\b|\bin pregnancy\b",
            "during pregnancy",
        ),
        (r"\bcapital city\b", "capital"),
        (r"\b(?:daily|every day|each day|a day)\b", "per day"),
        (r"\b(?:hourly|every hour|each hour|an hour)\b", "per hour"),
        (r"\b(?:weekly|every week|each week|a week)\b", "per week"),
        (r"\b(?:monthly|every month|each month|a month)\b", "per month"),
        (r"\b(?:yearly|annually|annual|every year|each year|a year|per annum)\b", "per year"),
        (r"\b(?:nightly|a night)\b", "per night"),
        (r"\bfor a while\b", "temporarily"),
        (r"\b(?:in|by) (?:an )?(ascending|descending|alphabetical|reverse) order\b", r"\1"),
        (r"\b(?:from )?(?:smallest|lowest) to (?:largest|highest|biggest|greatest)\b", "ascending"),
        (
            r"\b(?:from )?(?:largest|highest|biggest|greatest) to (?:smallest|lowest)\b",
            "descending",
        ),
        (
            r"\b(?:larger|bigger|greater|more|higher|over|above|exceeding|heavier|"
            r"longer) than (?=⟨)",
            "over ",
        ),
        (r"\b(?:smaller|less|fewer|lower|cheaper|lighter|shorter) than (?=⟨)", "under "),
        (r"\b(?:below|beneath) (?=⟨)", "under "),
        (r"\b(?:above|exceeding) (?=⟨)", "over "),
        (r"\b(?:at least|no less than|no fewer than|a minimum of|minimum of) (?=⟨)", "atleast "),
        (
            r"\b(?:at most|no more than|not more than|up to|a maximum of|maximum of) (?=⟨)",
            "atmost ",
        ),
        (
            r"\b(?:but )?(?:do|does|did)? ?not (?:use|using|contain|containing|include|"
            r"including)\b",
            "without",
        ),
        (r"\bwithout (?:using|containing|including|any|the use of)\b", "without"),
        (r"\bwith no\b", "without"),
        (r"\b(?:all of the|all the|all of|every)\b", "all"),
        (r"\bin order to\b", "to"),
        (r"\b(?:by means of|with the help of|by using|using|making use of)\b", "using"),
        (r"\b(?:regarding|concerning|on the (?:topic|subject) of|with regard to)\b", "about"),
        (r"\bright now|at the moment|at present|as of now\b", "now"),
        (r"\bas well as\b", "and"),
        (r"\brefus(?:es?|ed|ing) to\b", "will not"),
        (r"(?: :)? ([^ ]+) or not$", r" whether \1"),
        (r"\b(?:the )?(?:following|below) ", ""),
        (r"\b(?:this|these|the given) (?=[^⟦]{0,80}⟦)", ""),
        (r"^for how long\b", "how long"),
        (r"\b(?:do|does|did) not (?=start|turn|work|boot|load)", "not "),
    )
)
_LANGUAGE = (
    r"(?:arabic|bengali|bulgarian|chinese|croatian|czech|danish|dutch|english|estonian|finnish|"
    r"french|"
    r"german|greek|hebrew|hindi|hungarian|icelandic|indonesian|irish|italian|japanese|korean|latin|"
    r"latvian|lithuanian|malay|mandarin|norwegian|persian|polish|portuguese|punjabi|romanian|"
    r"russian|"
    r"serbian|slovak|slovenian|spanish|swahili|swedish|tamil|thai|turkish|ukrainian|urdu|"
    r"vietnamese|welsh)"
)
_TEXT = (
    r"(?:(?:the |this |these )?(?:sentences?|texts?|phrases?|words?|paragraphs?|expressions?) ?)?"
)
_RETRIEVED = (
    r"(?:gets?|lists?|returns?|selects?|shows?|finds?|fetch(?:es)?|retrieves?|getting|listing|"
    r"finding)"
)
TRANSLATIONS = rules(
    (
        (
            rf"^translate {_TEXT}(?:in)?to ({_LANGUAGE})(?: please)? ?[:,]? (⟦\d+⟧)$",
            r"translate \2 to \1",
        ),
        (rf"^translate {_TEXT}[:,]? ?(⟦\d+⟧) (?:in)?to ({_LANGUAGE})$", r"translate \1 to \2"),
        (
            rf"^(?:howto|how do you|how would you) (?:say|write|translate) {_TEXT}(⟦\d+⟧) (?:in|"
            rf"to|into) ({_LANGUAGE})$",
            r"translate \1 to \2",
        ),
        (
            rf"^(?:what is |give me |tell me )?(?:the |a )?({_LANGUAGE}) (?:translation|version|"
            rf"word|phrase) (?:of|for) "
            rf"{_TEXT}(⟦\d+⟧)$",
            r"translate \2 to \1",
        ),
        (
            rf"^(?:what is |give me |say |write )?{_TEXT}(⟦\d+⟧) in ({_LANGUAGE})$",
            r"translate \1 to \2",
        ),
    )
)
# Code that does a thing is how it is done; so is the command.
CODE = rules(
    (
        (
            rf"^(?:show me |give me |explain_ |what is )?(?:the |some |a )?"
            rf"(?:((?!explain_){ITEM}) )?(?:code|snippet|"
            rf"command)(?: snippet)?"
            r" (?:to|for|that|which) (.+)$",
            r"howto \2 in \1",
        ),
        (r"^(?:what|which) command (?:(?:can i use|do i use|is used) to )?", "howto "),
        (
            rf"^(?:write |give me |show me |i need |i want )?(?:me )?(?:a |an |some |"
            rf"the )?sql(?: query| statement)? "
            rf"(?:to|that|for|which|:)(?: {_RETRIEVED}\b)? ?(.+)$",
            r"sql query \1",
        ),
        (rf"^howto {_RETRIEVED} (.+) in sql$", r"sql query \1"),
        (r"^(sql query) (?:the )?top (⟨\d+⟩) (.+?) by (.+)$", r"\1 \2 \3 with highest \4"),
        (r"^(sql query) (?:the )?bottom (⟨\d+⟩) (.+?) by (.+)$", r"\1 \2 \3 with lowest \4"),
        (rf"^(sql query) (?:the )?(⟨\d+⟩) (highest|lowest) ({ITEM}) (.+)$", r"\1 \2 \5 with \3 \4"),
        (r"\bwith (?:the )?(?:most|largest|greatest|highest) ", "with highest "),
        (r"\bwith (?:the )?(?:least|smallest|fewest|lowest) ", "with lowest "),
        (r"^howto (.+) in $", r"howto \1"),
        (
            r"^how many (?:minutes|hours|days|weeks|months) (?=(?:does|do|did|will|would|should|"
            r"must|can) )",
            "how long ",
        ),
    )
)
# Whole sentences whose parts may stand in another order.
FRAMES = rules(
    (
        # A difference is the same from both sides.
        (
            r"^(?:explain |define |describe |explain_ )?(?:the )?(?:differences?|"
            r"distinctions?) between "
            r"(.+?) (?:and|vs|or) (.+)$",
            r"differ ⟪\1⟫ ⟪\2⟫",
        ),
        (r"^how (?:do|does|did) (.+?) and (.+?) differ(?: from each other)?$", r"differ ⟪\1⟫ ⟪\2⟫"),
        (r"^how (?:do|does|did) (.+?) differ from (.+?)$", r"differ ⟪\1⟫ ⟪\2⟫"),
        (
            r"^how (?:are|is) (.+?) (?:different|distinct) (?:from|to|than) (.+?)$",
            r"differ ⟪\1⟫ ⟪\2⟫",
        ),
        (r"^how (?:are|is) (.+?) and (.+?) different(?: from each other)?$", r"differ ⟪\1⟫ ⟪\2⟫"),
        (
            rf"^({_NOUNS}) vs ({_NOUNS})(?: [:,] (?:what is )?(?:the )?(?:differences?|"
            rf"different))?$",
            r"differ ⟪\1⟫ ⟪\2⟫",
        ),
        (r"^compare (.+?) (?:and|with|to|vs) (.+)$", r"compare ⟪\1⟫ ⟪\2⟫"),
        # A time of day elsewhere.
        (
            r"^what time (?:is it|will it be|would it be) in (.+?) (?:when|"
            r"if) it is (⟨\d+⟩) in (.+)$",
            r"clock \2 from \3 to \1",
        ),
        (
            r"^(?:if|when) it is (⟨\d+⟩) in (.+?) ,? ?what time (?:is it|will it be|"
            r"would it be) in (.+)$",
            r"clock \1 from \2 to \3",
        ),
        (r"^(⟨\d+⟩) in (.+?) is what time in (.+)$", r"clock \1 from \2 to \3"),
        # Which is the most so.
        (
            rf"^(?:which|what) ({ITEM}(?: {ITEM})?) (?:is|are) (?:the )?(nearest|closest|"
            rf"[a-z]+est) (.+)$",
            r"\2 \1 \3",
        ),
        (
            r"^(?:what is )?(?:the )?(?:lowest|cheapest) (?:price|cost|fare) (?:for|of|on) (?:a |"
            r"an |the )?",
            "cheapest ",
        ),
        # A quantity in another unit.
        (r"^convert (⟨\d+⟩(?: [^,:;?()| ]+)?) (?:to|into|in) (.+)$", r"convert \1 to \2"),
        (
            r"^how (?:many|much) ((?:[^,:;?()| ]+ ?){1,2}) (?:is|are|in|"
            r"does) (⟨\d+⟩(?: [^,:;?()| ]+)?)$",
            r"convert \2 to \1",
        ),
        (
            r"^(⟨\d+⟩(?: [^,:;?()| ]+)?) (?:equals|is|are|equal to|=) how (?:many|much) (.+)$",
            r"convert \1 to \2",
        ),
        (
            r"^(?:what is |how much is )?(⟨\d+⟩(?: [^,:;?()| ]+){0,2}?)(?: worth| equal|"
            r" expressed)? "
            r"(?:in|to) ((?:[^,:;?()| ]+ ?){1,2})$",
            r"convert \1 to \2",
        ),
        # Whose it is.
        (
            rf"^(?:(?:what|who|which) (?:is|are) |name |tell me |"
            rf"give me )?((?:(?!{WH}\b){ITEM} ){{1,3}})"
            rf"'s ({ITEM}(?: {ITEM})?)$",
            r"\2 of \1",
        ),
        # A substitute.
        (
            r"^what can (?:i|you|we|one) (?:use|substitute|take) (?:instead of|in place of|"
            r"as a substitute for|"
            r"for) ",
            "substitute for ",
        ),
        (
            r"^(?:what is )?(?:the |a |an )?(?:good |best |suitable )?(?:substitute|replacement|"
            r"alternative|"
            r"alternatives|substitutes) (?:for|to|of) ",
            "substitute for ",
        ),
        # What it costs.
        (r"^how much (?:does|do|did|would|will) (.+?) cost(?: me)?$", r"cost of \1"),
        (r"^what (?:do|does|would|will) (?:you|they|it) charge for (?:a |an |the )?", "cost of "),
        (
            rf"^(?:what is |how much is )?(?:the )?(?!cheapest|lowest|highest)({ITEM}) (?:cost|"
            rf"price|fee|charge)s?"
            r" (?=(?:to|for|of|in) )",
            r"cost of \1 ",
        ),
        (r"^(?:the )?(?:cost|price) (?:of|for) (?:a |an |the )?", "cost of "),
        (r"^how (?:does|do) ", "how "),
    )
)
