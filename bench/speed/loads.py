"""Loads: wrk and `bench.speed.load` as processes of their own, on cores of their own."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from bench.speed import processes
from bench.speed.load import Summary
from bench.speed.results import ROOT
from bench.speed.spec import HERE


@dataclass(frozen=True, slots=True)
class Callee:
    """Whom a load calls: the URL, headers as `name: value`, a folder for the load's own files."""

    url: str
    headers: tuple[str, ...]
    folder: Path


class Wrk(msgspec.Struct, frozen=True):
    """What wrk counted; `us`: microseconds it ran."""

    requests: int
    us: int
    refused: int
    broken: int
    p50_us: int
    p99_us: int

    @property
    def answered(self) -> int:
        return self.requests - self.refused

    @property
    def errors(self) -> int:
        return self.refused + self.broken


def wrk(callee: Callee, text: str, *, callers: int, seconds: float, cores: Sequence[int]) -> Wrk:
    """Have so many callers ask as fast as they get answers. Raises RuntimeError where wrk fails."""
    file = callee.folder / "wrk_body.json"
    file.write_text(text, "utf-8")
    command = ["wrk", "-t1", f"-c{callers}", f"-d{round(seconds)}s", "--timeout", "20s"]
    command += ["-s", str(HERE / "wrk_post.lua"), callee.url, "--", str(file), *callee.headers]
    told = output(command, cores, seconds + 60)
    found = re.search(r"JSON (\{.*\})", told)
    if found is None:
        raise RuntimeError(f"wrk told no figures: {told[-300:]}")
    return msgspec.json.decode(found.group(1), type=Wrk)


def load(callee: Callee, text: str, *words: str, cores: Sequence[int]) -> Summary:
    """Run `bench.speed.load` with these words. Raises RuntimeError where it fails."""
    file = callee.folder / "load_body.json"
    file.write_text(text, "utf-8")
    command = [sys.executable, "-m", "bench.speed.load", "--url", callee.url]
    command += ["--body", str(file), *words]
    for header in callee.headers:
        command += ["--header", header]
    return msgspec.json.decode(output(command, cores, 300).splitlines()[-1], type=Summary)


def output(command: Sequence[str], cores: Sequence[int], timeout_s: float) -> str:
    """Return what a command prints. Raises RuntimeError with its words where it fails."""
    done = subprocess.run(
        [*processes.pinned(cores), *command],
        cwd=ROOT,
        env=processes.environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout
