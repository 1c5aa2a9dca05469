"""What a prompt's normal form leaves out and still may change its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cache.semantic.literal import literal, wording

APART = [
    ("translate to German: please", "translate to German:"),
    ("Translate to French: Good morning!", "translate to French: good morning"),
    ("Count the words in: stop please", "Count the words in: stop"),
    ("how many words are in the sentence thank you", "how many words are in the sentence"),
    ("Fix the capitalisation: i went to PARIS", "Fix the capitalisation: I went to Paris"),
    ("Is this a question: you are going?", "Is this a question: you are going"),
    ("Rewrite politely: could you please send it", "Rewrite politely: send it"),
    ("define Turkey", "define turkey"),
    ("how do I clean Polish pottery", "how do I clean polish pottery"),
    ("what can I do in March", "what can I do in march"),
    ("who is Bill", "who is bill"),
    ("what is Apple", "what is apple"),
    ("what is C", "what is c"),
    ("draw A to B", "draw a to b"),
    ("What is pH", "what is PH"),
    ("the formula Hf", "the formula HF"),
    ("is OR a keyword", "is or a keyword"),
    ("where is userName set", "where is username set"),
    ("does JavaScript have NaN", "does JavaScript have nan"),
    ("5 MB in kB", "5 mb in kB"),
    ("open README.md", "open readme.md"),
    ("mail Bob@example.com", "mail bob@example.com"),
    ("write a regex for a.b?", "write a regex for a.b"),
    ("sha256 of abc.", "sha256 of abc"),
    ("reverse the string AbC", "reverse the string abc"),
    ("how many spaces are in a  b", "how many spaces are in a b"),
    ("Repeat after me: thank you", "Repeat after me:"),
    ("what does !!", "what does !"),
    ("Please Please Me", "please me"),
    ("what is \u211d", "what is R"),
]
TOGETHER = [
    ("What is the capital of France?", "what is the capital of france"),
    ("Please  explain DNS.", "explain dns please"),
    ("Hi! How do I boil an egg?", "how do i boil an egg"),
    ("Quick question: why is the sky blue?", "quick question: Why is the sky blue"),
    ("HOW DO I BOIL AN EGG", "how do I boil an egg?"),
    ("May I freeze cooked rice?", "May I freeze cooked rice"),
]


@pytest.mark.parametrize(("first", "second"), APART)
def test_what_may_have_another_answer_is_another_wording(first: str, second: str):
    assert wording(first) != wording(second)


@pytest.mark.parametrize(("first", "second"), TOGETHER)
def test_what_says_the_same_is_one_wording(first: str, second: str):
    assert wording(first) == wording(second)


@given(st.text())
def test_any_text_has_a_wording(text: str):
    assert wording(text) == wording(text + " ")


def test_what_is_about_its_own_form_stands_for_itself():
    assert literal("  Spell it ") == "Spell it"
