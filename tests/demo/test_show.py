"""The demo, on a part of its requests: what it must make happen really happens."""

import asyncio
import io
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from pointsman.compare import compare
from pointsman.demo.models import missing_packages
from pointsman.demo.requests import load_requests
from pointsman.demo.show import show
from pointsman.policies import PolicySettings

WANTED = ("json-alice", "json-alice-again", "kebab", "solid")


@pytest.fixture(scope="module")
def shown(local_models, tmp_path_factory):
    requests = [request for request in load_requests() if request.id in WANTED]
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    folder = tmp_path_factory.mktemp("demo")
    return asyncio.run(show(requests, local_models, folder, console)), screen.getvalue()


def test_a_repeat_is_a_hit_at_no_cost(shown):
    run, _ = shown
    first, again = run.records[:2]
    assert (first.is_hit, again.is_hit) == (False, True)
    assert run.report.hits == 1


def test_one_fallback_and_one_escalation_happen(shown):
    run, screen = shown
    assert (run.report.fallbacks, run.report.escalations, run.report.failures) == (1, 1, 1)
    assert "dead/gemma failed (upstream_connect); local-1/gemma answered" in screen
    assert "local-1/gemma rejected (repetition); local-2/smollm2 answered" in screen


def test_every_request_has_its_line_with_tier_tokens_cost_cache_and_time(shown):
    _, screen = shown
    assert len([line for line in screen.splitlines() if " hit " in line or " miss " in line]) == 4
    assert "priced as its stand-in, openai/gpt-5.4" in screen


def test_the_examples_of_the_weak_models_template_are_not_billed(shown):
    run, _ = shown
    usage = run.records[0].usage
    assert usage is not None
    assert 5 < usage.input_tokens < 60


def test_the_strategies_are_computed_from_what_was_run(shown):
    run, _ = shown
    table = compare(
        run.records,
        snapshot=run.snapshot,
        policies=PolicySettings(),
        aliases=("auto",),
        strategies=None,
        ttl_s=60,
    )
    rows = {row.strategy: row for row in table.rows}
    assert rows["all-power"].cost_share == 1
    assert rows["all-power + cache"].cache_hits == 1
    assert table.log.compared == len(WANTED)


@pytest.mark.skipif(bool(missing_packages()), reason="the extra demo is not installed")
def test_ctrl_c_while_the_models_start_ends_the_demo_cleanly():
    command = [sys.executable, "-m", "pointsman", "demo"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        assert demo.stdout is not None
        assert "Starting" in demo.stdout.readline()
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.skipif(bool(missing_packages()), reason="the extra demo is not installed")
def test_ctrl_c_ends_the_demo_cleanly():
    command = [sys.executable, "-m", "pointsman", "demo"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        assert demo.stdout is not None
        while "miss" not in (line := demo.stdout.readline()):
            assert line, "the demo ended before its first answer"
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
