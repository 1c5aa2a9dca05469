"""Installing: whole or not at all, the former one kept."""

from pathlib import Path

import pytest

from pointsman.core.errors import ConfigError
from pointsman.scorer.tuning import Tuning, decode_tuning
from pointsman.training.installing import install


def tuning(data: str) -> Tuning:
    return Tuning(scorer="s", trained_on="2026-11-23", data=data, labels=1)


def test_the_former_one_is_kept(tmp_path):
    path = tmp_path / "pointsman.scorer.json"
    assert install(tuning("first"), path) is None
    former = install(tuning("second"), path)
    assert former is not None and former == tmp_path / "pointsman.scorer.json.before"
    assert decode_tuning(path.read_bytes()).data == "second"
    assert decode_tuning(former.read_bytes()).data == "first"
    assert {it.name for it in tmp_path.iterdir()} == {path.name, former.name}


def test_an_interrupt_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "pointsman.scorer.json"
    install(tuning("first"), path)

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install(tuning("second"), path)
    assert decode_tuning(path.read_bytes()).data == "first"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("place", ["nowhere/scorer.json", "s" * 250, "s" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place: str):
    with pytest.raises(ConfigError, match="cannot be written"):
        install(tuning("x"), tmp_path / place)
    assert not list(tmp_path.iterdir())
