"""The contract of every validator: what is registered keeps it, and what comes from outside too."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.validators.asks import TOOL_CALL, ask, unfinished, whole

from pointsman.core.errors import ConfigError
from pointsman.core.types import ResponseFormat
from pointsman.validators import (
    ACCEPTED,
    Draft,
    ValidationSettings,
    Validator,
    build_validators,
    judge,
)
from pointsman.validators.custom import GROUP

VALIDATORS = build_validators(ValidationSettings())
EACH = pytest.mark.parametrize("validator", VALIDATORS, ids=lambda it: it.name)
# Only the whole answer can tell: a beginning is never rejected.
NEEDS_THE_WHOLE = {"empty", "cut_off", "too_short", "json_format", "code_block"}

PIECES = st.sampled_from(
    [
        "I'm sorry, but ", "I can't ", "help with that. ", "As an AI, ", "```python\n", "```json\n",
        "```\n", "~~~", "def f(:\n", "{", '"a": ', "[", "]", "}", ">>> ", "...", "| a | b |\n",
        "the the the ", "\n", "\t", "\x00", "\ud800", "\u200b", "<|im_end|>", "0, ", "a.b = 1\n",
    ]
)  # fmt: skip
TEXTS = st.text() | st.lists(PIECES, max_size=30).map("".join) | PIECES.map(lambda it: it * 300)
SCHEMAS = (
    st.none()
    | st.binary(max_size=20)
    | st.sampled_from(
        [b'{"type": "object"}', b'{"$ref": "#"}', b'{"items": {"$ref": "#"}}', b"false"]
    )
)
ASKS = st.builds(
    ask,
    TEXTS,
    words=st.sampled_from([None, 60, 1000]),
    system=TEXTS,
    max_tokens=st.none() | st.integers(1, 100),
    is_harmless=st.booleans(),
    is_tool_loop=st.booleans(),
    response_format=st.none() | st.builds(ResponseFormat, schema=SCHEMAS),
)
DRAFTS = st.builds(
    Draft,
    text=TEXTS,
    reasoning=TEXTS,
    tool_calls=st.sampled_from([(), (TOOL_CALL,)]),
    finish_reason=st.sampled_from([None, "stop", "length", "tool_calls", "content_filter", "odd"]),
)


@EACH
@given(draft=DRAFTS, asked=ASKS)
def test_a_verdict_is_a_short_printable_line_and_always_the_same(validator, draft, asked):
    reason = validator.check(draft, asked)
    assert reason.isascii() and (reason.isprintable() or not reason)
    assert len(reason) <= 160
    assert validator.check(draft, asked) == reason


@EACH
@given(text=TEXTS, asked=ASKS)
def test_a_beginning_is_not_rejected_where_only_the_whole_can_tell(validator, text, asked):
    if validator.name in NEEDS_THE_WHOLE:
        assert validator.check(unfinished(text), asked) == ""


@given(text=TEXTS, asked=ASKS)
def test_a_content_filters_answer_is_never_rejected(text, asked):
    assert judge(VALIDATORS, whole(text, "content_filter"), asked) is ACCEPTED


@EACH
@pytest.mark.parametrize(
    "piece",
    [
        " ", "\n", "a", "0", "`", "```\n", "```python\n", "```py\n1\n```\n", "```json\n1\n```\n",
        "[", "{", '{"a":', "I'm sorry, ", "I can't ", "the ", "\u200b", ": is ", "? ", "<|", "#",
        "....", "only the ", "\u2014", "ab" * 30 + "c", "| ", "-", "a.", "\t \n", '"', "\\",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_megabyte_of_anything_is_checked_within_the_suites_time_limit(validator, piece):
    """Without a linear rule this would take hours: 1e12 steps."""
    text = (piece * (1_000_000 // len(piece)))[:1_000_000]
    asked = ask(text, words=100, system=text)
    validator.check(whole(text), ask(response_format=ResponseFormat()))
    validator.check(unfinished(text), asked)
    for hostile in ("", f"I can't help {text}", f"```python\n{text}\n```", f"{text}!"):
        validator.check(whole(hostile), asked)


def test_the_cheapest_check_comes_first_and_names_are_unique():
    assert [validator.name for validator in VALIDATORS] == [
        "cut_off", "empty", "refusal", "too_short", "repetition", "json_format", "code_block",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["cut_off", "empty", "refusal", "repetition", "json_format", "code_block"]
)
def test_each_check_has_its_switch(name):
    settings = msgspec.convert({name: False}, ValidationSettings)
    names = {validator.name for validator in build_validators(settings)}
    assert names == {validator.name for validator in VALIDATORS} - {name}


def test_no_words_switch_off_too_short_and_another_number_is_passed_on():
    off = build_validators(ValidationSettings(min_words_for_long_ask=0))
    assert "too_short" not in {validator.name for validator in off}
    more = build_validators(ValidationSettings(min_words_for_long_ask=30))
    assert judge(more, whole("word " * 20), ask(words=100)).validator == "too_short"


@pytest.mark.parametrize(
    "settings", [{"min_words_for_long_ask": -1}, {"stream_hold_chars": -1}, {"emtpy": True}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, ValidationSettings)


def test_the_first_rejection_is_the_verdict():
    verdict = judge(VALIDATORS, whole(""), ask(response_format=ResponseFormat()))
    assert verdict.validator == "empty" and not verdict.is_accepted
    assert judge(VALIDATORS, whole("The moon draws the water."), ask()) is ACCEPTED


THEIRS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Shouting:
    name: str = "their own name"

    def check(self, draft, ask):
        return "it shouts" if draft.text.isupper() else ""

def no_shouting(draft, ask):
    return "it\\nshouts " + "\\u00e9" * 1000 if draft.text.isupper() else ""

def raising(draft, ask):
    raise RuntimeError(draft.text)

def silent(draft, ask):
    return None

async def waiting(draft, ask):
    return ""

def broken():
    raise OSError("no dictionary")

def three(draft, ask, more):
    return ""

number = 3
"""
NAMES = ("Shouting", "no_shouting", "raising", "silent", "waiting", "broken", "three", "number")


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package with entry points, for as long as the test runs."""
    (tmp_path / "their_checks.py").write_text(THEIRS)
    info = tmp_path / "their_checks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-checks\nVersion: 1.0\n")
    points = [f"{name} = their_checks:{name}\n" for name in (*NAMES, "missing")]
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{''.join(points)}")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("their_checks", None)


def custom(name: str) -> Validator:
    return build_validators(ValidationSettings(custom=(name,)))[-1]


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("name", ["Shouting", "no_shouting"])
def test_a_third_partys_validator_comes_last_and_by_the_name_in_the_configuration(name):
    reason = custom(name).check(whole("AHOY"), ask())
    assert custom(name).name == name
    assert reason.startswith("it shouts") and reason.isascii() and len(reason) <= 160
    assert custom(name).check(whole("Ahoy"), ask()) == ""


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("name", "failure"), [("raising", "raised RuntimeError"), ("silent", "returned NoneType")]
)
def test_a_third_partys_failure_accepts_the_draft_and_is_logged_once_without_it(
    name, failure, caplog
):
    validator = custom(name)
    with caplog.at_level(logging.WARNING):
        assert [validator.check(whole("my secret"), ask()) for _ in range(3)] == ["", "", ""]
    (record,) = caplog.records
    assert failure in record.getMessage() and name in record.getMessage()
    assert "my secret" not in caplog.text


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("waiting", "must be a factory"),
        ("three", "must be a factory"),
        ("number", "must be a factory"),
        ("broken", "OSError: no dictionary"),
        ("missing", "AttributeError"),
    ],
)
def test_what_cannot_be_used_stops_the_start(name, why):
    with pytest.raises(ConfigError, match=why) as raised:
        custom(name)
    assert f'"{name}"' in raised.value.message


@pytest.mark.usefixtures("theirs")
def test_an_unknown_name_stops_the_start_and_tells_what_is_installed():
    with pytest.raises(ConfigError) as raised:
        custom("shoutng")
    assert '"shoutng"' in raised.value.message
    assert "Shouting, broken, missing, no_shouting" in raised.value.message
    assert "remove the name" in raised.value.message


def test_an_unknown_name_where_nothing_is_installed_stops_the_start():
    with pytest.raises(ConfigError, match="installed: none"):
        custom("theirs")
