"""What never changes an answer goes; all that may change one stays."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointsman.cache.semantic.normal import normalised

SAME = [
    ("What is the capital of Peru?", "what  is the capital\tof Peru"),
    ("What is the capital of Peru?", "Hi! What is the capital of Peru? Thanks in advance."),
    ("Convert 42 miles to km", "Please, convert 42 miles to km please"),
    ("Convert 42 miles to km", "Could you help me? Convert 42 miles to km..."),
    ("Convert 42 miles to km", "Could you please convert 42 miles to km? Many thanks"),
    ("How much is 9 US dollars?", "quick question: how much is 9 us dollars???"),
    ("What's new in C?", "What’s new in C?"),
    ("Hi, is rice a grain?", "Is rice a grain?"),
    ("Hey, for how long do I boil rice?", "For how long do I boil rice?"),
    ("ｗｈａｔ is 5 km in miles", "What is 5 km in miles"),  # noqa: RUF001
    ('Who wrote "Dune"?', 'hello, who wrote "Dune"? Cheers'),
    ("Explain:\n```\nx = 1\n```\n", "explain:\n```\nx = 1\n```"),
]

DIFFERENT = [
    ("How do I say please in French?", "How do I say in French?"),
    ("How do you spell thanks", "How do you spell please"),
    ("Hi, in Japanese?", "Hello, in Japanese?"),
    ('Translate "Hello  World."', 'Translate "hello world"'),
    ("Translate 'Hello.' to French", "Translate 'hello' to French"),
    ("Translate “Hello” to French", "Translate “hello” to French"),
    ("What does `ls -V` do?", "What does `ls -v` do?"),
    ("What does grep -V do?", "What does grep -v do?"),
    ("Explain:\n```\nx = 1\n```", "Explain:\n```\nX = 1\n```"),
    ("Explain:\n```\nif a:\n  b\n```", "Explain:\n```\nif a:\n b\n```"),
    ("Explain:\n```\nX", "Explain:\n```\nx"),
    ("one\n  two", "one\ntwo"),
    ("What is 10²?", "What is 102?"),
    ("What is 5!", "What is 5?"),
    ("How much is 1½ cups", "How much is 11/2 cups"),
    ("How long do 5 Mb take", "How long do 5 MB take"),
    ("Power of 5 mW", "Power of 5 MW"),
    ("5 M in words", "5 m in words"),
    ("Open /home/Me", "Open /home/me"),
    ("What did they tell us", "What did they tell US"),
    ("What does it do?", "What does IT do?"),
    ("What is the molar mass of CO?", "What is the molar mass of Co?"),
    ("Wo wohnen Sie?", "Wo wohnen sie?"),
    ("Was ist die Masse?", "Was ist die Maße?"),
    ("What does ! mean", "What does ? mean"),
    ("What does $Path hold", "What does $PATH hold"),
    ("Next of 1, 2, ...", "Next of 1, 2"),
    ("foo_Bar", "foo_bar"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_what_is_said_for_form_alone_goes(first, second):
    assert normalised(first) == normalised(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_may_change_the_answer_stays(first, second):
    assert normalised(first) != normalised(second)


def test_several_lines_lose_only_the_blank_around_them():
    assert normalised("\n\n  Hi!\nTWO  words.\n\tend. \n") == "  Hi!\nTWO  words.\n\tend."


@pytest.mark.parametrize("text", ["", "?", "...", "Thanks!", "hi", "please", "!!", "  \n"])
def test_a_text_of_form_alone_is_not_emptied_and_does_not_raise(text):
    assert bool(normalised(text)) == bool(text.strip())


# Pieces that meet the rules, in any order: letters alone seldom would.
PIECES = st.lists(
    st.sampled_from(
        [
            "Hi!",
            "hi",
            "hello,",
            "please",
            "Please,",
            "Thanks!",
            "thanks",
            "cheers",
            "US",
            "it",
            "WHO",
            "5",
            "!",
            "?",
            "...",
            "½",
            "10²",
            "'a'",
            "'",
            '"',
            "“",
            "”",
            "`",
            "``",
            "```",
            "~~~",
            "\n",
            "Über",
            "ﬁ",
            "…",
            "’",
            "/",
            "-",
            "M",
            ".",
        ]
    )
    | st.text(max_size=4),
    max_size=14,
)


@given(st.text() | PIECES.map(" ".join) | PIECES.map("".join))
@example("İ please")
@example('hi! "x" please')
def test_twice_is_once(text: str):
    once = normalised(text)
    assert normalised(once) == once


@given(quoted=st.text(st.characters(exclude_characters='"\n\r`'), min_size=1))
def test_what_is_quoted_is_kept_byte_for_byte(quoted: str):
    assert f'"{quoted}"' in normalised(f'Hi! Translate "{quoted}" to Dutch, please')


@pytest.mark.parametrize(
    "piece",
    ["'a ", "' ", '"', "“ ", "`", "`` ", "```\n", ". ", "! ", "hi! ", "a", " ", "\n", "please ",
     "thanks, ", "1", "/", "é", ", ...", "can you help me? "],
)  # fmt: skip
def test_a_hostile_text_takes_time_in_proportion(piece):
    # Quadratic time would be minutes here; every test has a limit.
    text = piece * (100_000 // len(piece))
    assert isinstance(normalised(text), str)
