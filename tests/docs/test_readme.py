"""The README's examples run as they stand, against the real local models."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.real_models import write_config

from pointsman.config import parse_settings

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
LIBRARY = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
CLIENT = re.findall(r"^```python client\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TOML = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ENV = {**os.environ, "PYTHONUNBUFFERED": "1"}


def run(code: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, check=False, cwd=folder, env=ENV, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples_of_each_kind():
    assert (len(LIBRARY), len(CLIENT), len(TOML)) == (2, 1, 1)


@pytest.mark.parametrize("example", LIBRARY, ids=["library", "in-process SDK"])
def test_the_library_examples_run(example, tmp_path, local_models):
    write_config(tmp_path, local_models)
    assert run(example, tmp_path).strip()


def test_the_first_example_is_cheap_then_cached_then_power(tmp_path, local_models):
    write_config(tmp_path, local_models)
    lines = run(LIBRARY[0], tmp_path).splitlines()
    assert "Alice" in lines[0]
    assert any(re.fullmatch(r"fast local-1/gemma \S+ \d+ False", line) for line in lines)
    assert "True 0.0" in lines
    assert any(line.startswith('power because "architect"') for line in lines)


def test_the_server_example_runs_with_the_official_sdk(tmp_path, local_models):
    write_config(tmp_path, local_models)
    command = [sys.executable, "-m", "pointsman", "serve", "--port", "0"]
    server = subprocess.Popen(command, cwd=tmp_path, env=ENV, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = re.search(r"http://\S+?:\d+", server.stderr.readline())
        assert address is not None
        shown = run(CLIENT[0].replace("http://127.0.0.1:4117", address[0]), tmp_path)
    finally:
        server.terminate()
        server.communicate(timeout=40)
    assert server.returncode == 0
    assert "tier      fast" in shown
    assert re.search(r"local-2/smollm2 \d+ tokens, [0-9.e-]+ USD", shown)


def test_the_configuration_example_loads():
    keys = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x"}
    settings = parse_settings(TOML[0], "pointsman.toml", keys)
    assert [tier.name for tier in settings.tiers] == ["fast", "mid", "power"]


def test_the_table_of_the_bundled_sample_is_what_the_command_prints(tmp_path):
    command = [sys.executable, "-m", "pointsman", "compare", "--data", "sample"]
    done = subprocess.run(
        command, check=True, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=90
    )
    (shown,) = re.findall(
        r"^    pointsman compare --data sample\n.*?^```\n(.*?)^```",
        README,
        re.MULTILINE | re.DOTALL,
    )
    assert done.stdout.split("\n\n")[0].strip() in shown
    assert shown.strip() in done.stdout


def test_the_explain_example_says_what_the_readme_says(tmp_path, local_models):
    write_config(tmp_path, local_models)
    prompt = "Please rename this and count the lines"
    command = [sys.executable, "-m", "pointsman", "explain", prompt]
    done = subprocess.run(
        command, check=True, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60
    )
    (told,) = re.findall(
        r"^    pointsman explain .*?```\n(.*?)```", README, re.MULTILINE | re.DOTALL
    )
    steady = [line for line in told.splitlines() if not line.startswith("cost:")]
    assert [line for line in done.stdout.splitlines() if not line.startswith("cost:")] == steady
