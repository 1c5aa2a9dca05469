"""Clients that people use, unmodified, against `pointsman serve`, through every kind of upstream.

`make e2e` installs them and runs this; what is not installed is skipped by name. The scripted
upstream stands for OpenAI, Anthropic and Gemini; the real llama.cpp server for itself.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from tests.e2e.clients.catalogue import RESULTS, clients
from tests.e2e.clients.sessions import answers
from tests.e2e.clients.tasks import AGENTS, Asked, check, check_real
from tests.e2e.scripted.server import scripted
from tests.e2e.scripted.tiers import REAL, UPSTREAMS, real_toml, scripted_toml
from tests.e2e.scripted.tiers import UPSTREAM_KEYS as KEYS
from tests.server.processes import Served, served

from pointsman.demo.models import LocalModels

CLIENTS = {client.name: client for client in clients()}
SERVER_KEY = "end-to-end-key-0123456789"
# OpenAI's SDK cannot read that stream from llama.cpp itself either (2026-11-23).
UNFINISHED = ("openai-responses", "real-openai-responses", "stream")
DEADLINE_S = 1200.0
Came = dict[Asked, dict[str, Any]]


def cases(upstreams: Iterable[str], tasks: Iterable[str] = ()) -> list[Asked]:
    """Return every case of the clients that are installed; no `tasks`: all of them."""
    return [
        Asked(client.name, dialect, upstream, task)
        for client in CLIENTS.values()
        if client.is_installed
        for dialect in client.dialects
        for upstream in upstreams
        for task in client.tasks
        if not tasks or task in tasks
    ]


SCRIPTED_CASES = cases(UPSTREAMS)
REAL_CASES = cases(REAL, ("plain", "stream"))


def case_id(asked: Asked) -> str:
    return "-".join((asked.client, asked.dialect, asked.upstream, asked.task.replace(" ", "-")))


class Answers:
    """What the clients got from one server. Each runs once for a dialect, when first asked for."""

    def __init__(self, server: Served, cases: Iterable[Asked]) -> None:
        self._origin = f"http://{server.address}"
        self._cases = tuple(cases)
        self._came: Came = {}

    def to(self, asked: Asked) -> Mapping[str, Any]:
        if asked not in self._came:
            alike = (asked.client, asked.dialect)
            batch = [case for case in self._cases if (case.client, case.dialect) == alike]
            client = CLIENTS[asked.client]
            self._came |= answers(client, batch, origin=self._origin, key=SERVER_KEY)
        return self._came[asked]


@pytest.fixture(scope="module")
def scripted_answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    folder = tmp_path_factory.mktemp("scripted")
    keys = {"POINTSMAN_API_KEYS": f"me:{SERVER_KEY}", **KEYS}
    with scripted() as upstream, served(folder, scripted_toml(upstream), keys) as server:
        yield Answers(server, SCRIPTED_CASES)


@pytest.fixture(scope="module")
def real_answers(
    local_models: LocalModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answers]:
    folder = tmp_path_factory.mktemp("real")
    keys = {"POINTSMAN_API_KEYS": f"me:{SERVER_KEY}"}
    with served(folder, real_toml(local_models["smollm2"].base_url), keys) as server:
        yield Answers(server, REAL_CASES)


@contextmanager
def recorded(asked: Asked) -> Iterator[None]:
    """Note how a case ends, for the table in docs/clients.md."""
    outcome = "fail"
    try:
        yield
        outcome = "pass"
    except pytest.skip.Exception:
        outcome = "skip"
        raise
    finally:
        line = json.dumps({**dataclasses.asdict(asked), "outcome": outcome})
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_is_installed(name: str):
    if not CLIENTS[name].is_installed:
        pytest.skip(f"{name} is not installed; `make e2e` does that")


@pytest.mark.parametrize("asked", SCRIPTED_CASES, ids=case_id)
@pytest.mark.timeout(DEADLINE_S)
def test_through_a_scripted_upstream(scripted_answers: Answers, asked: Asked):
    with recorded(asked):
        check(asked, scripted_answers.to(asked))


@pytest.mark.parametrize("asked", REAL_CASES, ids=case_id)
@pytest.mark.timeout(DEADLINE_S)
def test_through_a_real_model(real_answers: Answers, asked: Asked):
    with recorded(asked):
        if asked.client in AGENTS:
            pytest.skip("its first prompt alone is longer than the small model's 4096 tokens")
        if (asked.dialect, asked.upstream, asked.task) == UNFINISHED:
            pytest.skip(
                "llama.cpp's own stream of responses has no output_index, and goes on as is"
            )
        check_real(asked, real_answers.to(asked))
