"""LiteLLM's spend logs are read in all three ways they are exported, with prompts and without."""

import csv
import io
import json
from typing import Any

import pytest
from tests.compare.builders import TIERS

from pointsman.compare import LeftOut, LoggedRequest, compare, openai_jsonl
from pointsman.compare.litellm_logs import read_litellm_logs
from pointsman.core.usage import Usage

SECRET = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"
TOLD = {
    "prompt_tokens_details": {"cached_tokens": 400, "cache_creation_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 30},
}


def row(**changes: Any) -> dict[str, Any]:
    """Return a row as the database has it: prompts are not kept."""
    return {
        "request_id": "chatcmpl-1",
        "call_type": "acompletion",
        "api_key": SECRET,
        "spend": 0.00123,
        "total_tokens": 1100,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "startTime": "2026-03-01T10:00:00.000Z",
        "endTime": "2026-03-01T10:00:02.500Z",
        "completionStartTime": "2026-03-01T10:00:00.700Z",
        "model": "acme/big",
        "model_group": "smart",
        "custom_llm_provider": "acme",
        "api_base": "https://example.test/v1",
        "user": "someone",
        "metadata": {"user_api_key_alias": "ours", "status": "success", "usage_object": TOLD},
        "cache_hit": "False",
        "cache_key": "Cache OFF",
        "request_tags": ["team-a"],
        "end_user": "",
        "messages": {},
        "response": {},
        "session_id": "trace-1",
        "status": "success",
        "proxy_server_request": {},
        **changes,
    }


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "smart", "messages": [{"role": "user", "content": text}], **more}


def replied(text: str, reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def read(data: bytes | str) -> tuple[list[LoggedRequest], LeftOut]:
    left_out = LeftOut()
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return list(read_litellm_logs(file, left_out)), left_out


def as_lines(*rows: Any) -> str:
    return "".join(json.dumps(it) + "\n" for it in rows)


def as_csv(*rows: dict[str, Any], end: str = "\r\n") -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(rows[0])
    for it in rows:
        cells = (json.dumps(v, indent=1) if isinstance(v, dict | list) else v for v in it.values())
        writer.writerow(cells)
    return text.getvalue()


def test_a_row_without_prompt_has_its_tokens_time_and_model():
    (record,), left_out = read(as_lines(row()))
    assert left_out.lines == 0
    assert record.request is None
    assert record.usage == Usage(
        input_tokens=1000, cached_input_tokens=400, output_tokens=100, reasoning_tokens=30
    )
    assert (record.model, record.latency_ms, record.conversation) == ("big", 2500, "trace-1")
    assert record.at_s == pytest.approx(1_772_359_200)
    assert record.features.input_tokens == 1000 and record.features.text == ""


@pytest.mark.parametrize(
    "write",
    [
        as_lines,
        lambda *rows: json.dumps(rows),
        lambda *rows: json.dumps(rows, indent=2),
        lambda *rows: json.dumps({"data": rows, "total": 2, "page": 1}),
        as_csv,
        lambda *rows: "\ufeff" + as_csv(*rows, end="\n"),
    ],
    ids=["lines", "array", "array indented", "page", "csv", "csv with mark"],
)
def test_every_way_to_export_gives_the_same_requests(write: Any):
    rows = (
        row(),
        row(
            proxy_server_request=asked('Say "hi", then {stop}\n\n', temperature=0.5),
            response=replied("hi"),
        ),
    )
    plain, left_out = read(as_lines(*rows))
    records, also_left_out = read(write(*rows))
    assert records == plain and len(records) == 2
    assert left_out.lines == also_left_out.lines == 0


def test_a_row_with_its_prompt_is_a_request():
    sent = asked("Write a haiku", litellm_call_id="x", metadata={"user_api_key": SECRET})
    (record,), _ = read(as_lines(row(proxy_server_request=sent, response=replied("Leaves"))))
    assert record.request is not None
    assert record.features.text == "Write a haiku"
    assert record.request.model == "smart"
    assert record.is_keepable
    assert SECRET.encode() not in record.request.body
    assert b"litellm_call_id" not in record.request.body


def test_prompts_are_found_where_old_versions_keep_them_and_as_texts():
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    (old,), _ = read(as_lines(row(messages=messages)))
    (text,), _ = read(as_lines(row(proxy_server_request=json.dumps({"messages": messages}))))
    (body,), _ = read(as_lines(row(proxy_server_request={"body": {"messages": messages}})))
    assert old.features == text.features == body.features
    assert (old.features.text, old.features.system) == ("Hi", "Be short.")


@pytest.mark.parametrize("mark", ["litellm_truncated skipped 9000 chars", "truncated 9000 chars"])
def test_a_prompt_that_was_cut_has_no_cache_key_and_the_counted_length(mark: str):
    sent = asked(f"Fix this ... ({mark}) ... please")
    (record,), _ = read(as_lines(row(proxy_server_request=sent)))
    assert record.request is not None and record.request.caller.cache == "off"
    assert record.features.input_tokens == 1000


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({}, Usage(input_tokens=1000, output_tokens=100)),
        (
            {"cache_read_input_tokens": 600, "cache_creation_input_tokens": 300},
            Usage(
                input_tokens=1000,
                cached_input_tokens=600,
                cache_write_tokens=300,
                output_tokens=100,
            ),
        ),
        (
            {"cache_read_input_tokens": 5000, "cache_creation_input_tokens": 300},
            Usage(
                input_tokens=6300,
                cached_input_tokens=5000,
                cache_write_tokens=300,
                output_tokens=100,
            ),
        ),
        (
            {
                "cache_creation_input_tokens": 300,
                "prompt_tokens_details": {
                    "cache_creation_token_details": {"ephemeral_1h_input_tokens": 200}
                },
            },
            Usage(
                input_tokens=1000,
                cache_write_tokens=300,
                long_cache_write_tokens=200,
                output_tokens=100,
            ),
        ),
        ({"prompt_tokens_details": None}, Usage(input_tokens=1000, output_tokens=100)),
    ],
    ids=["none", "within", "left out of the whole", "for an hour", "null"],
)
@pytest.mark.parametrize("under", ["usage_object", "additional_usage_values"])
def test_cached_tokens_are_part_of_the_input(told: Any, usage: Usage, under: str):
    (record,), _ = read(as_lines(row(metadata={under: told})))
    assert record.usage == usage


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "failure"}, "is a call that failed"),
        (
            {"metadata": {"status": "failure", "error_information": {"error_class": "Timeout"}}},
            "is a call that failed: Timeout",
        ),
        ({"call_type": "aembedding"}, 'is no chat but a call of type "aembedding"'),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "counts no tokens"),
        ({"prompt_tokens": "many", "completion_tokens": None}, "counts no tokens"),
    ],
)
def test_a_row_of_no_use_is_named(changes: dict[str, Any], reason: str):
    records, left_out = read(as_lines(row(), row(**changes), row()))
    assert len(records) == 2
    assert left_out.named == [f"line 2: {reason}"]


