"""A Claude Code session becomes its model calls, each counted once, with what each was asked."""

import io
import json
from typing import Any

import pytest
from tests.compare.builders import TIERS

from pointsman.compare import LeftOut, LoggedRequest, claude_code, compare
from pointsman.compare.claude_code import read_claude_code
from pointsman.core.features import estimate_tokens
from pointsman.core.types import Need
from pointsman.core.usage import Usage


def time(second: float) -> str:
    return f"2026-03-01T10:00:{second:06.3f}Z"


def line(kind: str, at: float, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"u-{kind}-{at}",
        "parentUuid": None,
        "sessionId": "s1",
        "isSidechain": False,
        "timestamp": time(at),
        "cwd": "/home/a/project",
        "version": "2.1.39",
        **more,
    }


def user(content: Any, at: float, **more: Any) -> dict[str, Any]:
    return line("user", at, message={"role": "user", "content": content}, **more)


def result(at: float, content: Any = "done", **more: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    return user([block], at, **more)


def answer(
    name: str, at: float, block: dict[str, Any], *, output: int, stop: str | None, **more: Any
) -> dict[str, Any]:
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 2_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "output_tokens": output,
        "service_tier": "standard",
    }
    message = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5-20251101",
        "content": [block],
        "stop_reason": stop,
        "usage": usage,
    }
    return line("assistant", at, requestId=f"req-{name}", message=message, **more)


THINKING = {"type": "thinking", "thinking": "", "signature": "Eu4"}
TEXT = {"type": "text", "text": "I will look."}
TOOL = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "a.py"}}

