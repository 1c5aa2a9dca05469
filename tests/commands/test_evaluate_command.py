"""`pointsman evaluate`, called as the command line calls it."""

import json
from pathlib import Path

import pytest
from cyclopts import App
from tests.commands.test_train_command import CONFIG, write_labels
from tests.training.builders import labelled

from pointsman.commands.evaluate_command import evaluate
from pointsman.scorer.model import shipped
from pointsman.scorer.tuning import Tuning
from pointsman.training.installing import install


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "pointsman.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return str(path)


def run(*arguments: str) -> int:
    app = App(result_action="return_value")
    app.command(evaluate, name="evaluate")
    status = app(["evaluate", *arguments])
    assert isinstance(status, int)
    return status


def test_policies_are_scored_and_drawn(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(120))
    chart = tmp_path / "quality.png"
    names = ("--policy", "learned", "--policy", "fixed:fast")
    assert run("--data", data, "--config", config, *names, "--chart", str(chart)) == 0
    out, err = capsys.readouterr()
    assert "120 labelled requests from labels.jsonl" in out
    assert "learned" in out and "fixed:fast" in out and "signals" not in out
    assert chart.read_bytes().startswith(b"\x89PNG") and str(chart) in err


def test_json_has_null_where_nothing_can_be_said(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(120))
    assert run("--data", data, "--config", config, "--json", "--policy", "signals") == 0
    told = json.loads(capsys.readouterr().out)
    signals, length = told["scores"]
    assert signals["apgr"] == {"value": None, "low": None, "high": None}
    assert signals["saving"]["low"] <= signals["saving"]["value"] <= signals["saving"]["high"]
    assert length["policy"] == "length alone" and length["apgr"]["value"] is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--policy", "nix"], "no such policy"),
        (["--policy", "cascade"], "drafts and verdicts"),
        (["--chart", "x.gif"], ".png or .svg"),
    ],
    ids=["unknown", "cascade", "chart"],
)
def test_what_cannot_be_is_said_with_the_remedy(config, tmp_path, capsys, arguments, told):
    data = write_labels(tmp_path / "labels.jsonl", labelled(40))
    assert run("--data", data, "--config", config, *arguments) == 2
    assert told in capsys.readouterr().err


def test_lines_of_no_use_are_counted(config, tmp_path, capsys):
    path = tmp_path / "labels.jsonl"
    data = write_labels(path, labelled(40))
    path.write_text(path.read_text() + '{"scores": {"acme/big": 7}}\nnonsense\n')
    assert run("--data", data, "--config", config, "--policy", "fixed:fast") == 0
    assert "2 lines of" in capsys.readouterr().err


def test_labels_that_were_fitted_on_can_be_left_out(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(300))
    arguments = ("--data", data, "--config", config, "--policy", "learned")
    assert run(*arguments, "--held-out") == 0
    out = capsys.readouterr().out
    assert int(out.split()[0]) < 150
    tuning = Tuning(
        scorer=shipped().version, trained_on="2026-11-23", data="labels.jsonl", labels=180
    )
    install(tuning, tmp_path / "scorer.json")
    assert run(*arguments) == 0
    assert "was fitted on 60% of labels.jsonl" in capsys.readouterr().err
