"""`pointsman train`, called as the command line calls it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from cyclopts import App
from tests.contracts.test_ledger_labels import answered, label
from tests.training.builders import labelled

from pointsman import AsyncRouter, Tier
from pointsman.commands import train_command
from pointsman.commands.train_command import confirm_with, train
from pointsman.compare.records import LoggedRequest
from pointsman.core.errors import ConfigError
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.providers.fake import FakeProvider
from pointsman.scorer.reading import pack_reading, read_features
from pointsman.scorer.tuning import decode_tuning

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
[routing]
scorer = "{folder}/scorer.json"
[ledger]
url = "sqlite:///{folder}/ledger.db"
[prices."acme/small"]
input = 1.0
output = 2.0
[prices."acme/big"]
input = 10.0
output = 30.0
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "pointsman.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return str(path)


def run(*arguments: str) -> int:
    app = App(result_action="return_value")
    app.command(train, name="train")
    status = app(["train", *arguments])
    assert isinstance(status, int)
    return status


def write_labels(path: Path, records: Iterable[LoggedRequest]) -> str:
    lines = []
    for record in records:
        nanousd = {name: it.cost_nanousd or 0 for name, it in record.outcomes.items()}
        row = {
            "prompt": record.features.text,
            "scores": {name: it.quality for name, it in record.outcomes.items()},
            "costs": {name: cost / 1e9 for name, cost in nanousd.items()},
        }
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines))
    return str(path)


def test_what_is_better_is_installed_and_said(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(600))
    assert run("--data", data, "--config", config) == 0
    told = capsys.readouterr().out
    assert "600 labels from labels.jsonl" in told and "length alone" in told
    assert f"installed as {tmp_path}/scorer.json" in told
    tuning = decode_tuning((tmp_path / "scorer.json").read_bytes())
    assert tuning.heads and tuning.data == "labels.jsonl"


def test_what_is_not_better_is_refused_with_status_1(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(600))
    assert run("--data", data, "--config", config) == 0
    installed = (tmp_path / "scorer.json").read_bytes()
    assert run("--data", data, "--config", config) == 1
    assert "not installed: it does not beat the scorer in use" in capsys.readouterr().out
    assert (tmp_path / "scorer.json").read_bytes() == installed


def test_the_scorer_in_use_can_be_certified_without_a_fit(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(600))
    assert run("--data", data, "--config", config) == 0
    before = decode_tuning((tmp_path / "scorer.json").read_bytes())
    assert run("--data", data, "--config", config, "--keep-scorer", "--confidence", "0.8") == 0
    after = decode_tuning((tmp_path / "scorer.json").read_bytes())
    assert (after.scorer, after.heads) == (before.scorer, before.heads)
    assert after.certificate is not None and after.certificate.confidence == 0.8
    assert "scorer.json.before" in capsys.readouterr().out


def test_a_dry_run_installs_nothing_and_json_has_the_figures(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(300))
    assert run("--data", data, "--config", config, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_installed"] is False
    assert [row["name"] for row in told["rankings"]][:3] == ["new", "in use", "length alone"]
    assert "heads" not in told["tuning"] and told["tuning"]["measured"]
    assert not (tmp_path / "scorer.json").exists()


def test_a_new_model_joins_with_outcomes_of_its_own(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(600))
    assert run("--data", data, "--config", config) == 0
    before = decode_tuning((tmp_path / "scorer.json").read_bytes())
    new = labelled(200, gap=0.2, models=("acme/small",), seed=8)
    data = write_labels(tmp_path / "new.jsonl", new)
    assert run("--data", data, "--config", config) == 2
    assert "no outcome of acme/big" in capsys.readouterr().err
    assert run("--data", data, "--config", config, "--keep-scorer") == 0
    assert "acme/small: chat 0.8" in capsys.readouterr().out
    after = decode_tuning((tmp_path / "scorer.json").read_bytes())
    assert after.heads == before.heads and after.certificate is None
    assert after.measured["acme/big"] == before.measured["acme/big"]
    assert after.measured["acme/small"]["chat"].labels == 200


def test_a_handful_of_outcomes_measures_no_model(config, tmp_path, capsys):
    few = write_labels(tmp_path / "few.jsonl", labelled(10, models=("acme/small",)))
    assert run("--data", few, "--config", config, "--keep-scorer") == 1
    assert "no model has 20 labels" in capsys.readouterr().out


def fill_ledger(path: Path, count: int) -> None:
    async def write() -> None:
        ledger = SqliteLedger(path)
        for number, record in enumerate(labelled(count)):
            request_id = f"r{number}"
            await answered(ledger, request_id)
            packed = pack_reading(read_features(record.features))
            small, big = (it.quality for it in record.outcomes.values())
            audit = label(
                request_id,
                routed="acme/small",
                strongest="acme/big",
                quality_routed=small,
                quality_strongest=big,
            )
            await ledger.book_audit(audit, msgspec.json.encode(packed).decode())
        await ledger.close()

    asyncio.run(write())


def test_audits_in_the_ledger_teach_but_certify_nothing(config, tmp_path, capsys):
    fill_ledger(tmp_path / "ledger.db", 250)
    assert run("--config", config, "--json", "--dry-run") in (0, 1)
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["labels"] == 250 and told["tuning"]["certificate"] is None
    assert "no random sample" in told["certificate_note"]
    assert "250 audits" in err


def test_a_ledger_that_is_not_there_is_not_made(config, tmp_path, capsys):
    assert run("--config", config) == 2
    assert "there is no ledger there yet" in capsys.readouterr().err
    assert not (tmp_path / "ledger.db").exists()


def test_an_empty_ledger_says_what_to_do(config, tmp_path, capsys):
    fill_ledger(tmp_path / "ledger.db", 0)
    assert run("--config", config) == 2
    told = capsys.readouterr().err
    assert "0 audits" in told and "--data" in told and "--replay" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "nowhere.jsonl"], 'nowhere.jsonl": cannot be read'),
        (["--data", "x", "--ledger"], "only one of them"),
        (["--replay", "x"], "say who judges"),
        (["--replay", "x", "--judge", "validators", "--limit", "0"], "1 or more"),
        (["--replay", "x", "--judge", "validators", "--max-usd", "0"], "above 0"),
        (["--data", "x", "--confidence", "1.5"], "above 0 and below 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_with_the_remedy(config, capsys, arguments, told):
    assert run(*arguments, "--config", config) == 2
    assert told in capsys.readouterr().err


def test_too_few_labels_are_counted(config, tmp_path, capsys):
    data = write_labels(tmp_path / "labels.jsonl", labelled(30))
    assert run("--data", data, "--config", config) == 2
    assert "50 more" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_without_the_extra_there_is_help_and_its_name(config, command):
    code = f"""
