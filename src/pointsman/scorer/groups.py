"""Groups: what form of task a prompt is, by plain signs of form; nothing here is learned."""

import re
from collections.abc import Sequence
from itertools import islice

GROUPS = (
    "choice",
    "long-choice",
    "code-reading",
    "programming",
    "maths",
    "word-problem",
    "edit",
    "code",
    "chat",
)
CATCH_ALL = "chat"  # whatever has no other form: no training data is typical of it

# Every search is over folded text: small letters, each digit 0, each blank but a new line a space.
_CONTEST_SIGNS = (
    b"sample input",
    b"sample output",
    b"\ninput",
    b"\noutput",
    b"\nconstraints",
    b"\nexample",
    b"test case",
    b"you are given",
    b" <= ",
    b"\\leq",
    b"programming problem",
    b"standard input",
)
_CONTEST_SIGNS_MIN = 3
_RESULT_ASKED = (
    b"== ??",
    b"containing the output",
    b"what is the output",
    b"what is printed",
    b"what will be printed",
    b"what does this print",
    b"what does it print",
    b"what does this return",
    b"what does it return",
    b"predict the output",
)
_FORMULA = re.compile(
    rb"\\(?:d?frac|sqrt|left|cdot|leq?|geq?|angle|overline|triangle|text|pi|circ|mathbb|begin|sum|int"
    rb"|times|lfloor|ldots|binom|log|sin|cos|tan|pmod|theta|alpha)(?![a-z])"
    rb"|\$[^$\n]{1,300}\$(?![a-z0({]|\.0)|\[asy\]"
).search
_QUANTITY_ASKED = (b"how m", b"what", b"how long", b"how far", b"how old", b"number of", b"find ")
_NUMBER_WORDS = frozenset(
    b"two three four five six seven eight nine ten dozen half twice double triple thirds".split()
)
_WORD_PROBLEM_BYTES_MAX = 1_200
_EDIT_BYTES_MAX = 1_000
_EDIT_LEAD = 6  # tokens before which the verb must come: "could you please ..."
_COURTESY = frozenset(
    b"please can could would will you kindly just now hi hello , i need to".split()
)
_EDIT_VERBS = frozenset(
    b"format reformat convert rename extract translate sort capitalize lowercase uppercase indent"
    b" alphabetize trim strip dedupe deduplicate reorder remove replace round split join swap"
    b" transpose spell".split()
)
# These verbs are an edit only beside what is small.
_SLIGHT_VERBS = frozenset(b"fix correct add change turn make put list delete write".split())
_SLIGHT_THINGS = frozenset(
    b"typo typos spelling grammar punctuation indentation whitespace formatting comma commas"
    b" semicolon semicolons comment docstring lowercase uppercase bullet bullets camelcase snake"
    b" quotes json csv yaml markdown iso".split()
)
_WIDE = frozenset(
    b"codebase repository repo architecture module modules system database app application service"
    b" services project entire whole files async concurrent distributed framework pipeline".split()
)
_CODE_MARKS = (
    b"```",
    b"def ",
    b"();",
    b"=> {",
    b") {",
    b"#include",
    b"traceback (most",
    b"public static",
    b"console.log",
    b"select * from",
    b"</",
    b"\nimport ",
)
_CODE_WORDS = frozenset(
    b"python javascript typescript java golang sql regex css html docker dockerfile kubernetes"
    b" bash api apis refactor codebase pytest compiler django postgres postgresql json"
    b" yaml git github backend frontend unittest async stacktrace npm kotlin graphql redis linux"
    b" http https url urls timestamp utf ascii csv cron nginx webpack".split()
)


def find_group(data: bytes, tokens: Sequence[bytes], found: Sequence[int]) -> str:
    """Return the group of a folded text; `found` are the numbers of `reading.COUNTED` marks."""
    digits, lines, periods, questions, dollars = found[0], found[1], found[2], found[4], found[5]
    backslashes, brackets = found[6], found[7]
    if lines > 2:
        if sum(map(data.__contains__, _CONTEST_SIGNS)) >= _CONTEST_SIGNS_MIN:
            return "programming"
        if options := _count_options(data):
            return "choice" if options < 5 else "long-choice"
    if brackets and any(map(data.__contains__, _RESULT_ASKED)) and _has_code(data):
        return "code-reading"
    if (backslashes or dollars > 1) and _FORMULA(data):
        return "maths"
    if (
        lines < 3
        and periods
        and (digits > 1 or questions)
        and _is_word_problem(data, tokens, digits)
    ):
        return "word-problem"
    if len(data) < _EDIT_BYTES_MAX and _is_edit(tokens):
        return "edit"
    if _has_code(data) or not _CODE_WORDS.isdisjoint(tokens):
        return "code"
    return "chat"


def _count_options(data: bytes) -> int:
    """Return how many answers a question offers, 5 for more; 0 when it is no such question."""
    for end in (b". ", b") ", b": "):
        start = data.find(b"\na" + end)
        if start >= 0 and b"\nb" + end in data and b"\nc" + end in data:
            asked = data[:start]
            if b"answer" in data[-40:] or b"?" in asked or b"__" in asked or b"which" in asked:
                return 5 if b"\ne" + end in data else 4
    return 0


def _is_word_problem(data: bytes, tokens: Sequence[bytes], digits: int) -> bool:
    """Return whether a short text tells numbers and asks for another, and none of it is code."""
    return (
        len(data) < _WORD_PROBLEM_BYTES_MAX
        and (digits > 1 or not _NUMBER_WORDS.isdisjoint(tokens))
        and any(map(data.__contains__, _QUANTITY_ASKED))
        and b"_" not in data
        and b"`" not in data
        and _CODE_WORDS.isdisjoint(tokens)
    )


def _has_code(data: bytes) -> bool:
    return any(map(data.__contains__, _CODE_MARKS))


def _is_edit(tokens: Sequence[bytes]) -> bool:
    """Return whether the text starts by asking for a small change of form."""
    for token in islice(tokens, _EDIT_LEAD):
        if token in _COURTESY:
            continue
        if token in _EDIT_VERBS:
            return _WIDE.isdisjoint(tokens)
        if token in _SLIGHT_VERBS:
            return not _SLIGHT_THINGS.isdisjoint(tokens[:12]) and _WIDE.isdisjoint(tokens)
        return False
    return False
