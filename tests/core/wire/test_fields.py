"""A JSON object taken apart: what fits is given, what does not is named, the rest is told of."""

from collections.abc import Callable

import pytest
from tests.core.wire.prompts import asking

from pointsman.core.errors import RequestError
from pointsman.core.wire.fields import Fields, closed

BODY: dict[str, object] = {
    "text": "a",
    "flag": False,
    "half": 0.5,
    "two": 2.0,
    "large": 2**60 + 1,
    "object": {"a": 1},
    "texts": ["a", "b"],
    "list": [{"name": "x"}, {"name": "y"}],
    "null": None,
}


def fields(**members: object) -> Fields:
    return Fields(members or BODY, "at[0]", [])


@pytest.mark.parametrize(
    ("take", "found"),
    [
        (lambda it: it.text("text"), "a"),
        (lambda it: it.text("null"), ""),
        (lambda it: it.flag("flag"), False),
        (lambda it: it.flag("no"), None),
        (lambda it: it.number("half"), 0.5),
        (lambda it: it.whole("two"), 2),
        (lambda it: it.whole("large"), 2**60 + 1),
        (lambda it: it.raw("object"), b'{"a":1}'),
        (lambda it: it.texts("texts"), ("a", "b")),
        (lambda it: it.texts("null"), ()),
        (lambda it: it.each("list", lambda entry: entry.text("name")), ("x", "y")),
        (lambda it: it.child("null"), None),
    ],
)
def test_a_member_that_fits_is_given(take: Callable[[Fields], object], found: object):
    assert take(fields()) == found


@pytest.mark.parametrize(
    ("take", "complaint"),
    [
        (lambda it: it.text("flag"), "at[0].flag is false; it must be a text"),
        (lambda it: it.needed_text("null"), "at[0].null is missing"),
        (lambda it: it.flag("text"), 'at[0].text is "a"; it must be true or false'),
        (lambda it: it.number("flag"), "at[0].flag is false; it must be a number"),
        (lambda it: it.whole("half"), "at[0].half is 0.5; it must be a whole number"),
        (lambda it: it.raw("text"), 'at[0].text is "a"; it must be an object'),
        (lambda it: it.texts("text"), 'at[0].text is "a"; it must be a list of texts'),
        (
            lambda it: it.texts("list"),
            'at[0].list is [{"name":"x"},{"name":"y"}]; it must be a list of texts',
        ),
        (lambda it: it.child("text"), 'at[0].text is "a"; it must be an object'),
    ],
)
def test_a_member_that_does_not_fit_is_named(take: Callable[[Fields], object], complaint: str):
    with pytest.raises(RequestError) as refused:
        take(fields())
    assert refused.value.message == complaint
    assert refused.value.param == complaint.partition(" ")[0]


def test_what_nobody_took_and_says_something_is_told_of_once():
    body = Fields({"seen": 1, "elsewhere": 1, "empty": "", "off": False, "more": 1}, "", [])
    body.value("seen")
    body.pass_over(["elsewhere"])
    inner = Fields({"list": [{"odd": 1}, {"odd": 2}]}, "", body.unread)
    inner.each("list", lambda entry: None)
    prompt = closed(asking(), body, [("n", "why"), ("n", "why")])
    assert prompt.unread == ("list[].odd", "more")
    assert prompt.refused == (("n", "why"),)
    assert prompt.messages == asking().messages


def test_what_is_drained_is_not_told_of():
    body = fields()
    body.drain()
    body.close()
    assert body.unread == []
