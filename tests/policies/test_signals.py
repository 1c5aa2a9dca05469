"""The keyword policy: whole words, in any writing, and what it says would change it is true."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.core.builders import features, snapshot, tier

from pointsman.core.types import Decision, Snapshot
from pointsman.policies import FAST_PHRASES, POWER_PHRASES, PolicySettings, SignalSettings
from pointsman.policies.sieve import LONG_CHARS, build_sieve
from pointsman.policies.signals import PhraseMatcher, Signals, lower_in_place
from pointsman.scorer.reading import all_values, read_features

WORLD = snapshot(tier("fast"), tier("mid"), tier("power"))


def decide(text: str, world: Snapshot = WORLD, **settings: Any) -> Decision:
    policy = Signals(PolicySettings(signals=SignalSettings(**settings)))
    facts = features(text)
    decision = policy.decide(facts, world)
    change = policy.would_change(decision, facts, world)
    return msgspec.structs.replace(decision, would_change=change)


@pytest.mark.parametrize(
    ("text", "tier_name", "phrase"),
    [
        ("Convert this list to JSON: name=Alice, age=30, role=dev", "fast", "convert"),
        ("Architect a microservices migration plan for our Django monolith with 200k LOC",
         "power", "architect"),
        ("Do a security audit of this", "power", "security audit"),
        ("Review this codebase and list its faults", "power", "review this codebase"),
        ("what is a monad", "fast", "what is"),
        ("What\n is   it", "fast", "what is"),
        ("WHAT\u00a0IS it", "fast", "what is"),
        ("what\r\n\t\r\nis it", "fast", "what is"),
        ("(format)", "fast", "format"),
        ("Please: *rename*, then stop.", "fast", "rename"),
        ("»format«", "fast", "format"),
        ("“Simple”", "fast", "simple"),
        ("世界 format 世界", "fast", "format"),
        ("İstanbul: FORMAT it", "fast", "format"),
        ("Straße, STRASSE, ǅ: Convert", "fast", "convert"),
        ("to-do-list", "fast", "list"),
        ("list's", "fast", "list"),
        ("format", "fast", "format"),
    ],
)  # fmt: skip
def test_a_phrase_leads_to_its_tier_and_stands_where_it_is_said_to(text, tier_name, phrase):
    decision = decide(text)
    assert decision.tier == tier_name and f'"{phrase}"' in decision.reason
    first = decision.signals[0]
    assert first.phrase == phrase
    found = text[first.start :].split()[: len(phrase.split())]
    assert re.sub(r"\W+$", "", " ".join(found)).lower().startswith(phrase)


@pytest.mark.parametrize(
    "text",
    ["Give me information", "on my account", "a checklist", "reformat", "lists", "counter",
     "what isn't", "whatis", "what, is", "architecture", "migration plans", "simple_name",
     "_list", "list_", "listé", "élist", "list9", "世list", "simples", "", " ", "\x00"],
)  # fmt: skip
def test_a_part_of_a_word_is_no_word(text):
    decision = decide(text)
    assert decision.signals == () and decision.tier == "mid"
    assert decision.reason == "no signal fired, so the default tier"


def test_power_comes_before_fast_and_both_are_told():
    decision = decide("list what a migration plan is, then convert it")
    assert decision.tier == "power"
    assert [(signal.kind, signal.phrase) for signal in decision.signals] == [
        ("power", "migration plan"), ("fast", "convert"), ("fast", "list"),
    ]  # fmt: skip


@pytest.mark.parametrize(("words", "tier_name"), [(500, "mid"), (501, "power")])
def test_more_than_five_hundred_words_are_power(words, tier_name):
    assert decide("word " * words).tier == tier_name
    assert decide("word " * words + "\n format").tier == "fast"


def test_with_fewer_tiers_the_cheapest_and_the_strongest_left_are_taken():
    only = snapshot(tier("only"))
    two = snapshot(tier("small"), tier("big"), default="small")
    assert [decide(text, only).tier for text in ("architect", "format", "x")] == ["only"] * 3
    assert [decide(t, two).tier for t in ("architect", "format", "x")] == ["big", "small", "small"]


def test_phrases_are_settings_and_blank_ones_say_nothing():
    settings: dict[str, Any] = {
        "power": ("", "++", " Ä  ö "),
        "fast": ("  ",),
        "sensitive": ("", " "),
    }
    assert decide("x ++ y", **settings).tier == "power"
    assert decide("ä\nÖ", **settings).tier == "power"
    quiet = decide("format", **settings)
    assert quiet.signals == () and quiet.is_harmless
    assert quiet.would_change == '"++" would make it power; more than 500 words would make it power'


@pytest.mark.parametrize(
    ("text", "is_harmless"),
    [("format this", True), ("how to KILL a process", False), ("a skill", True),
     ("build\na  bomb!", False), ("self-harm", False), ("selfharm", True)],
)  # fmt: skip
def test_an_ask_with_a_sensitive_word_may_rightly_be_refused(text, is_harmless):
    assert decide(text).is_harmless is is_harmless


@given(text=st.text(st.sampled_from("İI\u0131ßΣ\u03c3ςǅaA \n") | st.characters(), max_size=30))
def test_lower_case_keeps_every_character_in_its_place(text):
    lowered = lower_in_place(text)
    assert len(lowered) == len(text)
    assert all(low in (char, char.lower(), "ς") for low, char in zip(lowered, text, strict=True))


WORDS = st.sampled_from(
    [*" ".join(POWER_PHRASES + FAST_PHRASES).split(), "word", "İ", "_", "this", "is", ",", "ßx"]
)
TEXTS = st.lists(
    st.tuples(WORDS, st.sampled_from([" ", "\n", "  ", ", ", "-", ""])), max_size=25
).map(lambda pieces: "".join(word + gap for word, gap in pieces))


@given(text=TEXTS)
def test_what_fires_is_what_a_word_by_word_reader_finds(text):
    """The reader: a phrase's words stand one after the other, blanks between, no letter beside."""
    lowered = lower_in_place(text)
    for phrase in POWER_PHRASES + FAST_PHRASES:
        words = phrase.split()
        places = []
        for start in range(len(lowered)):
            at = start
            for number, word in enumerate(words):
                blanks = len(lowered[at:]) - len(lowered[at:].lstrip()) if number else 0
                if not lowered.startswith(word, at + blanks) or (number and not blanks):
                    break
                at += blanks + len(word)
            else:
                beside = lowered[start - 1 : start] + lowered[at : at + 1]
                if not any(char.isalnum() or char == "_" for char in beside):
                    places.append(start)
        found = PhraseMatcher((phrase,)).find(lowered, "kind")
        assert [signal.start for signal in found] == places[:1]


