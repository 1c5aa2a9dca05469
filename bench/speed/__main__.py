"""Measure pointsman beside nginx, and beside its peers.

python -m bench.speed own                 nginx and pointsman, in turn; the table of targets
python -m bench.speed peers               these and every peer that installs
python -m bench.speed report FILE         the tables of an earlier run's results

`--check` only starts each gateway and has it answer. With `--docs` tables and picture go into
docs/performance.md; with `--keep FILE` every figure goes into a file, as lines of JSON.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.speed import install, picture, report, runner, spec
from bench.speed.phases import Pace
from bench.speed.results import ROOT, Result, append, read
from bench.speed.spec import Gateway
from bench.speed.started import Cores
from bench.speed.targets import TARGETS
from msgspec.structs import replace
from tests.docs.marks import write_between

DOCUMENT = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
MISSING = 2
QUICK = Pace(
    warm_s=1, load_s=1, rate_s=1, streams=8, idle_s=1, memory_warm=500, memory_requests=2_000
)


def main() -> int:
    """Return 0, 1 where something failed, 2 where a program of the system is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("own", "peers", "report"))
    parser.add_argument("file", type=Path, nargs="?", help="of results, for report")
    parser.add_argument("--only", default="", help="these gateways, by name, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="start each and have it answer")
    parser.add_argument("--quick", action="store_true", help="seconds, to try it out: no figures")
    parser.add_argument("--keep", type=Path, help="file for the results; replaced")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md")
    parser.add_argument("--bin", type=Path, help="folder of the program of another pointsman")
    parser.add_argument("--core", type=int, default=0, help="the gateway's")
    parser.add_argument("--load-core", type=int, default=1, help="the upstream's and the load's")
    given = parser.parse_args()
    if given.what == "report":
        if given.file is None:
            parser.error("report needs the file of results")
        return tell(read(given.file), given.docs)
    if missing := [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]:
        packages = " ".join("util-linux" if name == "taskset" else name for name in missing)
        print(f"{', '.join(missing)} missing: apt-get install {packages}", file=sys.stderr)
        return MISSING
    cores = Cores((given.core,), (given.load_core,))
    gateways, skipped = chosen(given.what == "peers", given.only)
    if given.bin is not None:
        gateways = [with_bin(gateway, given.bin) for gateway in gateways]
    for name, why in skipped.items():
        print(f"{name}: skipped: {why}", file=sys.stderr)
    if given.check:
        return 0 if runner.check(gateways, cores, lambda told: print(told, flush=True)) else 1
    pace = QUICK if given.quick else Pace()
    results = measure(gateways, cores, pace, given.rounds, given.keep)
    return tell(results, given.docs, skipped)


def chosen(with_peers: bool, only: str) -> tuple[list[Gateway], Mapping[str, str]]:
    """Return the gateways that are there, and why others are not. Installs peers."""
    known = spec.load(spec.OWN) | (spec.load(spec.PEERS) if with_peers else {})
    wanted = [name for name in only.split(",") if name] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(
            f"--only {','.join(unknown)}: no such gateway; there are {', '.join(known)}"
        )
    gateways, skipped = [], {}
    for name in wanted:
        if why := install.install(known[name]):
            skipped[name] = why
        else:
            gateways.append(known[name])
    return gateways, skipped


def with_bin(gateway: Gateway, folder: Path) -> Gateway:
    return replace(gateway, settings={**gateway.settings, "BIN": str(folder.absolute())})


def measure(
    gateways: Sequence[Gateway], cores: Cores, pace: Pace, rounds: int, keep: Path | None
) -> list[Result]:
    """Run the rounds and keep each result as it comes."""
    if keep is not None:
        keep.unlink(missing_ok=True)
    results = []
    for result in runner.run(gateways, cores=cores, pace=pace, rounds=rounds):
        runner.report_progress(result)
        if keep is not None:
            append(keep, result)
        results.append(result)
    return results


def tell(
    results: Sequence[Result], with_docs: bool, skipped: Mapping[str, str] | None = None
) -> int:
    """Print the tables, write the document where asked; return 1 where something failed."""
    entries = spec.load(spec.OWN) | spec.load(spec.PEERS)
    titles = {name: entry.title for name, entry in entries.items()}
    has_peers = any(entries[r.name].install is not None for r in results if r.name in entries)
    command = "make bench-peers" if has_peers else "make bench"
    said = report.preamble(results, command)
    targets, gateways = report.targets_table(results), report.gateways_table(results, titles)
    left_out = [f"Not installed: {titles[n]}: {why}" for n, why in (skipped or {}).items()]
    gateways = "\n\n".join((gateways, *left_out))
    print(f"{said}\n\n{targets}\n\n{gateways}")
    failures = list(report.failures(results))
    for failure in failures:
        print(failure, file=sys.stderr)
    if with_docs:
        name = "peers" if has_peers else "bench"
        FOLDER.mkdir(exist_ok=True)
        drawing = FOLDER / f"{name}.svg"
        picture.write_bars(results, titles, drawing)
        image = f"![CPU per request, as multiples of nginx's](performance/{drawing.name})"
        notes = [f"{titles[n]}: {entries[n].note}" for n in titles if entries[n].note]
        rows = [target for target in TARGETS if bool(target.peer) == has_peers]
        parts = [said, report.targets_table(results, rows)]
        parts += [gateways, *notes] if has_peers else []
        text = "\n\n".join([*parts, image])
        write_between(DOCUMENT, f"<!-- {name}: begin -->", f"<!-- {name}: end -->", text)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
