"""The command line on real models, as processes."""

import json
from collections.abc import Mapping
from typing import Any

from tests.e2e.asks import ALICE, ALICE_JSON, DJANGO
from tests.e2e.conftest import Place
from tests.server.processes import run


def test_a_day_at_the_terminal(place: Place):
    def said(*arguments: str, stdin: bytes = b"") -> tuple[str, str]:
        done = run(*arguments, cwd=place.folder, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def object_of(*arguments: str, stdin: bytes = b"") -> Mapping[str, Any]:
        told: Mapping[str, Any] = json.loads(said(*arguments, "--json", stdin=stdin)[0])
        return told

    assert object_of("check")["ok"] is True
    assert "weak/gemma" in said("models")[0]
    assert "strong/smollm2" in json.dumps(object_of("models"))

    out, err = said("route", ALICE)
    assert json.loads(out) == ALICE_JSON
    assert err.startswith("[fast · weak/gemma · ")
    assert "cache miss" in err

    again = object_of("route", "-", stdin=ALICE.encode())
    assert json.loads(again["content"]) == ALICE_JSON
    assert (again["is_cached"], again["cost_usd"], again["attempts"]) == (True, 0, 0)

    out, err = said("route", DJANGO, "--no-stream", "--max-tokens", "8", "--system", "Be brief.")
    assert out.strip()
    assert err.startswith("[power · strong/smollm2 · ")

    explained = said("explain", DJANGO)[0]
    assert "power" in explained
    assert '"architect"' in explained
    assert object_of("explain", DJANGO)["decision"]["tier"] == "power"
    assert object_of("explain", "-", stdin=ALICE.encode())["decision"]["tier"] == "fast"

    report = object_of("report")
    assert (report["calls"], report["hits"], report["attempts"]) == (3, 1, 2)
    assert report["cost_nanousd"] > 0
    assert "cache hits     1" in said("report", "--by", "tier")[0]
