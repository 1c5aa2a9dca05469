"""Processes under measurement: started on chosen cores, their CPU time and memory read, ended.

Figures are of a whole tree: a process, its descendants and everything in its session. Linux only.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
END_S = 8.0


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat tells: ticks are clock ticks of user and system time.

    Source: proc_pid_stat(5), fields 3, 4, 6, 14 to 17.
    """

    state: str
    parent: int
    session: int
    own_ticks: int
    child_ticks: int


def read_stat(pid: int) -> Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    own, children = fields[11:13], fields[13:15]
    return Stat(
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        own_ticks=sum(map(int, own)),
        child_ticks=sum(map(int, children)),
    )


def tree(root: int) -> set[int]:
    """Return the living processes under a root, itself among them."""
    stats = {
        pid: stat
        for entry in PROC.iterdir()
        if entry.name.isdigit() and (stat := read_stat(pid := int(entry.name))) is not None
    }
    found = {pid for pid, stat in stats.items() if root in (pid, stat.session)}
    while more := {p for p, stat in stats.items() if stat.parent in found and p not in found}:
        found |= more
    return {pid for pid in found if stats[pid].state != "Z"}


def cpu_s(root: int) -> float:
    """Return the seconds of CPU that a tree has used, to the nanosecond where Linux counts them."""
    return sum(process_cpu_s(pid) for pid in tree(root))


def process_cpu_s(pid: int) -> float:
    """Return one process's seconds of CPU, with those of its children that have ended."""
    stat = read_stat(pid)
    if stat is None:
        return 0.0
    try:
        tasks = list((PROC / str(pid) / "task").iterdir())
        ran_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    except (OSError, ValueError, IndexError):
        return (stat.own_ticks + stat.child_ticks) / TICKS_A_SECOND
    return ran_ns / 1e9 + stat.child_ticks / TICKS_A_SECOND


def memory_mb(root: int) -> float:
    """Return the proportional set size of a tree in MB (1e6 bytes): shared pages count once."""
    kib = 0
    for pid in tree(root):
        with suppress(OSError):
            text = (PROC / str(pid) / "smaps_rollup").read_text()
            if found := re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE):
                kib += int(found.group(1))
    return kib * 1024 / 1e6


def core_busy(core: int) -> tuple[int, int]:
    """Return a core's busy and total clock ticks since the machine started."""
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            ticks = [int(word) for word in line.split()[1:9]]
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    return 0, 0


def pinned(cores: Collection[int]) -> list[str]:
    """Return the words before a command that keep it on some cores."""
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores)))]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, but that Python keeps byte code, as it does for users."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | dict(more or {})


def start(
    command: Sequence[str],
    *,
    cores: Collection[int],
    log: Path,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own; what it prints is appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [*pinned(cores), *command],
            env=environment(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its tree: asked first, then killed. Only what was in its tree."""
    pids = tree(process.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _alive(pids):
            with suppress(OSError):
                os.kill(pid, number)
        deadline_s = time.monotonic() + END_S
        while any(_alive(pids)) and time.monotonic() < deadline_s:
            process.poll()
            time.sleep(0.02)
        if not any(_alive(pids)):
            break
    process.wait(END_S)


def _alive(pids: Collection[int]) -> Iterator[int]:
    return (p for p in pids if (stat := read_stat(p)) is not None and stat.state != "Z")
