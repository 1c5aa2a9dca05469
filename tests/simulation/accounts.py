"""Accounts: the ledger's rows against the upstreams' own book, to the nano-USD."""

import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.simulation.plan import Plan
from tests.simulation.replies import CONTENT
from tests.simulation.trace import Trace
from tests.simulation.upstream import Book, Entry

_ROWS = """
SELECT i.request_id, i.attempt, i.at_ns, i."key", i.tags, i.deployment, i.worst_case_nanousd,
    e.state, e.outcome, e.input_tokens, e.output_tokens, e.is_estimated, e.cost_nanousd
FROM intents AS i LEFT JOIN ends AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
ORDER BY i.request_id, i.attempt
"""
_WHOLE = {"answered", "rejected"}


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt in the ledger's file."""

    request_id: str
    attempt: int
    at_ns: int
    key: str
    tags: str
    deployment: str
    worst_nanousd: int | None
    state: str | None
    outcome: str | None
    input_tokens: int
    output_tokens: int
    is_estimated: int
    cost_nanousd: int | None

    @property
    def usage(self) -> tuple[int, int]:
        return self.input_tokens, self.output_tokens

    @property
    def group(self) -> int:
        return int(json.loads(self.tags)["group"])

    @property
    def day(self) -> str:
        """Return the UTC day of its intent."""
        return datetime.fromtimestamp(self.at_ns // 10**9, UTC).date().isoformat()

    @property
    def is_answer(self) -> bool:
        """Return whether it is a whole answer whose tokens the upstream has reported."""
        return self.state == "settled" and self.outcome in _WHOLE and not self.is_estimated


def read_lines(path: Path) -> list[Line]:
    """Return the ledger's attempts in the order of their intents."""
    connection = sqlite3.connect(path)
    try:
        return [Line(*row) for row in connection.execute(_ROWS)]
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Account:
    """Compares one world's books."""

    plan: Plan
    trace: Trace
    book: Book

    def judge(self, lines: list[Line], path: Path) -> None:
        """Judge every row, and what stands against the budgets."""
        for line in lines:
            told = f"{line.request_id}/{line.attempt}"
            self.trace.claim(line.state is not None, f"{told} has no end")
        self._judge_exact(lines)
        self._judge_calls(lines)
        self._judge_budgets(lines, path)

    def _judge_exact(self, lines: list[Line]) -> None:
        """Claim that each answer with reported tokens is one call's, and costs what that costs."""
        by_tokens = {
            (entry.reply.said.input_tokens, entry.reply.said.output_tokens): entry
            for entry in self.book.entries
            if entry.reply.said is not None
        }
        used: Counter[int] = Counter()
        for line in lines:
            if not line.is_answer:
                continue
            told = f"{line.request_id}/{line.attempt} with {line.usage}"
            entry = by_tokens.get(line.usage)
            self.trace.claim(entry is not None, f"{told} is no call's")
            if entry is None:
                continue
            used[entry.number] += 1
            self.trace.claim(used[entry.number] == 1, f"{told}: call {entry.number} booked twice")
            self.trace.claim(entry.deployment == line.deployment, f"{told}: another target's call")
            self.trace.claim(entry.group == line.group, f"{told}: another request's call")
            cost = self._cost(entry)
            self.trace.claim(
                cost == line.cost_nanousd, f"{told} costs {line.cost_nanousd}, not {cost}"
            )

    def _cost(self, entry: Entry) -> int:
        """Return what a call costs: its tokens at the price per million, rounded half up."""
        price, said = self.plan.settings.prices[entry.deployment], entry.reply.said
        assert said is not None
        exact = said.input_tokens * round(price.input * 1e9)
        exact += said.output_tokens * round(price.output * 1e9)
        return (exact + 500_000) // 1_000_000

    def _judge_calls(self, lines: list[Line]) -> None:
        """Claim that no call that may be charged for is booked as if it had not been made."""
        gave = Counter(
            (entry.group, entry.deployment)
            for entry in self.book.entries
            if CONTENT in entry.told or entry.reply.may_bill
        )
        booked = Counter(
            (line.group, line.deployment)
            for line in lines
            if line.state != "voided" and line.outcome != "hit"
        )
        for key, count in gave.items():
            told = f"{key}: {count} calls may be charged for, {booked[key]} are booked"
            self.trace.claim(booked[key] >= count, told)

    def _judge_budgets(self, lines: list[Line], path: Path) -> None:
        """Claim that each row of the budgets is the sum of its requests."""
        windows: dict[str, tuple[str, str]] = {}
        sums: defaultdict[tuple[str, str], int] = defaultdict(int)
        for line in lines:
            if line.attempt == 1:
                windows[line.request_id] = (line.day, line.day[:7])
            cost = 0 if line.state == "voided" else line.cost_nanousd
            counted = (line.worst_nanousd or 0) if cost is None else cost
            for window in windows.get(line.request_id, ()):
                sums["all", window] += counted
                sums[f"key:{line.key}", window] += counted
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute('SELECT scope, "window", nanousd, held_nanousd FROM budgets')
            for scope, window, nanousd, held_nanousd in rows.fetchall():
                told = f"budget {scope} of {window}: {nanousd}, held {held_nanousd}"
                self.trace.claim(held_nanousd == 0, told)
                want = sums[scope, window]
                self.trace.claim(nanousd == want, f"{told}; its requests cost {want}")
        finally:
            connection.close()
