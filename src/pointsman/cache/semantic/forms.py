"""Forms: the many ways in which English asks one thing, brought to one.

A rule here rests on grammar: indirect requests ("could you tell me"), ways to ask how, what or
whether, definitions, fronted topics, genitives, conversions, comparisons. A rule reads the tokens
joined by spaces, with what is hard (numbers, quotes, code, names) as `⟨0⟩` (a number) or
`⟦0⟧` (any other), so that no word of a
quotation is ever taken for grammar.
"""

import re

from pointsman.cache.semantic.frames import (
    CODE,
    FRAMES,
    ITEM,
    PHRASES,
    TRANSLATIONS,
    Rules,
    rules,
)
from pointsman.cache.semantic.lexicon import VERBS
from pointsman.cache.semantic.usage import USAGE

_VERB = (
    r"(?:tell|explain|show|give|help|list|name|write|describe|find|suggest|recommend|provide|check|"
    r"calculate|compute|convert|translate|summarize|summarise|schedule|book|arrange|cancel|"
    r"generate|"
    r"create|draft|compose|make|extract|return|classify|label|refer|let|teach|define|compare|plan|"
    r"propose|outline|rewrite|fix|solve|remove|set|point|clarify|walk|identify|confirm)"
)
_WHO = r"(?:i|you|we|one|someone|somebody|people|a person)"
_WAY = r"(?:ways?|methods?|steps|procedure|process|instructions?|approach)"
_BEST = r"(?:(?:the|a|some|any|your) )?(?:(?:best|good|right|proper|correct|recommended|usual) )?"


