"""Phases: what one running gateway is put through in a round, and the figures that come of it.

CPU is of the gateway's whole tree, divided by finished requests: the figure to trust on a machine
with neighbours. "Added" is the gateway's latency less that of the upstream asked directly by the
same load in the same round.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.speed import processes
from bench.speed.loads import Callee, load, wrk
from bench.speed.started import Cores, Started, Upstream

# Below this many requests a second at saturation, 200 a second would only measure a queue.
SLOW_RPS = 240.0
SLOW_RATE, RATE = 10, 200
EVENTS_MIN = 50  # of a stream of 100 pieces; gateways may put some together
HIT_SHARE_MAX = 0.02  # of "hits" that reached the upstream


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each phase takes: seconds, or counts of requests and streams."""

    warm_s: float = 2.0
    load_s: float = 3.0
    rate_s: float = 4.0
    streams: int = 48
    idle_s: float = 5.0
    memory_warm: int = 10_000
    memory_requests: int = 100_000


@dataclass(frozen=True, slots=True)
class Direct:
    """The upstream's own latencies in ms, asked by the same load: none where it failed."""

    rate_p50_ms: float | None = None
    slow_p50_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p99_ms: float | None = None


@dataclass(slots=True)
class Session:
    """One gateway in one round; phases put their figures, errors and notes here."""

    running: Started
    up: Upstream
    cores: Cores
    pace: Pace
    direct: Direct
    figures: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    errors: int = 0

    @contextmanager
    def cpu(self) -> Iterator[Callable[[], float]]:
        """Count the gateway's CPU within the block; the value is a function that returns it in ms.

        A tenth of a second at the end lets what follows an answer, such as its booking, be counted.
        """
        began_s = processes.cpu_s(self.running.pid)
        spent_ms = 0.0
        yield lambda: spent_ms
        time.sleep(0.1)
        spent_ms = (processes.cpu_s(self.running.pid) - began_s) * 1e3

    def put(self, name: str, value: float | None, less: float | None = 0.0) -> None:
        """Keep a figure, less another one, where both are known."""
        if value is not None and less is not None:
            self.figures[name] = value - less


Phase = Callable[[Session], None]


def run(session: Session) -> None:
    """Put a gateway through every phase; one that breaks leaves a note, and the next goes on."""
    session.put("cold_start_s", session.running.cold_start_s)
    for phase in (warm, memory, saturated, at_a_rate, streams, translated, large, hits, idle):
        try:
            phase(session)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            session.notes[phase.__name__] = str(error)[:300]
            session.errors += 1
    session.figures["errors"] = session.errors


def direct(up: Upstream, cores: Cores, pace: Pace, folder: Path, text: str, stream: str) -> Direct:
    """Ask the upstream itself, as the gateways are asked."""
    callee = Callee(f"{up.url}/v1/chat/completions", (), folder)

    def rate_p50_ms(rate: int) -> float | None:
        words = ("--rate", str(rate), "--seconds", str(pace.rate_s))
        return load(callee, text, *words, cores=cores.load).p50_ms

    seen = load(callee, stream, *_stream_words(pace), cores=cores.load)
    return Direct(rate_p50_ms(RATE), rate_p50_ms(SLOW_RATE), seen.ttft_p50_ms, seen.ttft_p99_ms)


def warm(session: Session) -> None:
    """Have compilers compile, pools fill and lazy parts load before anything counts."""
    running, cores = session.running, session.cores.load
    text = running.body_text("small")
    session.put("memory_start_mb", processes.memory_mb(running.pid))
    wrk(running.callee, text, callers=8, seconds=session.pace.warm_s, cores=cores)
    load(
        running.callee,
        running.body_text("stream"),
        *("--callers", "4", "--count", "8", "--events-min", str(EVENTS_MIN)),
        cores=cores,
    )


def memory(session: Session) -> None:
    session.put("memory_warm_mb", processes.memory_mb(session.running.pid))


def saturated(session: Session) -> None:
    """Ask small requests, each another one, as fast as 16 callers get answers."""
    running, cores = session.running, session.cores
    before = processes.core_busy(cores.gateway[0])
    with session.cpu() as spent_ms:
        text = running.body_text("small")
        seen = wrk(running.callee, text, callers=16, seconds=session.pace.load_s, cores=cores.load)
    after = processes.core_busy(cores.gateway[0])
    session.errors += seen.errors
    session.put("rps", seen.answered / (seen.us / 1e6))
    session.put("p50_ms", seen.p50_us / 1e3)
    session.put("p99_ms", seen.p99_us / 1e3)
    if seen.answered:
        session.put("cpu_ms", spent_ms() / seen.answered)
    if after[1] > before[1]:
        session.put("core_busy", (after[0] - before[0]) / (after[1] - before[1]))