import sys
sys.modules["numpy"] = None
sys.argv = ["pointsman", "{command}", *sys.argv[1:]]
from pointsman.cli import main
main()
"""
    for arguments, status in ((["--help"], 0), (["--config", config, "--data", "x"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status
        told = done.stdout + done.stderr
        assert ("Example: pointsman" if not status else "pip install 'pointsman[train]'") in told
        assert "Traceback" not in told


def test_an_interrupt_leaves_nothing_installed(config, tmp_path, capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "take_course", interrupted)
    data = write_labels(tmp_path / "labels.jsonl", labelled(5))
    assert run("--data", data, "--config", config) == 130
    assert "nothing was installed" in capsys.readouterr().err
    assert not (tmp_path / "scorer.json").exists()


def test_money_is_not_spent_without_a_yes(monkeypatch, capsys):
    assert confirm_with(is_confirmed=True)("it costs") is True
    assert "it costs" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", NoTerminal())
    with pytest.raises(ConfigError, match="--yes"):
        confirm_with(is_confirmed=False)("it costs")


class NoTerminal:
    def isatty(self) -> bool:
        return False


def test_a_replay_costs_nothing_unasked_and_its_outcomes_are_learned_from(
    config, tmp_path, capsys, monkeypatch
):
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    asks = [{"messages": [{"role": "user", "content": f"What is {n}?"}]} for n in range(30)]
    log.write_text("".join(json.dumps(ask) + "\n" for ask in asks))
    replay = ("--replay", str(log), "--judge", "validators", "--out", str(out), "--config", config)
    monkeypatch.setattr(AsyncRouter, "from_config", lambda _: fake_router(tmp_path))
    monkeypatch.setattr(sys, "stdin", NoTerminal())
    assert run(*replay) == 2
    told = capsys.readouterr().err
    assert "30 requests go to each of fast, power: about $" in told and "--yes" in told
    assert not out.exists()
    assert run(*replay, "--yes") == 2
    told = capsys.readouterr().err
    assert "30 requests were answered and judged for $0.0081" in told
    assert "30 labels that compare" in told and "50 more" in told
    assert len(out.read_text().splitlines()) == 30


def fake_router(folder: Path) -> AsyncRouter:
    provider = FakeProvider({"small": ["It is so."], "big": ["It is so indeed."]})
    prices = {
        "acme/small": {"input": 1.0, "output": 2.0},
        "acme/big": {"input": 10.0, "output": 30.0},
    }
    return AsyncRouter(
        (Tier("fast", ["acme/small"]), Tier("power", ["acme/big"])),
        env={},
        call_with={"acme": provider},
        providers={"acme": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:1/v1"}},
        prices=prices,
        ledger={"url": f"sqlite:///{folder}/replay.db"},
    )
