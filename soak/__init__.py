"""Soak: the long measurements, each goal's figure beside the figure that FAULTS asks for.

A goal is a module with `measure(scale) -> list[Figure]`; `scale` 1.0 is what is asked, less is for
trying out. `python -m soak` runs them all, `python -m soak g1_crash --scale 0.01` one of them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What one goal asks for and what was reached, both in words, and whether that is enough."""

    goal: str
    what: str
    asked: str
    reached: str
    is_met: bool
