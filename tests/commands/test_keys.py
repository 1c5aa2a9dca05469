"""`pointsman keys`: what it prints, once and only once, and what it refuses."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from pointsman.access.secret import digest
from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.cli import main
from pointsman.core.grants import EVERYTHING, Grant, Scope

TOML = """
[[tiers]]
name = "fast"
models = ["ollama/x"]
[[tiers]]
name = "power"
models = ["ollama/y"]
[embeddings]
models = ["ollama/vectors"]
[ledger]
url = "sqlite:///keys.db"
"""


class Terminal:
    """The command line in a folder of its own, and what it has said."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, written: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.file = folder / "keys.db"
        self.out = self.err = ""
        self._patch = patch
        self._written = written
        patch.chdir(folder)
        for name in ("POINTSMAN_API_KEYS", "POINTSMAN_ADMIN_KEY", "POINTSMAN_CONFIG"):
            patch.delenv(name, raising=False)
        self.configure(TOML)

    def configure(self, toml: str) -> None:
        (self.folder / "pointsman.toml").write_text(toml)

    def keys(self, *arguments: str) -> int:
        """Run `pointsman keys …`; return its status."""
        self._patch.setattr(sys, "argv", ["pointsman", "keys", *arguments])
        with pytest.raises(SystemExit) as raised:
            main()
        self.out, self.err = self._written.readouterr()
        assert "Traceback" not in self.out + self.err
        assert isinstance(raised.value.code, int)
        return raised.value.code

    def told(self, *arguments: str) -> Any:
        """Run it with --json; return what it said."""
        assert self.keys(*arguments, "--json") == 0, self.out + self.err
        return json.loads(self.out)

    def refused(self, *arguments: str) -> str:
        """Run what must be refused; return why."""
        assert self.keys(*arguments) == 2
        assert self.out == ""
        return self.err


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(tmp_path, monkeypatch, capsys)


def kept(terminal: Terminal) -> dict[str, Grant | None]:
    return {key.name: key.grant for key in SqliteKeys(str(terminal.file)).read().keys}


def test_a_new_key_stands_alone_on_standard_output(terminal: Terminal):
    assert terminal.keys("create", "web") == 0
    secret = terminal.out.strip()
    assert terminal.out == f"{secret}\n"
    assert secret.startswith("pm-")
    assert "only time that it is shown" in terminal.err
    assert secret not in terminal.err
    found = SqliteKeys(str(terminal.file)).read()
    assert found.keys[0].digest == digest(secret, found.pepper)


