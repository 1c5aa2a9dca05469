"""Usage: what is asked for often, in the wordings that ask the same, as rules for `forms`.

Durations, cooking, possessions, numbers, messages, places, and code to be explained. A rule stands
here only where its wordings ask the same of anything that may fill them.
"""

from pointsman.cache.semantic.frames import ITEM, rules

_TRIP = r"(?:flight|drive|journey|trip|ride|walk|crossing)"
_COOK = (
    r"(?:boil|cook|bake|roast|fry|steam|grill|simmer|poach|braise|marinate|soak|chill|freeze|thaw)"
)
_COOKING = (
    r"(?:boiling|cooking|baking|roasting|frying|steaming|grilling|simmering|poaching|braising|"
    r"marinating|soaking|chilling|freezing|thawing)"
)
_THING = r"(?:account|password|subscription|profile|membership)"
_CODING = (
    r"(?:python|javascript|typescript|java|c|go|rust|ruby|php|sql|bash|shell|kotlin|swift|perl|r|"
    r"scala)"
)
_SNIPPET = rf"(?:the |this )?(?:{_CODING} )?(?:code|function|snippet|program|script|method)"
_MESSAGE = r"(?:email|letter|message|note|reply|text)"
_DAY = r"(monday|tuesday|wednesday|thursday|friday|saturday|sunday)"

USAGE = rules(
    (
        # How long a way takes.
        (
            rf"^how long (?:is|are|does|will) (?:the |a )?({_TRIP})(?: take)? (?=from\b)",
            r"duration \1 ",
        ),
        (rf"^(?:what is )?(?:the )?({_TRIP}) (?:duration|time|length) (?=from\b)", r"duration \1 "),
        (rf"^(?:what is )?(?:the )?duration of (?:the |a )?({_TRIP}) (?=from\b)", r"duration \1 "),
        (r"^(?:what is )?(?:the )?flying time (?=from\b)", "duration flight "),
        (r"^(?:what is )?(?:the )?driving time (?=from\b)", "duration drive "),
        (r"^how long (?:does|will|would) it take to fly (?=from\b)", "duration flight "),
        (r"^how long (?:does|will|would) it take to drive (?=from\b)", "duration drive "),
        (r"^how long (?:does|will|would) it take to walk (?=from\b)", "duration walk "),
        # How long to cook it.
        (
            rf"^how (?:long|many minutes|many hours) (?:should|do|does|must|would) "
            rf"(?:i|you|we|one) (?:need to |have to )?({_COOK}) (?:a |an |the )?",
            r"cooktime \1 ",
        ),
        (rf"^(?:what is )?(?:the )?({_COOKING}) time (?:for|of) (?:a |an |the )?", r"cooktime \1 "),
        (
            r"^i want (?:to )?(?:make|cook|bake|prepare) (.+?) ,? ?"
            r"what is (?:the|a|your|a good) recipe$",
            r"recipe for \1",
        ),
        (
            r"^i (?:have no|do not have(?: any)?|am out of|ran out of) (.+?) [|,;] what can "
            r"(?:i use instead|replace it|i replace it with|substitute it)\b",
            r"substitute for \1",
        ),
        # Whose it is.
        (rf"\b({_THING}) (?:on|for|at|with|of|to) (?:the |my )?({ITEM})$", r"\2 \1"),
        (
            r"^i (?:forgot|lost|do not remember) my (.+? password) ,? ?how (?:can|do) i "
            r"(reset|recover) it$",
            r"howto \2 \1",
        ),
        # Numbers, and what is counted.
        (r"\bthe number (?=⟨)", ""),
        (r"\ba (prime|even|odd|perfect|natural|rational|square) number\b", r"\1"),
        (
            r"\bhttp (?:status code|error code|response code|status|error|code) (?=⟨)",
            "http ",
        ),
        (r"\b(http ⟨\d+⟩) (?:status|error|response)(?: code)?\b", r"\1"),
        (r"\bbill of (⟨\d+⟩)", r"\1 bill"),
        (r"^how much (?:is|are) (?:a |an |the )(?=⟨)", ""),
        (
            r"^(?:what is )?(?:the )?number of (?:inhabitants|people living|residents) (?:of|in) ",
            "population of ",
        ),
        (
            r"^how many (?:people|inhabitants|residents) (?:live|are there|are living) in ",
            "population of ",
        ),
        (r"\b(over|under|atleast|atmost) (⟨\d+⟩) in size\b", r"\1 \2"),
        # All that there are: a plural alone says so.
        (
            r"\b(find|list|show|extract|get|return|select|display) all (?:the )?(?=[^ ]+s\b)",
            r"\1 ",
        ),
        (r"^howto (?:find|list|show|display|locate|get) (?=files\b)", "howto find "),
        (r"\b(?:shipping|postage) (?:for|of|in) ", "shipping to "),
        (r"^how much (?:is|are) (?=(?:shipping|postage|admission|tuition)\b)", "cost of "),
        (r"^(?:(?:which|what) )?city is (?:the )?capital\b", "capital"),
        (r"^(?:check|see|look up|find out) (?:the )?status of ", "status of "),
        (
            r"^is it (safe|dangerous|ok|okay|healthy|harmful) to take (.+?) "
            r"(?=(?:during|while|when|before|after) )",
            r"is \2 \1 ",
        ),
        # Messages, meetings, suggestions.
        (rf"\b({_MESSAGE}) (?:that|which|to) (polite|formal|kind|brief)ly ", r"\2 \1 to "),
        (rf"\b{_DAY} (meeting|call|appointment|lunch|dinner|interview)\b(.*)$", r"\2\3 on \1"),
        (
            r"^(?:what|which) are (?:some |a few )?(?:good|great|nice|recommended) (?=[^ ]+s\b)",
            "suggest ",
        ),
        (r"^(?:recommend|suggest|propose) (?:me )?(?:some |a few |any )?", "suggest "),
        (r"^write (?:me )?(?:a |an |the )?(?=regex\b)", ""),
        (r"\bregex (?:to match|that matches|which matches|matching) ", "regex for "),
        # Events.
        (r"\b(?:break|breaks|broke) out$", "begin"),
        (r"^((?:what year|what month|when) (?:was|were|is) .+?) over$", r"\1 end"),
        (r"\b(?:contain|have) (?:a lot of|lots of|plenty of|high amounts of) ", "high in "),
        (r"\b(?:contain|have) (?:little|low amounts of|small amounts of) ", "low in "),
        # Code to be explained.
        (rf"^(?:explain|define|describe) {_SNIPPET} ?[:|?]? (⟦\d+⟧)$", r"explaincode \1"),
        (
            rf"^(?:describe|explain) (?:the )?behaviou?r of {_SNIPPET} ?[:|?]? (⟦\d+⟧)$",
            r"explaincode \1",
        ),
        (rf"^what does {_SNIPPET} do ?[:|?]? (⟦\d+⟧)$", r"explaincode \1"),
        (rf"^(?:explain |explain_ )?what {_SNIPPET} does ?[:|?]? (⟦\d+⟧)$", r"explaincode \1"),
    )
)
