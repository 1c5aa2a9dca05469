"""Thinking with a budget in a tool loop: on where the loop was begun by thinking, else off."""

import json
from functools import partial
from typing import Any

import msgspec
import pytest
from tests.core.builders import chat_request, deployment, step

from pointsman.core.types import Caller, Deployment, History, Request
from pointsman.core.wire import CODECS
from pointsman.core.wire.anthropic.tool_loop import turn_under_way
from pointsman.core.wire.prompt import (
    Call,
    Message,
    Part,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Written,
)
from pointsman.core.wire.translate import encode_request

CODEC = CODECS["anthropic"]
BUDGET = {"type": "enabled", "budget_tokens": 2_000}
OFF = {"type": "disabled"}
ASKS = {"role": "user", "content": "What is the weather?"}
CALLS = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
CALLS_ON = CALLS | {"id": "t2"}
GIVES = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4"}]}
GIVES_ON = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2"}]}
REMINDS = {"type": "text", "text": "Remember the list."}


def thinks(signature: str = "own") -> dict[str, str]:
    return {"type": "thinking", "thinking": "Hm.", "signature": signature}


def says(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def served(model: str, dialect: str = "anthropic") -> Deployment:
    return msgspec.structs.replace(deployment(f"claude/{model}"), dialect=dialect)


HAIKU_45, SONNET_46, OPUS_48 = (
    served(model) for model in ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8")
)
COPY = served("glm-5")


def asking(*messages: dict[str, Any], makers: str = "", **members: Any) -> Request:
    """Return a client's request; `makers`: who made whatever is signed in it."""
    body = {"model": "auto", "max_tokens": 9_000, "messages": messages, "thinking": BUDGET}
    request = CODEC.decode_request(json.dumps(body | members).encode(), Caller())
    history = History(makers=dict.fromkeys(request.signatures, makers) if makers else {})
    return msgspec.structs.replace(request, history=history)


def sent(request: Request, to: Deployment = HAIKU_45) -> tuple[dict[str, Any], tuple[str, ...]]:
    written = encode_request(request, step(to))
    return json.loads(written.body), written.dropped


# Within the dialect.


LED = says(thinks(), CALLS)
UNLED = says(CALLS)


@pytest.mark.parametrize(
    ("messages", "is_on"),
    [
        ([ASKS], True),
        ([ASKS, LED, GIVES], True),
        ([ASKS, says({"type": "redacted_thinking", "data": "x"}, CALLS), GIVES], True),
        ([ASKS, LED, GIVES, says(CALLS_ON), GIVES_ON], True),
        ([ASKS, UNLED, GIVES], False),
        ([ASKS, says({"type": "text", "text": "So"}, thinks(), CALLS), GIVES], False),
        ([ASKS, UNLED, GIVES, says(thinks(), CALLS_ON), GIVES_ON], False),
        ([ASKS, UNLED, GIVES | {"content": [*GIVES["content"], REMINDS]}], False),
        ([ASKS, UNLED, GIVES, {"role": "assistant", "content": "4."}, ASKS], True),
        ([ASKS, UNLED, GIVES, {"role": "assistant", "content": "4."}, ASKS, LED, GIVES], True),
        ([ASKS, LED, GIVES, {"role": "assistant", "content": "4."}, ASKS, UNLED, GIVES], False),
        ([ASKS, {"role": "assistant", "content": "It is"}], False),
    ],
)
def test_a_budget_stays_only_where_the_turn_under_way_began_by_thinking(messages, is_on):
    body, dropped = sent(asking(*messages, makers=HAIKU_45.id))
    assert body["thinking"] == (BUDGET if is_on else OFF)
    assert dropped == (() if is_on else ("thinking",))
    if is_on:
        assert body["messages"] == messages


def test_thinking_of_a_turn_that_is_switched_off_goes_and_that_of_earlier_ones_stays():
    earlier = [ASKS, LED, GIVES, {"role": "assistant", "content": "4."}]
    later = [ASKS, UNLED, GIVES, says(thinks(), CALLS_ON), GIVES_ON, says(thinks()), GIVES_ON]
    body, _ = sent(asking(*earlier, *later, makers=HAIKU_45.id))
    assert body["messages"] == [*earlier, ASKS, UNLED, GIVES, says(CALLS_ON), GIVES_ON, GIVES_ON]


@pytest.mark.parametrize(
    ("makers", "expected"),
    [(HAIKU_45.id, BUDGET), ("gem/gemini-3-pro", OFF), ("", OFF)],
    ids=["its own", "another's", "nobody knows"],
)
def test_a_loop_whose_thinking_has_been_taken_away_goes_on_without(makers, expected):
    body, dropped = sent(asking(ASKS, LED, GIVES, makers=makers))
    assert body["thinking"] == expected
    assert body["messages"] == [ASKS, LED if expected is BUDGET else UNLED, GIVES]
    assert dropped == (() if expected is BUDGET else ("thinking",))


@pytest.mark.parametrize(
    ("to", "thinking", "expected"),
    [
        (HAIKU_45, BUDGET, OFF),
        (SONNET_46, BUDGET, OFF),
        (COPY, BUDGET, OFF),
        (SONNET_46, {"type": "adaptive"}, {"type": "adaptive"}),
        (OPUS_48, {"type": "adaptive"}, {"type": "adaptive"}),
        (OPUS_48, BUDGET, {"type": "adaptive"}),  # it takes no budget, see test_anthropic_fit
        (HAIKU_45, OFF, OFF),
    ],
)
def test_the_rule_is_that_of_a_budget_whatever_the_model(to, thinking, expected):
    body, dropped = sent(asking(ASKS, UNLED, GIVES, thinking=thinking), to)
    assert body["thinking"] == expected
    named = "thinking" if expected == OFF else "thinking.budget_tokens"
    assert dropped == (() if thinking == expected else (named,))


def test_what_needs_no_change_keeps_every_byte():
    request = asking(ASKS, LED, GIVES, makers=HAIKU_45.id)
    written = encode_request(request, step(HAIKU_45))
    assert written == Written(request.body.replace(b'"auto"', b'"claude-haiku-4-5"'))


@pytest.mark.parametrize(
    ("management", "left"),
    [
        ({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, {"edits": []}),
        ({"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}],
          "x": 1}, {"edits": [{"type": "clear_tool_uses_20250919"}], "x": 1}),
        ({"edits": [{"type": "clear_tool_uses_20250919"}]}, None),
        ({"edits": "clear_thinking_"}, None),
        ({"other": '"clear_thinking_'}, None),
        (["clear_thinking_"], None),
    ],
)  # fmt: skip
def test_no_wish_to_clear_thinking_is_left_where_there_is_none(management, left):
    request = asking(ASKS, UNLED, GIVES, context_management=management)
    body, dropped = sent(request)
    assert body["context_management"] == (management if left is None else left)
    assert ("context_management.edits" in dropped) is (left is not None)
    led = asking(ASKS, LED, GIVES, makers=HAIKU_45.id, context_management=management)
    kept, dropped = sent(led)
    assert (kept["context_management"], dropped) == (management, ())


@pytest.mark.parametrize("thinking", [5, "enabled", ["enabled"], {"type": 1, "x": "enabled"}, None])
def test_a_wish_to_think_that_nobody_understands_goes_on_as_it_is(thinking):
    body, dropped = sent(asking(ASKS, UNLED, GIVES, thinking=thinking))
    assert (body["thinking"], dropped) == (thinking, ())


def test_a_deployments_own_effort_is_no_budget_in_such_a_loop():
    low = msgspec.structs.replace(HAIKU_45, params={"reasoning_effort": "low"})
    began = {"type": "enabled", "budget_tokens": 1_024}
    assert sent(asking(ASKS, LED, GIVES, makers=low.id), low)[0]["thinking"] == began
    body, dropped = sent(asking(ASKS, UNLED, GIVES, thinking=None), low)
    assert (body["thinking"], dropped) == (OFF, ())
    assert sent(asking(ASKS, UNLED, GIVES), low)[1] == ("thinking",)


def test_a_deployments_own_effort_is_no_budget_where_a_tool_is_forced():
    low = msgspec.structs.replace(HAIKU_45, params={"reasoning_effort": "low"})
    offered: dict[str, Any] = {"tools": [{"name": "look", "input_schema": {}}], "thinking": OFF}
    for kind, expected in (("any", None), ("tool", None), ("auto", "enabled")):
        body, _ = sent(asking(ASKS, **offered, tool_choice={"type": kind}), low)
        assert body.get("thinking", {}).get("type") == expected


# From another dialect.


def prompt(*parts: Part, **members: Any) -> Prompt:
    """Return a loop that the assistant began with `parts`, before its call."""
    call = Call(id="t1", name="look", arguments="{}")
    messages = (
        Message("user", (Text(text="What is the weather?"),)),
        Message("assistant", (*parts, call)),
        Message("user", (Result(call_id="t1", parts=(Text(text="4"),)),)),
    )
    return Prompt(messages=messages, max_tokens=9_000, **members)


OWN = Thinking(text="Hm.", signature="own")


@pytest.mark.parametrize(
    ("to", "reasoning", "thinking", "dropped"),
    [
        (HAIKU_45, Reasoning(effort="low"), OFF, ("reasoning_effort",)),
        (HAIKU_45, Reasoning(budget_tokens=2_000, is_shown=True), OFF,
         ("reasoning_budget", "reasoning_shown")),
        (COPY, Reasoning(effort="low"), OFF, ("reasoning_effort",)),
        (SONNET_46, Reasoning(effort="low"), {"type": "adaptive"}, ()),
        (SONNET_46, Reasoning(budget_tokens=2_000), {"type": "adaptive"}, ("reasoning_budget",)),
        (OPUS_48, Reasoning(effort="low"), {"type": "adaptive"}, ()),
        (served("claude-3-5-haiku"), Reasoning(effort="low"), None, ("reasoning_effort",)),
        (HAIKU_45, Reasoning(), None, ()),
    ],
)  # fmt: skip
def test_a_loop_that_lacks_its_thinking_goes_on_without_a_budget(to, reasoning, thinking, dropped):
    written = CODEC.write_prompt(prompt(reasoning=reasoning), step(to))
    assert json.loads(written.body).get("thinking") == thinking
    assert written.dropped == dropped


def test_a_loop_that_has_its_thinking_goes_on_with_it():
    written = CODEC.write_prompt(prompt(OWN, reasoning=Reasoning(effort="low")), step(HAIKU_45))
    body = json.loads(written.body)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1_024}
    assert body["messages"][1]["content"][0] == thinks()
    assert written.dropped == ()


def test_thinking_goes_from_a_turn_that_is_not_to_think():
    asked = prompt(OWN, reasoning=Reasoning(effort="none"))
    written = CODEC.write_prompt(asked, step(HAIKU_45))
    body = json.loads(written.body)
    assert (body["thinking"], body["messages"][1]) == (OFF, says(CALLS))
    assert written.dropped == ("reasoning",)


def test_without_thinking_there_is_a_temperature_again():
    asked = prompt(reasoning=Reasoning(effort="low"), sampling=Sampling(temperature=0.2))
    written = CODEC.write_prompt(asked, step(HAIKU_45))
    assert json.loads(written.body)["temperature"] == 0.2
    assert written.dropped == ("reasoning_effort",)


def test_a_chat_clients_loop_is_told_of_the_effort_that_it_lost():
    calling = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    talk = [
        ASKS,
        {"role": "assistant", "tool_calls": [calling]},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    ]
    ask = partial(msgspec.json.encode, order="deterministic")
    members = {"model": "auto", "max_tokens": 9_000, "reasoning_effort": "low"}
    for messages, lost in ((talk, ("reasoning_effort",)), (talk[:1], ())):
        request = chat_request(ask(members | {"messages": messages}))
        written = encode_request(request, step(HAIKU_45))
        assert written.dropped == lost
        assert json.loads(written.body)["thinking"]["type"] == ("disabled" if lost else "enabled")


def test_a_forced_call_drops_the_budget_and_says_nothing_of_thinking_off():
    forced = prompt(
        OWN,
        reasoning=Reasoning(effort="low"),
        tools=(Tool(name="look"),),
        tool_choice=ToolChoice(mode="required"),
    )
    written = CODEC.write_prompt(forced, step(HAIKU_45))
    assert "thinking" not in json.loads(written.body)
    assert written.dropped == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], (0, True)),
        ([("user", ["text"])], (1, True)),
        ([("user", ["text"]), ("assistant", []), ("assistant", ["text"])], (1, False)),
        ([("user", ["text"]), ("system", ["text"]), ("assistant", ["thinking"])], (1, True)),
    ],
)
def test_where_a_turn_begins(messages, expected):
    assert turn_under_way(messages) == expected
