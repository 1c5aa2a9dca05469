"""Background calls are told by an agent's own fixed phrases, and nobody else's request by them."""

import json
from collections.abc import Sequence

import pytest
from tests.core.builders import snapshot, tier

from pointsman.core.background import background_call
from pointsman.core.decision import Policy, Target, decide
from pointsman.core.features import extract
from pointsman.core.types import Caller, Request
from pointsman.core.wire import CODECS
from pointsman.explanation import explain
from pointsman.policies import PolicySettings
from pointsman.policies.learned import Learned
from pointsman.policies.signals import Signals
from pointsman.sample.chores import load_chores

BILLING = "x-anthropic-billing-header: cc_version=2.1.197.000; cc_entrypoint=cli;"
AGENT = "You are Claude Code, Anthropic's official CLI for Claude."
TITLE = "Generate a concise, sentence-case title (3-7 words) that captures this session."
CODEX_TITLE = "Generate a concise, single-line task title of at most 36 characters and so on."
CHECKPOINT = "You are performing a CONTEXT CHECKPOINT COMPACTION. Create a handoff summary."
TOOL = {"name": "read", "input_schema": {"type": "object"}}


def claude(system: Sequence[str], text: str = "architect it", **members: object) -> Request:
    blocks = [{"type": "text", "text": part} for part in system] if system else None
    body = {"model": "auto", "max_tokens": 512, "messages": [{"role": "user", "content": text}]}
    return read("anthropic", {**body, "system": blocks, **members})


def codex(*texts: str, **members: object) -> Request:
    items = [{"role": "user", "content": [{"type": "input_text", "text": t}]} for t in texts]
    return read("openai-responses", {"model": "auto", "input": items, **members})


def read(dialect: str, body: dict[str, object]) -> Request:
    body = {name: value for name, value in body.items() if value is not None}
    return CODECS[dialect].decode_request(json.dumps(body).encode(), Caller())


BACKGROUND = {
    "a title": (claude([BILLING, AGENT, TITLE]), "Claude Code's title of a session"),
    "a title without attribution": (claude([AGENT, TITLE]), "Claude Code's title of a session"),
    "a topic": (
        claude([AGENT, "Analyze if this message indicates a new conversation topic."]),
        "Claude Code's check for a new topic",
    ),
    "a summary": (
        claude([AGENT, "You are a helpful AI assistant tasked with summarizing conversations."],
               messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                         {"role": "user", "content": "Summarize."}]),
        "Claude Code's summary of a conversation",
    ),
    "a task's title": (
        claude([AGENT], "You are coming up with a succinct title and git branch name for a task"),
        "Claude Code's title of a task",
    ),
    "the quota": (claude([], "quota", max_tokens=1), "Claude Code's probe of the quota"),
    "the small model": (
        claude([AGENT, "Say when."], model="claude-haiku-4-5-20251001"),
        "a call of Claude Code to its small model",
    ),
    "Codex's title": (codex("# AGENTS.md", CODEX_TITLE), "Codex's title of a task"),
    "Codex's recap": (
        codex("Write a brief catch-up for a user returning to this task. Return JSON"),
        "Codex's summary of a task",
    ),
    "Codex's compaction": (codex("Fix it", CHECKPOINT), "Codex's summary of a conversation"),
}  # fmt: skip

ORDINARY = {
    "an agent's turn": claude([BILLING, AGENT, "Be brief."], tools=[TOOL]),
    "an agent's turn without tools": claude([BILLING, AGENT, "Be brief."]),
    "a turn that quotes the title's prompt": claude([AGENT, "Be brief."], f"Improve this: {TITLE}"),
    "a title in an agent's tool loop": claude([AGENT, TITLE], tools=[TOOL]),
    "an app's title in the very words": claude([TITLE]),
    "an app's title": claude(["You write titles: concise, sentence-case, 3-7 words."]),
    "an app on haiku": claude(["Say when."], model="claude-haiku-4-5-20251001"),
    "an agent whose main model is haiku": claude([AGENT], model="claude-haiku-4-5", tools=[TOOL]),
    "an app's topics": claude(["Say if the message indicates a new conversation topic."]),
    "an app about the agent": claude([f'A user pasted "{AGENT[:20]}". {TITLE}']),
    "a word": claude([], "quota"),
    "a word with a system prompt": claude(["Answer yes or no."], "quota", max_tokens=1),
    "a classifier of one token": claude([], "Is this quota or rate?", max_tokens=1),
    "another app's title": codex("Generate a concise title of at most 36 characters: fix it"),
    "the prompt quoted": codex(f"What does this do: {CODEX_TITLE}"),
    "the compaction quoted": codex(f"Why does Codex say: {CHECKPOINT}"),
    "the compaction before": codex(CHECKPOINT, "Go on."),
    "another dialect": read(
        "openai-chat", {"model": "auto", "messages": [{"role": "user", "content": CODEX_TITLE}]}
    ),
}


@pytest.mark.parametrize("case", BACKGROUND)
def test_an_agents_background_call_is_recognised(case: str):
    request, name = BACKGROUND[case]
    assert background_call(request) == extract(request).background == name


@pytest.mark.parametrize("case", ORDINARY)
def test_a_near_miss_is_an_ordinary_request(case: str):
    assert background_call(ORDINARY[case]) == ""


def test_no_prompt_of_the_bundled_sample_is_background_work():
    chores = load_chores()
    assert len(chores) >= 50
    for chore in chores:
        assert background_call(claude([AGENT], chore.text)) == ""
        assert background_call(codex(chore.text)) == ""


@pytest.mark.parametrize("policy", [Learned(PolicySettings()), Signals(PolicySettings())],
                         ids=lambda policy: policy.name)  # fmt: skip
def test_background_work_goes_to_the_cheapest_tier_and_says_so(policy: Policy):
    request, name = BACKGROUND["a title"]
    world = snapshot(tier("fast"), tier("mid"), tier("power"))
    facts = extract(request)
    decision = decide(facts, Target(), world, policy)
    assert decision.tier == "fast" and decision.reason.startswith(f"{name} is background work")
    assert decision.signals == ()
    told = explain(decision, facts, world, policy).decision
    assert told.reason == decision.reason
    assert told.would_change.startswith("as any other request it would be power: ")
    assert decide(facts, Target(tier_min="mid"), world, policy).tier == "mid"