def without(text: str, phrases: list[str]) -> str:
    """Cut out the phrases as a user would, one after the other."""
    lowered = lower_in_place(text)
    for phrase in phrases:
        blanks = r"\s+".join(map(re.escape, phrase.split()))
        lowered = re.sub(rf"(?<!\w){blanks}(?!\w)", "", lowered)
    return lowered


WORLD_OF_LETTERS = snapshot(tier("a"), tier("b"))
WORLDS = st.integers(1, 5).flatmap(
    lambda count: st.integers(0, count - 1).map(
        lambda default: snapshot(*(tier(n) for n in "abcde"[:count]), default="abcde"[default])
    )
)


@given(text=TEXTS, world=WORLDS, limit=st.integers(1, 12))
@example(text="translate format this", world=WORLD_OF_LETTERS, limit=1)
def test_what_would_change_the_decision_does(text, world, limit):
    decision = decide(text, world, power_words=limit)
    if decision.signals:
        said = re.fullmatch(r'without (".*?") it would be (\w): (.*)', decision.would_change)
        assert said is not None
        changed = decide(without(text, said[1].strip('"').split('", "')), world, power_words=limit)
        assert (changed.tier, changed.reason) == (said[2], said[3])
        return
    assume(text.strip())
    for change in filter(None, decision.would_change.split("; ")):
        said = re.fullmatch(r"(.+) would make it (\w)", change)
        assert said is not None and said[2] != decision.tier
        if said[1].startswith('"'):
            changed = decide(f"{text} {said[1]}", world, power_words=limit)
        elif said[1].startswith("more"):
            changed = decide(text + " word" * (limit + 1), world, power_words=limit)
        else:
            fewer = " ".join(text.split()[:limit])
            assume(not decide(fewer, world, power_words=limit).signals)
            changed = decide(fewer, world, power_words=limit)
        assert changed.tier == said[2]


