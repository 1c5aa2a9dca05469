"""`explain` tells what audits have found, and leaves no file where there is no ledger."""

import asyncio
from pathlib import Path

import pytest
from tests.contracts.test_ledger_labels import label

from pointsman.assembly import build_pipeline
from pointsman.commands.route_commands import explain
from pointsman.config import load_settings
from pointsman.ledger.opening import open_ledger

CONFIG = """
tiers = [
    { name = "weak", models = ["p/weak"] },
    { name = "strong", models = ["p/strong"] },
]

[routing]
policy = "learned"
scorer = ""

[providers.p]
base_url = "http://unused.invalid/v1"
dialect = "openai-chat"
api_key_env = ""

[prices]
"p/weak" = { input = 1, output = 2 }
"p/strong" = { input = 10, output = 20 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a configured folder, where the test runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POINTSMAN_CONFIG", raising=False)
    (tmp_path / "pointsman.toml").write_text(CONFIG)
    return tmp_path


async def regime(folder: Path) -> str:
    settings = load_settings(str(folder / "pointsman.toml"), {}, needs_keys=False)
    async with build_pipeline(settings, {}) as pipeline:
        return pipeline.routing.audit.regime


def test_without_a_ledger_nothing_was_found_and_none_is_made(folder, capsys):
    assert explain("Say hello.") == 0
    told = capsys.readouterr().out
    assert "weak" in told and "audits found" not in told
    assert [it.name for it in folder.iterdir()] == ["pointsman.toml"]


def test_a_floor_that_was_found_broken_is_told_and_counts(folder, capsys):
    async def break_floor() -> None:
        now = await regime(folder)
        ledger = open_ledger("sqlite:///pointsman.db")
        steps = 0
        for number in range(200):
            await ledger.book_audit(
                label(f"r{number}", regime=now, group="chat", steps=min(steps, 4)), "[]"
            )
            steps += number % 40 == 39
        await ledger.close()

    asyncio.run(break_floor())
    assert explain("Say hello.") == 0
    told = capsys.readouterr().out
    assert "audits found the floor broken here, so the threshold was lowered" in told


def test_a_ledger_that_cannot_be_read_is_told_and_the_rest_explained(folder, capsys):
    (folder / "pointsman.db").write_text("This is no database, however long one reads. " * 30)
    assert explain("Say hello.") == 0
    written = capsys.readouterr()
    assert "earlier audits are not considered" in written.err and "weak" in written.out
