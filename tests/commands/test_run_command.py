"""`run` points a tool at the server: its variables and its command, or why it cannot."""

import http.server
import json
import shlex
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai
from tests.server.processes import run, served

from pointsman.commands.run_command import (
    GENERAL,
    TOOLS,
    client_key,
    default_model,
    pointed,
    server_root,
)
from pointsman.config import parse_settings

TOML = """
[[tiers]]
name = "small"
models = ["ollama/tiny"]
[[tiers]]
name = "large"
models = ["ollama/big"]
"""
ROOT = "http://127.0.0.1:4117"
KEY = "client-key-0123456789"
SHOW = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"


def env_of(*command: str) -> Mapping[str, str]:
    return pointed(command, root=ROOT, key=KEY, model="auto", small="small")[0]


def line_of(*command: str) -> tuple[str, ...]:
    return pointed(command, root=ROOT, key=KEY, model="auto", small="small")[1]


def folder_with(tmp_path: Path, more: str = "") -> Path:
    (tmp_path / "pointsman.toml").write_text(more + TOML, "utf-8")
    return tmp_path


@pytest.mark.parametrize("command", ["claude", "/opt/bin/claude", "claude.exe", "Claude.CMD"])
def test_claude_code_asks_for_the_routed_model_and_the_cheapest_tier_for_its_background_calls(
    command: str,
):
    env = env_of(command, "-p", "hi")
    assert line_of(command, "-p", "hi") == (command, "-p", "hi")
    assert (env["ANTHROPIC_BASE_URL"], env["ANTHROPIC_AUTH_TOKEN"]) == (ROOT, KEY)
    assert env["ANTHROPIC_API_KEY"] == ""
    assert env["ANTHROPIC_MODEL"] == env["ANTHROPIC_DEFAULT_OPUS_MODEL"] == "auto"
    assert env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == env["ANTHROPIC_SMALL_FAST_MODEL"] == "small"


def test_codex_gets_a_provider_of_its_own_before_the_users_arguments():
    line = line_of("codex", "exec", "-m", "large", "hi")
    assert line[-4:] == ("exec", "-m", "large", "hi")
    overrides = line[2:-4:2]
    assert set(line[1:-4:2]) == {"-c"}
    config = tomllib.loads("\n".join(overrides))
    assert config["model_provider"] == "pointsman"
    assert config["model"] == "auto"
    provider = config["model_providers"]["pointsman"]
    assert provider["base_url"] == f"{ROOT}/v1"
    assert provider["wire_api"] == "responses"
    assert env_of("codex")[provider["env_key"]] == KEY


def test_aider_asks_in_litellms_way_and_the_user_has_the_last_word():
    line = line_of("aider", "--model", "openai/large")
    assert line[:5] == ("aider", "--model", "openai/auto", "--weak-model", "openai/small")
    assert line[-2:] == ("--model", "openai/large")
    assert env_of("aider")["OPENAI_API_BASE"] == f"{ROOT}/v1"


