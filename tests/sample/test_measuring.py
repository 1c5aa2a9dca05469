"""The script that measures the chores, run on real models with one chore of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointsman.demo.models import missing_packages
from pointsman.sample.checks import Words
from pointsman.sample.chores import MODELS, Chore, format_chores, parse_chores

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "measure_chores.py"
CHORE = Chore(
    id="lookup-capital-1",
    group="lookup",
    text="What is the capital of Norway?",
    check=Words(("Oslo",)),
)


def measure(file: Path, *options: str) -> list[str]:
    """Run the script on a file; return its lines about calls."""
    command = [sys.executable, str(SCRIPT), *options, str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    return [line for line in done.stdout.splitlines() if "min left" in line]


@pytest.mark.skipif(not SCRIPT.exists(), reason="an sdist carries no benchmarks")
@pytest.mark.skipif(bool(missing_packages()), reason="the extra demo is not installed")
def test_the_script_asks_for_what_is_missing_and_for_nothing_else(tmp_path: Path):
    file = tmp_path / "chores.jsonl"
    file.write_bytes(format_chores((CHORE,)))
    assert len(measure(file, "--first", "1")) == 1
    assert len(measure(file)) == 1
    (measured,) = parse_chores(file.read_bytes())
    assert tuple(measured.outcomes) == MODELS
    for outcome in measured.outcomes.values():
        assert outcome.answer
        assert outcome.is_right == measured.accepts(outcome.answer)
        assert outcome.input_tokens > 0 and outcome.output_tokens > 0
    before = file.read_bytes()
    assert measure(file) == []
    assert file.read_bytes() == before
