"""A log's format is told by its lines, and a folder is all the logs below it."""

import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compare.builders import LOGS, TIERS
from tests.compare.test_claude_code import SESSION as CLAUDE_CODE
from tests.compare.test_codex import SESSION as CODEX
from tests.compare.test_litellm_logs import as_csv, row

from pointsman.compare import LeftOut, LoggedRequest, compare, formats
from pointsman.compare.formats import (
    FORMAT_NAMES,
    Reader,
    find_format,
    log_files,
    open_log,
    read_log_file,
)
from pointsman.core.errors import ConfigError


def as_lines(lines: list[Any]) -> bytes:
    return "".join(json.dumps(it) + "\n" for it in lines).encode()


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LABELLED = {"prompt": "hi", "scores": {"m": 1}, "costs": {"m": 0.01}, "latency_ms": {"m": 9}}
SAMPLES = {
    "labelled": (as_lines([LABELLED]), 1),
    "claude-code": (as_lines(CLAUDE_CODE), 3),
    "codex": (as_lines(CODEX), 2),
    "litellm": (as_lines([row(), row()]), 2),
    "openai-jsonl": (as_lines([CHAT]), 1),
}


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read_as(name: str, data: bytes, left_out: LeftOut) -> Iterator[LoggedRequest]:
    reader: Reader = formats._FORMATS[name].read
    return reader(io.BytesIO(data), left_out)


def read(path: Path, format: str | None = None) -> tuple[list[LoggedRequest], LeftOut]:
    left_out = LeftOut()
    return list(open_log(path, left_out, format)), left_out


ODD = (
    *("null", "true", "-1", "1e18", f"1{'0' * 30}", "[]", "{}", "[[]]", '"{}"', '"{"', '""'),
    *('"x"', '"2026"', '"9999-12-31T23:59:59Z"'),
)


@st.composite
def odd_lines(draw: st.DrawFn, name: str) -> list[Any]:
    """Return a sample's lines with odd values in some places."""
    lines = [json.loads(line) for line in SAMPLES[name][0].splitlines()]
    for _ in range(draw(st.integers(1, 6))):
        inner: Any = lines
        while True:
            keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
            key = draw(st.sampled_from(keys))
            if not isinstance(inner[key], dict | list) or not inner[key] or draw(st.booleans()):
                break
            inner = inner[key]
        inner[key] = json.loads(draw(st.sampled_from(ODD)))
    return lines


@pytest.mark.parametrize("name", FORMAT_NAMES)
@given(data=st.data())
def test_odd_values_raise_nothing_and_are_never_counted_below_nothing(
    name: str, data: st.DataObject
):
    log = as_lines(data.draw(odd_lines(name)))
    find_format(io.BytesIO(log))
    left_out = LeftOut()
    records = list(read_as(name, log, left_out))
    assert len(records) + left_out.lines <= log.count(b"\n")
    for usage in (record.usage for record in records if record.usage):
        read_and_written = usage.cached_input_tokens + usage.cache_write_tokens
        assert 0 <= read_and_written <= usage.input_tokens
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens


def test_there_is_a_sample_of_every_format():
    assert set(SAMPLES) == set(FORMAT_NAMES)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_a_file_is_read_in_its_own_format(name: str, is_packed: bool, tmp_path: Path):
    data, count = SAMPLES[name]
    path = write(tmp_path / "log", gzip.compress(data) if is_packed else data)
    records, left_out = read(path)
    assert (len(records), left_out.lines) == (count, 0)
    assert read(path, name)[0] == records == list(read_log_file(path, LeftOut()))


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_lines_that_say_nothing_do_not_hide_the_format(name: str):
    head = b"\xef\xbb\xbf\nnot JSON\n[1]\n" if name != "litellm" else b"\n"
    found, file = find_format(io.BytesIO(head + SAMPLES[name][0]))
    assert found == name
    assert file.read() == head + SAMPLES[name][0]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (json.dumps([row()], indent=2).encode(), "litellm"),
        (json.dumps({"data": [row()], "total": 1}).encode(), "litellm"),
        (as_csv(row()).encode(), "litellm"),
        (as_lines([{"type": "file-history-snapshot", "snapshot": {}}]), "claude-code"),
        (as_lines([{"custom_id": "a", "response": {"status_code": 200}}]), "openai-jsonl"),
        (as_lines([{"request": {"body": CHAT}, "response": None}]), "openai-jsonl"),
        (as_lines([{"a": 1}]), None),
        (b"a,b\n1,2\n", None),
        (b"[1, 2]", None),
        (b"\n \n", ""),
        (b"", ""),
    ],
)
def test_formats_are_told_apart(data: bytes, name: str | None):
    assert find_format(io.BytesIO(data))[0] == name