def test_the_official_sdks_take_the_general_variables(monkeypatch: pytest.MonkeyPatch):
    for name in ("ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "somebody's own")
    for name, value in env_of("any-tool").items():
        monkeypatch.setenv(name, value)
    with openai.OpenAI() as client:
        assert (str(client.base_url), client.api_key) == (f"{ROOT}/v1/", KEY)
    with anthropic.Anthropic() as asking:
        assert str(asking.base_url).rstrip("/") == ROOT
        assert KEY in asking.auth_headers.values() or f"Bearer {KEY}" in (
            asking.auth_headers.values()
        )
    with genai.Client() as google:
        options = google._api_client._http_options
        assert str(options.base_url).rstrip("/") == ROOT
        assert google._api_client.api_key == KEY


def test_every_tool_says_where_its_way_is_written_and_when_it_was_read():
    for name, tool in (*TOOLS.items(), ("general", GENERAL)):
        assert tool.source.endswith("2026-11-23"), name
        left = "".join((*tool.variables.values(), *tool.arguments))
        for known in ("{root}", "{base}", "{key}", "{model}", "{small}"):
            left = left.replace(known, "")
        assert "{" not in left, name


@pytest.mark.parametrize(
    ("env", "key"),
    [
        ({}, "-"),
        ({"POINTSMAN_API_KEYS": "team:aaaaaaaaaa,bbbbbbbbbb"}, "aaaaaaaaaa"),
        ({"POINTSMAN_API_KEYS": " bbbbbbbbbb ,x:cc"}, "bbbbbbbbbb"),
        ({"POINTSMAN_API_KEYS": "a:bb", "POINTSMAN_API_KEY": "mine"}, "mine"),
    ],
)
def test_the_key_is_the_users_else_the_servers_first(env: dict[str, str], key: str):
    assert client_key(env) == key


@pytest.mark.parametrize(
    ("routing", "model"),
    [
        ("", "auto"),
        ('[routing]\naliases = ["*", "any"]\n', "any"),
        ('[routing]\naliases = ["*"]\n', "auto"),
        ("[routing]\naliases = []\n", "large"),
    ],
)
def test_the_model_is_what_leaves_the_choice_to_the_policy(routing: str, model: str):
    assert default_model(parse_settings(routing + TOML, "t.toml", {})) == model


@pytest.mark.parametrize(
    ("host", "root"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("localhost", "http://localhost:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("[::1]", "http://[::1]:1"),
        ("192.0.2.7", "http://192.0.2.7:1"),
    ],
)
def test_the_server_is_called_where_a_client_here_reaches_it(host: str, root: str):
    keys = {"POINTSMAN_API_KEYS": KEY}
    settings = parse_settings(f'[server]\nhost = "{host}"\nport = 1\n{TOML}', "t.toml", keys)
    assert server_root(settings) == root


def test_print_shows_what_a_shell_can_read_and_runs_nothing(tmp_path: Path):
    folder = folder_with(tmp_path, "[server]\nport = 1\n")
    done = run("run", "--model", "large", "--print", "--", "codex", "a b", cwd=folder)
    assert done.returncode == 0
    *exports, line = done.stdout.splitlines()
    assert all(export.startswith("export ") for export in exports)
    assert "export OPENAI_BASE_URL=http://127.0.0.1:1/v1" in exports
    assert shlex.split(line)[0] == "codex"
    assert 'model="large"' in shlex.split(line)
    assert shlex.split(line)[-1] == "a b"


def test_json_tells_machines_the_same(tmp_path: Path):
    folder = folder_with(tmp_path)
    done = run("run", "--json", "--", "claude", "--resume", cwd=folder)
    told = json.loads(done.stdout)
    assert told["command"] == ["claude", "--resume"]
    assert told["variables"]["ANTHROPIC_BASE_URL"] == ROOT


def test_without_a_server_it_says_what_to_do(tmp_path: Path):
    folder = folder_with(tmp_path, "[server]\nport = 1\n")
    done = run("run", "--", sys.executable, "-c", "print('ran')", cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "http://127.0.0.1:1" in done.stderr
    assert "pointsman serve" in done.stderr


@contextmanager
def stranger() -> Iterator[int]:
    """Run a server that is no pointsman; give its port."""

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_another_server_is_not_taken_for_ours(tmp_path: Path):
    with stranger() as port:
        folder = folder_with(tmp_path, f"[server]\nport = {port}\n")
        done = run("run", "--", sys.executable, "-c", "print('ran')", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no pointsman" in done.stderr


def test_a_call_without_a_command_and_an_unknown_one_are_told(tmp_path: Path):
    folder = folder_with(tmp_path)
    bare = run("run", cwd=folder)
    assert bare.returncode == 2
    assert "pointsman run -- claude" in bare.stderr
    with served(folder, TOML) as server:
        port = server.address.rpartition(":")[2]
        folder_with(folder, f"[server]\nport = {port}\n")
        done = run("run", "--", "no-such-tool-here", cwd=folder)
    assert done.returncode == 2
    assert 'no command "no-such-tool-here"' in done.stderr


def test_the_tool_runs_with_the_variables_and_its_status_is_passed_on(tmp_path: Path):
    with served(tmp_path, TOML) as server:
        port = server.address.rpartition(":")[2]
        folder = folder_with(tmp_path, f"[server]\nport = {port}\n")
        env = {"POINTSMAN_API_KEY": KEY, "ANTHROPIC_API_KEY": "own", "UNTOUCHED": "1"}
        done = run("run", "--", sys.executable, "-c", SHOW, "--flag", "a b", cwd=folder, env=env)
        failed = run("run", "--", sys.executable, "-c", "raise SystemExit(7)", cwd=folder)
    seen, arguments = json.loads(done.stdout)
    assert arguments == ["--flag", "a b"]
    assert seen["OPENAI_BASE_URL"] == f"http://127.0.0.1:{port}/v1"
    assert seen["OPENAI_API_KEY"] == seen["ANTHROPIC_API_KEY"] == KEY
    assert seen["UNTOUCHED"] == "1"
    assert done.returncode == 0
    assert failed.returncode == 7
