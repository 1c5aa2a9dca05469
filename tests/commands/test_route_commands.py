"""The commands route and explain, against an upstream that follows a script."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.processes import MAIN, bare_environment, run
from tests.server.upstreams import Upstream, config, running

from pointsman.commands.route_commands import explain, route


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """Run an upstream, in a folder that is configured for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POINTSMAN_CONFIG", raising=False)
    with running() as upstream:
        (tmp_path / "pointsman.toml").write_text(config(upstream))
        yield upstream


@pytest.mark.parametrize("stream", [True, False])
def test_the_answer_is_printed_and_what_it_cost_stands_beside(
    upstream: Upstream, capsys: pytest.CaptureFixture[str], stream: bool
):
    assert route("hello", stream=stream) == 0
    written = capsys.readouterr()
    assert written.out == ("first \n" if stream else "a plain answer\n")
    assert written.err.startswith("[plain · up/plain · 10+5 tokens · $0.00002 · cache miss · ")
    assert written.err.count("\n") == 1


def test_json_is_for_machines(upstream: Upstream, capsys: pytest.CaptureFixture[str]):
    assert route("hello", json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["content"], told["tier"], told["model"]) == ("a plain answer", "plain", "up/plain")
    assert told["cost_usd"] == pytest.approx(0.00002)
    assert told["usage"]["input_tokens"] == 10


def test_the_cache_may_be_left_out(upstream: Upstream, capsys: pytest.CaptureFixture[str]):
    assert route("hello", cache=False) == 0
    assert "cache off" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "told"),
    [("failing", "up/failing: upstream_unavailable"), ("tattling", "up/tattling: upstream_auth")],
)
def test_a_failure_is_status_1_and_tells_what_was_tried(
    upstream: Upstream, capsys: pytest.CaptureFixture[str], model: str, told: str
):
    assert route("hello", model=model) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert told in written.err
    assert route("hello", model=model, json=True) == 1
    written = capsys.readouterr()
    assert written.err == ""
    error = json.loads(written.out)["error"]
    assert set(error) == {"message", "code", "attempts"}
    assert told in [f"{one['deployment']}: {one['outcome']}" for one in error["attempts"]]


def test_a_stream_that_breaks_is_status_1(upstream: Upstream, capsys: pytest.CaptureFixture[str]):
    assert route("hello", model="broken") == 1
    written = capsys.readouterr()
    assert written.out.startswith("first ")
    assert "upstream_reset" in written.err


@pytest.mark.parametrize("command", [route, explain])
@pytest.mark.parametrize(
    ("prompt", "model", "told"),
    [("hello", "gpt-nix", 'no model, tier or alias "gpt-nix"'), ("\udcff", "auto", "JSON")],
)
def test_what_cannot_be_asked_is_status_2(
    upstream: Upstream, capsys: pytest.CaptureFixture[str], command, prompt: str, model: str, told
):
    assert command(prompt, model=model) == 2
    written = capsys.readouterr()
    assert told in written.err
    assert written.out == ""
    assert command(prompt, model=model, json=True) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert told in error["message"]
    assert error["attempts"] == []
    assert upstream.calls == []


@pytest.mark.parametrize("command", [route, explain])
def test_a_configuration_that_is_not_there_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command
):
    assert command("hello", config=str(tmp_path / "nix.toml")) == 2
    assert "nix.toml" in capsys.readouterr().err


def test_an_explanation_names_tier_reason_and_costs(
    upstream: Upstream, capsys: pytest.CaptureFixture[str]
):
    assert explain("hello", max_tokens=10, system="Be brief.") == 0
    told = capsys.readouterr().out
    assert "plain  →  up/plain" in told
    assert "policy fixed" in told
    assert told.count("cost: ") == len(upstream.asked)
    assert explain("hello", json=True) == 0
    assert json.loads(capsys.readouterr().out)["decision"]["tier"] == "plain"
    assert upstream.calls == []


def test_an_explanation_needs_no_key_and_leaves_no_file(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    toml = config(upstream, key_env="ABSENT_KEY", ledger="sqlite:///ledger.db")
    Path("pointsman.toml").write_text(toml + '\n[cache]\npath = "cache.db"\n')
    assert explain("hello") == 0
    assert route("hello") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["pointsman.toml"]


def test_a_prompt_may_begin_with_a_hyphen_and_come_by_standard_input(
    upstream: Upstream, tmp_path: Path
):
    for prompt, stdin in (("-", "grüße".encode()), ("- a list", b"")):
        done = run("explain", prompt, "--json", cwd=tmp_path, stdin=stdin)
        assert done.returncode == 0, done.stderr
    odd = run(
        "explain", "-", cwd=tmp_path, stdin=b"\xff\xfe", env={"PYTHONIOENCODING": "utf-8:strict"}
    )
    assert odd.returncode == 2
    assert odd.stderr == "standard input is not utf-8 text\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
@pytest.mark.parametrize("model", ["silent", "endless"])
def test_ctrl_c_ends_the_call_and_leaves_no_trace(upstream: Upstream, tmp_path: Path, model: str):
    process = subprocess.Popen(
        [*MAIN, "route", "hello", "--model", model],
        cwd=tmp_path,
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert upstream.asked[model].wait(30)
        if model == "endless":
            assert process.stdout is not None
            assert process.stdout.read(6) == "first "
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "interrupted; nothing is left half-done\n"
    assert upstream.hung_up[model].wait(10)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_reader_that_goes_away_is_no_error(upstream: Upstream, tmp_path: Path):
    process = subprocess.Popen(
        [*MAIN, "explain", "-"],
        cwd=tmp_path,
        env=bare_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write("hello")
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.usefixtures("upstream")
def test_explain_does_the_sum_for_a_conversation_s_next_turn(capsys: pytest.CaptureFixture[str]):
    tiers = json.loads(_explained(capsys, json=True))["tiers"]
    strongest = tiers[-1]["tier"]
    told = _explained(capsys, at=strongest, context=60_000)
    assert "talk:    the turn" in told and "all estimated" in told
    move = json.loads(_explained(capsys, at=strongest, context=60_000, json=True))["decision"][
        "move"
    ]
    assert (move["context_tokens"], move["base"]["tier"]) == (60_000, strongest)
    assert explain("hello", at="nowhere") == 2
    assert "no such tier" in capsys.readouterr().err


def _explained(capsys: pytest.CaptureFixture[str], **options) -> str:
    assert explain("hello", **options) == 0
    return capsys.readouterr().out
