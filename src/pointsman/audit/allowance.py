"""Allowance: what may be spent within any 24 hours; the worst case is taken beforehand."""

from collections import deque
from collections.abc import Iterable

DAY_NS = 86_400 * 1_000_000_000


class Allowance:
    """A limit in nano-USD over a rolling day. Times are Unix nanoseconds, and may go back."""

    def __init__(self, limit_nanousd: int, spent: Iterable[tuple[int, int]] = ()) -> None:
        self.limit_nanousd = limit_nanousd
        self._spent = deque(spent)
        self._spent_nanousd = sum(nanousd for _, nanousd in self._spent)
        self._reserved_nanousd = 0

    def reserve(self, nanousd: int, now_ns: int) -> bool:
        """Take the worst case of what is about to be spent; return False where it does not fit."""
        while self._spent and self._spent[0][0] <= now_ns - DAY_NS:
            self._spent_nanousd -= self._spent.popleft()[1]
        if self._spent_nanousd + self._reserved_nanousd + nanousd > self.limit_nanousd:
            return False
        self._reserved_nanousd += nanousd
        return True

    def settle(self, reserved_nanousd: int, spent_nanousd: int, now_ns: int) -> None:
        """Give back what was reserved, and book what was spent of it."""
        self._reserved_nanousd -= reserved_nanousd
        if spent_nanousd:
            self._spent.append((now_ns, spent_nanousd))
            self._spent_nanousd += spent_nanousd