def at_a_rate(session: Session) -> None:
    """Ask 200 times a second; ten times where the gateway cannot follow."""
    is_slow = session.figures.get("rps", 0.0) < SLOW_RPS
    rate, before_ms = (
        (SLOW_RATE, session.direct.slow_p50_ms) if is_slow else (RATE, session.direct.rate_p50_ms)
    )
    with session.cpu() as spent_ms:
        seen = load(
            session.running.callee,
            session.running.body_text("small"),
            *("--rate", str(rate), "--seconds", str(session.pace.rate_s)),
            cores=session.cores.load,
        )
    session.errors += seen.errors
    session.put(f"rate{rate}_added_p50_ms", seen.p50_ms, before_ms)
    if seen.answered:
        session.put(f"rate{rate}_cpu_ms", spent_ms() / seen.answered)


def streams(session: Session) -> None:
    """Ask for streams of 100 pieces 5 ms apart, eight at a time."""
    text = session.running.body_text("stream")
    _streams(session, session.running.callee, text, "stream")


def translated(session: Session) -> None:
    """Ask for such streams in Anthropic's form, of a model that is called in OpenAI's."""
    gateway = session.running.gateway
    if not gateway.translated:
        return
    text = session.running.body_text(
        "stream", dialect="anthropic", model=gateway.translated_model or gateway.model
    )
    _streams(session, session.running.callee_at("/v1/messages"), text, "translated")


def _streams(session: Session, callee: Callee, text: str, name: str) -> None:
    with session.cpu() as spent_ms:
        seen = load(callee, text, *_stream_words(session.pace), cores=session.cores.load)
    session.errors += seen.errors
    if seen.kinds:
        session.notes[name] = str(seen.kinds)[:300]
    if seen.answered:
        session.put(f"{name}_cpu_ms", spent_ms() / seen.answered)
    session.put(f"{name}_added_ttft_p50_ms", seen.ttft_p50_ms, session.direct.ttft_p50_ms)
    session.put(f"{name}_added_ttft_p99_ms", seen.ttft_p99_ms, session.direct.ttft_p99_ms)
    session.put(f"{name}_gap_p99_ms", seen.gap_p99_ms)
    session.put(f"{name}_reads", seen.reads_per_stream)


def _stream_words(pace: Pace) -> tuple[str, ...]:
    return ("--callers", "8", "--count", str(pace.streams), "--events-min", str(EVENTS_MIN))


def large(session: Session) -> None:
    """Ask with prompts of 100 kB."""
    running = session.running
    with session.cpu() as spent_ms:
        seen = wrk(
            running.callee,
            running.body_text("large"),
            callers=8,
            seconds=session.pace.load_s,
            cores=session.cores.load,
        )
    session.errors += seen.errors
    if seen.answered:
        session.put("large_cpu_ms", spent_ms() / seen.answered)


def hits(session: Session) -> None:
    """Ask the same request again and again, of gateways that have a cache."""
    running, cores = session.running, session.cores.load
    if not running.gateway.is_cached:
        return
    text = running.body_text("small", is_fixed=True)
    wrk(running.callee, text, callers=4, seconds=1, cores=cores)
    asked = session.up.requests()
    with session.cpu() as spent_ms:
        seen = wrk(running.callee, text, callers=16, seconds=session.pace.load_s, cores=cores)
    reached = session.up.requests() - asked
    session.errors += seen.errors
    if reached > HIT_SHARE_MAX * seen.answered:
        session.notes["hits"] = f"{reached} of {seen.answered} went to the upstream: no hits"
    elif seen.answered:
        session.put("hit_cpu_ms", spent_ms() / seen.answered)
        session.put("hit_rps", seen.answered / (seen.us / 1e6))


def idle(session: Session) -> None:
    """Ask nothing, and see what is spent all the same, in ms of CPU a second."""
    session.put("memory_end_mb", processes.memory_mb(session.running.pid))
    before_s = processes.cpu_s(session.running.pid)
    time.sleep(session.pace.idle_s)
    spent_s = processes.cpu_s(session.running.pid) - before_s
    session.put("idle_ms_s", spent_s * 1e3 / session.pace.idle_s)


def growth(session: Session) -> None:
    """Ask 100,000 requests after a warm-up, and see what memory they have added."""
    running, pace = session.running, session.pace
    ask_many(session, pace.memory_warm)
    before_mb = processes.memory_mb(running.pid)
    asked = ask_many(session, pace.memory_requests)
    # Scaled, for wrk counts by time and not by requests.
    added_mb = processes.memory_mb(running.pid) - before_mb
    session.put("memory_added_mb", added_mb * pace.memory_requests / asked)
    session.put("memory_errors", session.errors)


def ask_many(session: Session, count: int) -> int:
    """Ask at least so many small requests; return how many. Raises RuntimeError without answers."""
    asked, text = 0, session.running.body_text("small")
    while asked < count:
        seen = wrk(
            session.running.callee,
            text,
            callers=16,
            seconds=min(session.pace.load_s * 4, 10.0),
            cores=session.cores.load,
        )
        session.errors += seen.errors
        if not seen.answered:
            raise RuntimeError(f"no request was answered after {asked}")
        asked += seen.answered
    return asked
