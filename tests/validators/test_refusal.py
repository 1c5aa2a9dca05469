"""Refusal: what begins by declining, and does not go on to answer."""

import pytest
from tests.validators.asks import ask, unfinished, whole

from pointsman.validators.refusal import Refusal

REFUSALS = {
    "plain": "I'm sorry, but I can't assist with that.",
    "curly": "I\u2019m sorry, but I can\u2019t help with that request.",
    "terse": "I can't help with that.",
    "no apology": "I cannot comply with your request.",
    "unable": "I am unable to provide assistance for this kind of task.",
    "will not": "I won't be able to help you with this.",
    "unfortunately": "Unfortunately, I cannot provide instructions on sorting lists.",
    "as an AI": "As an AI language model, I cannot provide opinions on programming languages.",
    "as an AI developed": "As an AI developed to be helpful and safe, I can't discuss kettles.",
    "apologise": "I apologize, but I'm not able to create content about knitting.",
    "sorry as an AI": "I'm sorry, but as an AI language model I cannot help with that.",
    "and will not": "I cannot and will not help with that.",
    "uneasy": "I'm not comfortable providing that.",
    "bold": "**I'm sorry, I can't help with that.**",
    "shouted": "SORRY, I CANNOT HELP WITH THAT!",
    "offers another topic": "I can't help with this task, but I'd be happy to try something else.",
    "no end": "I'm sorry, but I can't assist with that",
}
ANSWERS = {
    "a bug": "I can't reproduce the bug, but the trace points to a race in the writer thread.",
    "no file": "I can't see any attachment. Please paste the text into your message.",
    "goes on": "I can't give an exact figure, but a fair estimate is 40 litres a day.",
    "alternative": "I cannot provide a formal proof here; however, this is the idea: ...",
    "because": "I can't complete the merge because two files conflict.",
    "write a file": "I can't write to /etc/hosts: permission denied.",
    "create a pod": "We cannot create the pod while the quota is spent.",
    "merely sorry": "I'm sorry to hear that your cat is ill. Keep it warm.",
    "AI, answers": "As an AI, I have no favourite, and most people like blue.",
    "later": "Sort it first.\n\nI'm sorry, but I can't help with that.",
    "quoted later": "The bot says \"I'm sorry, I can't help with that\" when it has no skill.",
    "asks back": "I can't answer that without more information. Which version do you use?",
    "lacks facts": "I'm sorry, but I don't have the log. Which version do you use?",
    "comfortable": "I am comfortable with both. Take the first.",
    "can": "I can help with that. First, open the settings.",
    "third person": "They can't help with that. Ask the council.",
    "": "",
}


@pytest.mark.parametrize("text", REFUSALS.values(), ids=REFUSALS.keys())
def test_is_rejected(text):
    assert "refuses" in Refusal().check(whole(text), ask())


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_is_accepted(text):
    assert Refusal().check(whole(text), ask()) == ""


@pytest.mark.parametrize("text", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_respected_where_the_ask_may_be_harmful(text):
    assert Refusal().check(whole(text), ask(is_harmless=False)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Write a note to decline the invitation.",
        "Translate: sorry, I cannot help",
        "How do I apologise to a customer?",
        "Turn down the offer politely for me.",
    ],
)
def test_an_ask_for_a_refusal_gets_one(text):
    assert Refusal().check(whole("I'm sorry, I can't help with that."), ask(text)) == ""


def test_a_flat_refusal_is_known_at_its_full_stop():
    text = "I'm sorry, but I can't assist with that."
    assert Refusal().check(unfinished(text[:-1]), ask()) == ""
    assert Refusal().check(unfinished(text), ask()) != ""


def test_a_longer_refusal_is_known_once_nothing_can_mend_it():
    text = "I cannot provide guidance on knitting patterns, as it goes against my guidelines. "
    text += "Knitting is a subject that I was asked to stay away from in all its forms. " * 4
    assert Refusal().check(unfinished(text[:200]), ask()) == ""
    assert Refusal().check(unfinished(text[:300]), ask()) != ""
    assert Refusal().check(whole(text), ask()) != ""


@pytest.mark.parametrize("text", [*REFUSALS.values(), *ANSWERS.values()])
def test_what_is_rejected_early_stays_rejected(text):
    text += " " + "Then the story goes on for a while, but differently. " * 10
    rejected = [
        bool(Refusal().check(unfinished(text[:end]), ask())) for end in range(len(text) + 1)
    ]
    assert rejected == sorted(rejected)
    assert rejected[-1] == bool(Refusal().check(whole(text), ask()))


def test_a_tool_call_is_an_answer():
    draft = whole("I can't help with that.", "tool_calls", has_tool_call=True)
    assert Refusal().check(draft, ask()) == ""
