"""What the end-to-end tests share: the real models, a folder set up for them, and a server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.real_models import local_models
from tests.server.processes import Served, served

from pointsman.demo.models import LocalModels

__all__ = ["local_models"]

KEY = "end-to-end-key-0123456789"
TOML = """
[providers.weak]
dialect = "openai-chat"
base_url = "{gemma}"
[providers.strong]
dialect = "openai-chat"
base_url = "{smollm2}"
[[tiers]]
name = "fast"
models = [{{ model = "weak/gemma", params = {{ temperature = 0, seed = 1 }} }}]
max_tokens = 40
[[tiers]]
name = "power"
models = [
  {{ model = "strong/smollm2", params = {{ temperature = 0, seed = 1, repeat_penalty = 1.05 }} }},
]
max_tokens = 24
[prices."weak/gemma"]
input = 0.15
output = 0.6
[prices."strong/smollm2"]
input = 5.0
output = 15.0
[cache]
path = "cache.db"
[server]
log_requests = false
[ledger]
url = "sqlite:///ledger.db"
"""


@dataclass(frozen=True)
class Place:
    """A folder with a `pointsman.toml` for the real models."""

    folder: Path

    @property
    def config(self) -> str:
        return str(self.folder / "pointsman.toml")


@pytest.fixture
def place(local_models: LocalModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Stand in a fresh folder, without anybody's keys."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pointsman.toml").write_text(toml(local_models))
    return Place(tmp_path)


@pytest.fixture(scope="session")
def server(local_models: LocalModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all, which asks for a key and stops well in the end."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder, toml(local_models), {"POINTSMAN_API_KEYS": f"me:{KEY}"}) as server:
        yield server
        assert server.stop() == 0
        assert server.errors.count("\n") == 1, server.errors


def toml(models: LocalModels) -> str:
    return TOML.format(gemma=models["gemma"].base_url, smollm2=models["smollm2"].base_url)
