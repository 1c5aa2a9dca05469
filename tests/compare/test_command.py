"""`pointsman compare`, called as the command line calls it."""

import asyncio
import json
from pathlib import Path

import pytest
from cyclopts import App
from tests.compare.builders import LOGS, TIERS, logged
from tests.compare.test_own_ledger import attempt

from pointsman.commands.compare_command import compare
from pointsman.compare.bundled import Bundle
from pointsman.compare.files import run_files
from pointsman.ledger.sqlite import SqliteLedger

CONFIG = """
[providers.acme]
dialect = "openai-chat"
base_url = "http://127.0.0.1:1/v1"
[[tiers]]
name = "fast"
models = ["acme/small"]
[[tiers]]
name = "power"
models = ["acme/big"]
[ledger]
url = "sqlite:///{folder}/ledger.db"
[prices."acme/small"]
input = 1.0
output = 2.0
[prices."acme/big"]
input = 10.0
output = 30.0
cached_input = 1.0
"""


@pytest.fixture
def config(tmp_path) -> str:
    path = tmp_path / "pointsman.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return str(path)


def run(*arguments: str) -> int:
    app = App(result_action="return_value")
    app.command(compare, name="compare")
    status = app(["compare", *arguments])
    assert isinstance(status, int)
    return status


def fill_ledger(path: Path) -> None:
    async def write() -> None:
        ledger = SqliteLedger(path)
        for intent, end in (attempt("1000"), attempt("2000", "power")):
            await ledger.reserve(intent)
            await ledger.settle(intent.request_id, intent.attempt, end)
        await ledger.close()

    asyncio.run(write())


def test_a_log_is_compared_and_drawn(config, tmp_path, capsys):
    chart = tmp_path / "chart.svg"
    data = str(LOGS / "pairs.jsonl")
    assert run("--data", data, "--config", config, "--chart", str(chart)) == 0
    out, err = capsys.readouterr()
    assert "all-power" in out and "~$0.0682" in out and "no labels" in out
    assert chart.is_file() and str(chart) in err


def test_json_has_the_strategies_that_were_named(config, capsys):
    data = str(LOGS / "pairs.jsonl")
    names = "signals+cache, all-fast"
    assert run(data, "--strategies", names, "--json", "--config", config) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["strategy"] for row in told["rows"]] == ["signals + cache", "all-fast"]
    assert told["baseline_cost_nanousd"] == 68_200_000


def test_without_data_it_reads_our_own_ledger(config, tmp_path, capsys):
    fill_ledger(tmp_path / "ledger.db")
    assert run("--json", "--config", config) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["log"]["compared"] == told["log"]["without_prompt"] == 2


