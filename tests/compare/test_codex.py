"""A Codex rollout becomes its model calls; events sent again and copied history are none."""

import io
import json
from typing import Any

import pytest
from tests.compare.builders import TIERS

from pointsman.compare import LeftOut, LoggedRequest, compare
from pointsman.compare.codex import read_codex
from pointsman.core.types import Need
from pointsman.core.usage import Usage

# The first 48 bits of a UUID of version 7 are milliseconds: 2026-03-01T10:00:00Z.
BEGAN_MS = 1_772_359_200_000


def minted(second: float) -> str:
    digits = f"{BEGAN_MS + round(second * 1_000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000001"


def line(kind: str, payload: Any, at: float) -> dict[str, Any]:
    return {"timestamp": f"2026-03-01T10:{int(at) // 60:02}:{at % 60:06.3f}Z", "type": kind} | {
        "payload": payload
    }


def meta(name: str, at: float = 0, **more: Any) -> dict[str, Any]:
    instructions = {"base_instructions": {"text": "You are a coding agent."}}
    return line("session_meta", {"id": name, "cwd": "/p", **instructions, **more}, at)


def context(model: str, at: float, **more: Any) -> dict[str, Any]:
    return line("turn_context", {"cwd": "/p", "model": model, "effort": "high", **more}, at)


def said(role: str, text: str, at: float, *extra: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text}, *extra]
    return line("response_item", {"type": "message", "role": role, "content": content}, at)


def called(at: float) -> dict[str, Any]:
    call = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"}
    return line("response_item", call, at)


def output(at: float, content: Any = "exit 0") -> dict[str, Any]:
    item = {"type": "function_call_output", "call_id": "c", "output": content}
    return line("response_item", item, at)


def tokens(sent: int, made: int, *, cached: int = 0) -> dict[str, int]:
    return {
        "input_tokens": sent,
        "cached_input_tokens": cached,
        "output_tokens": made,
        "reasoning_output_tokens": made // 2,
        "total_tokens": sent + made,
    }


def counted(total: dict[str, int], last: dict[str, int] | None, at: float) -> dict[str, Any]:
    info = {"total_token_usage": total, "last_token_usage": last, "model_context_window": 258_400}
    return line("event_msg", {"type": "token_count", "info": info, "rate_limits": None}, at)


FIRST, SECOND = tokens(1_000, 100), tokens(1_500, 60, cached=900)
BOTH = tokens(2_500, 160, cached=900)
SESSION = [
    meta("thread-1"),
    line("event_msg", {"type": "token_count", "info": None, "rate_limits": {}}, 0.5),
    said("developer", "<permissions instructions>", 1),
    said("user", "<environment_context>linux</environment_context>", 1),
    context("gpt-5.2-codex", 1),
    said("user", "Rename the function", 2),
    line("event_msg", {"type": "user_message", "message": "Rename the function"}, 2),
    line("response_item", {"type": "reasoning", "summary": [], "encrypted_content": "g"}, 4),
    called(5),
    counted(FIRST, FIRST, 6),
    counted(FIRST, FIRST, 6.5),
    output(7),
    said("assistant", "Done.", 9),
    counted(BOTH, SECOND, 10),
    counted(BOTH, SECOND, 11),
]


def read(lines: list[Any], *, end: str = "\n") -> tuple[list[LoggedRequest], LeftOut]:
    texts = [it if isinstance(it, str) else json.dumps(it, separators=(",", ":")) for it in lines]
    left_out = LeftOut()
    data = ("\n".join(texts) + end).encode()
    return list(read_codex(io.BytesIO(data), left_out)), left_out


def made(records: list[LoggedRequest]) -> list[int]:
    return [record.usage.output_tokens for record in records if record.usage]


def test_each_count_is_a_call_and_one_sent_again_is_none():
    records, left_out = read(SESSION)
    assert left_out.lines == 0
    assert [record.usage for record in records] == [
        Usage(input_tokens=1_000, output_tokens=100, reasoning_tokens=50),
        Usage(input_tokens=1_500, cached_input_tokens=900, output_tokens=60, reasoning_tokens=30),
    ]
    assert {(record.model, record.conversation) for record in records} == {
        ("gpt-5.2-codex", "thread-1")
    }


