"""The limits hold exactly, count nothing that stands in a string, and never read a byte twice."""

import json

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pointsman.core.errors import RequestError
from pointsman.core.wire import limits
from pointsman.core.wire.limits import DEPTH_MAX, DIGITS_MAX, KEYS_MAX, check_json


def arrays(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def objects(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%d":0' % number for number in range(count)) + b"}"


def string(text: bytes) -> bytes:
    return b'{"a":"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"}'


@pytest.mark.parametrize(
    "body",
    [
        arrays(DEPTH_MAX),
        objects(DEPTH_MAX),
        b"[" + b",".join([arrays(DEPTH_MAX - 1)] * 100) + b"]",
        b"1" * DIGITS_MAX,
        b'{"a":-' + b"9" * DIGITS_MAX + b"." + b"9" * DIGITS_MAX + b"}",
        keys(KEYS_MAX),
        b"[" + b",".join([keys(KEYS_MAX)] * 3) + b"]",
        string(arrays(200)),
        string(objects(200)),
        string(b"1" * 200),
        string(keys(KEYS_MAX + 1)),
        string(b"\\" * 101 + b"[" * 100),
        b'{"' + b"1" * 99 + b"[" * 99 + b'":1}',
        b"]}" * 100 + arrays(DEPTH_MAX),
        b"",
        string("\u00e9\u20ac\U0001f600".encode()),
    ],
    ids=["arrays", "objects", "wide", "digits", "fraction", "keys", "many objects", "deep string",
         "object string", "digit string", "key string", "escapes", "key", "closings", "empty",
         "UTF-8"],
)  # fmt: skip
def test_what_is_within_the_limits_passes(body):
    check_json(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (arrays(DEPTH_MAX + 1), "deeper than 64"),
        (objects(DEPTH_MAX + 1), "deeper than 64"),
        (b'[{"a":' * 33, "deeper than 64"),
        (b'{"a":"]]]]","b":' * 65, "deeper than 64"),
        (b'{"a":"\\"]]]]","b":' * 65, "deeper than 64"),
        (b"[" * 2_000_000, "deeper than 64"),
        (b"1" * (DIGITS_MAX + 1), "64 digits"),
        (b'{"a":1e' + b"1" * (DIGITS_MAX + 1), "64 digits"),
        (keys(KEYS_MAX + 1), "10000 keys"),
        (b'{"x":[{}],' + keys(KEYS_MAX)[1:], "10000 keys"),
        (b'{"a":"\xed\xa0\x80"}', "byte 6 is no UTF-8"),
        (string("\u00e9".encode("latin-1")), "byte 6 is no UTF-8"),
    ],
    ids=["arrays", "objects", "mixed", "strings between", "escapes between", "open", "digits",
         "exponent", "keys", "keys around", "surrogate", "latin-1"],
)  # fmt: skip
def test_what_is_over_a_limit_is_refused(body, says):
    with pytest.raises(RequestError, match=says) as caught:
        check_json(body)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b'\\"' * 500_000,
        b'"' + b"\\\\" * 500_000,
        b'"' * 1_000_001,
        b'"a' * 500_000,
        b"\\" * 1_000_000,
        b':"' * 9_000 + b'\\"' * 500_000,
        b"[]" * 500_000,
        b"1" * 64 + b" 1" * 500_000,
    ],
    ids=["escaped quotes", "backslashes", "quotes", "strings", "bare", "keys", "pairs", "numbers"],
)
def test_a_hostile_megabyte_is_read_once(text):
    """The suite's time limit is the measure: a quadratic reader takes hours over these."""
    limits._walk(text)


def slow_check(body: bytes) -> bool:
    """Return whether a body is within the limits, read one byte at a time."""
    levels, digits, is_string, is_escaped = [0], 0, False, False
    for char in body.decode("latin-1"):
        if is_string:
            is_string = is_escaped or char != '"'
            is_escaped = not is_escaped and char == "\\"
            continue
        digits = digits + 1 if char in "0123456789" else 0
        is_string = char == '"'
        if char in "[{":
            levels.append(0)
        elif char in "]}":
            levels = levels[:-1] if len(levels) > 1 else levels
        elif char == ":":
            levels[-1] += 1
        if digits > limits.DIGITS_MAX or len(levels) - 1 > limits.DEPTH_MAX:
            return False
        if levels[-1] > limits.KEYS_MAX:
            return False
    return True


def passes(body: bytes) -> bool:
    try:
        check_json(body)
    except RequestError:
        return False
    return True


PIECES = st.sampled_from(
    [b"[", b"]", b"{", b"}", b'"', b'\\"', b"\\\\", b":", b",", b"12", b"1" * 7, b"e", b".", b" ",
     b'"a":', b'{"a":1}', b'"[[["', b'":::"', b"\n"]
)  # fmt: skip


@pytest.fixture(scope="module")
def small_limits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "DEPTH_MAX", 3)
        patch.setattr(limits, "KEYS_MAX", 2)
        yield


@pytest.mark.usefixtures("small_limits")
@given(body=st.lists(PIECES, max_size=25).map(b"".join))
@example(b'"\\"[[[[')
def test_the_short_cut_and_the_walk_agree_with_a_slow_reader(body):
    assume(b"\\" not in limits._TOKEN.sub(b"", body))  # outside a string it is no JSON anyway
    assert passes(body) == slow_check(body)


@pytest.mark.parametrize("before", range(17))
@pytest.mark.parametrize("digits", [DIGITS_MAX, DIGITS_MAX + 1])
def test_a_long_number_is_found_wherever_it_stands(before, digits):
    body = b"[" + b" " * before + b"7" * digits + b"]"
    assert passes(body) == (digits <= DIGITS_MAX)


JSON = st.recursive(
    st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@pytest.mark.usefixtures("small_limits")
@given(value=JSON, indent=st.none() | st.integers(0, 2), is_ascii=st.booleans())
def test_real_json_is_judged_by_what_it_is(value, indent, is_ascii):
    def fits(item: object, depth: int = 0) -> bool:
        match item:
            case dict():
                return (
                    depth < 3
                    and len(item) <= 2
                    and all(fits(inner, depth + 1) for inner in item.values())
                )
            case list():
                return depth < 3 and all(fits(inner, depth + 1) for inner in item)
            case _:
                return True

    body = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert passes(body.encode("utf-8", "surrogatepass")) == fits(value)