# Said before the request itself.
_OPENINGS = rules(
    (
        (rf"^(?:can|could|would|will) you (?:please )?(?:also )?(?={_VERB}\b)", ""),
        (
            r"^(?:i would|i should|i) (?:like|want|need|wish|love) (?:you )?to know (?:about )?",
            "tell me ",
        ),
        (
            r"^(?:i am|i was|was|am|just) (?:just )?(?:wondering|curious|asking) ?(?:about )?,? ?",
            "tell me ",
        ),
        (
            r"^(?:do|would|can) you (?:happen to )?(?:know|tell)(?: me)? (?=(?:what|who|where|"
            r"when|how|why|if|"
            r"whether|which)\b)",
            "tell me ",
        ),
        (
            r"^(?:i would like|i need|i want|i am looking for|looking for|find me|"
            r"find us) (?=(?:a|an|some|the) )",
            "give me ",
        ),
        (
            r"^(?:help me|i need you to|i want you to|i would like you to|please) (?:to )?(?="
            + _VERB
            + r"\b)",
            "",
        ),
        (r"^(?:provide|supply|present) (?:me )?(?:with )?", "give me "),
        (r"^(?:explain|describe|clarify|tell|show|teach) (?:to )?(?:me|us) ", r"explain_ "),
        (
            r"^(?:explain|describe|clarify) (?=how to|how (?:do|does|can|could|should|did)\b)",
            "explain_ ",
        ),
        (r"^explain_ (?:about )?(?=(?:what|who|where|when|why|which) )", ""),
        (r"^explain_ (?=how\b)", ""),
        (r"^(?:explain|describe) (?=(?:what|why|who|when|where|which|how)\b)", ""),
        (r"^explain_ (?:if|whether) ", "whether "),
        (r"^explain_ about ", "explain_ "),
    )
)
# How to do something.
_HOW_TO = rules(
    (
        (rf"^how (?:do|does|can|could|would|might) {_WHO} (?:go about |best )?", "howto "),
        (r"^how to (?:go about )?", "howto "),
        (
            rf"^(?:what (?:is|are|would be) )?{_BEST}{_WAY} (?:to|for|of|in order to|i can) ",
            "howto ",
        ),
        (
            rf"^(?:explain_|give me|show me|name|list|i need|tell me) {_BEST}{_WAY} (?:to|for|of) ",
            "howto ",
        ),
        (
            r"^(?:explain|describe|learn|explain_|show me|in what way|by what means) how "
            rf"(?:to|i can|{_WHO} can|do {_WHO}) ",
            "howto ",
        ),
        (
            r"^(?:i|we) (?:would like|want|need|am trying|are trying|wish|"
            r"have) to (.+?) ,? ?(?:but )?how "
            r"(?:do|can|should|would|could) (?:i|we)(?: (?:go about|do|achieve|accomplish))?"
            r"(?: (?:that|it|this|so))?$",
            r"howto \1",
        ),
        (
            r"^(?:i|we) (?:would like|want|need|am trying|wish) to (.+?) ,? ?what (?:is|are) the "
            r"(?:steps|way|procedure)$",
            r"howto \1",
        ),
        (r"^(?!howto )(.+?) , how$", r"howto \1"),
        (r"^howto (?:i |you |we )?(?:to )?", "howto "),
    )
)
# What something is, or means.
_WHAT = rules(
    (
        (r"^(?:what does|what do) (.+?) (?:mean|stand for|signify|refer to)$", r"define \1"),
        (r"^(.+?) , what does (?:it|that|this) mean$", r"define \1"),
        (r"^(.+?) : what does (?:it|that|this) mean$", r"define \1"),
        (
            r"^(?:what (?:is|are) (?:the )?)?(?:the )?(?:meaning|definition) (?:of|for|behind) ",
            "define ",
        ),
        (
            r"^(?:explain|describe|explain_|give me|tell me|give) (?:the )?(?:meaning|"
            r"definition) of ",
            "define ",
        ),
        (r"^(?:what is|explain_) meant by ", "define "),
        (r"^(?:explain|explain_)(?: to me)? (?:what )?(.+?) (?:is|are|means|mean)$", r"define \1"),
        (r"^(?:explain|explain_) what (?:is|are) ", "define "),
        (r"^what ([^ ]+(?: [^ ]+)?) (?:is|are)$", r"define \1"),
        (r"^(?:explain|explain_) (.+?) to me$", r"define \1"),
        (r"^explain ", "define "),
        (
            r"^(?:tell|give|show) me (?:about )?(?=(?:what|who|where|when|why|which|how|if|"
            r"whether)\b)",
            "",
        ),
        (
            r"^what (?:is|are) (?!the |a |an |my |your |our |"
            r"their )(?!⟨)((?:[^,:;?()| ]+ ?){1,3})$",
            r"define \1",
        ),
        (r"^(?:what|which) (?:is|are) (?:a|an) ((?:[^,:;?()| ]+ ?){1,2})$", r"define \1"),
        (r"^(?:calculate|compute|evaluate|determine|work out|figure out) ", "what is "),
        (
            r"^find (?:me )?(?=(?:the )?(?:value|sum|product|square|cube|root|derivative|"
            r"integral|area|"
            r"volume|average|mean|median|result)\b)",
            "what is ",
        ),
        (r"^how much (?:is|are|does|do) (?=⟨)", "what is "),
        (r" (?:equals|is|are|=|equal|makes?) (?:to )?what$", ""),
        (r"^how (?:large|big|high|great) (?:is|are|was) the ", "what is the "),
        (r"^(?:what|which) (?:was|were) ", "past "),
        (r"^(?:what|which) (?:is|are) ", ""),
        (
            r"^(?:what|which) (?!(?:can|could|should|will|would|may|might|must|do|does|did|has|"
            r"have|had|past)\b)",
            "",
        ),
        (r"^(?:tell|give|show) me (?!(?:how|if|whether|why)\b)", ""),
        (r"^explain_ (?!(?:how|if|whether|why)\b)", ""),
        (
            r"^(?:name|list|show|identify|give)(?: me)? (?=(?:the|a|an|all|some|any|each|both|"
            r"me)\b|[^ ]+s\b)",
            "",
        ),
        (r"^(?:a |the )?(?:complete |full )?list of (?=[^ ]+s\b)", ""),
    )
)
# Whether, who, when, why.
_ASKED = rules(
    (
        (
            r"^(?:(?:check|determine|verify|test|see|know|find out|tell) )?"
            r"(?:if|whether) ([^,|]+?) "
            r"(is|are|was|were|can|does|do|did|will|should|has|have) (?=[^,|]*$)",
            r"\2 \1 ",
        ),
        (
            r"^(?:am i|are you|are we|is one|is it|are people) (?:allowed|permitted|ok|okay|"
            r"possible)"
            r"(?: for (?:me|us|you|people))? to ",
            "can i ",
        ),
        (r"^may i ", "can i "),
        (
            r"^(?:what is|explain_|give me|tell me) the (?:reason|cause)s? (?:why|that|for which) ",
            "why ",
        ),
        (
            r"^(?:past |what is |what was )?(?:the )?"
            r"(publication|release|founding|birth|death|start|end) "
            r"(year|date) of (.+)$",
            r"what \2 past \3 \1_",
        ),
        (r"^how come ", "why "),
        (r"^why (?:is it that|do|does) ", "why "),
        (r"^(?:in|during) (?:what|which) (year|month|century|decade) ", r"what \1 "),
        (r"^which (year|month|day|date) ", r"what \1 "),
        (r"^(?:on|at) (?:what|which) (date|day|time) ", r"what \1 "),
        (
            r"^(?:who is|who was|name|what is the name of|explain_|give me) (?:the )?(?:author|"
            r"writer) of ",
            "who wrote ",
        ),
        (
            r"^(?:who is|who was|name|explain_|give me) (?:the )?(inventor|director|founder|"
            r"painter|"
            r"composer|creator|discoverer|designer|producer|winner) of ",
            r"who \1 ",
        ),
        (
            r"^(.+?) (?:was|were|is) (written|invented|directed|founded|painted|composed|created|"
            r"discovered|designed|produced|won) by (?:whom|who|which person)$",
            r"who \2 \1",
        ),
        (
            r"^by (?:whom|who) (?:was|were|is) (.+?) (written|invented|directed|founded|painted|"
            r"composed|"
            r"created|discovered|designed|produced|won)$",
            r"who \2 \1",
        ),
    )
)
_EVENTS = {
    "publication_": "published",
    "release_": "released",
    "founding_": "founded",
    "birth_": "born",
    "death_": "died",
    "start_": "begin",
    "end_": "end",
}
_AGENTS = {
    "inventor": "invented", "director": "directed", "founder": "founded", "painter": "painted",
    "composer": "composed", "creator": "created", "discoverer": "discovered", "winner": "won",
    "designer": "designed", "producer": "produced", "written": "wrote",
}  # fmt: skip
_TOPIC = re.compile(r"^(?:in|on|with|using|for) ((?:[^,:;?()| ]+ ?){1,3}) , (?=\S)(.+)$")
_COLON_TOPIC = re.compile(rf"^({ITEM}) : (.+)$")
_ASIDE = re.compile(rf"^(.+) \( ({ITEM}) \)$")
_PAIR = re.compile(r"^(differ|compare) ⟪(.+?)⟫ ⟪(.+?)⟫$")
_ARTICLE = re.compile(r"\b(?:a|an|the) ")
_ROUNDS_MAX = 4


