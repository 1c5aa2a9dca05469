"""Empty: only what cannot be seen is empty."""

import pytest
from tests.validators.asks import ask, unfinished, whole

from pointsman.validators import Draft
from pointsman.validators.empty import Empty


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(whole(""), id="nothing"),
        pytest.param(whole(" \n\t\u00a0\u3000"), id="white space of all kinds"),
        pytest.param(whole("\u200b\ufeff\u200d\u2060"), id="zero width"),
        pytest.param(whole("\x00\x1b\x7f"), id="controls"),
        pytest.param(whole("\u3164\u2800"), id="blank letters"),
        pytest.param(Draft(text="", reasoning="Hm.", finish_reason="stop"), id="reasoning alone"),
        pytest.param(whole("", "tool_calls"), id="announces tool calls, makes none"),
    ],
)
def test_is_rejected(draft):
    assert Empty().check(draft, ask()) == "the answer has no visible text and no tool call"


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(whole("0"), id="a zero"),
        pytest.param(whole("."), id="a dot"),
        pytest.param(whole("👍"), id="an emoji"),
        pytest.param(whole("\U0001fae9"), id="an emoji younger than this Python"),
        pytest.param(whole("\u200bé"), id="a letter behind a zero-width space"),
        pytest.param(whole("", "tool_calls", has_tool_call=True), id="a tool call"),
        pytest.param(unfinished(""), id="still coming"),
    ],
)
def test_is_accepted(draft):
    assert Empty().check(draft, ask()) == ""
