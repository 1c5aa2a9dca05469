"""Targets: what a path may cost, row by row, and what a run has reached.

A ratio is formed within each round, from figures minutes apart on the same machine, and the median
of the rounds' ratios is what counts; the spread is from the least to the greatest.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Figures: TypeAlias = Mapping[str, float]
Round: TypeAlias = Mapping[str, Figures]
OWN, LIMIT = "pointsman", "nginx"


@dataclass(frozen=True, slots=True)
class Target:
    """One row. `must` and `aim` are bounds in `unit`: upper ones, or lower where `is_floor`.

    `aim` None: no more is aimed at than must be. `value`: of one round, None where it has none.
    `peer`: the other gateway that a row is against.
    """

    path: str
    what: str
    unit: str
    must: float
    aim: float | None
    value: Callable[[Round], float | None]
    is_floor: bool = False
    peer: str = ""

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound if self.is_floor else value <= bound


@dataclass(frozen=True, slots=True)
class Reached:
    """What a run has reached in one row: median, least and greatest of `rounds` rounds."""

    target: Target
    median: float
    least: float
    greatest: float
    rounds: int

    @property
    def verdict(self) -> str:
        """Return "aim", "must", or "short"."""
        target = self.target
        if not target.holds(self.median, target.must):
            return "short"
        has_aim = target.aim is None or target.holds(self.median, target.aim)
        return "aim" if has_aim else "must"


def own(figure: str) -> Callable[[Round], float | None]:
    return lambda found: found.get(OWN, {}).get(figure)


def over(figure: str, gateway: str, its: str = "") -> Callable[[Round], float | None]:
    """Return pointsman's figure over another gateway's; `its` where theirs has another name."""

    def value(found: Round) -> float | None:
        mine, theirs = own(figure)(found), found.get(gateway, {}).get(its or figure)
        return mine / theirs if mine is not None and theirs else None

    return value


def less(figure: str, gateway: str) -> Callable[[Round], float | None]:
    """Return pointsman's figure less another gateway's."""

    def value(found: Round) -> float | None:
        mine, theirs = own(figure)(found), found.get(gateway, {}).get(figure)
        return mine - theirs if mine is not None and theirs is not None else None

    return value


def against(what: str, must: float, aim: float, peer: str) -> Target:
    """Return the row of a proxied request against another gateway's."""
    return Target("proxied request", what, "x", must, aim, over("cpu_ms", peer), peer=peer)


MISS, HIT, STREAM = "proxied request", "cache hit", "stream of 100 chunks"
TRANSLATED = "translated stream, 100 chunks"
START, MEMORY, INSTALL = "start", "memory", "install, core"
TARGETS = (
    Target(MISS, "CPU / nginx", "x", 6.0, 4.0, over("cpu_ms", LIMIT)),
    against("CPU / TensorZero", 0.6, 0.4, "tensorzero"),
    against("CPU / Portkey", 1 / 20, 1 / 30, "portkey"),
    against("CPU / LiteLLM", 1 / 90, 1 / 130, "litellm"),
    Target(
        HIT, "CPU / nginx's proxied request", "x", 3.0, 1.7, over("hit_cpu_ms", LIMIT, "cpu_ms")
    ),
    Target(STREAM, "CPU / nginx", "x", 1.6, 1.3, over("stream_cpu_ms", LIMIT)),
    Target(
        STREAM, "added time to first token, p50", "ms", 1.0, 0.4, own("stream_added_ttft_p50_ms")
    ),
    Target(STREAM, "reads, of 101", "", 99.0, None, own("stream_reads"), is_floor=True),
    Target(
        TRANSLATED, "CPU / nginx's stream", "x", 4.0, 2.5,
        over("translated_cpu_ms", LIMIT, "stream_cpu_ms"),
    ),
    Target("100 kB request", "CPU / nginx", "x", 4.0, 2.5, over("large_cpu_ms", LIMIT)),
    Target(
        "at 200 requests a second", "added p50 less nginx's", "ms", 0.5, 0.25,
        less("rate200_added_p50_ms", LIMIT),
    ),
    Target(
        "two workers on two cores", "served, over one's", "x", 1.7, 1.9, own("workers_ratio"),
        is_floor=True,
    ),
    Target(MEMORY, "after start", "MB", 60.0, 40.0, own("memory_start_mb")),
    Target(MEMORY, "added by 100,000 requests", "MB", 10.0, 5.0, own("memory_added_mb")),
    Target(START, "cold, to the first answer", "s", 0.6, 0.4, own("cold_start_s")),
    Target(START, '`python -c "import pointsman"`', "ms", 100.0, 60.0, own("import_ms")),
    Target(START, "`pointsman --help`", "ms", 250.0, 150.0, own("help_ms")),
    Target("idle", "CPU a second", "ms", 1.0, 0.0, own("idle_ms_s")),
    Target(INSTALL, "packages", "", 40.0, 20.0, own("packages")),
    Target(INSTALL, "on disk", "MB", 60.0, 35.0, own("install_mb")),
    Target("any phase", "errors", "", 0.0, 0.0, own("errors")),
)  # fmt: skip


def reached(target: Target, rounds: Sequence[Round]) -> Reached | None:
    """Return what the rounds have reached in a row, None where no round has its figures."""
    values = [value for found in rounds if (value := target.value(found)) is not None]
    if not values:
        return None
    return Reached(target, statistics.median(values), min(values), max(values), len(values))
