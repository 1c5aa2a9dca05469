"""Instructions per request, counted by valgrind: the same within about 1% whatever else runs.

One gateway runs under `valgrind --tool=callgrind` and is asked path by path on one kept connection:
some requests to warm up, then those that count, between two dumps of the counters. User space only:
the kernel's network and disk are not in it. A path that needs 5% more than `icount.json` keeps
fails; where Python or processor is not that figure's, this is said and nothing is compared.

Run: python -m bench.speed.icount [--only miss,novel,hit,stream,translated] [--keep]
"""

import argparse
import http.client
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from bench.speed import spec
from bench.speed.bodies import COUNTER, Dialect
from bench.speed.results import commit, now
from bench.speed.spec import Gateway
from bench.speed.started import Cores, Started, started, upstream
from msgspec.structs import replace

KEPT = Path(__file__).with_name("icount.json")
MARGIN = 0.05
START_S, ASK_S, DUMP_S = 300.0, 120.0, 120.0
SETTLE_S = 0.5  # what follows an answer, such as its booking, is counted with it
VALGRIND = (
    # Nothing is counted until it is asked for: the start would take half of the whole time.
    *("valgrind", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no"),
    "--callgrind-out-file={WORK}/callgrind.%p",
)


class Asked(NamedTuple):
    """How a path is asked: first some requests that warm it up, then those that count."""

    kind: str
    dialect: Dialect
    is_fixed: bool
    warm: int
    counted: int
    is_worded: bool = False  # each has another word, and not only another number


# The scorer reads all numbers alike, so that of texts which differ in a number alone it remembers
# what it read: "novel" is what a text costs that it has not seen.
_LETTERS = str.maketrans("0123456789", "bcdfghklmn")

# A stream costs about ten times a small request, so fewer of them tell as much.
PATHS = {
    "miss": Asked("small", "openai", False, 50, 250),
    "novel": Asked("small", "openai", False, 50, 250, is_worded=True),
    "hit": Asked("small", "openai", True, 20, 200),
    "stream": Asked("stream", "openai", False, 4, 12),
    "translated": Asked("stream", "anthropic", False, 4, 12),
}


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Figures to hold against: of which Python and processor, from which commit, on which day."""

    python: str
    machine: str
    commit: str
    at: str
    instructions: dict[str, int]


def main() -> int:
    """Return 0, 1 where a path needs more than it may, 2 where valgrind is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed.icount")
    parser.add_argument("--only", default=",".join(PATHS), help="these paths, with commas")
    parser.add_argument("--keep", action="store_true", help="store what is found as the figures")
    parser.add_argument("--bin", type=Path, help="folder of the program of another pointsman")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := [path for path in chosen if path not in PATHS]:
        parser.error(f"--only {','.join(unknown)}: no such path; there are {', '.join(PATHS)}")
    if shutil.which("valgrind") is None or shutil.which("taskset") is None:
        print("nothing counted: apt-get install valgrind util-linux", file=sys.stderr)
        return 2
    kept = msgspec.json.decode(KEPT.read_bytes(), type=Kept) if KEPT.is_file() else None
    if kept is not None and (why := foreign(kept)):
        if not given.keep:
            print(f"nothing compared: {why}; --keep stores figures of this machine")
            return 0
        kept = None
    before = kept.instructions if kept is not None else {}
    found = {}
    for path, count in counts(under_valgrind(given.bin), chosen):
        found[path] = count
        print(told(path, count, before.get(path)), flush=True)
    if given.keep:
        keep({**before, **found})
        return 0
    return 1 if any(is_over(count, before.get(path)) for path, count in found.items()) else 0


def foreign(kept: Kept) -> str:
    """Return why the figures kept cannot be compared with those found here, empty if they can."""
    if kept.python != python():
        return f"the figures are of Python {kept.python}, this is {python()}"
    if kept.machine != platform.machine():
        return f"the figures are of {kept.machine}, this is {platform.machine()}"
    return ""


def python() -> str:
    """Return Python's version without its last part, which changes few instructions."""
    return ".".join(platform.python_version_tuple()[:2])


def told(path: str, count: int, before: int | None) -> str:
    """Return a path's line: instructions, and how many more than before."""
    line = f"{path:12}{count / 1e6:10.3f} M instructions per request"
    if before is None:
        return f"{line}; no figure kept"
    verdict = f"more than {MARGIN:.0%} over" if is_over(count, before) else "ok"
    return f"{line}, {count / before - 1:+.1%} of {before / 1e6:.3f} M: {verdict}"


def is_over(count: int, before: int | None) -> bool:
    return before is not None and count > before * (1 + MARGIN)


def keep(instructions: Mapping[str, int]) -> None:
    """Store figures as those to hold against."""
    whole = Kept(
        python=python(),
        machine=platform.machine(),
        commit=commit(),
        at=now(),
        instructions=dict(instructions),
    )
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")


def under_valgrind(bin_folder: Path | None = None) -> Gateway:
    """Return pointsman's entry, to be started under valgrind."""
    gateway = spec.load(spec.OWN)["pointsman"]
    # The beat that notices a late server goes by time: under valgrind there would be dozens of
    # beats to a request, and more of them on a busy machine.
    settings = {**gateway.settings, "SERVER": "wait_max_s = 0.0"}
    if bin_folder is not None:
        settings["BIN"] = str(bin_folder.absolute())
    return replace(
        gateway,
        command=(*VALGRIND, *gateway.command),
        env={**gateway.env, "PYTHONHASHSEED": "0"},
        settings=settings,
        start_timeout_s=START_S,
    )


def counts(gateway: Gateway, paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each path and the instructions of one of its requests.

    Raises NotStarted, and RuntimeError for a refused request or a valgrind that does not dump.
    """
    have = tuple(sorted(os.sched_getaffinity(0)))
    cores = Cores(have, have)
    with upstream(cores, delay_ms=0.2) as up, started(gateway, up, cores) as running:
        for name in paths:
            path = PATHS[name]
            ask_in_turn(running, path, path.warm)
            controlled(running, "--instr=on")
            dumped(running)
            ask_in_turn(running, path, path.counted)
            yield name, round(dumped(running) / path.counted)


def controlled(running: Started, order: str) -> str:
    """Give callgrind an order; return what it says."""
    told = subprocess.run(
        ["callgrind_control", order, str(running.pid)],
        capture_output=True,
        text=True,
        timeout=DUMP_S,
        check=False,
    )
    return f"{told.stdout}{told.stderr}"


def dumped(running: Started) -> int:
    """Return the instructions since the last dump."""
    time.sleep(SETTLE_S)
    before = set(running.work.glob("callgrind.*"))
    told = controlled(running, "--dump")
    deadline_s = time.monotonic() + DUMP_S
    while time.monotonic() < deadline_s:
        for file in set(running.work.glob("callgrind.*")) - before:
            if (count := total(file.read_text("utf-8", "replace"))) is not None:
                return count
        time.sleep(0.1)
    raise RuntimeError(f"valgrind did not dump its counters: {told}"[:400])


def total(dump: str) -> int | None:
    """Return the sum of a dump of callgrind's, None while it is not whole.

    Source: valgrind's manual, "Callgrind Format Specification", the line `totals`; read 2026-11-23.
    """
    found = re.search(r"^totals: (\d+)", dump, re.MULTILINE)
    return int(found.group(1)) if found else None


def ask_in_turn(running: Started, path: Asked, requests: int) -> None:
    """Ask one request after the other on one connection. Raises RuntimeError for a refusal."""
    is_messages = path.dialect == "anthropic"
    model = running.gateway.translated_model if is_messages else ""
    text = running.body_text(path.kind, dialect=path.dialect, model=model, is_fixed=path.is_fixed)
    address = urlsplit(running.base)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=ASK_S)
    route = "/v1/messages" if is_messages else running.gateway.path
    for number in range(requests):
        # As many digits each, so that every request is as long.
        counter = str(100_000 + number)
        body = text.replace(COUNTER, counter.translate(_LETTERS) if path.is_worded else counter)
        connection.request("POST", route, body, {"content-type": "application/json"})
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"status {reply.status}: {answer[:300]!r}")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
