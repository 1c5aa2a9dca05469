"""Runner: every gateway once a round, in turn, so that all see the same hours of the machine."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.speed import footprint, phases, workers
from bench.speed.loads import Callee, load
from bench.speed.phases import Direct, Pace, Session
from bench.speed.results import Result, commit, machine, now
from bench.speed.spec import Gateway
from bench.speed.started import Cores, NotStarted, Started, Upstream, started, upstream, version
from bench.speed.targets import OWN

# A cache that fills up is no leak: in the phase that looks for one it is small and soon full.
SMALL_CACHE = {"CACHE": "memory_mb = 8"}


def run(gateways: Sequence[Gateway], *, cores: Cores, pace: Pace, rounds: int) -> Iterator[Result]:
    """Yield each gateway's figures, round by round; a gateway that breaks does not end the run."""
    at_commit, on = commit(), machine()
    versions = {gateway.name: version(gateway) for gateway in gateways}

    def result(name: str, number: int, session: Session | None, failed: str = "") -> Result:
        return Result(
            name=name,
            round=number,
            at=now(),
            commit=at_commit,
            machine=on,
            version=versions[name],
            figures=session.figures if session else {},
            notes=session.notes if session else {},
            failed=failed,
        )

    for number in range(rounds):
        with upstream(cores) as up:
            direct = _direct(gateways[0], up, cores, pace)
            for gateway in gateways:
                try:
                    session = measured(gateway, up, cores, pace, direct, is_first=number == 0)
                except NotStarted as error:
                    yield result(gateway.name, number, None, str(error)[:800])
                    continue
                yield result(gateway.name, number, session)


def measured(
    gateway: Gateway, up: Upstream, cores: Cores, pace: Pace, direct: Direct, *, is_first: bool
) -> Session:
    """Return what one gateway has gone through. Raises NotStarted."""
    with started(gateway, up, cores) as running:
        session = Session(running, up, cores, pace, direct)
        phases.run(session)
    if gateway.name == OWN and is_first:
        _once(session, gateway)
    return session


def _once(session: Session, gateway: Gateway) -> None:
    """Add the figures of pointsman that take long or do not change: in the first round alone."""
    up, cores, pace = session.up, session.cores, session.pace
    session.figures.update(footprint.figures(cores.gateway[0]))
    try:
        with started(gateway, up, cores, SMALL_CACHE) as running:
            again = Session(running, up, cores, pace, session.direct)
            phases.growth(again)
            session.figures.update(again.figures)
            session.figures["errors"] += again.errors
        ratio, told = workers.ratio(gateway, up, pace)
    except (NotStarted, RuntimeError) as error:
        session.notes["once"] = str(error)[:300]
        return
    session.notes["workers"] = told
    session.put("workers_ratio", ratio)


def _direct(gateway: Gateway, up: Upstream, cores: Cores, pace: Pace) -> Direct:
    with tempfile.TemporaryDirectory() as folder:
        asked = Started(Gateway(title="", command=()), Path(folder), {"PORT": str(up.port)})
        small, stream = asked.body_text("small"), asked.body_text("stream")
        return phases.direct(up, cores, pace, Path(folder), small, stream)


def check(gateways: Sequence[Gateway], cores: Cores, tell: Callable[[str], None]) -> bool:
    """Start each gateway and have it answer; return whether all did."""
    is_well = True
    with upstream(cores) as up:
        for gateway in gateways:
            try:
                with started(gateway, up, cores) as running:
                    tell(f"{gateway.name}: {_answers(running, cores)}")
            except (NotStarted, RuntimeError) as error:
                is_well = False
                tell(f"{gateway.name}: FAILED: {error}")
    return is_well


def _answers(running: Started, cores: Cores) -> str:
    """Return in words how a gateway answers. Raises RuntimeError where one answer is wrong."""
    gateway, words = running.gateway, ("--callers", "1", "--count", "3")
    asks: list[tuple[Callee, str, tuple[str, ...]]] = [
        (running.callee, running.body_text("small"), words)
    ]
    streamed = (*words, "--events-min", str(phases.EVENTS_MIN))
    asks.append((running.callee, running.body_text("stream"), streamed))
    if gateway.translated:
        text = running.body_text(
            "stream", dialect="anthropic", model=gateway.translated_model or gateway.model
        )
        asks.append((running.callee_at("/v1/messages"), text, streamed))
    told = [f"version {version(gateway) or 'unknown'}", f"starts in {running.cold_start_s:.2f} s"]
    for callee, text, chosen in asks:
        seen = load(callee, text, *chosen, cores=cores.load)
        if seen.errors:
            raise RuntimeError(f"{callee.url}: {seen.kinds}")
        told.append(f"p50 {seen.p50_ms or 0:.1f} ms")
    return ", ".join(told)


def report_progress(result: Result) -> None:
    """Tell standard error how a gateway has fared."""
    figures = result.figures
    told = result.failed or (
        f"{figures.get('rps', 0):,.0f} a second, {figures.get('cpu_ms', 0):.4f} ms each, "
        f"{figures.get('stream_cpu_ms', 0):.2f} ms a stream, {figures.get('errors', 0):.0f} errors"
    )
    print(f"[{result.round}] {result.name}: {told}", file=sys.stderr, flush=True)