def test_a_first_line_of_megabytes_tells_too():
    long = {"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    assert find_format(io.BytesIO(as_lines([long])))[0] == "openai-jsonl"


def test_the_bundled_samples_are_openai_jsonl():
    for path in sorted(LOGS.glob("*.jsonl")):
        assert find_format(io.BytesIO(path.read_bytes()))[0] == "openai-jsonl"


def test_a_file_of_no_known_format_is_an_error_that_says_what_there_is(tmp_path: Path):
    path = write(tmp_path / "other.jsonl", b'{"a": 1}\n')
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert all(name in caught.value.message for name in FORMAT_NAMES)


def test_a_format_of_another_name_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", SAMPLES["codex"][0])
    with pytest.raises(ConfigError, match='"csv": not known; there are claude-code, codex'):
        open_log(path, LeftOut(), "csv")


def test_what_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        open_log(tmp_path / "none", LeftOut())
    with pytest.raises(ConfigError, match=r"holds no \.jsonl file"):
        open_log(tmp_path, LeftOut())


def test_an_empty_file_holds_nothing(tmp_path: Path):
    assert read(write(tmp_path / "a.jsonl", b"")) == ([], LeftOut())


def test_a_folder_is_read_file_by_file_in_order(tmp_path: Path):
    write(tmp_path / "p" / "s2.jsonl", as_lines(CLAUDE_CODE))
    write(tmp_path / "p" / "s1.jsonl", as_lines(CLAUDE_CODE))
    write(tmp_path / "p" / "s1" / "subagents" / "agent-a.jsonl", as_lines(CLAUDE_CODE))
    write(tmp_path / "day" / "rollout-1.jsonl.gz", gzip.compress(as_lines(CODEX)))
    write(tmp_path / "notes.txt", b"no log")
    names = [path.relative_to(tmp_path).as_posix() for path in log_files(tmp_path)]
    assert names == [
        "day/rollout-1.jsonl.gz",
        "p/s1/subagents/agent-a.jsonl",
        "p/s1.jsonl",
        "p/s2.jsonl",
    ]
    assert len(read(tmp_path)[0]) == 2 + 3 * 3


def test_a_folder_read_by_many_gives_what_one_reads(tmp_path: Path):
    for name, (data, _) in SAMPLES.items():
        write(tmp_path / f"{name}.jsonl", data + b"broken\n")
    write(tmp_path / "history.jsonl", b'{"display": "hi"}\n')
    whole, left_out = read(tmp_path)
    parts = [LeftOut() for _ in log_files(tmp_path)]
    records = [
        record
        for path, part in zip(log_files(tmp_path), parts, strict=True)
        for record in read_log_file(path, part, is_one_of_many=True)
    ]
    assert records == whole
    assert left_out.named == [reason for part in parts for reason in part.named]
    assert left_out.lines == sum(part.lines for part in parts) == len(SAMPLES) + 1
    assert "history.jsonl, is no log that is known" in left_out.named
    assert any(reason.startswith("codex.jsonl, line 16: is not JSON") for reason in left_out.named)


def test_only_the_first_reasons_are_named(tmp_path: Path):
    for number in range(9):
        write(tmp_path / f"{number}.jsonl", as_lines([CHAT]) + b"x\nx\n")
    _, left_out = read(tmp_path)
    assert (left_out.lines, len(left_out.named)) == (18, 10)


def test_compressed_data_that_breaks_off_gives_what_came_before(tmp_path: Path):
    lines = [
        {"model": "m", "messages": [{"role": "user", "content": str(n)}]} for n in range(9_000)
    ]
    packed = gzip.compress(as_lines(lines))
    records, left_out = read(write(tmp_path / "a.jsonl.gz", packed[: len(packed) // 2]))
    assert 0 < len(records) < 9_000
    assert left_out.named[-1] == "the compressed data breaks off"


def test_how_far_reading_is_ends_at_the_size(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, as_lines([CHAT | {"user": "u" * 1_000}] * 1_000))
    log = open_log(tmp_path, LeftOut())
    places = [log.bytes_read for _ in log]
    assert places == sorted(places)
    assert 0 < places[0] < places[-1] <= log.bytes_read == log.bytes_total
    assert len(list(log)) == 2_000 and log.bytes_read == log.bytes_total


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_though_it_cannot_go_back(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = gzip.compress(as_lines([CHAT] * 3_000))
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    records, left_out = read(path)
    thread.join()
    assert (len(records), left_out.lines) == (3_000, 0)


def test_a_folder_of_every_format_can_be_compared(tmp_path: Path):
    for name, (data, _) in SAMPLES.items():
        write(tmp_path / f"{name}.jsonl", data)
    left_out = LeftOut()
    names = ["all-power", "signals"]
    log = open_log(tmp_path, left_out)
    result = compare(log, snapshot=TIERS, strategies=names, left_out=left_out)
    assert result.log.compared == sum(count for _, count in SAMPLES.values())
    assert [row.undecided for row in result.rows] == [0, 2]  # the two that have tokens alone
    assert result.baseline_cost_nanousd
