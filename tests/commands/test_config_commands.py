"""The commands init, check and models, as a terminal runs them."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cyclopts import App
from msgspec import structs

from pointsman.catalog import provider_rows
from pointsman.commands import config_commands
from pointsman.commands.config_commands import check, init
from pointsman.commands.discovery import find_servers, local_addresses
from pointsman.commands.models_command import models
from pointsman.commands.serve_command import serve
from pointsman.config import parse_settings
from pointsman.config.docs import sections
from pointsman.config.keys import KEYS

KEY_ENVS = [row.api_key_env for row in provider_rows().values() if row.api_key_env]
OLLAMA = {"object": "list", "data": [{"id": "qwen3:4b"}, {"id": "nomic-embed-text"}, {"id": "b c"}]}


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No key, no server, no file: whatever this machine has."""
    for name in (*KEY_ENVS, "OLLAMA_HOST", "POINTSMAN_CONFIG", "POINTSMAN_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pointsman.config.load.platformdirs.user_config_path",
        lambda name, appauthor: tmp_path / "user" / name,
    )
    monkeypatch.setattr(
        config_commands,
        "local_addresses",
        lambda env: (
            {k: v for k, v in local_addresses(env).items() if env.get("OLLAMA_HOST") in v}
            if "OLLAMA_HOST" in env
            else {}
        ),
    )
    return tmp_path


