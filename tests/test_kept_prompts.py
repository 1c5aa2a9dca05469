"""Prompts by what they ask: contexts never meet, and all of them stay within their bound."""

from pointsman.kept_prompts import KeptPrompts

ASKED = "What is the capital of France?"
SAME = "tell me what the capital of France is"
KEYS = [bytes([number]) * 32 for number in range(50)]


def test_a_prompt_is_found_in_its_own_context_alone():
    prompts = KeptPrompts()
    prompts.add(b"one", ASKED, KEYS[0])
    assert prompts.find(b"one", SAME) == KEYS[0]
    assert prompts.find(b"two", SAME) is None
    assert prompts.find(b"one", "What is the capital of Germany?") is None


def test_what_has_another_answer_tomorrow_is_not_held():
    prompts = KeptPrompts()
    prompts.add(b"one", "What is the weather in France today?", KEYS[0])
    assert prompts.count == 0


def test_a_removed_key_is_not_found_and_takes_no_room():
    prompts = KeptPrompts()
    prompts.add(b"one", ASKED, KEYS[0])
    prompts.add(b"two", ASKED, KEYS[1])
    prompts.remove(KEYS[0])
    assert (prompts.find(b"one", SAME), prompts.find(b"two", SAME)) == (None, KEYS[1])
    assert prompts.count == 1


def test_the_contexts_read_longest_ago_make_room():
    prompts = KeptPrompts(prompts_max=10)
    for number in range(10):
        prompts.add(bytes([number]), ASKED, KEYS[number])
    assert prompts.find(b"\0", SAME) == KEYS[0]
    prompts.add(b"more", ASKED, KEYS[10])
    assert prompts.count == 10
    assert prompts.find(b"\0", SAME) == KEYS[0]
    assert prompts.find(b"\1", SAME) is None


def test_one_context_stays_within_the_bound_too():
    prompts = KeptPrompts(prompts_max=10)
    for number in range(30):
        prompts.add(b"one", f"What is the capital of country {number}?", KEYS[number])
    assert prompts.count == 10
    assert prompts.find(b"one", "tell me what the capital of country 29 is") == KEYS[29]
    assert prompts.find(b"one", "tell me what the capital of country 0 is") is None
