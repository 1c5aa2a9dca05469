"""Instructions per request: what is compared with what, and what valgrind's dumps say."""

import platform
import shutil

import msgspec
import pytest
from bench.speed import icount
from bench.speed.icount import KEPT, PATHS, Kept, foreign, is_over, told, total, under_valgrind

DUMP = """# callgrind format
version: 1
pid: 7
desc: Trigger: Requested via vgdb
events: Ir
fn=(1) main
16 400

totals: 123456
"""


def kept(**fields: str) -> Kept:
    here = {"python": icount.python(), "machine": platform.machine()}
    return Kept(commit="abc", at="", instructions={"miss": 100}, **(here | fields))


@pytest.mark.parametrize(
    ("count", "is_too_many"), [(95, False), (100, False), (105, False), (106, True)]
)
def test_five_percent_more_is_too_many(count, is_too_many):
    assert is_over(count, 100) is is_too_many
    assert ("more than 5% over" in told("miss", count, 100)) is is_too_many


def test_a_path_without_a_figure_is_never_too_many():
    assert not is_over(10**9, None)
    assert told("miss", 1_500_000, None).endswith(
        "1.500 M instructions per request; no figure kept"
    )


def test_figures_of_another_python_or_processor_are_not_compared():
    assert foreign(kept()) == ""
    assert "Python 2.7" in foreign(kept(python="2.7"))
    assert "vax" in foreign(kept(machine="vax"))


def test_a_dump_is_read_when_it_is_whole():
    assert total(DUMP) == 123456
    assert total(DUMP.partition("totals")[0]) is None


def test_a_foreign_machine_is_told_and_skipped(monkeypatch, tmp_path, capsys):
    file = tmp_path / "icount.json"
    file.write_bytes(msgspec.json.encode(kept(machine="vax")))
    monkeypatch.setattr(icount, "KEPT", file)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("sys.argv", ["icount"])
    assert icount.main() == 0
    assert "nothing compared: the figures are of vax" in capsys.readouterr().out


def test_without_valgrind_the_remedy_is_told(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr("sys.argv", ["icount"])
    assert icount.main() == 2
    assert "apt-get install valgrind" in capsys.readouterr().err


def test_the_figures_kept_are_of_every_path():
    read = msgspec.json.decode(KEPT.read_bytes(), type=Kept)
    assert set(read.instructions) == set(PATHS)
    assert min(read.instructions.values()) > 0


def test_hashes_are_the_same_in_every_run():
    gateway = under_valgrind()
    assert gateway.env["PYTHONHASHSEED"] == "0"
    assert gateway.command[0] == "valgrind"
