"""Every shape of log is read; what cannot be used is named and skipped."""

import io
import json

import pytest
from tests.compare.builders import LOGS

from pointsman.compare import LeftOut, LoggedRequest
from pointsman.compare import openai_jsonl as importer
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.core.usage import Usage


def read(content: bytes | str) -> tuple[list[LoggedRequest], LeftOut]:
    left_out = LeftOut()
    data = content.encode() if isinstance(content, str) else content
    return list(read_openai_jsonl(io.BytesIO(data), left_out)), left_out


def read_file(name: str) -> tuple[list[LoggedRequest], LeftOut]:
    return read((LOGS / name).read_bytes())


def test_request_bodies_have_no_answer():
    (first, second), left_out = read_file("bodies.jsonl")
    assert first.features.text == "what is a monad" and first.features.max_tokens == 100
    assert (first.usage, first.latency_ms, first.at_s) == (None, 900, 1_793_491_200.0)
    assert (second.model, second.at_s, second.latency_ms) == ("big", None, None)
    assert left_out.lines == 0


def test_what_stands_beside_a_body_is_no_part_of_the_request():
    (first, _), _ = read_file("bodies.jsonl")
    assert first.request is not None
    assert set(json.loads(first.request.body)) == {"model", "messages", "max_tokens"}


def test_pairs_of_request_and_response_are_measured():
    (first, second, third), left_out = read_file("pairs.jsonl")
    assert first.usage == Usage(input_tokens=1000, cached_input_tokens=200, output_tokens=500)
    assert (first.model, first.latency_ms, first.at_s) == ("big-2026-01-02", 2000, 1_793_000_000.0)
    assert (second.model, second.latency_ms) == ("small", 300)
    assert all(record.is_measured and record.is_keepable for record in (first, second, third))
    assert left_out.lines == 0


def test_batch_lines_are_read_with_and_without_their_answer():
    (asked, answered), left_out = read_file("batch.jsonl")
    assert asked.usage is None and asked.features.text == "what is a monad"
    assert answered.usage == Usage(input_tokens=11, output_tokens=7)
    assert left_out.named == [
        "line 3: has an answer but no request; join the batch's output with its input",
        "line 4: was answered with status 429",
        "line 5: has no messages; only chat requests can be compared",
    ]


def test_the_last_message_of_a_tuning_example_is_its_answer():
    (text, call), left_out = read_file("tuning.jsonl")
    # "twelve bytes" is about 3 tokens; the prompt 7 and two messages of 4 tokens.
    assert text.usage == Usage(input_tokens=3 + 4 + 8, output_tokens=3, is_estimated=True)
    assert text.features.turns == 1 and text.is_keepable and not text.is_measured
    assert call.usage is not None and call.usage.output_tokens == 5  # look{"a":1}x
    assert not call.is_keepable
    assert left_out.named == ["line 3: messages is empty; send at least one"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{nope", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("7", "is not a JSON object"),
        ("[" * 100_000, "is not"),
        ('{"a": 1}', "has no messages, request or body"),
        ('{"messages": "hello"}', "has no messages"),
        ('{"messages": []}', "has no messages"),
        ('{"messages": [{"content": "x"}]}', "does not fit"),
        ('{"request": {"messages": [1]}}', "does not fit"),
        ('{"request": {"messages": [{"role": "user"}]}, "error": "boom"}', "holds an error"),
        ('{"request": {"messages": [{"role": "user"}]}, "response": {}}', "has no choices"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', ""),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(line: str, reason: str):
    good = '{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    records, left_out = read(f"{good}\n{line}\n{good}\n")
    if not reason:  # half a surrogate pair is JSON to some parsers
        assert len(records) + left_out.lines == 3
        return
    assert len(records) == 2
    assert left_out.lines == 1 and left_out.named[0].startswith("line 2: ")
    assert reason in left_out.named[0]


def test_bytes_that_are_no_text_are_a_bad_line():
    records, left_out = read(b'\xff\xfe\n{"messages": [{"role": "user", "content": "\xff"}]}\n')
    assert (records, left_out.lines) == ([], 2)


def test_only_the_first_bad_lines_are_named():
    _, left_out = read("x\n" * 50)
    assert left_out.lines == 50 and len(left_out.named) == 10


def test_a_line_without_end_is_skipped_without_being_held(monkeypatch):
    monkeypatch.setattr(importer, "LINE_BYTES_MAX", 100)
    good = '{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    records, left_out = read(f"{good}\n{'x' * 1000}\n{good}")
    assert len(records) == 2
    assert left_out.named == ["line 2: is longer than 100 bytes"]


def test_a_byte_order_mark_is_no_fault():
    records, left_out = read(b'\xef\xbb\xbf{"messages": [{"role": "user", "content": "hi"}]}')
    assert len(records) == 1 and left_out.lines == 0


def test_an_answer_in_words_alone_is_an_answer():
    (record,), _ = read(
        '{"request": {"messages": [{"role": "user", "content": "hi"}]}, "response": "12345678"}'
    )
    assert record.usage == Usage(input_tokens=5, output_tokens=7, is_estimated=True)


@pytest.mark.parametrize(
    "time",
    ["1793000000", "1793000000000", "1793000000000000", '"2026-10-26T07:33:20Z"'],
    ids=["seconds", "milliseconds", "microseconds", "text"],
)
def test_times_are_read_in_every_unit(time: str):
    body = '{"messages": [{"role": "user", "content": "hi"}]}'
    (record,), _ = read(f'{{"request": {body}, "ts": {time}}}')
    assert record.at_s == pytest.approx(1_793_000_000)