def test_who_makes_the_first_key_is_told_that_it_shuts_the_server(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    terminal.keys("create", "one")
    assert "now ask for a key" in terminal.err
    terminal.keys("revoke", "one")
    terminal.keys("create", "two")
    assert "now ask for a key" not in terminal.err
    terminal.file.unlink()
    monkeypatch.setenv("POINTSMAN_API_KEYS", "ci:0123456789")
    terminal.keys("create", "three")
    assert "now ask for a key" not in terminal.err


def test_nothing_ever_shows_a_secret_again(terminal: Terminal):
    secrets = [terminal.told("create", "web")["secret"]]
    secrets.append(terminal.told("rotate", "web", "--grace", "1h")["secret"])
    said = ""
    for arguments in (
        ("list",),
        ("list", "--json"),
        ("create", "web"),
        ("revoke", "web"),
        ("revoke", "web", "--json"),
        ("rotate", "web"),
    ):
        terminal.keys(*arguments)
        said += terminal.out + terminal.err
    assert '"web"' in said
    for secret in secrets:
        assert secret[3:13] not in said


def test_every_option_is_what_the_key_may_do(terminal: Terminal):
    told = terminal.told(
        *("create", "--tier", "fast", "--tier", "vectors", "web", "--model", "ollama/x"),
        *("--tag", "team=web", "--tag", "plan=basic", "--scope", "call"),
        *("--requests-per-minute", "60", "--tokens-per-minute", "9000", "--concurrency", "3"),
        *("--tier-calls", "fast=100", "--tier-calls", "power=0"),
        *("--daily-usd", "2.50", "--monthly-usd", "$40", "--expires", "30d"),
    )
    wanted = Grant(
        scopes=frozenset({Scope.CALL}),
        tiers=("fast", "vectors"),
        models=("ollama/x",),
        tags={"team": "web", "plan": "basic"},
        requests_per_minute=60,
        tokens_per_minute=9_000,
        concurrency=3,
        tier_calls_per_day={"fast": 100, "power": 0},
        day_nanousd=2_500_000_000,
        month_nanousd=40_000_000_000,
    )
    assert kept(terminal) == {"web": wanted}
    assert set(told) == {"name", "secret", "grant", "expires"}
    assert told["grant"]["tags"] == {"team": "web", "plan": "basic"}
    key = SqliteKeys(str(terminal.file)).read().keys[0]
    assert key.expires_ns is not None
    assert key.expires_ns - key.created_ns == 30 * 86_400 * 10**9


def test_without_options_a_key_may_do_what_a_client_may_a_hundred_at_once(terminal: Terminal):
    assert terminal.keys("create", "a") == 0
    assert terminal.keys("create", "b", "--concurrency", "0") == 0
    assert kept(terminal) == {"a": Grant(concurrency=100), "b": EVERYTHING}


def test_the_list_tells_what_keys_may_do_and_what_became_of_them(terminal: Terminal):
    terminal.keys("create", "web", "--tier", "fast", "--tag", "team=web", "--daily-usd", "5")
    terminal.keys("create", "ops", "--scope", "read", "--expires", "2h")
    terminal.keys("rotate", "web", "--grace", "24h")
    terminal.keys("revoke", "ops")
    assert terminal.keys("list") == 0
    lines = {line.split()[0]: line for line in terminal.out.splitlines() if line.strip()}
    assert "active" in lines["web"]
    assert "$5.00 a day" in lines["web"]
    assert "team=web" in lines["web"]
    assert "revoked" in lines["ops"]
    assert "scopes read" in lines["ops"]
    ops, web = terminal.told("list")["keys"]
    assert (ops["name"], ops["state"], web["name"], web["state"]) == (
        *("ops", "revoked"),
        *("web", "active"),
    )
    assert ops["revoked"].endswith("Z")
    assert web["old_until"] is not None
    assert web["expires"] is None


def test_an_expired_key_is_listed_so(terminal: Terminal):
    store = SqliteKeys(str(terminal.file))
    store.create("old", EVERYTHING, now_ns=1, expires_ns=2)
    assert terminal.told("list")["keys"][0]["state"] == "expired"
    assert "has expired" in terminal.refused("rotate", "old")


def test_a_key_whose_grant_cannot_be_read_is_listed_so(terminal: Terminal):
    terminal.keys("create", "web")
    with sqlite3.connect(terminal.file) as file:
        file.execute('UPDATE "keys" SET "grant" = \'{\'')
    assert terminal.keys("list") == 0
    assert "cannot be read" in terminal.out
    assert terminal.told("list")["keys"][0]["grant"] is None


def test_looking_for_keys_makes_no_file(terminal: Terminal):
    assert terminal.keys("list") == 0
    assert "There are no keys" in terminal.err
    assert terminal.told("list") == {"keys": []}
    assert "there is none" in terminal.refused("revoke", "web")
    assert "there is none" in terminal.refused("rotate", "web")
    assert not terminal.file.exists()


def test_a_revoked_name_is_gone_for_ever(terminal: Terminal):
    terminal.keys("create", "web")
    first = terminal.told("revoke", "web")
    assert terminal.told("revoke", "web") == first
    assert "a name is given once" in terminal.refused("create", "web")
    assert "revoked for ever" in terminal.refused("rotate", "web")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tier", "fats"], 'Did you mean "fast"?'),
        (["--model", "ollama/z"], 'Did you mean "ollama/'),
        (["--model", "x"], "ollama/x"),
        (["--tag", "team"], "write name=value"),
        (["--tag", "a=b\nc"], "write name=value"),
        (["--tag", "a=b,c=d"], "no comma"),
        (["--tag", "a=" + "b" * 300], "longer than 200"),
        (["--tag", "a=b", "--tag", "a=c"], "comes twice"),
        (["--requests-per-minute", "0"], "--requests-per-minute 0: goes from 1"),
        (["--tokens-per-minute", "-5"], "--tokens-per-minute -5: goes from 1"),
        (["--concurrency", "-1"], "--concurrency -1: goes from 1"),
        (["--tier-calls", "fast"], "write tier=number"),
        (["--tier-calls", "fast=x"], "write tier=number, such as power=100"),
        (["--tier-calls", "fast=1", "--tier-calls", "fast=2"], "comes twice"),
        (["--tier-calls", "quick=1"], "the configuration has none of this name"),
        (["--daily-usd", "0"], '--daily-usd "0": goes from'),
        (["--daily-usd", "NaN"], '--daily-usd "NaN": goes from'),
        (["--monthly-usd", "inf"], '--monthly-usd "inf": goes from'),
        (["--monthly-usd", "a lot"], "write an amount in USD"),
        (["--expires", "yesterday"], "write a span such as 30d"),
        (["--expires", "2020-01-01"], "is over already"),
        (["--expires", "0d"], "is over already"),
        (["--expires", "99999999d"], "write a span"),
        (["--scope", "root"], "Choose from"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_no_key_can_have_is_refused_by_name_value_and_remedy(
    terminal: Terminal, arguments: list[str], told: str
):
    assert told in terminal.refused("create", "web", *arguments).replace("\n", " ")
    assert not terminal.file.exists()


@pytest.mark.parametrize("grace", ["1", "-1h", "soon", "1y", "h", "٣h"])
def test_a_grace_that_is_no_span_is_refused_before_the_key_is_changed(
    terminal: Terminal, grace: str
):
    terminal.keys("create", "web")
    before = SqliteKeys(str(terminal.file)).read()
    assert "write a span" in terminal.refused("rotate", "web", f"--grace={grace}")
    assert SqliteKeys(str(terminal.file)).read() == before


@pytest.mark.parametrize("name", ["Web", "a b", "a\r\nx: y", "admin", "é"])
def test_a_name_with_something_in_it_is_refused(terminal: Terminal, name: str):
    refusal = terminal.refused("create", name)
    assert refusal.count("\n") == 1
    assert "choose another" in refusal or "no name for a key" in refusal


def test_a_name_of_the_environments_is_refused(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POINTSMAN_API_KEYS", "ci:0123456789")
    refusal = terminal.refused("create", "ci")
    assert "the environment has one" in refusal
    assert "0123456789" not in refusal


@pytest.mark.parametrize("command", ["create", "revoke", "rotate", "list"])
def test_a_ledger_that_keeps_no_keys_is_named(terminal: Terminal, command: str):
    terminal.configure(TOML.replace("sqlite:///keys.db", "sqlite://"))
    name = [] if command == "list" else ["web"]
    assert 'url "sqlite://": keeps no keys' in terminal.refused(command, *name)


@pytest.mark.parametrize("command", ["create", "revoke", "rotate", "list"])
def test_a_damaged_file_is_told_for_people_and_machines(terminal: Terminal, command: str):
    terminal.file.write_bytes(b"noise " * 2_000)
    name = [] if command == "list" else ["web"]
    assert "keys.db" in terminal.refused(command, *name)
    assert terminal.keys(command, *name, "--json") == 2
    assert json.loads(terminal.out)["error"]["message"]


@pytest.mark.parametrize("command", ["create", "list", "revoke", "rotate"])
def test_every_command_has_help_with_an_example(terminal: Terminal, command: str):
    assert terminal.keys(command, "--help") == 0
    assert f"Example: pointsman keys {command}" in terminal.out
    assert "--json" in terminal.out
