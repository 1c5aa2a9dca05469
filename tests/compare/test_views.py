"""What people and machines read of a comparison."""

import io
import re

import msgspec
import pytest
from tests.compare.builders import LOGS, TIERS, logged

from pointsman.compare import Comparison, LeftOut, compare, render
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.compare.records import Outcome
from pointsman.compare.views import plain_text
from pointsman.policies import PolicySettings, quality_proof
from pointsman.policies.registry import build_policy
from pointsman.scorer.certificate import NOT_CERTIFIED


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def golden(*strategies: str) -> Comparison:
    left_out = LeftOut()
    with (LOGS / "pairs.jsonl").open("rb") as file:
        return compare(
            read_openai_jsonl(file, left_out),
            snapshot=TIERS,
            strategies=strategies or None,
            ttl_s=3_600,
            left_out=left_out,
        )


def rendered(comparison: Comparison, file: io.StringIO, *, json: bool = False) -> str:
    render(comparison, file=file, json=json)
    return file.getvalue()


def test_the_table_without_a_terminal_is_plain():
    table = rendered(golden("all-power", "signals + cache"), io.StringIO()).splitlines()
    cells = [line.split("  ") for line in (table[0], table[2], table[3])]
    assert [[cell.strip() for cell in line if cell.strip()] for line in cells] == [
        [
            "strategy",
            "total cost",
            "cost vs all-power",
            "quality",
            "quality vs all-power (95% interval)",
            "mean latency",
            "p95 latency",
            "cache hits",
        ],
        ["all-power", "~$0.0682", "100%", "no labels", "no labels", "~1.33 s", "~2.00 s", "-"],
        ["signals + cache", "~$0.0068", "~10.0%", "no labels", "no labels", "-", "-", "1"],
    ]


def test_no_line_without_a_terminal_has_colours_or_blanks_at_its_end():
    text = plain_text(golden())
    assert text.isascii() and "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_table_says_the_same_on_a_terminal_of_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = rendered(golden(), Terminal())
    for cell in ("all-power", "signals", "no labels", "$0.0682", "~1.33 s", "all-power + cache"):
        assert cell in text
    assert "hits" in text and max(map(len, re.sub(r"\x1b.*?m", "", text).splitlines())) <= 80


def labelled() -> Comparison:
    records = [
        msgspec.structs.replace(
            logged("explain it"),
            outcomes={
                "acme/small": Outcome(quality=float(number % 2), cost_nanousd=1_000),
                "acme/big": Outcome(quality=1.0, cost_nanousd=9_000),
            },
        )
        for number in range(100)
    ]
    return compare(records, snapshot=TIERS, strategies=["all-power", "all-fast"])


def test_labelled_rows_have_their_quality_and_its_interval():
    table = plain_text(labelled()).splitlines()
    assert table[2].split()[:5] == ["all-power", "$0.0009", "100%", "1.000", "100.0%"]
    assert "50.0% (40.2 to 59.8)" in table[3]


def test_on_a_narrow_terminal_quality_keeps_its_place(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = re.sub(r"\x1b.*?m", "", rendered(labelled(), Terminal())).splitlines()
    (row,) = [line for line in lines if line.strip().startswith("all-fast")]
    assert "50.0% (40.2–59.8)" in row and max(map(len, lines)) <= 80
    assert not any("hits" in line for line in lines)


def test_the_sentence_names_the_policies_and_what_they_save():
    assert golden("all-power", "signals").summary == (
        "signals would have cost about 87% less than all-power; whether routing pays is not known,"
        " quality not measured: no labels"
    )
    assert golden("all-fast").summary.startswith("all-fast would have cost about 91% less")


@pytest.mark.parametrize(
    ("model", "words"), [("acme/big", "signals would have cost the same as all-power")]
)
def test_a_measured_sentence_says_nothing_of_about(model: str, words: str):
    comparison = compare(
        [logged("architect it", model=model)], snapshot=TIERS, strategies=["signals"]
    )
    assert words in comparison.summary


def test_json_comes_back_whole():
    comparison = golden()
    text = rendered(comparison, Terminal(), json=True)
    assert msgspec.json.decode(text, type=Comparison) == comparison
    assert msgspec.json.decode(text)["rows"][0]["quality"] is None


def test_footnotes_are_there_only_where_they_apply():
    measured = compare([logged("a", latency_ms=5)], snapshot=TIERS, strategies=["all-power"])
    assert len(measured.notes) == 1  # what every comparison leaves out
    assert any(note.startswith("~ is an estimate") for note in golden().notes)
    assert any("never measured a model" in note for note in golden().notes)


def test_bad_lines_are_named_below_the_table():
    left_out = LeftOut()
    file = io.BytesIO(b"x\n" * 12 + (LOGS / "pairs.jsonl").read_bytes())
    comparison = compare(read_openai_jsonl(file, left_out), snapshot=TIERS, left_out=left_out)
    (note,) = [note for note in comparison.notes if "lines left out" in note]
    assert note.startswith("12 lines left out: line 1: is not JSON") and "and 2 more" in note


def test_an_estimate_says_why_the_report_shows_another_figure():
    estimated = golden("all-power", "signals")
    assert any("report instead prices all input at the plain rate" in it for it in estimated.notes)


@pytest.mark.parametrize("strategies", [("learned",), ("all-power", "signals", "learned + cache")])
def test_what_is_proven_of_the_quality_stands_right_after_the_verdict(strategies):
    comparison = golden(*strategies)
    assert comparison.quality_proof == quality_proof(
        build_policy("learned", PolicySettings()), TIERS.tiers
    )
    words = next(it for it in plain_text(comparison).split("\n\n") if it.startswith("Over"))
    assert f"{comparison.summary}. learned: {NOT_CERTIFIED}" in " ".join(words.split())
    told = msgspec.json.decode(rendered(comparison, io.StringIO(), json=True))
    assert told["quality_proof"].startswith(NOT_CERTIFIED)


def test_another_policy_s_savings_are_not_certified_either():
    assert f"signals: {NOT_CERTIFIED}." in plain_text(golden("signals")).splitlines()


def test_tiers_alone_need_no_proof():
    assert golden("all-power", "all-fast").quality_proof == ""
    assert NOT_CERTIFIED not in plain_text(golden("all-power", "all-fast"))
