"""Trace: all that happened in one world, in its order, and what must not have."""

import hashlib
from dataclasses import dataclass, field


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Trace:
    """One world's. Two runs of a seed are the same where their digests are.

    Nothing is noted while it is not `is_open`. `place` is where its files are: another each time.
    """

    seed: int
    place: str = ""
    lines: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    is_open: bool = True

    def log(self, message: str) -> None:
        """Note what the product logs."""
        self._add(f"log {message}")

    def note(self, now_s: float, *what: object) -> None:
        self._add(f"{now_s!r} " + " ".join(map(str, what)))

    def claim(self, holds: object, told: str) -> None:
        """Note a claim that does not hold; the world goes on, and fails at its end."""
        if not holds and self.is_open:
            self.lines.append(f"BROKEN {told}")
            self.broken.append(told)

    def _add(self, line: str) -> None:
        if self.is_open:
            self.lines.append(line.replace(self.place, "") if self.place else line)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def check(self) -> None:
        """Raise Broken with what replays it, where anything does not hold."""
        if self.broken:
            told = "\n".join(f"- {line}" for line in self.broken[:20])
            raise Broken(
                f"seed {self.seed}: {len(self.broken)} broken\n{told}\n"
                f"replay: python -m tests.simulation.replay {self.seed}"
            )
