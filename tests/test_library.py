"""The package as it is imported, its public names, and routers that are closed or used wrongly."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

import pointsman
from pointsman import AsyncRouter, ConfigError, GatewayError, Router, Tier
from pointsman.core.errors import ModelNotFound, RequestError
from pointsman.providers.fake import FakeProvider

HEAVY = ("aiohttp", "cyclopts", "genai_prices", "pydantic", "rich", "uvicorn")
TIERS = (Tier("fast", ["fake/small"]), Tier("power", ["fake/large"]))
SCRIPT = {"small": ["small says this"], "large": ["large says this"]}
SECTIONS = {
    "providers": {"fake": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}},
    "ledger": {"url": "sqlite://"},
}


def router(**sections: object) -> Router:
    return Router(
        TIERS, env={}, call_with={"fake": FakeProvider(SCRIPT)}, **{**SECTIONS, **sections}
    )


def async_router() -> AsyncRouter:
    return AsyncRouter(TIERS, env={}, call_with={"fake": FakeProvider(SCRIPT)}, **SECTIONS)


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after some code."""
    shown = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", shown], check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import pointsman")
    assert "pointsman" in loaded
    assert loaded.isdisjoint({*HEAVY, "asyncio", "msgspec", "sqlite3", "ssl"})


def test_the_command_lines_help_loads_no_command_and_not_what_reads_their_options():
    code = """
import sys
sys.argv = ["pointsman", "--help"]
from pointsman.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
ours = {name for name in sys.modules if name.startswith("pointsman.")}
assert ours == {"pointsman._version", "pointsman.cli"}
"""
    assert loaded_by(code).isdisjoint({*HEAVY, "msgspec"})


def test_every_public_name_is_there():
    for name in pointsman.__all__:
        assert getattr(pointsman, name) is not None
    assert "pointsman" == pointsman.__name__
    assert pointsman.__version__


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Roter"):
        pointsman.Roter  # noqa: B018


def test_an_answer_says_where_it_came_from():
    with router() as it:
        answer = it.route("convert this list", system="Be brief.", max_tokens=5)
        again = it.route("convert this list", system="Be brief.", max_tokens=5)
    assert (answer.content, answer.tier, answer.model) == ("small says this", "fast", "fake/small")
    assert (answer.is_cached, again.is_cached, again.cost_usd) == (False, True, 0)


def test_route_asks_for_the_whole_answer_and_open_for_a_stream():
    with router() as it:
        it.route("convert this")
        with it.open("convert that") as stream:
            assert stream.collect().content == "small says this"
        rows = list(it._router.pipeline.stores.ledger.rows())
    assert [row.intent.is_stream for row in rows] == [False, True]


def test_a_closed_router_says_so_and_may_be_closed_again():
    it = router()
    request_id = it.route("convert this").request_id
    it.close()
    it.close()
    with pytest.raises(RuntimeError, match="the router is closed; make a new one"):
        it.route("convert this")
    with pytest.raises(RuntimeError, match="the router is closed"), it.open("convert this"):
        pass
    with pytest.raises(RuntimeError, match="the router is closed"):
        it.feedback(request_id, 1)
    with pytest.raises(RuntimeError, match="the router is closed"):
        it.report()
    assert it.classify("convert this").tier == "fast"


async def test_a_closed_async_router_says_so_and_may_be_closed_again():
    it = async_router()
    answer = await it.route("convert this")
    await it.aclose()
    await it.aclose()
    with pytest.raises(RuntimeError, match="the router is closed; make a new one"):
        await it.route("convert this")
    with pytest.raises(RuntimeError, match="the router is closed"):
        await it.feedback(answer.request_id, 1)


def test_a_router_may_be_closed_inside_a_stream():
    with router() as it, it.open("convert this") as stream:
        it.close()
        with pytest.raises(RuntimeError, match="the router is closed"):
            next(iter(stream))


def test_no_thread_outlives_its_router():
    before = threading.active_count()
    for _ in range(3):
        with router() as it:
            it.route("convert this")
    assert threading.active_count() == before


def test_threads_share_a_router():
    answers: list[str] = []
    with router() as it:
        asks = [
            threading.Thread(target=lambda n=n: answers.append(it.route(f"convert {n}").content))
            for n in range(16)
        ]
        for ask in asks:
            ask.start()
        for ask in asks:
            ask.join()
        assert it.report().calls == 16
    assert answers == ["small says this"] * 16


async def test_a_blocking_router_works_beside_a_running_loop():
    with router() as it:
        answer = await asyncio.to_thread(it.route, "convert this")
        assert it.route("convert this").content == answer.content


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
def test_feedback_is_a_score_from_0_to_1(score: float):
    with router() as it:
        request_id = it.route("convert this").request_id
        with pytest.raises(RequestError, match="it goes from 0 to 1"):
            it.feedback(request_id, score)


@pytest.mark.parametrize(
    ("prompt", "asking", "error"),
    [
        pytest.param("x", {"model": "gpt-nix"}, ModelNotFound, id="model"),
        pytest.param("x", {"tier": "huge"}, RequestError, id="tier"),
        pytest.param("x", {"max_tokens": 0}, RequestError, id="max_tokens"),
        pytest.param([], {}, RequestError, id="no messages"),
        pytest.param("\ud800", {}, RequestError, id="surrogate"),
        pytest.param("x", {"fields": {"a": {1, 2}.pop}}, RequestError, id="no JSON"),
        pytest.param([{"content": "x"}], {}, RequestError, id="no role"),
    ],
)
def test_what_cannot_be_asked_is_a_request_error(prompt: str, asking: dict[str, Any], error: type):
    with router() as it:
        for ask in (it.route, it.classify, it.explain):
            with pytest.raises(error):
                ask(prompt, **asking)
        with pytest.raises(error), it.open(prompt, **asking):
            pass
        assert it.report().calls == 0
    assert issubclass(error, GatewayError)


@pytest.mark.parametrize(
    "sections",
    [
        {"rooting": {}},
        {"routing": {"policy": "nix"}},
        {"ledger": {"url": "nix://"}},
        {"providers": {}},
        {"server": {"port": "x"}},
    ],
)
def test_settings_that_do_not_fit_are_a_config_error(sections: dict[str, object]):
    with pytest.raises(ConfigError):
        router(**sections)


def test_no_tiers_and_a_missing_file_are_config_errors(tmp_path):
    with pytest.raises(ConfigError, match="nothing to route to"):
        Router(env={})
    with pytest.raises(ConfigError, match=r"there\.toml"):
        Router.from_config(str(tmp_path / "there.toml"), env={})


def test_a_name_that_nothing_knows_is_refused_not_lost():
    with router() as made, pytest.raises(RequestError, match=r"temperature: not known .* fields="):
        made.route("convert this", temperature=0.1)  # type: ignore[call-arg]
