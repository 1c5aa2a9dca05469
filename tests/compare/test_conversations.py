"""A conversation keeps its model and the provider's prompt cache; a switch costs what it costs."""

from typing import Any

import msgspec
import pytest
from tests.compare.builders import BIG, MIDDLE, SMALL, request

from pointsman.compare import Comparison, LoggedRequest, StrategyRow, compare
from pointsman.compare.conversations import Conversations, LastCall, unwarmed
from pointsman.core.prices import Price
from pointsman.core.types import Deployment, Snapshot, Tier
from pointsman.core.usage import Usage

# 800 of 1,000 tokens of input from the provider's cache; 10 out. At 10, 1 and 30 USD a million:
USAGE = Usage(input_tokens=1_000, cached_input_tokens=800, output_tokens=10)
WARM_BIG, COLD_BIG = 200 * 10_000 + 800 * 1_000 + 300_000, 1_000 * 10_000 + 300_000
# The small model charges a tenth of 1 USD for what is cached, and 2 for output.
WARM_SMALL, COLD_SMALL = 200 * 1_000 + 800 * 100 + 20_000, 1_000 * 1_000 + 20_000


def cached(deployment: Deployment, share: int) -> Deployment:
    assert deployment.price is not None
    rate = deployment.price.input_nanousd_per_mtok // share
    price: Price = msgspec.structs.replace(deployment.price, cached_input_nanousd_per_mtok=rate)
    return msgspec.structs.replace(deployment, price=price)


SNAPSHOT = Snapshot(
    tiers=(
        Tier(name="fast", deployments=(cached(SMALL, 10),)),
        Tier(name="mid", deployments=(cached(MIDDLE, 10),)),
        Tier(name="power", deployments=(BIG,)),
    ),
    default_tier="mid",
)


def turn(
    text: str, at_s: float | None, *, conversation: str = "c", tool: bool = False, **changes: Any
) -> LoggedRequest:
    asked = request(text)
    if tool:
        call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t", "content": "done"},
        ]
        asked = request(text, messages=messages)
    fields: dict[str, Any] = {"usage": USAGE, "model": "acme/big", "latency_ms": None} | changes
    return LoggedRequest.of(asked, at_s=at_s, conversation=conversation, **fields)


def compared(records: list[LoggedRequest], *strategies: str) -> Comparison:
    return compare(records, snapshot=SNAPSHOT, aliases=("auto",), strategies=strategies)


def only(records: list[LoggedRequest], strategy: str) -> StrategyRow:
    return compared(records, strategy).rows[0]


def test_a_model_that_is_kept_reads_as_much_from_its_cache_as_was_logged():
    records = [turn("architect it", 0), turn("architect more", 60)]
    assert only(records, "signals").cost_nanousd == 2 * WARM_BIG
    assert only(records, "all-fast").cost_nanousd == 2 * WARM_SMALL


def test_a_switch_sends_all_input_anew():
    records = [turn("architect it", 0), turn("what is it", 60), turn("architect more", 90)]
    row = only(records, "signals")
    assert row.cost_nanousd == WARM_BIG + COLD_SMALL + COLD_BIG
    # The last call is of the logged model, but the cached part of its input is not as logged.
    assert row.estimated_tokens == (10 + 800) + 800


def test_a_prompt_cache_is_cold_after_five_minutes_but_not_where_the_log_shows_otherwise():
    records = [turn("what is it", 0), turn("what is that", 301)]
    assert only(records, "signals").cost_nanousd == WARM_SMALL + COLD_SMALL
    assert only(records, "all-power").cost_nanousd == 2 * WARM_BIG
    at_the_edge = [turn("what is it", 0), turn("what is that", 300)]
    assert only(at_the_edge, "signals").cost_nanousd == 2 * WARM_SMALL


def test_conversations_do_not_know_of_each_other():
    records = [turn("architect it", 0), turn("what is it", 1, conversation="d")]
    assert only(records, "signals").cost_nanousd == WARM_BIG + WARM_SMALL
    alone = [turn("architect it", 0, conversation=""), turn("what is it", 1, conversation="")]
    assert only(alone, "signals").cost_nanousd == WARM_BIG + WARM_SMALL


def test_a_tools_result_goes_back_to_the_model_that_asked_for_it():
    loop = [turn("architect it", 0), turn("what is it", 1, tool=True)]
    assert only(loop, "signals").requests_by_tier == {"power": 2}
    unplaced = [
        turn(text, 0, conversation="", tool=True) for text in ("architect it", "what is it")
    ]
    comparison = compared(unplaced, "signals")
    assert comparison.rows[0].requests_by_tier == {"power": 1, "fast": 1}
    assert any("decided anew here" in note for note in comparison.notes)
    assert not any("decided anew" in note for note in compared(loop, "signals").notes)
    assert any("are turns of a conversation" in note for note in compared(loop, "signals").notes)


def test_a_long_conversation_stays_where_leaving_would_not_pay():
    long = Usage(input_tokens=50_000, cached_input_tokens=49_000, output_tokens=10)
    turns = [turn("architect it", 0, usage=long), turn("what is it", 1, usage=long)]
    assert only(turns, "signals").requests_by_tier == {"power": 2}
    apart = [turn("architect it", 0, usage=long), turn("what is it", 1, conversation="d")]
    assert only(apart, "signals").requests_by_tier == {"power": 1, "fast": 1}


def test_what_is_written_to_the_cache_is_written_again_after_a_switch():
    usage = Usage(input_tokens=100, cached_input_tokens=60, cache_write_tokens=30)
    assert unwarmed(usage) == Usage(input_tokens=100, cache_write_tokens=90)
    kept = msgspec.structs.replace(usage, long_cache_write_tokens=10)
    again = Usage(input_tokens=100, cache_write_tokens=90, long_cache_write_tokens=30)
    assert unwarmed(kept) == again
    plain = Usage(input_tokens=100, cached_input_tokens=60)
    assert unwarmed(plain) == Usage(input_tokens=100)


def test_only_the_latest_conversations_are_remembered():
    conversations = Conversations(conversations_max=2)
    for name in ("a", "b", "a", "c"):
        conversations.note(turn("x", 1.0, conversation=name), {"signals": name}, {})
    found = [conversations.last(turn("x", 2.0, conversation=name)).deployments for name in "abc"]
    assert found == [{"signals": "a"}, {}, {"signals": "c"}]


@pytest.mark.parametrize(
    ("last", "at_s", "is_warm"),
    [
        (LastCall(), 0.0, True),
        (LastCall(0.0, {"s": "x"}), 1.0, True),
        (LastCall(0.0, {"s": "y"}), 1.0, False),
        (LastCall(None, {"s": "x"}), 1e9, True),
        (LastCall(0.0, {"s": "x"}), None, True),
        (LastCall(0.0, {"s": "x"}), 1e9, False),
    ],
    ids=["first", "kept", "switched", "no-time-before", "no-time-now", "too-late"],
)
def test_a_cache_is_warm_for_who_answered_a_short_while_ago(last, at_s, is_warm):
    assert last.is_warm("s", "x", at_s, frozenset()) is is_warm
