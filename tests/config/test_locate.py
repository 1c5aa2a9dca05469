"""Locate: every key of a TOML text is found on its line."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.config.locate import KeyPath, locate
from pointsman.config.toml_text import write_key, write_value

AWKWARD = '''\
# a comment with [brackets] and key = 1
plain = 1
"quoted = key" = "a # in text"
'literal.key' = 'C:\\path'
"esc\\u0061ped\\"" = 2
dotted . "inner part".leaf = 3
dotted.more = 4
text = """
not = "a key"
[neither]
""ends with two quotes"""""
raw = \'\'\'
[[no]]
it''s\'\'\'
empty = """"""
array = [ # comment ]
    1, # one
    [2, 3],
    { deep = "x", deeper.still = [true] },
    """
    long
    """,
]
inline = { a = 1, "b c" = { d = [] } }
when = 1979-05-27 07:32:00 # a blank inside

[table] # [not.this]
key = inf

[ table . "sub.table" ]
key = 1

[[many]]
name = "first"
[many.below]
x = 1
[[many.nested]]
y = 1
[[many.nested]]
y = 2

[[many]]
name = "second"
[many.below]
x = 2
[[many.nested]]
y = 3
'''

EXPECTED: dict[KeyPath, int] = {
    ("plain",): 2,
    ("quoted = key",): 3,
    ("literal.key",): 4,
    ('escaped"',): 5,
    ("dotted",): 6,
    ("dotted", "inner part", "leaf"): 6,
    ("dotted", "more"): 7,
    ("text",): 8,
    ("raw",): 12,
    ("empty",): 15,
    ("array",): 16,
    ("array", 0): 17,
    ("array", 1): 18,
    ("array", 1, 1): 18,
    ("array", 2, "deep"): 19,
    ("array", 2, "deeper", "still", 0): 19,
    ("array", 3): 20,
    ("inline",): 24,
    ("inline", "b c", "d"): 24,
    ("when",): 25,
    ("table",): 27,
    ("table", "key"): 28,
    ("table", "sub.table"): 30,
    ("table", "sub.table", "key"): 31,
    ("many",): 33,
    ("many", 0, "name"): 34,
    ("many", 0, "below", "x"): 36,
    ("many", 0, "nested", 1): 39,
    ("many", 0, "nested", 1, "y"): 40,
    ("many", 1): 42,
    ("many", 1, "name"): 43,
    ("many", 1, "below", "x"): 45,
    ("many", 1, "nested", 0, "y"): 47,
}


@pytest.mark.parametrize(("path", "line"), EXPECTED.items(), ids=str)
def test_a_key_of_an_awkward_file_is_found(path: KeyPath, line: int):
    assert locate(AWKWARD)[path] == line


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_exactly_what_is_parsed_is_located(newline: str):
    text = AWKWARD.replace("\n", newline)
    assert set(paths(tomllib.loads(text))) == set(locate(text))


def test_lines_are_the_same_with_either_line_end():
    assert locate(AWKWARD) == locate(AWKWARD.replace("\n", "\r\n"))


@pytest.mark.parametrize("text", ["", "\n", "# only", "a=1", "[a]", "[[a]]", "a=[]#", "a={}\n"])
def test_small_texts_are_read_to_their_end(text: str):
    assert set(paths(tomllib.loads(text))) == set(locate(text))


LEAVES = st.one_of(st.booleans(), st.integers(-9, 9), st.text(max_size=8))
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(data=st.dictionaries(st.text(max_size=6), VALUES, max_size=5))
def test_whatever_is_written_one_key_a_line_is_found_there(data: dict[str, object]):
    text = "".join(f"{write_key(key)} = {write_value(value)}\n" for key, value in data.items())
    assert tomllib.loads(text) == data
    lines = locate(text)
    assert set(paths(data)) == set(lines)
    assert [lines[key,] for key in data] == list(range(1, len(data) + 1))


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    match value:
        case dict():
            for key, item in value.items():
                yield from paths(item, (*path, key))
        case list():
            for index, item in enumerate(value):
                yield from paths(item, (*path, index))
        case _:
            pass
