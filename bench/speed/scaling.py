"""Scaling: what a request costs as prompts, cache, ledger, open streams and deployments grow.

Each point is CPU per small request (of the given prompt length in the first curve) of pointsman,
with nginx's measured right after it, so that a slow hour of the machine shows in both.

Run: python -m bench.speed.scaling [--only prompt,cache,ledger] [--max N] [--docs]
"""

import argparse
import random
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from bench.speed import picture, processes, report, spec
from bench.speed.loads import wrk
from bench.speed.results import ROOT, commit, machine, now
from bench.speed.spec import Gateway
from bench.speed.started import Cores, NotStarted, Started, Upstream, started, upstream
from msgspec.structs import replace
from tests.docs.marks import write_between

from pointsman.cache.memory import MemoryCache
from pointsman.cache.sqlite import SqliteCache

DOCUMENT = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
SIZES: Mapping[str, tuple[int, ...]] = {
    "prompt": (1_000, 10_000, 100_000, 1_000_000),
    "cache": (1_000, 10_000, 100_000, 1_000_000),
    "ledger": (1_000, 100_000, 1_000_000, 10_000_000),
    "streams": (1, 100, 1_000, 4_900, 9_800),
    "deployments": (2, 10, 100, 1_000),
}
UNITS = {
    "prompt": "characters of the prompt",
    "cache": "entries of the cache",
    "ledger": "rows of the ledger",
    "streams": "open streams, a chunk every ten seconds each",
    "deployments": "deployments of the tier",
}
STREAM_DELAY_MS = 10_000.0
_DAY_S, _AT_ONCE = 86_400.0, 1_000
OPEN_FILES = 65_536


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point: CPU ms per request of pointsman and, right after it, of nginx."""

    curve: str
    size: int
    cpu_ms: float
    nginx_cpu_ms: float
    at: str
    commit: str
    machine: str


class Bench(msgspec.Struct, frozen=True):
    """What every curve needs: the two gateways, where they run, and for how long."""

    own: Gateway
    limit: Gateway
    cores: Cores
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.scaling")
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--max", type=int, default=10_000_000, help="leave out larger sizes")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each point")
    parser.add_argument("--bin", type=Path, help="folder of the program of another pointsman")
    parser.add_argument("--docs", action="store_true", help="write docs/performance")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := [curve for curve in chosen if curve not in SIZES]:
        parser.error(f"--only {','.join(unknown)}: no such curve; there are {', '.join(SIZES)}")
    if missing := [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]:
        print(
            f"{', '.join(missing)} missing: apt-get install nginx wrk util-linux", file=sys.stderr
        )
        return 2
    allow_many_files()
    entries = spec.load(spec.OWN)
    own = entries["pointsman"]
    if given.bin is not None:
        own = replace(own, settings={**own.settings, "BIN": str(given.bin.absolute())})
    bench = Bench(own, entries["nginx"], Cores(), given.seconds)
    points = []
    for curve in chosen:
        for size in (size for size in SIZES[curve] if size <= given.max):
            try:
                points.append(measured(bench, curve, size))
            except (NotStarted, RuntimeError) as error:
                print(f"{curve:12}{size:>12,}  not measured: {error}", flush=True)
                continue
            print(line(points[-1]), flush=True)
    if given.docs and points:
        write_docs(points)
    return 0 if points else 1


def allow_many_files() -> None:
    """Raise this process's limit of open files, which those it starts inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
        return
    try:  # root may have more than it was given
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measured(bench: Bench, curve: str, size: int) -> Point:
    """Return one point of a curve."""
    cpu_ms = CURVES[curve](bench, bench.own, size)
    # nginx has no cache, ledger or deployments: its cost is measured as the reference beside them.
    plain = curve in {"cache", "ledger", "deployments"}
    limit = _plain if plain else CURVES[curve]
    return Point(
        curve=curve,
        size=size,
        cpu_ms=cpu_ms,
        nginx_cpu_ms=limit(bench, bench.limit, size),
        at=now(),
        commit=commit(),
        machine=machine(),
    )


def line(point: Point) -> str:
    ratio = point.cpu_ms / point.nginx_cpu_ms
    return f"{point.curve:12}{point.size:>12,}  {point.cpu_ms:.4f} ms, {ratio:.2f} x nginx's"


def _plain(bench: Bench, gateway: Gateway, _size: int) -> float:
    with upstream(bench.cores) as up, started(gateway, up, bench.cores) as running:
        return cpu_ms(bench, running)


