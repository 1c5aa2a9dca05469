"""A stream's beginning can be looked at, and an array is cut to its objects wherever it is read."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.compare.streams import array_objects, peeked

VALUES = st.recursive(
    st.text(alphabet='a"\\{}[]\n\u00e9', max_size=6) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


class Trickle(io.BytesIO):
    """A file that gives a few bytes at a time, and cannot go back."""

    step = 1

    def read1(self, size: int | None = -1) -> bytes:
        return self.read(min(self.step, 9 if size is None or size < 0 else size))

    def seekable(self) -> bool:
        return False


@given(
    objects=st.lists(st.dictionaries(st.text(max_size=2), VALUES, max_size=3), max_size=4),
    step=st.integers(1, 9),
    indent=st.sampled_from([None, 1]),
)
def test_an_array_is_cut_alike_wherever_a_read_ends(
    objects: list[object], step: int, indent: int | None
):
    text = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    file = Trickle(text)
    file.step = step
    found = list(array_objects(file, 10_000))
    assert [json.loads(row or b"") for _, row in found] == objects
    lines = text.split(b"\n")
    assert all(b"{" in lines[number - 1] for number, _ in found)


def test_an_object_too_long_is_none_and_is_not_held():
    text = json.dumps([{"a": 1}, {"b": "x" * 5_000}, {"c": 2}]).encode()
    file = Trickle(text)
    file.step = 64
    assert [row for _, row in array_objects(file, 100)] == [b'{"a": 1}', None, b'{"c": 2}']


@pytest.mark.parametrize("count", [0, 1, 5, 11, 50])
def test_what_was_looked_at_is_still_ahead(count: int):
    head, file = peeked(Trickle(b"hello\nworld"), count)
    assert head == b"hello\nworld"[:count]
    assert file.readline() == b"hello\n" and file.read() == b"world" and file.read() == b""


def test_what_breaks_off_breaks_off_where_it_did():
    class Broken(Trickle):
        def read1(self, size: int | None = -1) -> bytes:
            if part := super().read1(size):
                return part
            raise EOFError

    head, file = peeked(Broken(b"one\ntwo"), 100)
    assert head == b"one\ntwo" and file.readline() == b"one\n"
    with pytest.raises(EOFError):
        file.read()
