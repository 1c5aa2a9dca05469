"""Too short: a long ask is not met with a few words, unless it wants few."""

import pytest
from tests.validators.asks import ask, unfinished, whole

from pointsman.core.types import ResponseFormat
from pointsman.validators.too_short import TooShort

LONG = (
    "I am planning a migration of our billing service from a single Postgres instance to a "
    "sharded setup. We have four hundred tables, about two terabytes of data, and a maintenance "
    "window of at most ten minutes on Sunday nights. The team knows Python and a little Go. "
    "Please lay out a plan in phases, with the risks of each phase, the way back if a phase fails, "
    "and the checks that tell us it is safe to go on to the next one."
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Sure, I can do that.", id="a promise"),
        pytest.param("Use pg_dump.", id="a hint"),
        pytest.param("**Plan:**\n\n---\n", id="a heading"),
        pytest.param("one two three four five six seven eight nine ten eleven", id="eleven words"),
    ],
)
def test_is_rejected(text):
    assert "fewer than 12" in TooShort().check(whole(text), ask(LONG))


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(
            whole("one two three four five six seven eight nine ten eleven twelve"), id="12"
        ),
        pytest.param(whole("x = sum(map(int, a.split(',')))\nfor y in x: print(y, z)"), id="code"),
        pytest.param(whole("首先备份数据库然后逐步迁移到分片"), id="a script without spaces"),
        pytest.param(whole("", "tool_calls", has_tool_call=True), id="a tool call"),
        pytest.param(unfinished("Sure"), id="still coming"),
    ],
)
def test_is_accepted(draft):
    assert TooShort().check(draft, ask(LONG)) == ""


@pytest.mark.parametrize(
    "wish",
    [
        "Is that a good idea? Answer yes or no.",
        "Reply with one word.",
        "Give me just the number.",
        "Reply with only the SQL.",
        "Respond only with OK.",
        "Be concise.",
        "In at most 5 words, please.",
        "Classify the text above.",
        "Do not explain.",
        "How many tables do we have?",
        "Which phase is the riskiest?",
        "A) the first\nB) the second",
        "Wait for my next message.",
        "Write a title for this.",
    ],
)
def test_an_ask_that_wants_few_words_gets_them(wish):
    assert TooShort().check(whole("Yes."), ask(f"{LONG}\n{wish}")) == ""


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(ask(LONG, max_tokens=16), id="small limit"),
        pytest.param(ask(LONG, response_format=ResponseFormat()), id="JSON"),
        pytest.param(ask(LONG, is_tool_loop=True), id="tool loop"),
        pytest.param(ask(LONG, system="Answer in one word."), id="system prompt"),
        pytest.param(ask(LONG, words=59), id="59 words"),
    ],
)
def test_the_form_of_an_ask_permits_few_words(asked):
    assert TooShort().check(whole("Done."), asked) == ""


def test_an_answer_that_the_client_cut_is_no_brush_off():
    assert TooShort().check(whole("Phase one", "length"), ask(LONG, max_tokens=100)) == ""
    assert TooShort().check(whole("Phase one", "length"), ask(LONG)) != ""


def test_zero_words_switch_it_off():
    assert TooShort(min_words=0).check(whole(""), ask(LONG)) == ""


def test_a_wish_is_found_at_either_end_of_a_very_long_ask():
    filler = "The tables are many and wide. " * 1000
    for text in (f"Answer in one word.\n{filler}", f"{filler}\nAnswer in one word."):
        assert TooShort().check(whole("Yes."), ask(text)) == ""
    assert TooShort().check(whole("Yes."), ask(filler)) != ""