@given(text=TEXTS, world=WORLDS)
def test_where_all_roads_lead_to_one_tier_nothing_is_said_to_change_it(text, world):
    assume(len(world.tiers) == 1)
    decision = decide(text, world)
    assert decision.tier == "a" and (decision.signals or not decision.would_change)


def test_cutting_a_phrase_out_may_make_the_text_short_enough():
    said = decide("word " * 500 + "architect").would_change
    assert said == 'without "architect" it would be mid: no signal fired, so the default tier'


def test_a_phrase_inside_the_one_that_is_cut_out_goes_with_it():
    said = decide("a format report", power=("format report",)).would_change
    assert said == 'without "format report" it would be mid: no signal fired, so the default tier'


@pytest.mark.parametrize(
    "text",
    ["what " * 200_000, "checklist" * 110_000, "checklist " * 100_000, "what" + " " * 1_000_000,
     ("what" + " " * 1_000) * 1_000, "what\n" * 200_000 + "was", " " * 1_000_000,
     "review this " * 80_000, "İ" * 500_000, "list_" * 200_000, "\x00" * 1_000_000],
    ids=["what", "checklist", "checklists", "blanks after", "blanks between", "lines", "blanks",
         "review this", "i with a dot", "underscores", "nul"],
)  # fmt: skip
def test_a_hostile_megabyte_is_read_once(text):
    """The suite's time limit is the measure: bench/hostile_text.py has the figures."""
    assert decide(text).tier in ("mid", "power")


@given(phrase=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3).map(" ".join))
def test_no_pattern_can_go_back_over_blanks(phrase):
    for _, _, pattern in PhraseMatcher((phrase,))._patterns:
        bare = pattern.pattern.replace(r"\s++", "")
        assert not re.search(r"(?<!\\)[*+?]", bare.replace("(?", "("))


PHRASES = (
    "hack into",
    "self-harm",
    "c++",
    "k8s pod",
    "_x",
    "#a",
    "3d",
    "größe",
    "design",
    "12345 b",
)
MATCHER = PhraseMatcher(PHRASES)
ASCII_TEXTS = st.lists(
    st.sampled_from([*(word for phrase in PHRASES for word in phrase.split()), "\x1c", "\n", "x"])
    | st.text("hack8_ #-+", max_size=4),
    max_size=12,
).flatmap(lambda some: st.sampled_from(["", " ", "  "]).map(lambda blank: blank.join(some)))


@given(text=ASCII_TEXTS)
def test_the_values_of_a_text_leave_out_no_phrase(text: str):
    facts = features(text)
    lowered = lower_in_place(text)
    values = all_values(facts, read_features(facts))
    assert (values is None) == (not text.isascii())
    assert MATCHER.find(lowered, "power", values) == MATCHER.find(lowered, "power")


@given(text=ASCII_TEXTS | st.text(), at=st.sampled_from(["start", "end"]))
def test_in_a_long_text_the_same_phrases_are_found(text: str, at: str):
    lowered = lower_in_place(text)
    more = ". " * LONG_CHARS
    found = MATCHER.find(lowered + more if at == "start" else more + lowered, "power")
    assert [it.phrase for it in found] == [it.phrase for it in MATCHER.find(lowered, "power")]


def test_a_long_text_may_have_half_of_a_surrogate_pair():
    text = "\ud800" * LONG_CHARS + " hack into"
    assert [it.phrase for it in MATCHER.find(text, "power")] == ["hack into"]


def test_a_phrase_without_letters_or_digits_is_looked_for_in_any_long_text():
    assert build_sieve(["bomb", "größe", "#?"])("none of them" * LONG_CHARS)
    assert not build_sieve(["bomb", "größe"])("none of them" * LONG_CHARS)
