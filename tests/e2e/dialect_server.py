"""One server for the SDKs' tests: a tier for each dialect that an upstream speaks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.scripted.server import Scripted, scripted
from tests.e2e.scripted.tiers import UPSTREAM_KEYS, real_toml, scripted_toml
from tests.server.processes import Served, served

from pointsman.demo.models import LocalModels

KEY = "end-to-end-key-0123456789"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    with scripted() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def origin(upstream: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose tiers `scripted_toml` names, without a path."""
    with serving(upstream, tmp_path_factory.mktemp("dialects")) as address:
        yield address


@pytest.fixture
def fresh_origin(upstream: Scripted, tmp_path: Path) -> Iterator[str]:
    """The address of a server of one's own, for failures after which its models rest."""
    with serving(upstream, tmp_path) as address:
        yield address


@pytest.fixture(scope="module")
def real_origin(
    local_models: LocalModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a server whose tiers `real_toml` names."""
    folder = tmp_path_factory.mktemp("real")
    text = real_toml(local_models["smollm2"].base_url)
    with served(folder, text, {"POINTSMAN_API_KEYS": f"me:{KEY}"}) as server:
        yield origin_of(server)


@contextmanager
def serving(upstream: Scripted, folder: Path) -> Iterator[str]:
    """Serve `scripted_toml`; in the end the server stops well and has nothing to report."""
    keys = {"POINTSMAN_API_KEYS": f"me:{KEY}", **UPSTREAM_KEYS}
    with served(folder, scripted_toml(upstream), keys) as server:
        yield origin_of(server)
        assert server.stop() == 0
        assert server.errors.count("\n") == 1, server.errors


def origin_of(server: Served) -> str:
    return f"http://{server.address}"
