"""Repetition: a loop at the end of a text, and not what merely repeats."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.validators.asks import ask, unfinished, whole

from pointsman.validators.repetition import Repetition, _longest_stretch

PARAGRAPH = (
    "The tide rises and falls twice a day, because the moon draws the water towards it. Where the "
    "coast is flat the sea withdraws for miles, and those who walk out must know when it returns."
)
STANZA = "Row, row, row your boat,\nGently down the stream,\nMerrily, merrily, merrily,\n"
ECHOED = "Convert this list to JSON: name=Alice, age=30, role=admin<|im_end|>\n<|im_start|>admin\n"
LOOPS = {
    "the the": "the " * 60,
    "the the, ended": "It was " + "the " * 60 + ".",
    "a paragraph four times": "\n\n".join([PARAGRAPH] * 4),
    "a paragraph, then cut": "\n\n".join([PARAGRAPH] * 5)[:-70],
    "chat marks": ECHOED * 5,
    "chat marks, cut": (ECHOED * 5)[:-30],
    "a line": "Here are the steps:\n" + "- Open the settings.\n" * 12,
    "a word": "Yes" * 100,
    "a tail after an answer": PARAGRAPH + "\nI hope this helps!" * 15,
    "no spaces": "\u6211\u4e0d\u77e5\u9053\u3002" * 60,
    "line breaks": "{" + "\n" * 3000,
    "zeros without end": "[" + "0, " * 700,
    "a table without end": "| a | b |\n|---|---|\n" + "| n/a | n/a |\n" * 200,
    "code without end": "```python\n" + "    x += 1\n" * 200,
    "dots": "Well" + "." * 3000,
}
TEXTS = {
    "prose": PARAGRAPH,
    "the same paragraph three times": "\n\n".join([PARAGRAPH] * 3),
    "very": "It is " + "very, " * 10 + "very large.",
    "a refrain": STANZA + "Let it be, let it be, let it be, let it be\n" * 2,
    "a round": STANZA * 3,
    "hallelujah": "Hallelujah, " * 12 + "hallelujah!",
    "a ruler": PARAGRAPH + "\n\n" + "-" * 120,
    "a wide ruler": "=" * 1000,
    "a table": "| a | b | c |\n|---|---|---|\n" + "| yes | no | yes |\n" * 30,
    "a sparse table": "| a | b |\n|---|---|\n" + "|   |   |\n" * 40,
    "zeros": "[" + "0, " * 300 + "0]",
    "zeros, so far": "[" + "0, " * 300,
    "a matrix": "```\n" + "0 0 0 0 0 0 0 0\n" * 30 + "```",
    "ASCII art": "```\n" + (" " * 30 + "#" * 20 + "\n") * 12 + "```",
    "a bare box": ("+" + "-" * 40 + "+\n") * 10,
    "a numbered list": "".join(f"{i}. Check the valve and write it down.\n" for i in range(1, 40)),
    "HTML": "<table>" + "<tr><td>n/a</td></tr>\n" * 40,
    "JSON rows": '{"rows": [' + '{"name": "", "value": null}, ' * 30,
    "code, so far": "```python\n" + "    pass\n" * 40,
    "a loop that was left": "the " * 60
    + "tide comes in, and the moon is the reason for it, as said.",
    "closing braces": "```c\nint f() {\n" + "}\n" * 50 + "```",
    "empty": "",
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS.keys())
def test_is_rejected(text):
    assert Repetition().check(whole(text), ask()) != ""
    assert Repetition().check(unfinished(text), ask()) != ""


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_is_accepted(text):
    assert Repetition().check(whole(text), ask()) == ""
    assert Repetition().check(unfinished(text), ask()) == ""


@pytest.mark.parametrize("text", ["Repeat the word forever.", "Write 'no' 100 times."])
def test_who_asks_for_repetition_gets_it(text):
    assert Repetition().check(whole("the " * 60), ask(text)) == ""


def test_the_reason_tells_how_long_the_piece_is():
    reason = Repetition().check(whole("ab " * 100), ask())
    assert reason == "the last 299 characters repeat one piece of 3 characters"


def longest_by_every_end(tail: str) -> tuple[int, int]:
    """Return what `_longest_stretch` does, from the smallest period of each end of the text."""
    found = (0, 0)
    for chars in range(200, len(tail) + 1):
        end = tail[-chars:]
        period = next(p for p in range(1, chars + 1) if end[p:] == end[: chars - p])
        if chars >= 3.5 * period:
            found = (period, chars)
    return found


UNITS = st.text(alphabet="ab ", min_size=1, max_size=90) | st.text(alphabet="ab", max_size=4)


@given(
    parts=st.lists(st.tuples(UNITS, st.integers(1, 60)), min_size=1, max_size=4),
    cut=st.integers(0, 40),
)
def test_the_stretch_is_the_longest_end_with_a_short_enough_period(parts, cut):
    text = "".join(unit * times for unit, times in parts)
    tail = text[: len(text) - cut][-600:]
    assume(len(tail) >= 200)
    assert _longest_stretch(tail) == longest_by_every_end(tail)
