"""The index finds by form, learns which differences keep an answer, and forgets on demand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cache.semantic.index import Found, Index

TOWNS = ["Bergen", "Turin", "Porto", "Ghent", "Leeds", "Graz"]


def taught(count: int, index: Index | None = None) -> Index:
    """Return an index told, for so many towns, that two ways to ask have one answer."""
    index = index or Index()
    for town in TOWNS[:count]:
        index.add(f"Which airport serves {town}?", town)
        index.verdict(f"Which airport serves {town}?", f"What is the airport near {town}?", True)
    return index


def test_a_prompt_finds_the_entry_of_one_that_asks_the_same():
    index = Index()
    assert index.add("What is the capital of Peru?", 1)
    assert index.find("hi, tell me the capital of peru") == Found(
        1, "What is the capital of Peru?", is_edited=False
    )
    assert index.find("What is the capital of Chile?") is None


def test_what_must_not_be_shared_is_neither_stored_nor_found():
    index = Index()
    assert not index.add("What is the weather today?", 1)
    assert index.find("What is the weather today?") is None
    assert index.near("What is the weather today?") == []
    assert len(index) == 0


def test_a_difference_that_kept_two_answers_holds_for_a_third():
    index = taught(2)
    index.add("Which airport serves Oslo?", "Oslo")
    found = index.find("What is the airport near Oslo?")
    assert found is not None
    assert (found.entry_id, found.is_edited) == ("Oslo", True)


def test_one_answer_is_no_evidence():
    index = taught(1)
    index.verdict("Which airport serves Bergen?", "What is the airport near Bergen?", True)
    index.add("Which airport serves Oslo?", "Oslo")
    assert index.find("What is the airport near Oslo?") is None


def test_a_wrong_answer_takes_its_rule_back():
    index = taught(3)
    index.add("Which airport serves Oslo?", "Oslo")
    assert index.find("What is the airport near Oslo?") is not None
    index.withdraw("What is the airport near Oslo?", "Oslo")
    assert index.find("What is the airport near Oslo?") is None
    assert index.find("Which airport serves Oslo?") is None
    index.add("Which airport serves Rome?", "Rome")
    assert index.find("What is the airport near Rome?") is None


def test_a_difference_that_changed_one_answer_is_no_rule():
    index = taught(2)
    index.verdict("Which airport serves Lima?", "What is the airport near Lima?", False)
    index.add("Which airport serves Oslo?", "Oslo")
    assert index.find("What is the airport near Oslo?") is None


def test_a_rule_holds_only_where_its_witnesses_words_stand():
    index = Index()
    for town in TOWNS[:2]:
        index.verdict(f"What is the currency of {town}?", f"What is the coin of {town}?", True)
        index.verdict(f"the official currency of {town}?", f"the currency of {town}?", True)
    index.add("What is the language of Oslo?", 1)
    assert index.find("What is the official language of Oslo?") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cook {} with salt", "Cook {} without salt"),
        ("What is the oldest bridge in {}?", "What is the newest bridge in {}?"),
        ("List three bridges in {}", "List five bridges in {}"),
        ("Who is the mayor of {}?", "Who was the mayor of {}?"),
        ('Does {} mean "a"?', 'Does {} mean "b"?'),
        ("Are all streets in {} wide?", "Are some streets in {} wide?"),
        ("Should I visit {} twice?", "Could I visit {} twice?"),
    ],
)
def test_hard_facts_are_never_learned_away(one, other):
    index = Index()
    for town in TOWNS:
        index.verdict(one.format(town), other.format(town), True)
    index.add(one.format("Oslo"), 1)
    assert index.find(other.format("Oslo")) is None


def test_two_rules_lead_on():
    index = Index()
    for town in TOWNS[:2]:
        index.verdict(f"Which airport serves {town}?", f"the airport near {town}?", True)
        index.verdict(f"the airport near {town}?", f"the name of the airport of {town}", True)
    index.add("Which airport serves Oslo?", "Oslo")
    found = index.find("the name of the airport of Oslo")
    assert found is not None
    assert found.entry_id == "Oslo"


def test_a_slip_of_two_letters_is_put_right():
    index = Index()
    index.add("What is a good recipe for mushrooms?", 1)
    assert index.find("What is a good recipe for muhsrooms?") is not None
    index.add("Who was Brian?", 2)
    assert index.find("Who was Brain?") is None


def test_near_prompts_come_the_most_alike_first_and_agree_in_hard_facts():
    index = Index()
    index.add("How do I get red wine out of a white carpet?", 1)
    index.add("How do I get red wine out of a white shirt?", 2)
    index.add("How do I get 2 liters of red wine?", 3)
    near = index.near("What removes a red wine stain from a white carpet?")
    assert [other.entry_id for other in near][:1] == [1]
    assert 3 not in [other.entry_id for other in near]
    assert all(0 <= other.likeness <= 1 for other in near)


def test_a_removed_entry_is_not_found_and_leaves_nothing():
    index = Index()
    index.add("What is the capital of Peru?", 1)
    index.add("What is the coast of Peru?", 2)
    index.remove(1)
    index.remove(1)
    assert index.find("What is the capital of Peru?") is None
    assert index.near("What is the capital city of Peru?")[0].entry_id == 2
    index.remove(2)
    assert len(index) == 0
    assert index.near("What is the coast of Peru?") == []


def test_a_prompt_added_again_belongs_to_the_latest_entry():
    index = Index()
    index.add("What is the capital of Peru?", 1)
    index.add("Tell me the capital of Peru.", 2)
    index.remove(1)
    found = index.find("What is the capital of Peru?")
    assert found is not None
    assert found.entry_id == 2


def test_the_longest_unread_makes_room():
    index = Index(entries_max=2)
    index.add("What is the capital of Peru?", 1)
    index.add("What is the capital of Chile?", 2)
    assert index.find("What is the capital of Peru?") is not None
    index.add("What is the capital of Cuba?", 3)
    assert len(index) == 2
    assert index.find("What is the capital of Chile?") is None
    assert index.find("What is the capital of Peru?") is not None


PROMPTS = st.sampled_from(
    [f"{ask} {town}" for ask in ("Which airport serves", "the airport near", "the mayor of",
                                 "who is the mayor of") for town in TOWNS]
)  # fmt: skip


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), PROMPTS, st.integers(0, 4)),
            st.tuples(st.just("same"), PROMPTS, PROMPTS),
            st.tuples(st.just("other"), PROMPTS, PROMPTS),
            st.tuples(st.just("remove"), st.integers(0, 4), st.none()),
        ),
        max_size=30,
    ),
    entries_max=st.integers(1, 5),
)
def test_whatever_comes_the_bound_holds_and_what_is_found_is_stored(steps, entries_max):
    index = Index(entries_max)
    stored: set[int] = set()
    for kind, first, second in steps:
        match kind:
            case "add":
                index.add(first, second)
                stored.add(second)
            case "same" | "other":
                index.verdict(first, second, kind == "same")
                found = index.find(first)
                assert found is None or found.entry_id in stored
            case "remove":
                index.remove(first)
                stored.discard(first)
        assert len(index) <= entries_max