def by_prompt(bench: Bench, gateway: Gateway, size: int) -> float:
    with upstream(bench.cores) as up, started(gateway, up, bench.cores) as running:
        return cpu_ms(bench, running, chars=size)


def by_cache(bench: Bench, gateway: Gateway, size: int) -> float:
    """Have a cache of so many answers of 2 kB in its file, then ask for others."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cache.db"
        fill_cache(file, size)
        settings = {"CACHE": f'path = "{file}"\ndisk_mb = 8192'}
        with upstream(bench.cores) as up, started(gateway, up, bench.cores, settings) as running:
            return cpu_ms(bench, running)


def fill_cache(file: Path, entries: int) -> None:
    """Put so many values under keys that nobody asks for."""
    memory = MemoryCache(1_000_000, _DAY_S)
    cache = SqliteCache(file, memory=memory, disk_bytes_max=8192 * 1024**2, ttl_s=_DAY_S)
    now_s = time.time()
    value = random.randbytes(2_000)
    try:
        for start in range(0, entries, _AT_ONCE):
            for _ in range(start, min(start + _AT_ONCE, entries)):
                cache.put(random.randbytes(32), value, now_s=now_s)
            if not cache.flush(60.0):
                raise RuntimeError(f"{file}: a minute was not enough to write {_AT_ONCE} entries")
    finally:
        cache.close()
    connection = sqlite3.connect(file)
    ((kept,),) = connection.execute("SELECT count(*) FROM entries")
    connection.close()
    if kept != entries:
        raise RuntimeError(f"{file}: {kept} entries are there, and not {entries}")


def by_ledger(bench: Bench, gateway: Gateway, size: int) -> float:
    """Have a ledger of so many rows, then ask."""

    def fill(folder: Path) -> None:
        _one_row(bench, gateway, folder / "ledger.db")
        multiply(folder / "ledger.db", size)

    with (
        upstream(bench.cores) as up,
        started(gateway, up, bench.cores, prepare=fill) as running,
    ):
        return cpu_ms(bench, running)


def _one_row(bench: Bench, gateway: Gateway, file: Path) -> None:
    """Have a gateway make a ledger with one request in it."""
    with tempfile.TemporaryDirectory() as folder, upstream(bench.cores) as up:
        kept = Path(folder)

        with started(gateway, up, bench.cores) as running:
            source = sqlite3.connect(running.work / "ledger.db")
            copy = sqlite3.connect(kept / "copy.db")
            source.backup(copy)
            copy.close()
            source.close()
        shutil.copy(kept / "copy.db", file)


def multiply(file: Path, rows: int) -> None:
    """Copy a ledger's first attempt until there are so many rows, a second apart in the past."""
    with sqlite3.connect(file, isolation_level=None) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for table in ("intents", "ends"):
            found = connection.execute(f"PRAGMA table_info(past_{table})")
            names = [row[1] for row in found]
            values = {"request_id": "'old_' || n", "at_ns": "at_ns - n * 1000000000"}
            columns = ", ".join(f'"{name}"' for name in names)
            chosen = ", ".join(values.get(name, f'"{name}"') for name in names)
            connection.execute(
                f"INSERT INTO past_{table} ({columns}) "  # noqa: S608 - names are of our own schema
                "WITH RECURSIVE counted(n) AS "
                "(SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?) "
                f"SELECT {chosen} FROM (SELECT * FROM {table} LIMIT 1), counted",
                (rows - 1,),
            )
        connection.execute("COMMIT")
    connection.close()


def by_streams(bench: Bench, gateway: Gateway, size: int) -> float:
    """Ask small requests while so many streams are open; what the streams cost is not in it."""
    # Nothing is shed: streams count as requests at work, and the load keeps the server late.
    settings = {"SERVER": "in_flight_max = 20000\nconnections_max = 20000\nwait_max_s = 0.0"}
    with (
        upstream(bench.cores, delay_ms=STREAM_DELAY_MS) as up,
        started(gateway, up, bench.cores, settings) as running,
        held_open(bench, running, up, size),
    ):
        before_s = processes.cpu_s(running.pid)
        time.sleep(bench.seconds)
        idle_s = processes.cpu_s(running.pid) - before_s
        return cpu_ms(bench, running, less_s=idle_s)


