"""The command line as a whole: its help, its exit statuses, and how it ends early."""

import sys

import pytest

from pointsman import cli
from pointsman._version import __version__
from pointsman.cli import COMMANDS, main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["pointsman", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    assert isinstance(raised.value.code, int)
    return raised.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
):
    assert run(monkeypatch, name, "--help") == 0
    told = capsys.readouterr().out
    assert f"Example: pointsman {name}" in told
    assert f"Usage: pointsman {name}" in told
    assert "--json" in told


def test_the_help_names_every_command_and_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "--help") == 0
    told = capsys.readouterr().out
    for name, (_, help_line) in COMMANDS.items():
        assert name in told
        assert help_line in told
    assert "--install-completion" in told


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    "arguments", [["nix"], ["route"], ["route", "x", "--nix"], ["serve", "--port", "x"]]
)
def test_a_wrong_call_is_status_2_and_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
):
    assert run(monkeypatch, *arguments) == 2
    written = capsys.readouterr()
    assert "Traceback" not in written.err + written.out


def test_an_interrupt_is_status_130_and_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "build_app", interrupted)
    assert run(monkeypatch, "models") == 130
    assert capsys.readouterr().err == "interrupted; nothing is left half-done\n"
