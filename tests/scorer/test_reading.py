"""Reading: groups by form, counts, grams, familiarity, and the cost of a huge text."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.scorer.familiar import FAMILIARITY_MIN
from pointsman.scorer.groups import GROUPS
from pointsman.scorer.reading import (
    _KEPT_MAX,
    CLIP_CHARS,
    COUNT_NAMES,
    COUNTS,
    COUNTS_OF_TEXT,
    Facts,
    PackedReading,
    _read_folded,
    pack_reading,
    read,
)

CONTEST = """Two Piles

You are given two piles of stones. Each move takes one stone from a pile.

Input

The first line holds the number of test cases.

Output

Print the number of moves.

Sample Input 1
1
3 4
"""
OPTIONS = "Which planet is the largest?\nA. Mars\nB. Venus\nC. Jupiter\nD. Earth"
PROMPTS = [
    ("choice", OPTIONS + "\nAnswer:"),
    ("long-choice", OPTIONS + "\nE. Saturn\nF. Pluto\nAnswer:"),
    ("code-reading", "def f(x):\n    return x[::-1]\nassert f('ab') == ??"),
    ("code-reading", "What is the output of this?\n```\nprint(sum(range(4)))\n```"),
    ("programming", CONTEST),
    ("maths", "What is the least $n$ with $2^n > 100$?"),
    ("maths", "Evaluate \\frac{1}{2} + \\sqrt{9}."),
    ("word-problem", "Ann has 3 apples. Bob gives her 4 more. How many apples has she now?"),
    ("edit", "Rename this variable to snake case: userName"),
    ("edit", "Could you please fix the typo in: teh cat"),
    ("edit", 'Format this JSON: {"a":1}'),
    ("code", "Write a Python function that merges two sorted lists."),
    ("code", "Why does this fail?\n```\nx = [1, 2\n```"),
    ("chat", "Which book on gardens should I read first?"),
    ("chat", ""),
]
NOT_BENCHMARKS = [
    "Plan the release:\na) bump the version\nb) write the notes\nc) tag it",
    "Convert the whole codebase from callbacks to async functions",
    "Write tests for this function:\ndef f(x):\n    assert x > 0\n    return x",
    "The script at C:\\Users\\bin\\run.exe needs $HOME and $PATH set. Why?",
    "We use Python 3.11. The list holds 1000 ints. How much memory is that?",
    "Review our approach to programming problem sheets for new hires.",
    'Move $("#a") after $("#b") and keep $5 as the price',
]


@pytest.mark.parametrize(("group", "prompt"), PROMPTS)
def test_the_form_of_a_task_gives_its_group(group: str, prompt: str):
    assert read(prompt).group == group


@pytest.mark.parametrize("prompt", NOT_BENCHMARKS)
def test_what_developers_ask_is_no_exam(prompt: str):
    assert read(prompt).group in {"edit", "code", "chat"}


@given(
    text=st.text(), turns=st.integers(0, 1000), system=st.integers(0, 10**6), tools=st.booleans()
)
def test_every_text_has_a_reading_in_range(text: str, turns: int, system: int, tools: bool):
    reading = read(text, Facts(turns=turns, system_chars=system, has_tools=tools))
    assert reading.group in GROUPS
    assert len(reading.counts) == COUNTS == len(COUNT_NAMES)
    assert min(reading.counts) >= 0
    assert 0 <= reading.familiarity <= 1
    assert all(0 <= gram < 65_536 for gram in reading.grams)


@given(text=st.text())
def test_a_reading_survives_its_packed_form(text: str):
    reading = read(text)
    stored = msgspec.json.encode(pack_reading(reading))
    restored = msgspec.json.decode(stored, type=PackedReading).unpack()
    assert restored.grams == reading.grams
    assert restored.group == reading.group
    assert restored.counts == pytest.approx(reading.counts, abs=1e-6)
    assert restored.familiarity == reading.familiarity


def test_what_stands_beside_the_text_changes_only_counts_of_its_own():
    alone = read("Explain this.")
    agent = read("Explain this.", Facts(turns=9, system_chars=4000, has_tools=True))
    assert alone.grams == agent.grams
    assert alone.counts[:COUNTS_OF_TEXT] == agent.counts[:COUNTS_OF_TEXT]
    assert alone.counts[COUNTS_OF_TEXT:] == (0.0,) * 5
    assert all(count > 0 for count in agent.counts[COUNTS_OF_TEXT : COUNTS_OF_TEXT + 3])


def test_the_middle_of_a_long_text_is_not_read_but_its_length_is_told():
    head, tail = "first " * 400, " last" * 200
    short, huge = read(head + "x " * 500 + tail), read(head + "y " * 500_000 + tail)
    assert short.grams == huge.grams
    assert huge.counts[COUNTS_OF_TEXT + 3] > short.counts[COUNTS_OF_TEXT + 3] > 0
    assert read("z" * CLIP_CHARS).counts[COUNTS_OF_TEXT + 3] == 0


def test_case_and_the_value_of_digits_do_not_matter():
    assert read("Add 12 to 345").grams == read("ADD 98 to 765").grams


@pytest.mark.parametrize(
    "pair",
    [
        ("Ticket 17 of caf\xe9 B", "ticket 98 of caf\xe9 b"),
        ("is it?so", "is it\ud800so"),
        ("deux mille \u2014 vingt 1", "Deux Mille \u2014 Vingt 2"),
        ("head " * 400 + "a" + "tail " * 100, "head " * 400 + "b" * 900 + "tail " * 100),
    ],
    ids=["digits", "surrogate", "half-known", "clipped"],
)
def test_what_was_read_before_changes_no_reading(pair: tuple[str, str]):
    for before, text in (pair, pair[::-1]):
        read(before)
        found = read(text)
        _read_folded.cache_clear()
        assert read(text) == found


def test_few_texts_are_kept():
    for n in range(2 * _KEPT_MAX):
        read("word " * n)
    assert _read_folded.cache_info().currsize == _KEPT_MAX


@pytest.mark.parametrize(
    "text",
    [
        "Explain why the sum of two even numbers is even and give an example.",
        "Write a function that returns the largest value of a list, with a short explanation.",
        "What are the main causes of inflation, and how can a central bank respond to them?",
        "what is a monad",
        "Rename to kebab-case: UserProfileCard",
    ],
)
def test_plain_english_is_familiar(text: str):
    assert read(text).familiarity >= FAMILIARITY_MIN


@pytest.mark.parametrize(
    "text",
    [
        "Schreibe bitte eine kurze Zusammenfassung des folgenden Textes und nenne die Punkte.",
        "Escribe una función que ordene una lista de números y explica cómo funciona.",
        "Напиши функцию, которая сортирует список чисел, и объясни её.",
        "请写一个函数对数字列表进行排序并解释算法的复杂度。",
        "dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgcnVucyBhd2F5IGZyb20gaXQ",
        "",
    ],
    ids=["german", "spanish", "russian", "chinese", "base64", "empty"],
)
def test_what_training_never_saw_is_not_familiar(text: str):
    assert read(text).familiarity < FAMILIARITY_MIN


@pytest.mark.parametrize(
    "stuck_on",
    [
        "vrolk spint gwazz",
        "brfl qsdt brfl qsdt brfl qsdt brfl qsdt brfl qsdt brfl qsdt brfl qsdt",
        "⊕ ⊗ ⊢ ⊨ ∀ ∃ ∴ ∵",
        "řžů ěšč ňď",
    ],
    ids=["words", "repeated", "signs", "letters"],
)
def test_an_ask_with_as_much_stuck_onto_it_stays_familiar(stuck_on: str):
    ask = "Explain in two sentences why the sky is blue in the day and red in the evening."
    assert read(f"{ask} {stuck_on}").familiarity >= FAMILIARITY_MIN
    assert read(f"{stuck_on} {ask}").familiarity >= FAMILIARITY_MIN


@pytest.mark.parametrize("lead", ["", "Translate into English: "], ids=["alone", "asked about"])
def test_a_text_of_another_language_is_not_made_familiar_by_what_is_asked_of_it(lead: str):
    text = (
        "Der Regen fiel seit dem frühen Morgen auf die Dächer der kleinen Stadt, und niemand"
        " ging ohne dringenden Grund aus dem Haus. Nur der alte Bäcker stand wie immer vor seiner"
        " Tür und wartete auf die Kinder."
    )
    assert read(lead + text).familiarity < FAMILIARITY_MIN
