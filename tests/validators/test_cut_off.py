"""Cut off: our own limit is a failure, the client's is a wish."""

import pytest
from tests.validators.asks import ask, unfinished, whole

from pointsman.validators.cut_off import CutOff


def test_an_answer_cut_at_the_tiers_limit_is_rejected():
    assert "token limit" in CutOff().check(whole("Once upon a", "length"), ask())


@pytest.mark.parametrize(
    ("draft", "max_tokens"),
    [
        pytest.param(whole("Once upon a", "length"), 3, id="cut at the client's limit"),
        pytest.param(whole("Once upon a time."), None, id="ended by itself"),
        pytest.param(whole("", "tool_calls", has_tool_call=True), None, id="tool calls"),
        pytest.param(unfinished("Once upon a"), None, id="still coming"),
    ],
)
def test_is_accepted(draft, max_tokens):
    assert CutOff().check(draft, ask(max_tokens=max_tokens)) == ""
