"""Groups: what form of task a prompt is, by plain signs of form; nothing here is learned."""

import re
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import reduce
from itertools import accumulate, chain, pairwise
from operator import or_

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
_EDIT_NEAR = 12  # and before which it must be said of what
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


# A bit for each sign, and one for each kind of word.
_BY_TEXT = (_CONTEST_SIGNS, _RESULT_ASKED, _QUANTITY_ASKED, _CODE_MARKS)
_BY_WORD = (_NUMBER_WORDS, _WIDE, _CODE_WORDS)
_ENDS = tuple(accumulate(map(len, _BY_TEXT), initial=0))
_CONTEST, _RESULT, _QUANTITY, _CODE = ((1 << to) - (1 << at) for at, to in pairwise(_ENDS))
_NUMBER_WORD, _WIDE_WORD, _CODE_WORD = (1 << (_ENDS[-1] + at) for at in range(len(_BY_WORD)))
# A sign that has one of these in it is only looked for where that is: several share it, or it is a
# single mark, which is found much sooner.
_PARTS = (b"put", b"print", b"how ", b"return", *(bytes([mark]) for mark in b"`\\{;#*<?"))


def _signs_by_part() -> Mapping[bytes, Sequence[tuple[bytes, int]]]:
    """Return the signs with their bits by what is looked for first."""
    by_part: dict[bytes, list[tuple[bytes, int]]] = {}
    for at, sign in enumerate(chain.from_iterable(_BY_TEXT)):
        part = next((part for part in _PARTS if part in sign), sign)
        by_part.setdefault(part, []).append((sign, 1 << at))
    return by_part


def _words_by_value() -> Mapping[int, Sequence[tuple[bytes, int]]]:
    """Return the words with the bits of their kind by their CRC-16 value."""
    by_value: dict[int, list[tuple[bytes, int]]] = {}
    for words, bit in zip(_BY_WORD, (_NUMBER_WORD, _WIDE_WORD, _CODE_WORD), strict=True):
        for word in sorted(words):
            by_value.setdefault(crc_hqx(word, 0), []).append((word, bit))
    return by_value


_WORDS = _words_by_value()
_SIGNS = tuple(_signs_by_part().items())
_STARTS = tuple(one for _, signs in _SIGNS for one in signs if one[0][:1] == b"\n")


def signs_of(data: bytes, tokens: Sequence[bytes], values: Set[int]) -> int:
    """Return the signs of form in some folded lines, as bits, as if another line stood before.

    `values`: the CRC-16 values of the tokens, 0..65535.
    """
    text, signs = b"\n" + data, 0
    for part, some in _SIGNS:
        if part in text:
            for sign, bit in some:
                if sign in text:
                    signs |= bit
    for value in _WORDS.keys() & values:
        for word, bit in _WORDS[value]:
            if word in tokens:
                signs |= bit
    return signs


def joined_signs(data: bytes, signs: Iterable[int]) -> int:
    """Return the signs of a whole text from those of its pieces: no line stands before it."""
    joined = reduce(or_, signs)
    for sign, bit in _STARTS:
        if joined & bit and sign not in data:
            joined -= bit
    return joined


def find_group(
    data: bytes, signs: int, found: Sequence[int], lead: Callable[[int], Sequence[bytes]]
) -> str:
    """Return the group of a folded text; `found` are the numbers of `reading.COUNTED` marks.

    `signs`: of the whole text.  `lead`: gives so many of its first tokens.
    """
    digits, lines, periods, questions, dollars = found[0], found[1], found[2], found[4], found[5]
    backslashes, brackets = found[6], found[7]
    if lines > 2:
        if (signs & _CONTEST).bit_count() >= _CONTEST_SIGNS_MIN:
            return "programming"
        if options := _count_options(data):
            return "choice" if options < 5 else "long-choice"
    if brackets and signs & _RESULT and signs & _CODE:
        return "code-reading"
    if (backslashes or dollars > 1) and _FORMULA(data):
        return "maths"
    if (
        lines < 3
        and periods
        and (digits > 1 or questions)
        and _is_word_problem(data, signs, digits)
    ):
        return "word-problem"
    if len(data) < _EDIT_BYTES_MAX and not signs & _WIDE_WORD and _is_edit(lead(_EDIT_NEAR)):
        return "edit"
    return "code" if signs & (_CODE | _CODE_WORD) else "chat"


def _count_options(data: bytes) -> int:
    """Return how many answers a question offers, 5 for more; 0 when it is no such question."""
    for end in (b". ", b") ", b": "):
        start = data.find(b"\na" + end)
        if start >= 0 and b"\nb" + end in data and b"\nc" + end in data:
            asked = data[:start]
            if b"answer" in data[-40:] or b"?" in asked or b"__" in asked or b"which" in asked:
                return 5 if b"\ne" + end in data else 4
    return 0


def _is_word_problem(data: bytes, signs: int, digits: int) -> bool:
    """Return whether a short text tells numbers and asks for another, and none of it is code."""
    return (
        len(data) < _WORD_PROBLEM_BYTES_MAX
        and (digits > 1 or signs & _NUMBER_WORD != 0)
        and signs & _QUANTITY != 0
        and b"_" not in data
        and b"`" not in data
        and not signs & _CODE_WORD
    )


def _is_edit(lead: Sequence[bytes]) -> bool:
    """Return whether a text that starts so asks for a small change of form."""
    for token in lead[:_EDIT_LEAD]:
        if token in _COURTESY:
            continue
        if token in _EDIT_VERBS:
            return True
        return token in _SLIGHT_VERBS and not _SLIGHT_THINGS.isdisjoint(lead)
    return False
