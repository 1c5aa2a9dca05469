"""G8: every parser under a fuzzer that sees which branches an input reaches, and HTTP requests.

Each target runs in a process of its own, as many at a time as there are cores. Without atheris
(it is for Linux) the same targets get inputs of our own making, blindly. The HTTP requests are
schemathesis's, and each of them changed a few times: it makes some ten a second.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import msgspec
from tests.fuzz.http_cases import Tally
from tests.fuzz.mutation import next_input
from tests.fuzz.target import BrokenContract, Target, check
from tests.fuzz.targets import TARGETS

from soak import Figure

INPUTS = 2_000_000
HTTP_CASES = 100_000
_DEADLINE_S = 3_600.0
_RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")
_ERROR = re.compile(r" === Uncaught Python exception: ===\n(.+)")


def measure(scale: float = 1.0, *, seed: int = 1) -> list[Figure]:
    """Return what broke the parsers' contracts, and what the server did undeclared."""
    return [_parsers(scale, seed), _requests(scale, seed)]


def _parsers(scale: float, seed: int) -> Figure:
    runs = max(100, -(-round(INPUTS * scale) // len(TARGETS)))
    is_guided = importlib.util.find_spec("atheris") is not None
    fuzz = _guided if is_guided else _blind
    began_s = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = list(pool.map(partial(fuzz, runs=runs, seed=seed), TARGETS))
    took_s = time.monotonic() - began_s
    inputs = sum(count for count, _ in results)
    faults = [fault for _, found in results for fault in found]
    told = f"{len(faults)} of {inputs:,} in {took_s:.0f} s ({inputs / took_s:,.0f}/s)"
    told += "" if is_guided else ", blindly: atheris is not installed"
    if faults:
        told += f"; first: {faults[0]}"
    is_met = not faults and inputs >= runs * len(TARGETS)
    what = f"inputs to {len(TARGETS)} parsers that break a contract or take over 100 ms"
    return Figure("G8", what, f"0 of {runs * len(TARGETS):,}", told, is_met)


def _requests(scale: float, seed: int) -> Figure:
    workers = os.cpu_count() or 1
    each = max(100, -(-round(HTTP_CASES * scale) // workers))
    began_s = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        tallies = list(pool.map(partial(_sent, each), range(seed, seed + workers)))
    took_s = time.monotonic() - began_s
    cases, generated = sum(t.cases for t in tallies), sum(t.generated for t in tallies)
    faults = [fault for tally in tallies for fault in tally.faults]
    statuses = sorted({status for tally in tallies for status in tally.statuses})
    told = (
        f"{len(faults)} of {cases:,} in {took_s:.0f} s ({generated:,} of schemathesis, the others"
        f" those changed); statuses {', '.join(statuses)};"
        f" longest {1000 * max(t.slowest_s for t in tallies):.0f} ms"
    )
    if faults:
        told += f"; first: {faults[0]}"
    what = "HTTP requests with an undeclared 5xx or reply, a crash, or 100 ms on the loop"
    asked = f"0 of {each * workers:,}"
    return Figure("G8", what, asked, told, not faults and cases >= each * workers)


def _sent(cases: int, number: int) -> Tally:
    """Return what came of requests that a process of its own sends."""
    command = [sys.executable, "-m", "tests.fuzz.http_cases", str(cases), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    if done.returncode:
        return Tally(faults=[f"status {done.returncode}: {done.stderr[-300:]}"])
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Tally)


def _guided(name: str, *, runs: int, seed: int) -> tuple[int, list[str]]:
    """Return how many inputs one target took under atheris, and its faults in words."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.under_atheris"]
        done = subprocess.run(
            [*command, name, folder, str(runs), str(seed)],
            capture_output=True, text=True, timeout=_DEADLINE_S, check=False,
        )  # fmt: skip
        faults = list[str]()
        for kept in sorted(Path(folder).glob("*-*")):
            if kept.is_file() and (fault := _fault(TARGETS[name], kept.read_bytes())):
                faults.append(fault)
        if done.returncode and not faults:
            said = _ERROR.search(done.stdout + done.stderr)
            text = said[1] if said else (done.stderr or done.stdout)[-300:]
            faults.append(f"{name}: status {done.returncode}: {text}")
    counted = _RUNS.search(done.stderr + done.stdout)
    return int(counted[1]) if counted else 0, faults


def _blind(name: str, *, runs: int, seed: int) -> tuple[int, list[str]]:
    """Return the same for inputs that are made without looking at what they reach."""
    target, rng = TARGETS[name], Random(seed)
    seeds = target.seeds()
    for count in range(runs):
        data = next_input(seeds, rng, is_json=target.is_json)
        if fault := _fault(target, data):
            return count + 1, [fault]
    return runs, []


def _fault(target: Target, data: bytes) -> str:
    """Return what is wrong with what a target makes of an input, "" for nothing."""
    try:
        check(target, data)
    except BrokenContract as error:
        return f"{target.name}: {error}: {data[:200]!r}"
    except Exception as error:  # whatever it is, the target may not raise it: that is the finding
        return f"{target.name}: {error!r}: {data[:200]!r}"
    return ""
