"""Normal: a prompt without what never changes its answer.

That is Unicode's ways of writing one thing, spaces, punctuation at the end, politeness, and case.
Kept byte for byte: what is quoted, code, text of several lines, and words whose case says
something (flags, paths, units). Politeness is English alone; case is folded in English alone, for
elsewhere it may tell `Sie` from `sie`.
"""

import re
import unicodedata
from itertools import groupby

from pointsman.cache.semantic.language import is_foreign, words
from pointsman.cache.semantic.opaque import Span, split_fences, split_quotes

# Every round takes something away, so that few are needed; more greetings than that are content.
_ROUNDS_MAX = 8

# Characters that NFKC would turn into others of another meaning: 10² into 102, 1½ into 11/2.
_KEPT_FORMS = ("<super>", "<sub>", "<fraction>", "<circle>")

_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")
_HEAD = re.compile(
    r"""(?:
        (?:hi|hello|hey|greetings|good\ (?:morning|afternoon|evening))
            (?:\ (?:there|all|everyone|everybody|team|folks|guys|again))?[,!.;:-]+
      | (?:hi|hello|hey)\ there
      | (?:hi|hey)(?=\ (?:what|how|which|who|why|when|where|can|could|please|i)\b)
      | (?:please|pls|kindly)\b,?
      | (?:can|could|would|will)\ (?:you|u)\ (?:please|kindly|pls)
      | (?:(?:can|could|would)\ you\ (?:please\ )?help(?:\ me)?(?:\ out)?|i\ need\ (?:your\ )?help)
            (?:\ with\ (?:this|that|something))?(?:,\ please)?[?!.:]+
      | (?:i\ have\ a\ |just\ a\ |a\ )?(?:quick|short|simple)\ question[:,.!-]+
      | (?:excuse\ me|sorry\ to\ bother\ you|thanks\ in\ advance)[:,.!-]+
    )\ *(?!(?:in|to|into|as|from|for)\ \S+$|(?:vs|or|and|means?)\b)(?=\S)""",
    re.VERBOSE | re.IGNORECASE,
)
_TAIL = re.compile(
    r"""(?P<mark>[.;:!?…)\]"']{,20})[ ,]{1,20}
    (?:please|pls|cheers|(?:many\ )?(?:thx|thanks|thank\ you)
        (?:\ (?:a\ lot|a\ million|so\ much|very\ much|again|in\ advance|for\ your\ help))?)
    [\s.!]*$""",
    re.VERBOSE | re.IGNORECASE,
)
_TAIL_CHARACTERS = 60
# After one of these the word that looks polite is what is asked about: "how do I say please".
_ASKS_FOR_WORD = words(
    """say saying says said word words spell of for with to and or in on mean means meaning
    translate about a an the no not phrase write writing called type by at from between vs is as
    than"""
)
_END = " \t.?!…,;:。？！"  # noqa: RUF001

# Words whose case says something: addresses, paths, flags, placeholders, code.
_CASED = re.compile(r"://|^[-/.~]|/.*/|[\\_={}<>]|\$[A-Za-z{(]|\w\(|::|^\d+[mM]$|\d[a-z]*[A-Z]")
# Units where it is a factor of a thousand or of eight, and words that are others in capitals.
_CASED_WORDS = words(
    """kb Kb Mb Gb Tb kbps Kbps Mbps Gbps mW MW mV MV mA MA mHz Mm mM
    IT WHO AIDS SAT ACT RAM LAN CO NO"""
)
_EDGES = "\"'()[],.;:?!"


def normalised(text: str) -> str:
    """Return the prompt without what never changes its answer. Idempotent; never raises.

    Two prompts that come out equal may share an answer.
    """
    for _ in range(_ROUNDS_MAX):
        shorter = _once(text)
        if shorter == text:
            break
        text = shorter
    return text


