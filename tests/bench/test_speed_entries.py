"""The gateways' entries load, and their templates are whole."""

import json
import shutil
import tomllib

import msgspec
import pytest
from bench.speed.__main__ import chosen, main
from bench.speed.bodies import LARGE_CHARS, MODEL, body
from bench.speed.install import commands, installed_version
from bench.speed.spec import HERE, OWN, PEERS, Gateway, filled, load

ENTRIES = load(OWN) | load(PEERS)
VALUES = {
    "MOCK": "http://127.0.0.1:9", "MOCK_PORT": "9", "PORT": "10", "WORK": "w", "BIN": "b",
    "PEER": "p",
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_everything_that_an_entry_asks_for_is_known(entry: Gateway):
    values = VALUES | entry.settings
    texts = [*entry.command, *entry.env.values(), *entry.headers.values()]
    texts += [(HERE / "gateways" / file).read_text("utf-8") for file in entry.files.values()]
    for text in texts:
        left = filled(text, values)
        assert not any(f"{{{word}}}" in left for word in ("MOCK", "PORT", "WORK", "PEER", "BIN"))


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_can_be_started_and_called(entry: Gateway):
    assert entry.title and entry.command and entry.path.startswith("/")
    assert entry.name in load(OWN) or entry.install is not None


def test_the_filled_configuration_of_pointsman_is_toml():
    entry = ENTRIES["pointsman"]
    text = (HERE / "gateways" / "pointsman.toml").read_text("utf-8")
    read = tomllib.loads(filled(text, VALUES | entry.settings))
    assert [tier["name"] for tier in read["tiers"]] == ["fast", "power"]
    assert read["cache"] == {}, "defaults are measured"
    assert set(read["server"]) == {"port"}


def test_an_unknown_key_of_an_entry_is_refused(tmp_path):
    file = tmp_path / "gateways.toml"
    file.write_text('[x]\ntitle = "x"\ncommand = ["x"]\ncolour = "red"\n')
    with pytest.raises(msgspec.ValidationError, match="colour"):
        load(file)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_body_is_json_of_the_length_asked_for(dialect, is_stream):
    read = json.loads(body(dialect, LARGE_CHARS, is_stream=is_stream))
    assert read["model"] == MODEL
    assert len(read["messages"][-1]["content"]) - len("Ticket @@N@@. ") == LARGE_CHARS
    assert read.get("stream", False) is is_stream


def test_a_peer_goes_into_its_own_folder(tmp_path):
    for name in load(PEERS):
        how = ENTRIES[name].install
        assert how is not None
        for command in commands(how, tmp_path):
            assert any(str(tmp_path) in word for word in command)
        assert installed_version(tmp_path, how) == ""


def test_a_missing_program_is_told_with_its_remedy(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "wrk" else f"/usr/bin/{name}")
    monkeypatch.setattr("sys.argv", ["bench.speed", "own"])
    assert main() == 2
    assert "wrk missing: apt-get install wrk" in capsys.readouterr().err


def test_an_unknown_gateway_is_refused_with_those_there_are():
    with pytest.raises(SystemExit, match="no such gateway; there are nginx, pointsman"):
        chosen(with_peers=False, only="apache")
