"""`pointsman cache`: what is kept is shown, looked at, purged, and filled beforehand."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.server.processes import Served, chat_body, served
from tests.server.upstreams import Upstream

from pointsman.commands.cache_command import inspect, purge, stats, warm

TOML = """
[providers.up]
dialect = "openai-chat"
base_url = "{base_url}"
[[tiers]]
name = "only"
models = ["up/plain"]
[ledger]
url = "sqlite:///{folder}/ledger.db"
[cache]
path = "{folder}/cache.db"
"""
KEYS = {"POINTSMAN_API_KEYS": "me:0123456789abcdef,other:fedcba9876543210"}
CHAT = "/v1/chat/completions"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with closing(Upstream()) as up:
        yield up


@pytest.fixture
def toml(tmp_path: Path, upstream: Upstream) -> str:
    return TOML.format(base_url=upstream.base_url, folder=tmp_path)


@pytest.fixture
def server(tmp_path: Path, toml: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("POINTSMAN_API_KEY", raising=False)
    with served(tmp_path, toml, KEYS) as server:
        yield server


@pytest.fixture
def config(server: Served, tmp_path: Path, toml: str) -> str:
    """Return a configuration that says where the server listens."""
    file = tmp_path / "client.toml"
    file.write_text(f"{toml}[server]\nport = {server.address.rpartition(':')[2]}\n")
    return str(file)


def ask(server: Served, text: str, key: str = "0123456789abcdef") -> dict[str, str]:
    """Return the headers of an answer."""
    headers = {"authorization": f"Bearer {key}"}
    status, told, _ = server.ask("POST", CHAT, chat_body(text), headers)
    assert status == 200
    return told


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def lines_of(*bodies: object) -> str:
    return "".join(f"{json.dumps(body)}\n" for body in bodies)


def test_warming_asks_what_is_not_kept_and_a_second_run_asks_nothing(
    server: Served,
    config: str,
    upstream: Upstream,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    ask(server, "known")
    body = json.loads(chat_body("new", stream=True))
    logged = {"request": json.loads(chat_body("logged")), "response": None}
    file = tmp_path / "lines.jsonl"
    file.write_text(lines_of(json.loads(chat_body("known")), body, logged, {"no": "request"}))
    assert warm(file, model="auto", json=True, config=config) == 1
    first = told(capsys)
    assert (first["asked"], first["found"], first["failed"]) == (2, 1, 1)
    assert "line 4" in str(first["reasons"])
    assert warm(file, json=True, config=config) == 1
    second = told(capsys)
    assert (second["asked"], second["found"], second["cost_nanousd"]) == (0, 3, 0)
    assert upstream.calls == ["plain"] * 3
    assert ask(server, "new")["x-pointsman-cache"] == "hit"
    assert ask(server, "new", "fedcba9876543210")["x-pointsman-cache"] == "miss"


def test_an_entry_is_shown_and_purged_at_the_server_and_stays_away(
    server: Served, config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    ask(server, "hello there")
    hit = ask(server, "please, hello  there")
    named = hit["x-pointsman-cache-id"]
    assert hit["x-pointsman-cache-tier"] == "normalised"
    assert inspect(named, json=True, config=config) == 0
    facts = told(capsys)
    assert (facts["key"], facts["model"], facts["answer"]) == ("me", "up/plain", "a plain answer")
    assert stats(json=True, config=config) == 0
    shown = told(capsys)
    assert (shown["requests"], shown["file"]) == (
        2,
        {"answers": 1, "answer_bytes": shown["file"]["answer_bytes"], "aliases": 1},  # type: ignore[index]
    )
    assert shown["hits"] == {"exact": 0, "normalised": 1, "canonical": 0, "judged": 0}
    assert purge(named, json=True, config=config) == 0
    assert told(capsys)["where"] == "at the running server"
    assert ask(server, "hello there")["x-pointsman-cache"] == "miss"
    assert purge("A" * 43, config=config) == 2
    assert "keeps no entry" in capsys.readouterr().err


def test_without_a_server_the_file_is_what_is_purged(
    server: Served, config: str, capsys: pytest.CaptureFixture[str]
):
    ask(server, "hello")
    named = ask(server, "hello")["x-pointsman-cache-id"]
    assert server.stop() == 0
    assert purge(named, config=config) == 0
    assert "in the file" in capsys.readouterr().out
    assert inspect(named, config=config) == 2
    assert "no entry" in capsys.readouterr().err
    assert warm(Path(config), config=config) == 2
    assert "no server answers" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "pointsman.toml"
    text = '[[tiers]]\nname = "a"\nmodels = ["ollama/x"]\n[server]\nport = 9\n'
    file.write_text(text)
    assert inspect("A" * 43, config=str(file)) == 2
    assert "path is not set" in capsys.readouterr().err
    assert purge("nix", config=str(file)) == 2
    assert "43 characters" in capsys.readouterr().err
    assert warm(tmp_path / "nix.jsonl", config=str(file)) == 2
    assert "no such file" in capsys.readouterr().err
    file.write_text(f'{text}[cache]\npath = "{tmp_path / "nix.db"}"\n')
    assert inspect("A" * 43, config=str(file)) == 2
    assert "no such file yet" in capsys.readouterr().err
    assert not (tmp_path / "nix.db").exists()