def test_a_call_knows_what_was_said_before_it():
    first, second = read(SESSION)[0]
    assert (first.features.text, first.features.turns) == ("Rename the function", 2)
    assert (second.features.text, second.features.turns) == ("Rename the function", 4)
    assert (first.features.is_tool_loop, second.features.is_tool_loop) == (False, True)
    assert first.features.system == "You are a coding agent."
    assert first.features.needs == {Need.TOOLS} and first.features.input_tokens == 1_000
    assert (first.latency_ms, second.latency_ms) == (4_000, 3_000)
    assert first.at_s == pytest.approx(BEGAN_MS / 1_000 + 2)


def test_a_model_changes_within_a_session():
    more = [
        context("gpt-5.2-mini", 20),
        said("user", "Again", 21),
        counted(tokens(9, 9), FIRST, 22),
    ]
    assert [record.model for record in read(SESSION + more)[0]][-1] == "gpt-5.2-mini"


def test_without_the_last_count_the_total_tells():
    lines = [counted(FIRST, None, 1), counted(BOTH, None, 2), counted(tokens(300, 7), None, 3)]
    assert [record.usage.input_tokens for record in read(lines)[0] if record.usage] == [
        1_000,
        1_500,
        300,
    ]


def test_a_count_of_a_filled_window_is_no_call():
    filled = tokens(0, 0) | {"total_tokens": 258_400}
    assert made(read([*SESSION, counted(filled, filled, 20)])[0]) == [100, 60]


@pytest.mark.parametrize("has_ids", [True, False], ids=["turn ids", "times alone"])
def test_a_forked_session_does_not_count_its_parents_calls(has_ids: bool):
    def turn(second: float, at: float) -> dict[str, Any]:
        return context("gpt-5.2-codex", at, **({"turn_id": minted(second)} if has_ids else {}))

    copied = [it | {"timestamp": "2026-03-01T10:01:40.010Z"} for it in SESSION[1:]]
    grown = tokens(5_000, 170)
    lines = [
        meta(minted(100), 100, forked_from_id="thread-1"),
        meta("thread-1", 100.01),
        turn(1, 100.01),
        *copied,
        counted(BOTH, SECOND, 101),
        turn(130, 130),
        said("user", "Another way", 131),
        counted(grown, tokens(2_500, 10), 133),
    ]
    (record,), left_out = read(lines)
    assert left_out.lines == 0
    assert made([record]) == [10]
    assert (record.conversation, record.features.text) == (minted(100), "Another way")
    assert record.features.turns == 6


def test_compaction_starts_the_count_anew():
    history = [{"type": "message", "role": "user", "content": []}] * 3
    lines = [
        *SESSION,
        line("compacted", {"message": "summary", "replacement_history": history}, 20),
        said("user", "Go on", 21),
        counted(tokens(4_000, 200), tokens(1_500, 40), 22),
    ]
    assert read(lines)[0][-1].features.turns == 4


def test_images_are_needed():
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBO"}
    seen = [said("user", "What is this?", 1, picture), counted(FIRST, FIRST, 2)]
    shown = [output(1, [picture]), counted(FIRST, FIRST, 2)]
    quoted = [output(1, 'it says "input_image" there'), counted(FIRST, FIRST, 2)]
    needs = [read(lines)[0][0].features.needs for lines in (seen, shown, quoted)]
    assert [Need.IMAGES in one for one in needs] == [True, True, False]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{broken", "is not JSON"),
        ('{"id": "old format"}', "does not fit"),
        ('{"type":"event_msg","payload":{"type":7}}', "does not fit"),
        ('{"type":"session_meta","payload":[]}', "does not fit"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(bad: str, reason: str):
    records, left_out = read([*SESSION[:3], bad, *SESSION[3:]])
    assert len(records) == 2
    assert left_out.lines == 1 and left_out.named[0].startswith(f"line 4: {reason}")


def test_a_line_that_breaks_off_loses_no_more_than_itself():
    records, left_out = read([*SESSION, json.dumps(SESSION[-1])[:90]], end="")
    assert len(records) == 2 and left_out.lines == 1


def test_a_session_can_be_compared():
    records, left_out = read(SESSION)
    result = compare(records, snapshot=TIERS, strategies=["signals"], left_out=left_out)
    assert (result.log.compared, result.log.measured, result.log.in_tool_loop) == (2, 2, 1)
    assert result.rows[0].undecided == 0 and result.rows[0].cost_nanousd
    assert result.baseline_cost_nanousd == 1_600 * 10_000 + 900 * 1_000 + 160 * 30_000
