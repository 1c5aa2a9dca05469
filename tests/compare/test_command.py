"""`pointsman compare`, called as the command line calls it."""

import asyncio
import json
from pathlib import Path

import pytest
from cyclopts import App
from tests.compare.builders import LOGS
from tests.compare.test_own_ledger import attempt

from pointsman.commands.compare_command import compare
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
        (["--data", "bad.jsonl"], "line 1: is not JSON"),
        (["--data", "."], "cannot be read"),
        ([], "there is no ledger there yet"),
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
    (tmp_path / "bad.jsonl").write_text("x\n")
    (tmp_path / "good.jsonl").write_bytes((LOGS / "tuning.jsonl").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--config", config) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and "Traceback" not in err


def test_asking_for_a_ledger_that_is_not_there_does_not_make_one(config, tmp_path, capsys):
    assert run("--config", config) == 2
    assert not (tmp_path / "ledger.db").exists()


def test_an_interruption_is_said_and_leaves_the_ledger_whole(config, tmp_path, monkeypatch, capsys):
    fill_ledger(tmp_path / "ledger.db")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pointsman.commands.compare_command.compare_strategies", interrupt)
    assert run("--config", config, "--chart", str(tmp_path / "x.png")) == 130
    assert "interrupted" in capsys.readouterr().err and not (tmp_path / "x.png").exists()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert ledger.recovered == 0 and len(list(ledger.rows())) == 2
    asyncio.run(ledger.close())