@pytest.mark.parametrize("bad", ["{broken", "[1]", '"x"', '{"a": 1}', '{"data": [7]}'])
def test_a_bad_line_is_named_and_the_others_are_read(bad: str):
    records, left_out = read(as_lines(row()) + bad + "\n" + as_lines(row()))
    assert len(records) == 2
    assert left_out.lines == 1 and left_out.named[0].startswith("line 2: ")


def test_an_export_that_breaks_off_loses_its_last_row_alone():
    for text in (
        as_lines(row(), row()),
        json.dumps([row(), row()], indent=1),
        as_csv(row(), row()),
    ):
        records, left_out = read(text[:-200])
        assert (len(records), left_out.lines) == (1, 1)


def test_an_array_names_the_line_where_a_bad_row_begins():
    text = json.dumps([row(), {"a": 1}, row()], indent=2)
    _, left_out = read(text)
    begins = text[: text.index('"a": 1')].count("\n")
    assert left_out.named[0].startswith(f"line {begins}: is no row of LiteLLM_SpendLogs")


def test_a_csv_row_of_another_width_is_named():
    records, left_out = read("\n".join([as_csv(row(), end="\n"), "1,2,3", ""]))
    assert len(records) == 1
    assert "has 3 columns where the header has 25" in left_out.named[0]


def test_a_row_without_end_is_skipped_without_being_held(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openai_jsonl, "LINE_BYTES_MAX", 5_000)
    rows = [row(), row(api_base="x" * 600_000), row()]
    for text in (as_lines(*rows), json.dumps(rows)):
        records, left_out = read(text)
        assert (len(records), left_out.lines) == (2, 1)
        assert "longer than 5000 bytes" in left_out.named[0]


def test_a_cache_hit_has_no_latency():
    (record,), _ = read(as_lines(row(cache_hit="True")))
    assert record.is_hit and record.latency_ms is None


def test_other_dialects_messages_leave_the_tokens():
    blocks = [{"role": "user", "content": {"parts": ["x"]}}]
    (record,), left_out = read(as_lines(row(proxy_server_request={"messages": blocks})))
    assert record.request is None and record.usage and left_out.lines == 0


def test_a_spend_log_can_be_compared():
    sent = row(proxy_server_request=asked("What is a monad?"), response=replied("A monoid."))
    records, left_out = read(as_lines(sent, sent, row()))
    names = ["all-power", "signals", "all-power + cache"]
    result = compare(records, snapshot=TIERS, strategies=names, left_out=left_out)
    power, signals, cached = result.rows
    assert result.log.compared == result.log.measured == 3
    assert [record.request is None for record in records] == [False, False, True]
    assert power.cost_nanousd == 3 * (600 * 10_000 + 400 * 1_000 + 100 * 30_000)
    assert power.latency_mean_ms == 2_500
    assert signals.undecided == 1
    assert cached.cache_hits == 1
