"""What a ledger's URL names, asked without opening it, and stores that do not start."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from pointsman.core.errors import ConfigError
from pointsman.ledger import AuditLabel, BudgetRow, Intent, Label, LedgerSettings, Row, Settlement
from pointsman.ledger.contents import Content
from pointsman.ledger.opening import is_there, open_ledger, sqlite_file
from pointsman.ledger.outcomes import Claim, KeptOutcome
from pointsman.ledger.sqlite import SqliteLedger


def test_a_ledger_is_there_once_it_has_been_opened(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    assert not is_there(url)
    assert list(tmp_path.iterdir()) == [], "asking makes no file"
    asyncio.run(SqliteLedger(tmp_path / "ledger.db").close())
    assert is_there(url) and is_there(url.replace("sqlite", "SQLite"))


@pytest.mark.parametrize(
    ("url", "is_made"),
    [("sqlite://", False), ("sqlite:///:memory:", False), ("paper://desk/1", True), ("x", True)],
    ids=["memory", "memory by name", "another store", "no URL"],
)
def test_memory_is_never_there_and_what_is_not_ours_may_be(url: str, is_made: bool):
    assert is_there(url) is is_made


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a b.db", "a b.db"),
        ("SQLITE:////var/a.db", "/var/a.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("paper://desk/1", None),
        ("a.db", None),
    ],
    ids=["relative", "absolute", "memory", "memory by name", "another store", "no URL"],
)
def test_the_file_of_a_url_is_its_path_where_it_has_one(url: str, path: str | None):
    assert sqlite_file(url) == path


def test_a_path_that_cannot_be_one_is_refused_by_whoever_asks():
    for ask in (sqlite_file, is_there):
        with pytest.raises(ConfigError, match=r'three slashes; write "sqlite:///a\.db"'):
            ask("sqlite://a.db")


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError('no licence')", "def Paper(url):\n    raise RuntimeError('no licence')\n"],
    ids=["at import", "at opening"],
)
def test_a_store_that_does_not_start_is_named_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
):
    module = f"paper_{len(source)}"  # what was imported once is not imported again
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pointsman.ledgers]\npaper = {module}:Paper\n")
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="no licence") as caught:
        open_ledger("paper://desk/1")
    assert f"{module}:Paper does not start" in caught.value.message
    assert "mend or remove its package" in caught.value.message


def test_what_the_configuration_says_of_the_ledger_is_known_or_refused():
    """A misspelt setting, `store_contents = false` say, must not seem to be heeded."""
    said = {"url": "sqlite://", "durability": "relaxed", "store_content": True, "content_days": 1.5}
    assert msgspec.convert(said, LedgerSettings) == LedgerSettings(
        url="sqlite://", durability="relaxed", store_content=True, content_days=1.5
    )
    with pytest.raises(msgspec.ValidationError, match="store_contents"):
        msgspec.convert({"store_contents": False}, LedgerSettings)


def test_nothing_of_what_users_write_is_kept_unless_they_say_so_and_nothing_is_lost():
    plain = LedgerSettings()
    assert (plain.store_content, plain.store_readings) == (False, False)
    assert (plain.durability, plain.content_days) == ("strict", 30.0)


RECORDS = [
    *(LedgerSettings, Intent, Settlement, Row, BudgetRow, AuditLabel, Label),
    *(Claim, KeptOutcome, Content),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_record_stays_as_it_was_made(record: type[msgspec.Struct]):
    """The writer's thread has it while others may read it. Built by place, two could be swapped."""
    assert record.__struct_config__.frozen
    if record is not BudgetRow:
        with pytest.raises(TypeError, match="positional"):
            record(*map(str, record.__struct_fields__))
