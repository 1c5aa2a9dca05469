"""Scrapes: the figures of several workers as one, in Prometheus' text format.

Counters and histograms add up. Of a gauge the largest is shown; of the times at which series were
created, the earliest.

Source: "Exposition formats", Text-based format, version 0.0.4, of Prometheus' documentation, read
2026-11-23.
"""

from collections.abc import Callable, Iterable
from functools import partial

_Join = Callable[[Iterable[float]], float]


def summed(figures: Iterable[bytes]) -> bytes:
    """Return the text of all of them: each series once, each with its family's words."""
    families: dict[str, list[str]] = {}
    series: dict[str, dict[str, list[float]]] = {}
    for text in figures:
        family = ""
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                families.setdefault(family, [line])
            elif line.startswith("# TYPE ") and len(families[family]) == 1:
                families[family].append(line)
            elif line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                series.setdefault(family, {}).setdefault(name, []).append(float(value))
    lines = []
    for family, words in families.items():
        join = _join_of(family, words[-1])
        lines += words
        lines += [f"{name} {join(values)!r}" for name, values in series.get(family, {}).items()]
    return "".join(f"{line}\n" for line in lines).encode()


def _join_of(family: str, type_line: str) -> _Join:
    if not type_line.endswith(" gauge"):
        return sum
    return partial(min) if family.endswith("_created") else partial(max)