@contextmanager
def served(body: bytes, status: int = 200, location: str = "") -> Iterator[str]:
    """Serve one answer to everything on a free port; gives `host:port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/v1/models" else 404)
            if location:
                self.send_header("location", location)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_local_server_is_found_written_and_loaded_again(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with served(json.dumps(OLLAMA).encode()) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        assert init() == 0
        assert f"Found Ollama at http://{address}/v1: ollama/qwen3:4b." in capsys.readouterr().out
    settings = parse_settings(Path("pointsman.toml").read_text("utf-8"), "f", {})
    (tier,) = settings.tiers
    assert tier.models == ("ollama/qwen3:4b",)
    assert settings.providers["ollama"].base_url == f"http://{address}/v1"
    assert settings.prices["ollama/qwen3:4b"].input == 0
    assert check() == 0
    assert "tier fast: ollama/qwen3:4b" in capsys.readouterr().out


def test_a_local_server_stands_by_where_there_are_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with served(json.dumps(OLLAMA).encode()) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        assert init("a/b.toml") == 0
    settings = parse_settings(Path("a/b.toml").read_text("utf-8"), "f", {"OPENAI_API_KEY": "k"})
    assert settings.tiers[0].models == ("openai/gpt-6-luna", "ollama/qwen3:4b")
    assert len(settings.tiers) == 3


def test_with_nothing_found_everything_is_commented_and_the_way_on_is_told(
    capsys: pytest.CaptureFixture[str],
):
    assert init() == 0
    told = capsys.readouterr().out
    assert "OPENAI_API_KEY" in told
    assert "pointsman demo" in told
    text = Path("pointsman.toml").read_text("utf-8")
    active = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"\[[a-z.]+\]", line) for line in active)
    env = {"OPENAI_API_KEY": "k"}
    assert parse_settings(text, "f", env) == parse_settings("", "f", env)


def test_every_key_stands_in_the_file_with_its_default_and_may_be_switched_on():
    assert init() == 0
    text = Path("pointsman.toml").read_text("utf-8")
    switched_on = re.sub(r"(?m)^# ", "", text)
    for section in sections():
        for key in section.keys:
            assert re.search(rf"\b{key.name} = ", switched_on), key.pattern
            assert KEYS[key.pattern].text.split()[0] in text
    env = dict.fromkeys((*KEY_ENVS, "LOCAL_KEY"), "k")
    settings = parse_settings(switched_on, "f", env)
    defaults = parse_settings("", "f", env)
    # What has no default is switched on with its example.
    signals = {"power": None, "fast": None, "power_words": None}
    routing = structs.replace(
        settings.routing, signals=structs.replace(settings.routing.signals, **signals), bounds={}
    )
    assert routing == defaults.routing
    assert structs.replace(settings.timeouts, first_byte_by_effort={}) == defaults.timeouts
    for name in ("server", "cache", "validation", "ledger"):
        assert getattr(settings, name) == getattr(defaults, name)
    assert settings.tiers[1].entries[0].context_tokens == 32_768


def test_a_file_is_overwritten_only_by_force(capsys: pytest.CaptureFixture[str]):
    Path("pointsman.toml").write_text("mine")
    assert init() == 2
    assert Path("pointsman.toml").read_text() == "mine"
    assert "pointsman.toml: exists already; add --force" in capsys.readouterr().err
    assert init(force=True) == 0
    assert Path("pointsman.toml").read_text("utf-8").startswith("## pointsman's configuration.")


def test_a_file_that_cannot_be_written_is_told(capsys: pytest.CaptureFixture[str]):
    Path("file").write_text("")
    assert init("file/pointsman.toml") == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"<html>", 200), (b'{"data": []}', 200), (b'{"data": 1}', 200), (b"[" * 9999, 200),
     (json.dumps(OLLAMA).encode(), 401), (b"\xff", 200)],
)  # fmt: skip
def test_whoever_is_no_model_server_is_passed_over(body: bytes, status: int):
    with served(body, status) as address:
        assert find_servers({"ollama": f"http://{address}/v1"}) == ()


def test_a_redirect_is_not_followed():
    with (
        served(json.dumps(OLLAMA).encode()) as target,
        served(b"", 302, f"http://{target}/v1/models") as address,
    ):
        assert find_servers({"ollama": f"http://{address}/v1"}) == ()


def test_nobody_there_is_nobody_found():
    with served(b"") as address:
        pass
    assert find_servers({"ollama": f"http://{address}/v1"}) == ()


@pytest.mark.parametrize(
    ("stated", "base_url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("10.0.0.2:99", "http://10.0.0.2:99/v1"),
        ("https://box:99/", "https://box:99/v1"),
        ("[::]:99", "http://127.0.0.1:99/v1"),
        ("[fe80::1]:99", "http://[fe80::1]:99/v1"),
        ("ftp://box", "http://127.0.0.1:11434/v1"),
        ("me:pw@box", "http://127.0.0.1:11434/v1"),
        ("box:port", "http://127.0.0.1:11434/v1"),
    ],
)
def test_ollama_is_looked_for_where_it_says(stated: str, base_url: str):
    addresses = local_addresses({"OLLAMA_HOST": stated})
    assert addresses["ollama"] == base_url
    assert set(addresses) == {"ollama", "llamacpp", "vllm", "lmstudio"}


def test_check_tells_every_problem_and_fails(capsys: pytest.CaptureFixture[str]):
    Path("pointsman.toml").write_text("[server]\nprot = 1\nport = 0\n")
    assert check() == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert check(json=True) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["errors"][0].startswith("pointsman.toml, line 2: server.prot = 1: unknown key")


def test_check_sums_up_a_good_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    Path("p.toml").write_text(
        '[providers.groq]\n[[tiers]]\nname = "a"\nmodels = ["openai/gpt-4o", "ollama/x"]\n'
    )
    assert check("p.toml") == 0
    told = capsys.readouterr().out
    assert told.startswith("ok: p.toml\ntier a: openai/gpt-4o, ollama/x\n")
    assert "OPENAI_API_KEY set, GROQ_API_KEY NOT set" in told
    assert "prices unknown: ollama/x" in told
    assert check("p.toml", json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["keys"] == {"OPENAI_API_KEY": True, "GROQ_API_KEY": False}
    assert told["prices_unknown"] == ["ollama/x"]


def test_models_lists_what_may_be_asked_for_without_any_key(capsys: pytest.CaptureFixture[str]):
    Path("p.toml").write_text('[[tiers]]\nname = "a"\nmodels = ["openai/gpt-4o", "ollama/[x]"]\n')
    assert models("p.toml") == 0
    told = capsys.readouterr().out
    assert "aliases: auto" in told
    (row,) = (line for line in told.splitlines() if "openai/gpt-4o " in line)
    assert re.split(r" {2,}", row.strip()) == [
        *("a", "openai/gpt-4o", "128,000", "yes", "yes", "yes", "$2.50", "$10.00"),
        *("genai-prices/0.2.3", "OPENAI_API_KEY NOT set"),
    ]
    assert "ollama/[x]" in told
    assert models("p.toml", json=True) == 0
    (tier,) = json.loads(capsys.readouterr().out)["tiers"]
    assert tier["models"][0]["input_usd_per_mtok"] == 2.5
    assert tier["models"][0]["is_key_set"] is False
    assert tier["models"][1]["price_version"] is None


def test_models_lists_what_may_be_asked_for_by_name_though_it_stands_in_no_tier(
    capsys: pytest.CaptureFixture[str],
):
    Path("p.toml").write_text('[[tiers]]\nname = "a"\nmodels = ["openai/gpt-4o"]\n')
    assert models("p.toml") == 0
    in_tiers, by_name = capsys.readouterr().out.split("also by name:")
    assert "openai/gpt-4o-mini" in by_name
    assert "openai/gpt-4o-mini" not in in_tiers
    assert "anthropic/" not in by_name
    assert models("p.toml", json=True) == 0
    listed = [one["model"] for one in json.loads(capsys.readouterr().out)["also_by_name"]]
    assert listed == [word for word in by_name.split() if word.startswith("openai/")]


def test_init_tells_machines_what_was_written_and_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with served(json.dumps(OLLAMA).encode()) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        assert init("p.toml", json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == "p.toml"
    assert told["keys"] == {"OPENAI_API_KEY": "openai"}
    (server,) = told["servers"]
    assert (server["provider"], server["models"]) == ("ollama", ["qwen3:4b"])
    assert told["tiers"]["fast"][-1] == "ollama/qwen3:4b"
    assert init("p.toml", json=True) == 2
    assert "exists already" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.parametrize(
    ("section", "keys", "told"),
    [
        ('[ledger]\nurl = "sqlite:////nonexistent/d/l.db"', "", "p.toml, line 5: ledger.url"),
        ('[cache]\npath = "/nonexistent/d/c.db"', "", "p.toml, line 5: cache.path"),
        ("", "short", "POINTSMAN_API_KEYS: a key has fewer than 8"),
        ("", ",", "POINTSMAN_API_KEYS: is set and holds no key"),
    ],
)
@pytest.mark.parametrize("command", [check, lambda path: serve(config=path)])
def test_check_refuses_what_serve_refuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command,
    section: str,
    keys: str,
    told: str,
):
    monkeypatch.setenv("POINTSMAN_API_KEYS", keys)
    Path("p.toml").write_text(f'[[tiers]]\nname = "a"\nmodels = ["ollama/x"]\n{section}\n')
    assert command("p.toml") == 2
    assert capsys.readouterr().err.startswith(told)


def test_check_tells_faults_of_file_and_keys_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("POINTSMAN_API_KEYS", "short")
    Path("p.toml").write_text("[server]\nport = 0\n")
    assert check("p.toml", json=True) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert errors[0].startswith("p.toml")
    assert errors[-1].startswith("POINTSMAN_API_KEYS")


def test_models_of_a_bad_configuration_fails(capsys: pytest.CaptureFixture[str]):
    assert models() == 2
    assert "pointsman init" in capsys.readouterr().err


@pytest.mark.parametrize("command", [init, check, models])
def test_a_command_shows_an_example_in_its_help(command, capsys: pytest.CaptureFixture[str]):
    app = App(name="pointsman", result_action="return_value")
    app.command(command)
    app([command.__name__, "--help"])
    assert f"pointsman {command.__name__}" in capsys.readouterr().out.split("Example:")[1]


def test_flags_are_read_from_the_command_line(capsys: pytest.CaptureFixture[str]):
    app = App(name="pointsman", result_action="return_value")
    for command in (init, check, models):
        app.command(command)
    assert app(["init", "x.toml"]) == 0
    assert app(["init", "x.toml", "--force"]) == 0
    assert app(["check", "--config", "x.toml", "--json"]) == 2
    assert '"ok": false' in capsys.readouterr().out


def test_a_damaged_scorer_file_is_told_by_check(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    (tmp_path / "pointsman.scorer.json").write_text(
        '{"scorer": "x", "trained_on": "d", "data": "d", "labels": 1, "heads": "!!!!"}'
    )
    monkeypatch.chdir(tmp_path)
    assert check() == 2
    told = capsys.readouterr()
    assert "pointsman.scorer.json" in told.out + told.err and "take it away" in told.out + told.err
