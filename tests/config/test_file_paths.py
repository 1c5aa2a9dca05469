"""File paths: a file that could not be opened is told before anything is served."""

from pathlib import Path

import pytest

from pointsman.config import parse_settings
from pointsman.core.errors import ConfigError

TIER = '[[tiers]]\nname = "a"\nmodels = ["ollama/x"]\n'


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('[ledger]\nurl = "sqlite:///{}/nix/l.db"', "line 5: ledger.url = "),
        ('[cache]\npath = "{}/nix/c.db"', "line 5: cache.path = "),
    ],
)
def test_a_missing_folder_is_told_with_file_and_line(tmp_path: Path, section: str, told: str):
    with pytest.raises(ConfigError) as raised:
        parse_settings(TIER + section.format(tmp_path.as_posix()), "p.toml", {})
    assert raised.value.message.startswith(f"p.toml, {told}")
    assert f"there is no folder {tmp_path / 'nix'}; create it" in raised.value.message


@pytest.mark.parametrize("section", ['[ledger]\nurl = "sqlite:///{}"', '[cache]\npath = "{}"'])
def test_a_folder_is_no_file(tmp_path: Path, section: str):
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        parse_settings(TIER + section.format(tmp_path.as_posix()), "p.toml", {})


@pytest.mark.parametrize(
    "section",
    [
        '[ledger]\nurl = "sqlite://"',
        '[ledger]\nurl = "sqlite:///:memory:"',
        '[ledger]\nurl = "sqlite:///l.db"',
        '[cache]\nexact = false\npath = "nix/c.db"',
    ],
)
def test_what_can_be_opened_is_no_fault_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str
):
    monkeypatch.chdir(tmp_path)
    parse_settings(TIER + section, "p.toml", {})
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_serves_no_one_does_not_ask_for_the_folder():
    text = TIER + '[ledger]\nurl = "sqlite:///nix/l.db"'
    parse_settings(text, "p.toml", {}, needs_keys=False)


def test_a_query_in_the_ledger_url_is_refused_as_the_ledger_does():
    with pytest.raises(ConfigError, match=r'line 5: ledger.url = .*"\?" and "#" mean nothing'):
        parse_settings(TIER + '[ledger]\nurl = "sqlite:///l.db?x=1"', "p.toml", {})
