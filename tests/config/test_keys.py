"""Keys: every key is documented, and what is documented is true of the Structs."""

from pathlib import Path

import pytest

from pointsman.config.docs import (
    BEGIN,
    END,
    DocumentedKey,
    configuration_table,
    renew,
    sections,
)
from pointsman.config.keys import KEYS, SECTIONS, Key

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
ALL_KEYS = [key for section in sections() for key in section.keys]


def test_every_key_and_section_is_explained_and_none_is_left_over():
    assert [key.pattern for key in ALL_KEYS] == list(KEYS)
    assert [section.pattern for section in sections()] == list(SECTIONS)


@pytest.mark.parametrize("key", ALL_KEYS, ids=lambda key: ".".join(key.pattern))
def test_a_key_has_a_default_within_its_range_or_an_example(key: DocumentedKey):
    assert key.facts.text.endswith(".")
    if isinstance(key.default, int | float):
        assert key.facts.allows(key.default)
        assert isinstance(key.default, bool) or key.facts.range, "numbers are bounded"
    has_default = isinstance(key.default, bool | int | float | str | tuple)
    assert has_default or key.facts.example


@pytest.mark.parametrize(
    ("key", "range_", "hint"),
    [
        (Key(""), "", ""),
        (Key("", least=1), "1 or more", "1 or more"),
        (Key("", most=9), "at most 9", "at most 9"),
        (Key("", least=1, most=9), "1 to 9", "1 to 9"),
        (Key("", least=0, is_above=True), "more than 0", "more than 0"),
        (
            Key("", least=0, is_above=True, most=1_000_000),
            "more than 0, at most 1000000",
            "more than 0",
        ),
    ],
)
def test_a_range_is_told_in_words(key: Key, range_: str, hint: str):
    assert (key.range, key.hint) == (range_, hint)


def test_the_document_is_not_stale():
    document = DOCUMENT.read_text("utf-8")
    assert document.count(BEGIN) == document.count(END) == 1
    assert renew(document) == document, "run python -m pointsman.config.docs docs/configuration.md"


def test_the_table_names_every_key():
    table = configuration_table()
    assert all(f"| `{key.name}` |" in table for key in ALL_KEYS)