def _once(text: str) -> str:
    text = _BLANK_LINES.sub("", text.rstrip())
    blocks = split_fences(text)
    last = len(blocks) - 1
    pieces: list[Span] = []
    for number, block in enumerate(blocks):
        prose = block.text.strip()
        if block.is_opaque or "\n" in prose:
            pieces.append(Span(block.text, is_opaque=True))
            continue
        pieces += split_quotes(block.text if number else block.text.lstrip(" \t"))
    if not pieces:
        return ""
    is_english = not is_foreign(" ".join(piece.text for piece in pieces if not piece.is_opaque))
    written = [piece if piece.is_opaque else _written(piece, is_english) for piece in pieces]
    if is_english and not written[0].is_opaque:
        written[0] = Span(_without_greeting(written[0].text), is_opaque=False)
    if last >= 0 and not written[-1].is_opaque:
        rest = _without_end(written[-1].text, is_english=is_english, is_all=len(written) == 1)
        written[-1] = Span(rest, is_opaque=False)
    return "".join(piece.text for piece in written)


def _written(piece: Span, is_english: bool) -> Span:
    """Return the prose in one form: Unicode's, single spaces, and for English lower case."""
    text = piece.text if piece.text.isascii() else _one_form(piece.text)
    words = text.split()
    if is_english and not (text.islower() and text.isascii()):
        words = [_lowered(words, place) for place in range(len(words))]
    head = _edge(text[: len(text) - len(text.lstrip())])
    tail = _edge(text[len(text.rstrip()) :]) if words else ""
    return Span(head + " ".join(words) + tail, is_opaque=False)


def _edge(spaces: str) -> str:
    """Return what stands between prose and its neighbour: its line's end, or a space."""
    return "\n" * spaces.count("\n") or spaces[:1]


def _one_form(text: str) -> str:
    runs: list[str] = []
    for is_kept, letters in groupby(text, _is_kept_form):
        run = "".join(letters)
        runs.append(run if is_kept else unicodedata.normalize("NFKC", run))
    return "".join(runs).replace("’", "'")


def _is_kept_form(letter: str) -> bool:
    return unicodedata.decomposition(letter).startswith(_KEPT_FORMS)


def _lowered(words: list[str], place: int) -> str:
    """Return the word in lower case, unless its case says something."""
    word = words[place]
    if word.islower() and word.isascii():
        return word
    bare = word.strip(_EDGES)
    if bare in _CASED_WORDS or _CASED.search(word):
        return word
    before = words[place - 1] if place else ""
    if bare in {"m", "M"} and before[-1:].isdigit():
        return word
    if bare == "US" and before.lower() != "the":  # what they told us is not what the US was told
        after = words[place + 1] if place + 1 < len(words) else ""
        return word.lower() if after.lower().startswith("dollar") else word
    return word.lower()


def _without_greeting(line: str) -> str:
    found = _HEAD.match(line)
    rest = line[found.end() :] if found else ""
    return rest if " " in rest.strip() or (rest and not line[0].isalpha()) else line


def _without_end(line: str, *, is_english: bool, is_all: bool) -> str:
    """Return the line without punctuation and thanks at its end, unless nothing is left."""
    rest = line
    if is_english and (found := _TAIL.search(rest, max(0, len(rest) - _TAIL_CHARACTERS))):
        before = rest[: found.start()].rpartition(" ")[2].strip(_EDGES)
        if found["mark"] or before.lower() not in _ASKS_FOR_WORD:
            rest = rest[: found.start()] + found["mark"]
    cut = rest.rstrip(_END)
    if cut != rest:
        cut += _kept_end(cut, rest[len(cut) :])
    return cut if cut.strip() or not is_all else line


def _kept_end(text: str, end: str) -> str:
    """Return what of the punctuation says something: 5!, 1, 2, 3, ..., or a mark asked about."""
    mark = end.strip()
    if end[0].isspace() and mark:
        is_asked_about = text.rpartition(" ")[2].lower() in _ASKS_FOR_WORD or mark[0] == "."
        return end.rstrip() if is_asked_about else ""
    if mark.startswith("!") and text[-1:].isdigit():
        return "!" * (len(mark) - len(mark.lstrip("!")))
    if mark.startswith(",") and ("..." in mark or "…" in mark):
        return ", ..."
    return ""
