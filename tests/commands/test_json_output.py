"""What commands print for machines: `serve` once it listens, `report` in one form alone."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.server.processes import MAIN, bare_environment

from pointsman.commands.report_command import report
from pointsman.commands.serve_command import serve


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_serve_tells_its_address_in_one_line_of_json(tmp_path: Path):
    (tmp_path / "pointsman.toml").write_text('[[tiers]]\nname = "a"\nmodels = ["ollama/x"]\n')
    process = subprocess.Popen(
        [*MAIN, "serve", "--port", "0", "--json", "--config", "pointsman.toml"],
        cwd=tmp_path,
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told) == {"address"}
        with urlopen(f"{told['address']}/models", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert rest == ""
    assert process.returncode == 0


def test_serve_tells_machines_why_it_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert serve(config=str(tmp_path / "nix.toml"), json=True) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "config_invalid"
    assert "nix.toml" in error["message"]


def test_a_report_is_printed_in_one_form(capsys: pytest.CaptureFixture[str]):
    assert report(json=True, csv=True) == 2
    written = capsys.readouterr()
    assert written.err == "--json and --csv: only one of them can be printed; leave one out\n"
    assert written.out == ""
