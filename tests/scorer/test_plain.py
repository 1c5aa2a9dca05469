"""Plain: disguised words are read in plain letters, and languages and formulae stay as they are."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.scorer import plain as module
from pointsman.scorer.plain import plain
from pointsman.scorer.reading import read

ASK = "Which of these rivers is the longest, and in which sea does it end?"
DISGUISED = {
    "cyrillic": "Whi\u0441h \u043ef th\u0435s\u0435 rivers i\u0455 th\u0435 l\u043engest",
    "a whole word of lookalikes": "Which \u0441\u043e\u0440\u0435 of these rivers",
    "greek": "Which \u03bff these riv\u03b5rs",
    "small capitals": "\u1d21\u029c\u026a\u1d04\u029c of these rivers is the longest",
    "full width": "\uff37\uff48\uff49\uff43\uff48 of these",
    "bold": "\U0001d416\U0001d421\U0001d422\U0001d41c\U0001d421 of these",
    "in circles": "\u24cc\u24d7\u24d8\u24d2\u24d7 of these",
    "struck through": "W\u0336h\u0336i\u0336c\u0336h\u0336 of these",
    "joiners": "Wh\u200bi\u200dch o\u00adf the\u2060se",
    "tags": "Which of these\U000e0070\U000e006f\U000e0077",
    "turned": "Which of these\u202e\u202c",
}
READ_AS = {
    "cyrillic": "Which \u043ef these rivers i\u0455 th\u0435 longest",  # two and three letters stay
    "a whole word of lookalikes": "Which cope of these rivers",
    "greek": "Which \u03bff these riv\u03b5rs",  # epsilon looks like no letter of ASCII
    "small capitals": "which of these rivers is the longest",
}
AS_IT_IS = {
    "russian": "Напиши, что такое Python и сорт",
    "russian of lookalikes alone": "мост там",
    "a slip in russian": "Привет, Mосква",  # noqa: RUF001
    "greek": "Καλημέρα κόσμε",
    "formula": "The pressure is ρgh, and Δt = 5 μs; let 𝑥 + 𝑦 = νt",  # noqa: RUF001
    "accents": "Un café naïf à “Göteborg” …",
    "chinese": "请写一个函数，谢谢。",  # noqa: RUF001
    "vietnamese, decomposed": "tie\u0302\u0301ng Vie\u0323\u0302t",
}


@pytest.mark.parametrize("kind", DISGUISED)
def test_a_disguised_word_is_read_in_plain_letters(kind: str):
    expected = READ_AS.get(kind, "Which of these")
    assert plain(DISGUISED[kind]) == expected


@pytest.mark.parametrize("kind", AS_IT_IS)
def test_a_language_or_a_formula_stays_as_it_is(kind: str):
    assert plain(AS_IT_IS[kind]) == AS_IT_IS[kind]


@given(text=st.text(alphabet=st.characters(codec="ascii")))
def test_ascii_is_never_changed(text: str):
    assert plain(text) is text


@given(text=st.text(alphabet=st.characters(max_codepoint=0x24F, exclude_characters="\u00ad")))
def test_latin_is_never_changed(text: str):
    assert plain(text) is text


@given(text=st.text())
def test_nothing_beyond_ascii_comes_in(text: str):
    assert all(letter.isascii() or letter in text for letter in plain(text))


def test_each_lookalike_stands_for_one_letter_of_ascii_and_is_none():
    for letter, stands_for in module._LOOKALIKES.items():
        assert stands_for.isascii() and stands_for.isalpha()
        assert not letter.isascii() and unicodedata.category(letter)[0] == "L"


def test_hidden_and_swapped_letters_change_nothing_of_the_reading():
    hidden = ASK.replace("rivers", "riv\u200bers").replace("longest", "l\u043engest")
    assert hidden != ASK
    assert read(hidden) == read(ASK)
    assert read(f"{ASK}\U000e0070\U000e006f") == read(ASK)