def one_form(text: str) -> str:
    """Return the tokens, joined by spaces, in one form of asking. Pure, and of bounded time."""
    text = text.strip(" ?|:;,")
    if found := _ASIDE.match(text):
        text = f"{found[1]} in {found[2]}"
    if (found := _TOPIC.match(text)) and _is_topic(found):
        text = f"{found[2]} in {found[1].strip()}"
    elif (found := _COLON_TOPIC.match(text)) and _is_topic(found) and found[1] not in VERBS:
        asked = "howto " if found[2].split(" ", 1)[0] in VERBS else ""
        text = f"{asked}{found[2]} in {found[1].strip()}"
    text = _replaced(PHRASES, text)
    for _ in range(_ROUNDS_MAX):
        before = text
        text = _first(_OPENINGS, text)
        text = _first(_HOW_TO, text)
        text = _first(TRANSLATIONS, text)
        text = _first(CODE, text).rstrip()
        text = _first(USAGE, text).rstrip()
        text = _first(_ASKED, text)
        text = _first(FRAMES, text)
        text = _first(_WHAT, text).strip(" ?|:;,")
        if text == before:
            break
    return _agents(_pairs(text))


def _is_topic(found: re.Match[str]) -> bool:
    return "⟨" not in found[1] and "⟦" not in found[1]


def _first(written: Rules, text: str) -> str:
    for pattern, form in written:
        text = pattern.sub(form, text, count=1)
    return text


def _replaced(written: Rules, text: str) -> str:
    for pattern, form in written:
        text = pattern.sub(form, text)
    return text


def _pairs(text: str) -> str:
    """Return the sides of a comparison in one order."""
    found = _PAIR.match(text)
    if not found:
        return re.sub(r"[⟪⟫]", "", text)
    sides = sorted(_ARTICLE.sub("", side).strip() for side in found.group(2, 3))
    return f"{found[1]} {sides[0]} and {sides[1]}"


def _agents(text: str) -> str:
    """Return `who wrote` for `who is the author of`, `when … end` for the end's date."""
    first, _, rest = text.partition(" ")
    second, _, last = rest.partition(" ")
    if first == "who" and second in _AGENTS:
        return f"who {_AGENTS[second]} {last}"
    before, _, event = text.rpartition(" ")
    if event in _EVENTS:
        return f"{before} {_EVENTS[event]}".replace("what date", "when", 1).replace(
            "what year", "year", 1
        )
    return text
