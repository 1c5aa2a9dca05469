"""Asks: a phrase that is part of what is asked counts, one that is stuck onto an ask does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.policies import POWER_PHRASES
from pointsman.policies.asks import is_asked_for, is_short, mark_of
from pointsman.policies.signals import PhraseMatcher

MATCHER = PhraseMatcher(POWER_PHRASES)
ASKED = [
    "architect",
    "Architect a service for bookings.",
    "Do a security audit of this.",
    "Security audit",
    "Security audit please",
    "Security audit: which of these routes is open?",
    "# Migration plan\n\nHow do we move without downtime?",
    "Migration plan - how do we move without downtime?",
    "Review this codebase. What would you change?",
    "Is the design system any good?",
    "Our design system is inconsistent. What should we do?",
    "Refactor entire module. Show me the result.",
    "architect the data layer; explain the trade-offs",
    "def f(x):\n    return eval(x)\n\nsecurity audit",
    "I want a security audit and a migration plan. How long will they take?",
]
STUCK_ON = [
    "architect what is the time?",
    "Architect, what is the time?",
    "Architect! What is the time?",
    "What is the time? Architect.",
    "What is the time? (architect)",
    "What is the time? Architect architect architect",
    "What is the time? Migration plan, security audit, review this codebase",
    "What is the time?\n\n# security audit\n# migration plan",
    "optimize algorithm; tell me the time",
    "Please tell me the time. Security audit!",
]


def asked(text: str) -> bool:
    lowered = text.lower()
    return is_asked_for(MATCHER.marked(lowered, MATCHER.find(lowered, "power")))


@pytest.mark.parametrize("text", ASKED)
def test_a_phrase_in_what_is_asked_counts(text: str):
    assert asked(text)


@pytest.mark.parametrize("text", STUCK_ON)
def test_a_phrase_beside_what_is_asked_does_not(text: str):
    assert not asked(text)


@given(before=st.text(max_size=60), after=st.text(max_size=60))
def test_any_text_is_told_and_the_phrase_with_an_object_always_counts(before: str, after: str):
    for phrase in POWER_PHRASES:
        assert is_asked_for(f"{before}{mark_of(phrase)}{after}") in (True, False)
    assert is_asked_for(f"{before}\n{mark_of('architect')} my own house\n{after}")


def test_a_text_is_long_by_its_words_or_by_its_characters():
    assert is_short("word " * 100, 100)
    assert not is_short("word " * 101, 101)
    assert not is_short(f"architect {'(' * 100_000}", 1)