@contextmanager
def held_open(bench: Bench, running: Started, up: Upstream, count: int) -> Iterator[None]:
    """Hold so many streams open. Raises RuntimeError where they do not come to be."""
    body = running.work / "held.json"
    body.write_text(running.body_text("stream"), "utf-8")
    asked = up.requests()
    holder = processes.start(
        [
            *(sys.executable, "-m", "bench.speed.load", "--url", running.url, "--body", str(body)),
            *("--callers", str(count), "--count", str(count), "--patience", "3600"),
        ],
        cores=bench.cores.load,
        log=running.work / "held.log",
        folder=ROOT,
    )
    try:
        deadline_s = time.monotonic() + 60 + count / 10
        while up.requests() - asked < count:
            if holder.poll() is not None or time.monotonic() > deadline_s:
                opened = up.requests() - asked
                raise RuntimeError(f"only {opened} of {count} streams came to be")
            time.sleep(0.2)
        yield
    finally:
        processes.end(holder)


def by_deployments(bench: Bench, gateway: Gateway, size: int) -> float:
    """Configure so many deployments in the tier that answers."""
    more = [f"mock/more-{number}" for number in range(size - 2)]
    settings = {
        "MODELS": "".join(f', "{name}"' for name in more),
        "PRICES": "\n".join(f'[prices."{name}"]\ninput = 0.15\noutput = 0.6' for name in more),
    }
    with upstream(bench.cores) as up, started(gateway, up, bench.cores, settings) as running:
        return cpu_ms(bench, running)


CURVES: Mapping[str, Callable[[Bench, Gateway, int], float]] = {
    "prompt": by_prompt,
    "cache": by_cache,
    "ledger": by_ledger,
    "streams": by_streams,
    "deployments": by_deployments,
}


def cpu_ms(bench: Bench, running: Started, *, chars: int = 0, less_s: float = 0.0) -> float:
    """Return CPU per request under load. `less_s`: what as many seconds cost without it."""
    text = running.body_text("small", chars=chars)
    wrk(running.callee, text, callers=8, seconds=1, cores=bench.cores.load)
    before_s = processes.cpu_s(running.pid)
    seen = wrk(running.callee, text, callers=8, seconds=bench.seconds, cores=bench.cores.load)
    time.sleep(0.1)
    spent_s = processes.cpu_s(running.pid) - before_s - less_s
    if seen.errors or not seen.answered:
        raise RuntimeError(f"{running.gateway.name}: {seen.errors} errors, {seen.answered} answers")
    return spent_s * 1e3 / seen.answered


def write_docs(points: Sequence[Point]) -> None:
    """Keep the points beside those of other curves; draw and tell all of them."""
    file = FOLDER / "scaling.json"
    FOLDER.mkdir(exist_ok=True)
    before = msgspec.json.decode(file.read_bytes(), type=list[Point]) if file.is_file() else []
    renewed = {point.curve for point in points}
    whole = [*(point for point in before if point.curve not in renewed), *points]
    file.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    parts = []
    for curve in (curve for curve in SIZES if any(p.curve == curve for p in whole)):
        found = [point for point in whole if point.curve == curve]
        curves = {
            "pointsman": [(float(p.size), p.cpu_ms) for p in found],
            "nginx": [(float(p.size), p.nginx_cpu_ms) for p in found],
        }
        titles = (f"CPU per request against {UNITS[curve]}", UNITS[curve], "CPU per request, ms")
        picture.write_curves(curves, titles, FOLDER / f"scaling-{curve}.svg")
        parts += [table(found), f"![{titles[0]}](performance/scaling-{curve}.svg)"]
    text = "\n\n".join(parts)
    write_between(DOCUMENT, "<!-- scaling: begin -->", "<!-- scaling: end -->", text)


def table(found: Sequence[Point]) -> str:
    """Return a curve's points in Markdown, with when and where they were measured."""
    last = found[-1]
    head = [
        f"`make bench-scaling`, {last.at[:10]}, commit {last.commit}; {last.machine}.",
        "",
        f"| {UNITS[last.curve]} | pointsman, ms | nginx, ms | ratio |",
        "|---|---|---|---|",
    ]
    rows = (
        f"| {p.size:,} | {p.cpu_ms:.3f} | {p.nginx_cpu_ms:.3f} "
        f"| {report.number(p.cpu_ms / p.nginx_cpu_ms)} |"
        for p in found
    )
    return "\n".join((*head, *rows))


if __name__ == "__main__":
    sys.exit(main())
