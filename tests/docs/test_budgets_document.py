"""The budgets' document: its configuration is taken, and its example ends in a denial."""

import re
import subprocess
import sys
from pathlib import Path

from pointsman.config import parse_settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text("utf-8")


def block(language: str) -> str:
    """Return the one block of code in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(found)


def test_its_configuration_is_taken():
    tier = '[[tiers]]\nname = "a"\nmodels = ["ollama/x"]\n'
    env = {"BUDGET_HOOK": "https://example.com/hook"}
    stated = parse_settings(tier + block("toml"), "budgets.md", env).budgets
    assert (stated.daily_usd, stated.near_end) == (20.0, "downgrade")
    assert stated.keys["ci"].daily_usd == 2.0
    assert stated.tags["team=search"].monthly_usd == 50.0


def test_its_example_runs_into_the_budget(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block("python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r'request \d+: budget "all" of .* is left.*\n', done.stdout), done.stdout
