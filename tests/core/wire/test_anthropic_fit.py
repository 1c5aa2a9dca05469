"""On the short road the client's way of thinking fits the model that the router chose."""

import json
from typing import Any

import msgspec
import pytest
from tests.core.builders import deployment, step

from pointsman.core.types import Caller, Deployment
from pointsman.core.wire import CODECS
from pointsman.core.wire.prompt import Written

CODEC = CODECS["anthropic"]
ADAPTIVE = {"type": "adaptive"}
BUDGET = {"type": "enabled", "budget_tokens": 2_000}
OFF = {"type": "disabled"}


def served(model: str) -> Deployment:
    return msgspec.structs.replace(deployment(f"claude/{model}"), dialect="anthropic")


def sent(to: str, *, model: str = "auto", **members: object) -> tuple[dict[str, object], Written]:
    """Return what the upstream gets of thinking and effort, and the whole of it."""
    body = {
        "model": model,
        "max_tokens": 9_000,
        "messages": [{"role": "user", "content": "Hi"}],
        **members,
    }
    request = CODEC.decode_request(json.dumps(body).encode(), Caller())
    written = CODEC.encode_request(request, step(served(to)))
    got = json.loads(written.body)
    return {name: got[name] for name in ("thinking", "output_config") if name in got}, written


@pytest.mark.parametrize(
    ("to", "given", "expected", "dropped"),
    [
        # What fits stays as it is.
        ("claude-opus-4-6", {"thinking": ADAPTIVE}, {"thinking": ADAPTIVE}, ()),
        ("claude-haiku-4-5", {"thinking": BUDGET}, {"thinking": BUDGET}, ()),
        ("claude-opus-4-6", {"thinking": BUDGET}, {"thinking": BUDGET}, ()),
        ("claude-opus-4-8", {"thinking": OFF}, {"thinking": OFF}, ()),
        ("copied-model", {"thinking": BUDGET}, {"thinking": BUDGET}, ()),
        # An older model thinks with a budget, a newer one without.
        (
            "claude-haiku-4-5",
            {"thinking": ADAPTIVE},
            {"thinking": {"type": "enabled", "budget_tokens": 8_192}},
            (),
        ),
        (
            "claude-opus-4-8",
            {"thinking": BUDGET},
            {"thinking": ADAPTIVE, "output_config": {"effort": "low"}},
            ("thinking.budget_tokens",),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {**ADAPTIVE, "display": "omitted"}},
            {"thinking": {"type": "enabled", "budget_tokens": 8_192}},
            ("thinking.display",),
        ),
        ("claude-fable-5", {"thinking": OFF}, {}, ("thinking",)),
        # A bound that is too small for any budget.
        ("claude-haiku-4-5", {"thinking": ADAPTIVE, "max_tokens": 900}, {}, ("thinking",)),
        # Efforts that the model has not.
        (
            "claude-opus-4-6",
            {"output_config": {"effort": "xhigh"}},
            {"output_config": {"effort": "high"}},
            ("output_config.effort",),
        ),
        (
            "claude-haiku-4-5",
            {"output_config": {"effort": "low"}},
            {"output_config": {}},
            ("output_config.effort",),
        ),
        (
            "claude-opus-4-6",
            {"output_config": {"effort": "low"}},
            {"output_config": {"effort": "low"}},
            (),
        ),
    ],
)
def test_thinking_fits_the_chosen_model(to, given, expected, dropped):
    found, written = sent(to, **given)
    assert found == expected
    assert written.dropped == dropped


def test_a_model_that_the_client_names_gets_what_the_client_wrote():
    for named in ("claude-haiku-4-5", "claude/claude-haiku-4-5"):
        found, written = sent("claude-haiku-4-5", model=named, thinking=ADAPTIVE)
        assert found == {"thinking": ADAPTIVE} and written.dropped == ()


def test_a_forced_call_goes_without_a_budget():
    choice: Any = {"tool_choice": {"type": "any"}, "tools": [{"name": "x", "input_schema": {}}]}
    found, written = sent("claude-haiku-4-5", thinking=ADAPTIVE, **choice)
    assert found == {} and written.dropped == ("thinking",)


def test_what_cannot_be_read_is_left_to_the_upstream():
    found, _ = sent("claude-haiku-4-5", thinking="adaptive")
    assert found == {"thinking": "adaptive"}
