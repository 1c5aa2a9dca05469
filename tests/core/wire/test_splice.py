"""A splice changes the fields it was told to change, and no other byte."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pointsman.core.wire.splice import object_bytes, splice

BLANKS = st.text(" \t\r\n", max_size=3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAMES = st.sampled_from(["model", "usage", "a", "ä", "mo\ndel", 'q"', "\\", ""]) | TEXTS
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
CHANGES = st.dictionaries(NAMES, st.none() | VALUES.map(lambda value: [value]), max_size=4)


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """Write a value as JSON with blanks and escapes wherever they may stand."""
    match value:
        case dict():
            members = [
                draw(BLANKS) + draw(written(name)) + draw(BLANKS) + ":" + draw(BLANKS)
                + draw(written(item)) + draw(BLANKS)
                for name, item in value.items()
            ]  # fmt: skip
            return "{" + ",".join(members) + (draw(BLANKS) if not members else "") + "}"
        case list():
            items = [draw(BLANKS) + draw(written(item)) + draw(BLANKS) for item in value]
            return "[" + ",".join(items) + "]"
        case str():
            return json.dumps(value, ensure_ascii=draw(st.booleans()))
        case _:
            return json.dumps(value)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    value = draw(st.dictionaries(NAMES, VALUES, max_size=6))
    return value, (draw(BLANKS) + draw(written(value)) + draw(BLANKS)).encode()


def edited(value: dict[str, Any], changes: dict[str, list[Any] | None]) -> dict[str, Any]:
    kept = {name: item for name, item in value.items() if changes.get(name, [0]) is not None}
    return kept | {name: item[0] for name, item in changes.items() if item is not None}


def spliced(body: bytes, changes: dict[str, list[Any] | None]) -> bytes:
    return splice(
        body,
        {
            name: None if item is None else json.dumps(item[0]).encode()
            for name, item in changes.items()
        },
    )


@given(body=bodies(), changes=CHANGES)
def test_a_splice_equals_an_edit_of_the_dictionary(body, changes):
    value, text = body
    result = json.loads(spliced(text, changes))
    assert result == edited(value, changes)
    assert list(result)[: len(value)] == list(edited(value, changes))[: len(value)]


@given(body=bodies(), new=VALUES, data=st.data())
def test_only_the_named_value_changes(body, new, data):
    value, text = body
    assume(value)
    name = data.draw(st.sampled_from(list(value)))
    old = bytes(msgspec.json.decode(text, type=dict[str, msgspec.Raw])[name])
    result = spliced(text, {name: [new]})
    replacement = json.dumps(new).encode()
    places = (at for at in range(len(text)) if text.startswith(old, at))
    assert result in {text[:at] + replacement + text[at + len(old) :] for at in places}
    assert spliced(text, {name: None}) in {
        text[:start] + text[end:] for start in range(len(text)) for end in range(start, len(text))
    }


@given(
    value=st.dictionaries(NAMES, VALUES, max_size=5),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (", ", ":"), (",", ": ")]),
    changes=CHANGES,
)
def test_a_body_in_a_usual_style_is_changed_as_one_in_any_other(value, separators, changes):
    """A line end behind it is no part of the style, and stays."""
    text = json.dumps(value, separators=separators, ensure_ascii=False).encode()
    assert spliced(text, changes) + b"\n" == spliced(text + b"\n", changes)


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b'{"model":"a"}', {"model": b'"b"'}, b'{"model":"b"}'),
        (b' { "model" : "a" , "x" : 1 } \n', {"model": b'"b"'}, b' { "model" : "b" , "x" : 1 } \n'),
        (b'{"x": 1 } \n', {"y": b"2"}, b'{"x": 1,"y":2 } \n'),
        (b" { } ", {"y": b"2", "z": b"3"}, b' { "y":2,"z":3} '),
        (b"{}", {"y": None}, b"{}"),
        (b'{ "a": 1 , "b": 2 ,\n"c": 3 }', {"a": None}, b'{ "b": 2 ,\n"c": 3 }'),
        (b'{ "a": 1 , "b": 2 ,\n"c": 3 }', {"b": None}, b'{ "a": 1 ,\n"c": 3 }'),
        (b'{ "a": 1 , "b": 2 ,\n"c": 3 }', {"c": None}, b'{ "a": 1 , "b": 2 }'),
        (b'{ "a": 1 }', {"a": None}, b"{  }"),
        (b'{ "a": 1 }', {"a": None, "b": b"2"}, b'{ "b":2 }'),
        (b'{"a": 1.50}', {"b": b"1"}, b'{"a": 1.50,"b":1}'),
        (b'{"x":{"model":"a"},"model":"a"}', {"model": b'"b"'}, b'{"x":{"model":"a"},"model":"b"}'),
        (b'{"x":"\\"model\\":1"}', {"model": b"2"}, b'{"x":"\\"model\\":1","model":2}'),
        (b'{"model":"a","model":"c"}', {"model": b'"b"'}, b'{"model":"b"}'),
        (b'{"model":"a","model":"a"}', {"model": b'"b"'}, b'{"model":"b"}'),
        (b'{"n":1,"n":1,"model":"a"}', {"model": b'"b"'}, b'{"n":1,"model":"b"}'),
        (b'{"n":12,"n":1,"model":"a"}', {"model": b'"b"'}, b'{"n":1,"model":"b"}'),
        (b'{"mo\\u0064el":"a", "n":1.0}', {"model": b'"b"'}, b'{"mo\\u0064el":"b", "n":1.0}'),
        (b'{"\xc3\xa4":1 ,"m":2}', {"m": b"3"}, b'{"\xc3\xa4":1 ,"m":3}'),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else None,
)
def test_how_it_is_written_is_kept(body, changes, expected):
    assert splice(body, changes) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'{"a":1', b'{"a":1}}', b"{'a':1}", b"null"])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(msgspec.DecodeError):
        splice(body, {"model": b'"b"'})


def test_a_key_that_is_no_unicode_is_refused():
    with pytest.raises(UnicodeDecodeError):
        splice(b'{"\xff":1}', {"model": b'"b"'})


def test_a_key_as_long_as_a_body_may_be_is_no_trouble():
    key = b"k" * 4_000_000
    body = b'{"' + key + b'":1,"model":"a"}'
    assert splice(body, {"model": b'"b"'}) == b'{"' + key + b'":1,"model":"b"}'


@given(members=st.dictionaries(NAMES, VALUES))
def test_an_object_is_written_from_its_members(members):
    raw = {name: json.dumps(value).encode() for name, value in members.items()}
    assert json.loads(object_bytes(raw)) == members
