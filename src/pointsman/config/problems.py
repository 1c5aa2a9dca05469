"""Problems: what is wrong in a configuration, told with file, line, key, value and remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import msgspec

from pointsman.config.locate import KeyPath
from pointsman.config.secrecy import hide_secrets, show_path, show_value
from pointsman.core.errors import ConfigError

NEAR = 0.6


@dataclass(frozen=True, slots=True)
class Problem:
    """`text` says what is wrong and what to do. `value` UNSET: there is none, or none to show."""

    path: KeyPath
    text: str
    value: object = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Origin:
    """Where settings came from: a file's name and the lines of its keys. "" is Python code."""

    file: str = ""
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def tell(self, problem: Problem) -> str:
        """Return the problem as one line of text."""
        key = show_path(problem.path)
        if problem.value is not msgspec.UNSET:
            key = f"{key} = {show_value(problem.path, problem.value)}"
        where = self._where(problem.path)
        return ": ".join(part for part in (where, key, hide_secrets(problem.text)) if part)

    def line(self, path: KeyPath) -> int | None:
        """Return the line of the key, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def _where(self, path: KeyPath) -> str:
        line = self.line(path)
        return f"{self.file}, line {line}" if self.file and line else self.file


def raise_problems(problems: Iterable[Problem], origin: Origin) -> None:
    """Raise one ConfigError that tells them all, one a line, in the file's order; none: return."""
    sorted_problems = sorted(problems, key=lambda problem: origin.line(problem.path) or 0)
    lines = dict.fromkeys(origin.tell(problem) for problem in sorted_problems)
    if lines:
        raise ConfigError("\n".join(lines))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the known name that is nearest, "" when none is near."""
    nearest = get_close_matches(name, known, n=1, cutoff=NEAR)
    return f' Did you mean "{nearest[0]}"?' if nearest else ""
