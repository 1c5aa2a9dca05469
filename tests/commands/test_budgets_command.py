"""`pointsman budgets`: what is left, and stating what an attempt of unknown cost did cost."""

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.ledger.attempts import intent

from pointsman.access.opening import open_keys
from pointsman.commands.budgets_command import rebuild, reconcile, show
from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.grants import Grant
from pointsman.ledger import Settlement
from pointsman.ledger.sqlite import SqliteLedger

TOML = """
[[tiers]]
name = "a"
models = ["ollama/x"]
[ledger]
url = "sqlite:///{path}"
[budgets]
daily_usd = 2.0
"""
COST = 500_000_000


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Return a configuration whose ledger has an attempt of unknown cost and an open request."""
    path = tmp_path / "ledger.db"
    file = tmp_path / "pointsman.toml"
    file.write_text(TOML.format(path=path))

    async def book() -> None:
        now_ns = time.time_ns()
        ledger = SqliteLedger(path)
        hold = Hold((COST,), limits_at([Budget("all", "day", 4 * COST)], now_ns))
        await ledger.reserve(intent("lost", at_ns=now_ns, worst_case_nanousd=COST), hold)
        ledger.close_attempt("lost", 1, Settlement(state="unknown", outcome="failed", error="why"))
        ledger.release("lost")
        await ledger.close()

    asyncio.run(book())
    return str(file)


def told(capsys: pytest.CaptureFixture[str]):
    return json.loads(capsys.readouterr().out)


def test_what_is_spent_is_shown_beside_its_limit(config, capsys):
    assert show(config=config) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" all")]
    assert [part for part in line.split() if part[0] == "$"] == ["$0.50", "$0.00", "$2.00"]
    assert line.split()[-1] == "25%"


def test_a_keys_own_budget_is_shown_too(config, tmp_path, capsys):
    store = open_keys(f"sqlite:///{tmp_path}/ledger.db")
    assert store is not None
    with closing(store):
        store.create("web", Grant(month_nanousd=7), now_ns=time.time_ns(), expires_ns=None)
    assert show(config=config, json=True) == 0
    shown = {each["scope"]: each for each in told(capsys)["budgets"]}
    assert shown["key:web"]["limit_nanousd"] == 7
    assert shown["all"]["spent_nanousd"] == COST


def test_an_attempt_of_unknown_cost_is_listed_and_then_counts_what_is_stated(config, capsys):
    assert reconcile(config=config, json=True) == 0
    (listed,) = told(capsys)["attempts"]
    assert (listed["request_id"], listed["why"], listed["counts_nanousd"]) == ("lost", "why", COST)
    assert reconcile("lost", cost_usd="0.1", config=config) == 0
    capsys.readouterr()
    assert show(config=config, json=True) == 0
    assert told(capsys)["budgets"][0]["spent_nanousd"] == 100_000_000
    assert reconcile("lost", cost_usd="0", config=config) == 2, "it is said once"


@pytest.mark.parametrize(
    ("request_id", "cost_usd", "every", "remedy"),
    [
        ("lost", None, False, "write 0"),
        (None, "0", False, "--all"),
        ("lost", "0", True, "leave one out"),
        ("lost", "-1", False, "0 or more"),
        ("lost", "much", False, "must be a number"),
        ("other", "0", False, "no attempt of unknown cost"),
    ],
)
def test_a_wrong_call_says_what_to_do_and_changes_nothing(
    config, capsys, request_id, cost_usd, every, remedy
):
    assert reconcile(request_id, cost_usd=cost_usd, every=every, config=config) == 2
    assert remedy in capsys.readouterr().err
    assert reconcile(config=config, json=True) == 0
    assert len(told(capsys)["attempts"]) == 1


def test_all_can_be_let_go_at_once(config, capsys):
    assert reconcile(every=True, cost_usd="0", config=config) == 0
    capsys.readouterr()
    assert rebuild(config=config, json=True) == 0
    assert told(capsys) == {"wrong": 0}


def test_without_a_ledger_none_is_made(tmp_path, capsys):
    file = tmp_path / "pointsman.toml"
    file.write_text(TOML.format(path=tmp_path / "none.db"))
    assert show(config=str(file), json=True) == 0
    assert told(capsys)["budgets"][0]["spent_nanousd"] == 0
    assert reconcile(config=str(file)) == 0
    assert rebuild(config=str(file)) == 0
    assert not (tmp_path / "none.db").exists()
