"""The replayed tiers answer what production would, and learn from what production sees."""

import msgspec
import pytest

from pointsman.cache.evaluation import LABELS_VARIABLE, factory, factory_judged


def test_a_prompt_is_answered_by_one_that_asks_the_same():
    cache = factory()
    assert cache.get("What is the capital of Peru?") is None
    cache.put("What is the capital of Peru?", "lima")
    assert cache.get("hi, what is the capital of peru") == "lima"
    assert cache.get("Tell me the capital of Peru.") == "lima"
    assert cache.get("What is the capital of Chile?") is None


def test_a_prompt_that_must_not_be_shared_is_answered_by_itself_alone():
    cache = factory()
    cache.put("What is the weather today?", "rain")
    assert cache.get("what is the weather today") == "rain"
    assert cache.get("Tell me the weather today") is None


def test_answers_that_agree_twice_make_a_rule():
    cache = factory()
    for town in ("Ulm", "Bari"):
        cache.put(f"Which airport serves {town}?", town)
        cache.put(f"What is the airport near {town}?", town)
    cache.put("Which airport serves Oslo?", "Oslo")
    assert cache.get("What is the airport near Oslo?") == "Oslo"


def test_answers_that_differ_make_none():
    cache = factory()
    for town in ("Ulm", "Bari"):
        cache.put(f"Which airport serves {town}?", f"{town} 1")
        cache.put(f"What is the airport near {town}?", f"{town} 2")
    cache.put("Which airport serves Oslo?", "Oslo")
    assert cache.get("What is the airport near Oslo?") is None


def test_a_judge_is_asked_for_what_the_guards_let_pass():
    asked: list[tuple[str, str]] = []

    def judge(first: str, second: str) -> bool:
        asked.append((first, second))
        return True

    cache = factory_judged(judge)
    cache.put("How do I get red wine out of a carpet?", "salt")
    cache.put("How do I get 2 liters of red wine?", "shop")
    new = "What removes a red wine stain from a carpet?"
    assert cache.get(new) == "salt"
    assert asked == [(new, "How do I get red wine out of a carpet?")]
    assert cache.get(new) == "salt"
    assert len(asked) == 1


def test_the_judge_of_the_labels_knows_the_streams_of_a_directory(tmp_path, monkeypatch):
    rows = [
        {"prompt": "Which airport serves Ulm?", "answer_id": "1", "group": "a"},
        {"prompt": "What is the airport near Ulm?", "answer_id": "1"},
        {"prompt": "the mayor of Ulm near the airport?", "answer_id": "2"},
        {"cached": "no stream", "probe": "of pairs", "same": 1},
    ]
    lines = b"\n".join(map(msgspec.json.encode, rows))
    (tmp_path / "stream.jsonl").write_bytes(lines)
    monkeypatch.setenv(LABELS_VARIABLE, str(tmp_path))
    cache = factory_judged()
    cache.put("Which airport serves Ulm?", "1")
    assert cache.get("the mayor of Ulm near the airport?") is None
    assert cache.get("an airport near Ulm, unlabelled?") is None
    assert cache.get("What is the airport near Ulm?") == "1"


def test_without_labels_the_variable_is_named(monkeypatch):
    monkeypatch.delenv(LABELS_VARIABLE, raising=False)
    with pytest.raises(KeyError, match=LABELS_VARIABLE):
        factory_judged()
