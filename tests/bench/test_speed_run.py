"""The runner against the mock upstream alone: that it counts, not how fast anything is."""

import http.client
import os
import shutil
import sys
from collections.abc import Iterator

import pytest
from bench.speed import phases, processes
from bench.speed.loads import load
from bench.speed.mock_upstream import Plan, words
from bench.speed.phases import Direct, Pace, Session
from bench.speed.spec import Gateway
from bench.speed.started import Cores, Started, Upstream, upstream

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("taskset") is None,
    reason="the harness pins processes to cores, by Linux's taskset",
)
TINY = Pace(warm_s=1, load_s=1, rate_s=0.2, streams=2, idle_s=0.1, memory_warm=1, memory_requests=1)
EVERY_WORD = "--events-min"


@pytest.fixture(scope="module")
def cores() -> Cores:
    have = tuple(sorted(os.sched_getaffinity(0)))
    return Cores(have, have)


@pytest.fixture(scope="module")
def up(cores) -> Iterator[Upstream]:
    with upstream(cores, delay_ms=0.1) as running:
        yield running


@pytest.fixture
def mock(up, tmp_path) -> Started:
    """The mock in a gateway's place: it needs no starting."""
    gateway = Gateway(title="mock", command=(), is_cached=True, name="mock")
    started = Started(gateway, tmp_path, {"PORT": str(up.port)})
    started.pid = up.process.pid
    return started


def test_every_answer_is_counted(mock, up, cores):
    before = up.requests()
    seen = load(mock.callee, mock.body_text("small"), "--count", "20", cores=cores.load)
    assert (seen.answered, seen.errors) == (20, 0)
    assert up.requests() - before == 20
    assert seen.p50_ms is not None and seen.p50_ms > 0


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_streams_are_whole(mock, cores, dialect):
    callee = mock.callee if dialect == "openai" else mock.callee_at("/v1/messages")
    text = mock.body_text("stream", dialect=dialect)
    asked = ("--callers", "2", "--count", "3", EVERY_WORD, "100")
    seen = load(callee, text, *asked, cores=cores.load)
    assert (seen.answered, seen.kinds) == (3, {})
    assert seen.reads_per_stream is not None and seen.reads_per_stream > 1


def test_a_stream_that_ends_early_is_an_error(mock, cores):
    text = mock.body_text("stream", model="mock--chunks-10")
    seen = load(mock.callee, text, "--count", "3", EVERY_WORD, "50", cores=cores.load)
    assert (seen.answered, seen.kinds) == (0, {"short stream": 3})


def test_nobody_there_is_an_error(mock, cores):
    callee = mock.callee_at("/v1/chat/completions")
    gone = type(callee)("http://127.0.0.1:1/v1/x", (), callee.folder)
    seen = load(gone, mock.body_text("small"), "--count", "2", cores=cores.load)
    assert (seen.answered, seen.errors) == (0, 2)


def test_a_rate_is_kept_to(mock, cores):
    asked = ("--rate", "50", "--seconds", "0.4")
    seen = load(mock.callee, mock.body_text("small"), *asked, cores=cores.load)
    assert seen.answered == 20


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_session_fills_its_figures(mock, up, cores):
    session = Session(mock, up, cores, TINY, Direct(0.0, 0.0, 0.0, 0.0))
    phases.run(session)
    assert session.figures["errors"] == 0, session.notes
    assert {"cpu_ms", "stream_cpu_ms", "large_cpu_ms", "memory_end_mb"} <= set(session.figures)
    # The mock has no cache, so what it was asked again and again came to it each time.
    assert "hit_cpu_ms" not in session.figures
    assert "went to the upstream" in session.notes["hits"]


def test_a_whole_tree_is_counted():
    own = os.getpid()
    assert own in processes.tree(own)
    assert processes.cpu_s(own) > 0
    assert processes.memory_mb(own) > 1


def test_the_model_name_tells_the_mock_how_to_answer():
    plan = Plan("mock").named("mock--chunks-7--delay-2.5")
    assert (plan.chunks, plan.delay_ms, plan.latency_ms) == (7, 2.5, 0.0)
    assert len(words(7)) == 7
    assert "".join(words(7)).endswith(".")


def test_the_mock_takes_a_chunked_body(up):
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=20)
    parts = iter([b'{"mod', b'el": "mine"}'])
    connection.request("POST", "/v1/chat/completions", parts, encode_chunked=True)
    assert b'"model":"mine"' in connection.getresponse().read()
    connection.close()
