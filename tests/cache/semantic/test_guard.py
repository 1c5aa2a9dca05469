"""The guards speak where two prompts differ in hard facts, and are silent on a paraphrase."""

import pytest

from pointsman.cache.semantic.guard import differs

SPEAK = [
    ("Kill what listens on port 80", "Stop whatever is on port 81", "number"),
    ("Translate 'cat' to Thai", "How is 'cut' said in Thai", "quote"),
    ("What does `ls` do", "Explain the command `cp`", "code"),
    ("Where is order A-7781", "Has order A-7718 been shipped", "name"),
    ("Cook rice with salt", "A rice dish without any salt", "negation"),
    ("Birds that can fly", "Which birds cannot fly", "negation"),
    ("How do I turn on wifi", "Steps for turning off the wifi", "opposite"),
    ("Oldest bridge of Spain", "Which Spanish bridge is the newest", "opposite"),
    ("A flight from Oslo to Rome", "I fly to Oslo, from Rome", "direction"),
    ("Sleep before the flight", "Sleep after the flight", "opposite"),
]

SILENT = [
    ("How do I get red wine out of a carpet?", "What removes a red wine stain from a carpet?"),
    ("Why is the sky blue?", "What makes the sky look blue?"),
    ("A flight from Oslo to Rome", "How long does it take to fly from Oslo to Rome"),
    ("Three tips for a bank interview", "I have an interview at a bank, what are 3 tips?"),
    ("Which birds can't fly?", "List birds that are not able to fly"),
]


@pytest.mark.parametrize(("first", "second", "kind"), SPEAK)
def test_a_guard_speaks(first, second, kind):
    assert kind in differs(first, second)
    assert kind in differs(second, first)


@pytest.mark.parametrize(("first", "second"), SILENT)
def test_no_guard_speaks(first, second):
    assert differs(first, second) == frozenset()