SESSION = [
    {"type": "summary", "summary": "Fix the parser", "leafUuid": "x"},
    {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
    user("Please fix the parser", 1),
    answer("m1", 3, THINKING, output=1, stop=None),
    answer("m1", 4, TEXT, output=9, stop=None),
    answer("m1", 5, TOOL, output=50, stop="tool_use"),
    line("progress", 5.5, data={"type": "hook_progress"}),
    result(6),
    answer("m2", 8, TEXT, output=70, stop="end_turn"),
    line("system", 9, subtype="turn_duration", durationMs=8000),
    user([{"type": "text", "text": "Thanks, and the tests?"}], 20),
    answer("m3", 22, TEXT, output=5, stop="end_turn"),
]


def read(lines: list[Any], *, end: str = "\n") -> tuple[list[LoggedRequest], LeftOut]:
    texts = [it if isinstance(it, str) else json.dumps(it, separators=(",", ":")) for it in lines]
    left_out = LeftOut()
    data = ("\n".join(texts) + end).encode()
    return list(read_claude_code(io.BytesIO(data), left_out)), left_out


def test_a_call_is_all_lines_of_one_message_and_its_tokens_count_once():
    records, left_out = read(SESSION)
    assert left_out.lines == 0
    assert [record.usage.output_tokens for record in records if record.usage] == [50, 70, 5]
    assert records[0].usage == Usage(
        input_tokens=2_103,
        cached_input_tokens=2_000,
        cache_write_tokens=100,
        long_cache_write_tokens=40,
        output_tokens=50,
    )
    assert {record.model for record in records} == {"claude-opus-4-5-20251101"}
    assert {record.conversation for record in records} == {"s1"}


def test_a_call_knows_what_was_said_before_it():
    first, second, third = (record.features for record in read(SESSION)[0])
    assert (first.text, first.words, first.turns, first.is_tool_loop) == (
        "Please fix the parser",
        4,
        1,
        False,
    )
    assert (second.text, second.turns, second.is_tool_loop) == ("Please fix the parser", 3, True)
    assert (third.text, third.turns, third.is_tool_loop) == ("Thanks, and the tests?", 5, False)
    assert first.needs == {Need.TOOLS} and first.input_tokens == 2_103


def test_latency_runs_from_the_newest_message_to_the_last_line_of_the_answer():
    first, second, _ = read(SESSION)[0]
    assert (first.latency_ms, second.latency_ms) == (4_000, 2_000)
    assert first.at_s == pytest.approx(1_772_359_201)


def test_a_gap_that_no_model_takes_is_no_latency():
    far = answer("m1", 5, TEXT, output=1, stop="end_turn") | {"timestamp": "2026-03-01T12:00:00Z"}
    (record,), _ = read([user("hi", 1), far])
    assert record.latency_ms is None and record.at_s is not None


def test_results_between_the_blocks_of_one_answer_do_not_split_it():
    lines = [
        user("go", 1),
        answer("m1", 2, TOOL, output=4, stop=None),
        result(3),
        answer("m1", 4, TOOL, output=60, stop="tool_use"),
        result(5),
        answer("m2", 6, TEXT, output=7, stop="end_turn"),
        answer("m1", 7, TEXT, output=60, stop="tool_use"),
    ]
    records, _ = read(lines)
    assert [record.usage and record.usage.output_tokens for record in records] == [60, 7]
    assert [record.features.is_tool_loop for record in records] == [False, True]


def test_counts_of_an_answer_that_still_streamed_are_estimates():
    (record,), _ = read(
        [user("go", 1), answer("m1", 2, TEXT | {"text": "a" * 400}, output=1, stop=None)]
    )
    assert record.usage and record.usage.is_estimated
    assert record.usage.output_tokens == estimate_tokens("a" * 400)


@pytest.mark.parametrize("has_id", [True, False], ids=["by id", "by first line"])
def test_subagents_talk_by_themselves(has_id: bool):
    def side(kind: dict[str, Any], uuid: str, parent: str | None, agent: str) -> dict[str, Any]:
        named = {"agentId": agent} if has_id else {}
        return kind | {"isSidechain": True, "uuid": uuid, "parentUuid": parent} | named

    lines = [
        user("main", 1),
        side(user("look there", 2), "a1", None, "a"),
        side(user("look here", 2), "b1", None, "b"),
        side(answer("ma", 3, TEXT, output=1, stop="end_turn"), "a2", "a1", "a"),
        side(answer("mb", 3, TEXT, output=2, stop="end_turn"), "b2", "b1", "b"),
        answer("mm", 4, TEXT, output=3, stop="end_turn"),
    ]
    records, _ = read(lines)
    by_talk = {record.conversation: record.features.text for record in records}
    ends = ("/a", "/b") if has_id else ("/a1", "/b1")
    assert by_talk == {"s1": "main", f"s1{ends[0]}": "look there", f"s1{ends[1]}": "look here"}


def test_copies_from_another_session_are_history_alone():
    copied = {"forkedFrom": {"sessionId": "s0", "messageUuid": "m"}}
    lines = [
        user("old", 1, **copied),
        answer("m0", 2, TEXT, output=9, stop="end_turn", **copied),
        user("new", 3),
        answer("m1", 4, TEXT, output=8, stop="end_turn"),
    ]
    (record,), _ = read(lines)
    assert record.usage and record.usage.output_tokens == 8
    assert record.features.turns == 3


def test_compaction_starts_the_count_anew():
    lines = [
        *SESSION,
        line("system", 30, subtype="compact_boundary", content="Conversation compacted"),
        user("This session goes on from an earlier one.", 31, isCompactSummary=True),
        answer("m4", 33, TEXT, output=5, stop="end_turn"),
    ]
    assert read(lines)[0][-1].features.turns == 1


def test_images_are_needed_while_the_conversation_has_them():
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
    lines = [
        user("go", 1),
        answer("m1", 2, TOOL, output=4, stop="tool_use"),
        result(3, 'text with "image" in quotes'),
        answer("m2", 4, TOOL, output=4, stop="tool_use"),
        result(5, [{"type": "image", "source": source}]),
        answer("m3", 6, TEXT, output=4, stop="end_turn"),
        user("and now?", 7),
        answer("m4", 8, TEXT, output=4, stop="end_turn"),
    ]
    assert [Need.IMAGES in record.features.needs for record in read(lines)[0]] == [
        False,
        False,
        True,
        True,
    ]


def test_what_no_model_was_asked_for_is_no_call():
    synthetic = answer("m1", 2, TEXT, output=0, stop="stop_sequence")
    synthetic["message"]["model"] = "<synthetic>"
    failed = synthetic | {"isApiErrorMessage": True}
    meta = user("<local-command-stdout>", 3, isMeta=True)
    records, left_out = read([user("hi", 1), synthetic, meta, failed])
    assert records == []
    assert left_out.named == ["line 4: holds an error instead of an answer"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{broken", "is not JSON"),
        ("[1]", "does not fit"),
        ('{"no": "type"}', "does not fit"),
        ('{"type":"user","message":{"content":7}}', "does not fit"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(bad: str, reason: str):
    records, left_out = read([*SESSION[:3], bad, *SESSION[3:]])
    assert len(records) == 3
    assert left_out.lines == 1 and left_out.named[0].startswith(f"line 4: {reason}")


def test_a_line_that_breaks_off_loses_no_more_than_itself():
    text = json.dumps(answer("m3", 23, TEXT, output=500, stop="end_turn"))
    records, left_out = read([*SESSION, text[:200]], end="")
    assert len(records) == 3 and left_out.lines == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claude_code, "_CONVERSATIONS_MAX", 2)
    monkeypatch.setattr(claude_code, "_IDS_MAX", 2)
    lines = [
        it | {"sessionId": f"s{number}"}
        for number in range(9)
        for it in (user("hi", 1), answer(f"m{number}", 2, TEXT, output=1, stop="end_turn"))
    ]
    assert len(read(lines)[0]) == 9


def test_a_session_can_be_compared_and_no_cache_is_asked():
    again = [
        *SESSION,
        user("Thanks, and the tests?", 40),
        answer("m9", 41, TEXT, output=5, stop="x"),
    ]
    records, left_out = read(again)
    result = compare(
        records, snapshot=TIERS, strategies=["signals", "signals + cache"], left_out=left_out
    )
    plain, cached = result.rows
    assert result.log.compared == result.log.measured == 4
    assert (result.log.in_tool_loop, result.log.without_prompt) == (1, 0)
    assert plain.undecided == 0 and plain.cost_nanousd
    assert (cached.cache_hits, cached.cost_nanousd) == (0, plain.cost_nanousd)
    assert result.baseline_cost_nanousd == sum(
        (record.usage.input_tokens - 2_000) * 10_000
        + 2_000 * 1_000
        + record.usage.output_tokens * 30_000
        for record in records
        if record.usage
    )