def test_since_leaves_out_what_is_older(config, tmp_path, capsys):
    fill_ledger(tmp_path / "ledger.db")
    assert run("--json", "--since", "1970-01-01T00:30:00", "--config", config) == 0
    assert json.loads(capsys.readouterr().out)["log"]["compared"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "missing.jsonl"], "missing.jsonl"),
        (["--data", "empty.jsonl"], "no request to compare"),
        (["--data", "bad.jsonl"], "of no format that is known"),
        (["--data", "bad.jsonl", "--format", "openai-jsonl"], "line 1: is not JSON"),
        (["--data", "good.jsonl", "--format", "xml"], "there are claude-code"),
        (["--data", "sample", "--format", "xyz"], '--format "xyz": it is of files'),
        (["--data", "sample", "chores"], "cannot be combined"),
        (["--data", "good.jsonl", "--data", "chores"], "cannot be combined"),
        (["--data", "nothing"], "holds no .jsonl file"),
        (["--ray"], "--ray reads files"),
        (["--data", "good.jsonl", "--strategies", "oracle"], "labelled data set"),
        (["--data", "good.jsonl", "--what-if", "missing.toml"], "cannot be read"),
        (["--data", "good.jsonl", "--since", "yesterday"], "--since"),
        (["--data", "good.jsonl", "--since", "99999999999d"], "--since"),
        (["--data", "good.jsonl", "--since", "1m"], "no request to compare since 1m"),
        (["--data", "good.jsonl", "--strategies", "all-mid"], "there are all-power, all-fast"),
        (["--data", "good.jsonl", "--strategies", ","], "no strategy is named"),
        (["--data", "good.jsonl", "--chart", "x.gif"], ".png or .svg"),
    ],
)
def test_what_cannot_be_done_is_said_with_status_2(
    config, tmp_path, capsys, monkeypatch, arguments, words
):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "bad.jsonl").write_text("x\n")
    (tmp_path / "good.jsonl").write_bytes((LOGS / "tuning.jsonl").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--config", config) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and "Traceback" not in err


def test_a_ledger_that_is_not_there_is_not_made_and_the_sample_stands_in(config, tmp_path, capsys):
    assert run("--config", config, "--strategies", "all-fast") == 0
    shown = capsys.readouterr()
    assert "no ledger yet" in shown.err and "1,023 requests" in shown.out
    assert not (tmp_path / "ledger.db").exists()


def test_an_interruption_is_said_and_leaves_the_ledger_whole(config, tmp_path, monkeypatch, capsys):
    fill_ledger(tmp_path / "ledger.db")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pointsman.commands.compare_command.play", interrupt)
    assert run("--config", config, "--chart", str(tmp_path / "x.png")) == 130
    assert "interrupted" in capsys.readouterr().err and not (tmp_path / "x.png").exists()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert ledger.recovered == 0 and len(list(ledger.rows())) == 2
    asyncio.run(ledger.close())


def rows(capsys) -> dict[str, dict[str, object]]:
    return {row["strategy"]: row for row in json.loads(capsys.readouterr().out)["rows"]}


def test_several_files_and_folders_are_one_log(config, tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()
    pairs = (LOGS / "pairs.jsonl").read_bytes()
    (folder / "a.jsonl").write_bytes(pairs)
    other = tmp_path / "other.jsonl"
    other.write_bytes(pairs)
    names = ["--strategies", "all-power", "--json", "--config", config]
    assert run("--data", str(folder), str(other), *names) == 0
    assert rows(capsys)["all-power"]["cost_nanousd"] == 2 * 68_200_000


def test_ray_reads_the_files_that_are_named(config, capsys, monkeypatch):
    monkeypatch.setattr("pointsman.commands.compare_command.check_ray", lambda: None)
    monkeypatch.setattr("pointsman.commands.compare_command.run_files_on_ray", run_files)
    names = ["--strategies", "all-power", "--json", "--config", config]
    assert run("--data", str(LOGS / "pairs.jsonl"), "--ray", *names) == 0
    assert rows(capsys)["all-power"]["cost_nanousd"] == 68_200_000


WHAT_IF = """
[prices."acme/big"]
input = 20.0
output = 60.0
cached_input = 2.0
"""
OTHER_TIERS = """
[[tiers]]
name = "cheap"
models = ["acme/small"]
[[tiers]]
name = "dear"
models = ["acme/large"]
[prices."acme/large"]
input = 5.0
output = 15.0
"""


def test_what_if_prices_anew(config, tmp_path, capsys):
    path = tmp_path / "what-if.toml"
    path.write_text(WHAT_IF)
    data = ["--data", str(LOGS / "pairs.jsonl"), "--strategies", "all-power, all-fast"]
    assert run(*data, "--what-if", str(path), "--json", "--config", config) == 0
    told = json.loads(capsys.readouterr().out)
    # The other model keeps its configured price.
    assert [row["cost_nanousd"] for row in told["rows"]] == [2 * 68_200_000, 6_000_000]
    assert told["what_if"] == str(path) and any(str(path) in note for note in told["notes"])


def test_what_if_puts_other_tiers_in_place(config, tmp_path, capsys):
    path = tmp_path / "what-if.toml"
    path.write_text(OTHER_TIERS)
    data = ["--data", str(LOGS / "pairs.jsonl"), "--strategies", "all-power, all-fast"]
    assert run(*data, "--what-if", str(path), "--json", "--config", config) == 0
    assert list(rows(capsys)) == ["all-dear", "all-cheap"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tiers", "not valid TOML"),
        ("", "states nothing"),
        ("[cache]\nttl_s = 1", "has no place in a what-if"),
        ("[prices.x]\ninput = 'a'", "line 2"),
        ('[[tiers]]\nname = "x"\nmodels = ["gone/x"]', "with the configuration"),
    ],
)
def test_a_what_if_that_makes_no_sense_is_refused(config, tmp_path, capsys, text, words):
    path = tmp_path / "what-if.toml"
    path.write_text(text)
    assert run("--data", str(LOGS / "pairs.jsonl"), "--what-if", str(path), "--config", config) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and "Traceback" not in err


def test_labelled_data_is_priced_anew_by_its_tokens(config, tmp_path, capsys):
    rows_in = [
        {
            "prompt": "a",
            "scores": {"acme/big": 1, "acme/small": 0},
            "costs": {"acme/big": 1, "acme/small": 1},
            "usage": {"acme/big": {"input_tokens": 10, "output_tokens": 1}},
        }
    ]
    data = tmp_path / "labelled.jsonl"
    data.write_text("\n".join(map(json.dumps, rows_in)))
    path = tmp_path / "what-if.toml"
    path.write_text(WHAT_IF)
    names = ["--strategies", "all-power, all-fast", "--json", "--config", config]
    assert run("--data", str(data), "--what-if", str(path), *names) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["cost_nanousd"] for row in told["rows"]] == [10 * 20_000 + 60_000, 1_000_000_000]
    assert any("1 measured cost came without tokens" in note for note in told["notes"])


@pytest.mark.parametrize("arguments", [["--data", "sample"], []], ids=["named", "without-ledger"])
def test_bundled_data_has_tiers_of_its_own(config, capsys, monkeypatch, arguments):
    def bundle() -> Bundle:
        return Bundle(lambda _: iter([logged("a")]), TIERS, "What this shows.", is_held_out=True)

    monkeypatch.setattr("pointsman.compare.bundled.BUNDLES", {"sample": bundle})
    monkeypatch.setattr("pointsman.commands.compare_command.BUNDLES", {"sample": bundle})
    assert run(*arguments, "--strategies", "all-mid", "--json", "--config", config) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["rows"][0]["strategy"] == "all-mid" and told["notes"][0] == "What this shows."
    assert ("bundled sample" in err) is not bool(arguments)
