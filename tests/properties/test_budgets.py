"""Budgets against a model: whatever happens in whatever order, limits hold and the books add up."""

import asyncio
import atexit
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.ledger.attempts import intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import BudgetExceeded
from pointsman.ledger import Settlement
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_budgets import rebuilt, select_budgets
from pointsman.ledger.sqlite_file import open_for_reading, open_for_writing

START = datetime(2026, 11, 30, 22, tzinfo=UTC)
KEYS = ("a", "b")
TAGS = ('{"team":"x"}', "{}")
TRY = 10  # what one attempt may cost at most, nano-USD
LIMITS = (
    Budget("all", "day", 73),
    Budget("all", "month", 207),
    Budget("key:a", "day", 38),
    Budget("tag:team=x", "month", 54),
)


class Model:
    """What one request has done. It holds `held` until it is over; then `counted` is its cost."""

    def __init__(self, *, held: int, names: list[tuple[str, str]], run: int) -> None:
        self.held = held
        self.names = names
        self.run = run
        self.open: set[int] = {1}
        self.counted: dict[int, int] = {}
        self.is_releasing = False
        self.is_over = False

    @property
    def is_done(self) -> bool:
        return self.is_over or (self.is_releasing and not self.open)


class BudgetMachine(RuleBasedStateMachine):
    """Two writers on one file, as two processes are; either may die and start again."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.db"
        self.loop = asyncio.new_event_loop()
        self.ledgers = [SqliteLedger(self.path), SqliteLedger(self.path)]
        self.models: dict[str, Model] = {}
        self.at = START
        self.count = 0
        self.run = 0
        self.runs = [0, 1]
        self.is_closed = False

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for name, model in self.models.items():
            if not model.is_done:
                self.ledger(model).release(name)
        for ledger in self.ledgers:
            self.loop.run_until_complete(ledger.close())
        self.is_closed = True
        for model in self.models.values():
            model.counted |= dict.fromkeys(model.open, TRY)
            model.is_over = True
        self.the_table_is_what_the_model_says()
        self.the_table_can_be_computed_from_the_rows()
        self.loop.close()
        self.folder.cleanup()

    def ledger(self, model: Model) -> SqliteLedger:
        return self.ledgers[self.runs.index(model.run)]

    def written(self) -> None:
        for ledger in self.ledgers:
            self.loop.run_until_complete(ledger.book_feedback("nobody", "", 0.0, 0))

    def alive(self) -> list[str]:
        return [name for name, model in self.models.items() if not model.is_over and model.open]

    def held_alive(self) -> list[str]:
        return [
            name
            for name, model in self.models.items()
            if not model.is_over and not model.is_releasing
        ]

    def used(self, name: tuple[str, str]) -> tuple[int, int]:
        """Return (settled, held) as the model has them."""
        over = [m for m in self.models.values() if name in m.names and m.is_done]
        others = [m for m in self.models.values() if name in m.names and not m.is_done]
        return sum(sum(m.counted.values()) for m in over), sum(m.held for m in others)

    @rule(
        writer=st.integers(0, 1),
        key=st.sampled_from(KEYS),
        tags=st.sampled_from(TAGS),
        tries=st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
    )
    def reserve(self, writer: int, key: str, tags: str, tries: list[int]) -> None:
        """Hold what fits, exactly as the model says: no overshoot, and no phantom denial."""
        self.count += 1
        name = f"r{self.count}"
        at_ns = int(self.at.timestamp()) * 10**9
        budgets = [b for b in LIMITS if b.scope in ("all", f"key:{key}")]
        budgets += [b for b in LIMITS if b.scope.startswith("tag:") and "team" in tags]
        limits = limits_at(budgets, at_ns)
        amounts = tuple(TRY * each for each in sorted(tries, reverse=True))
        self.written()
        room = min(
            limit.limit_nanousd - sum(self.used((limit.scope, limit.window))) for limit in limits
        )
        fits = next((amount for amount in amounts if amount <= room), None)
        asked = intent(name, at_ns=at_ns, key=key, tags=tags, worst_case_nanousd=TRY)
        reserving = self.ledgers[writer].reserve(asked, Hold(amounts, limits))
        if fits is None:
            with pytest.raises(BudgetExceeded):
                self.loop.run_until_complete(reserving)
            return
        held = self.loop.run_until_complete(reserving)
        assert held is not None and held.nanousd == fits
        names = [(limit.scope, limit.window) for limit in limits]
        self.models[name] = Model(held=fits, names=names, run=self.runs[writer])

    @precondition(lambda self: self.held_alive())
    @rule(data=st.data())
    def try_again(self, data: Any) -> None:
        """Make another attempt, where the hold covers one more."""
        name = data.draw(st.sampled_from(self.held_alive()))
        model = self.models[name]
        number = len(model.open) + len(model.counted) + 1
        if number * TRY > model.held:
            return
        at_ns = int(self.at.timestamp()) * 10**9
        again = intent(name, number, at_ns=at_ns, worst_case_nanousd=TRY)
        self.loop.run_until_complete(self.ledger(model).reserve(again))
        model.open.add(number)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), cost=st.integers(0, TRY), how=st.sampled_from(["wait", "queue", "last"]))
    def settle(self, data: Any, cost: int, how: str) -> None:
        self.end(data, "settled", cost, how)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), how=st.sampled_from(["wait", "queue"]))
    def fail(self, data: Any, how: str) -> None:
        self.end(data, "voided", 0, how)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), how=st.sampled_from(["wait", "queue"]))
    def lose(self, data: Any, how: str) -> None:
        self.end(data, "unknown", None, how)

    def end(self, data: Any, state: Any, cost: int | None, how: str) -> None:
        name = data.draw(st.sampled_from(self.alive()))
        model = self.models[name]
        number = data.draw(st.sampled_from(sorted(model.open)))
        outcome: Any = "answered" if state == "settled" else "failed"
        ended = Settlement(state=state, outcome=outcome, cost_nanousd=cost)
        ledger = self.ledger(model)
        if how == "queue":
            ledger.close_attempt(name, number, ended)
        else:
            is_last = how == "last" and not model.is_releasing
            model.is_releasing |= is_last
            self.loop.run_until_complete(ledger.settle(name, number, ended, is_last=is_last))
        model.open.remove(number)
        model.counted[number] = TRY if cost is None else cost

    @precondition(lambda self: self.held_alive())
    @rule(data=st.data(), times=st.integers(1, 2))
    def release(self, data: Any, times: int) -> None:
        """Give back early, late or twice: it takes effect once, when all has ended."""
        name = data.draw(st.sampled_from(self.held_alive()))
        model = self.models[name]
        for _ in range(times):
            self.ledger(model).release(name)
        model.is_releasing = True

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def release_what_is_over(self, data: Any) -> None:
        name = data.draw(st.sampled_from([*self.models, "nobody"]))
        if name == "nobody" or self.models[name].is_done:
            self.ledgers[0].release(name)

    @rule(data=st.data(), cost=st.integers(0, 2 * TRY))
    def reconcile(self, data: Any, cost: int) -> None:
        """Say what an unknown attempt cost, which the model counts with its worst case."""
        self.written()
        unknown = [row.intent for row in self.ledgers[0].rows(state="unknown")
                   if row.settlement.cost_nanousd is None]  # fmt: skip
        if unknown:
            found = data.draw(st.sampled_from(unknown))
            done = self.ledgers[1].reconcile(found.request_id, found.attempt, min(cost, TRY))
            assert self.loop.run_until_complete(done)
            self.models[found.request_id].counted[found.attempt] = min(cost, TRY)

    @rule(writer=st.integers(0, 1), is_crash=st.booleans())
    def start_again(self, writer: int, is_crash: bool) -> None:
        """End a writer and start another: what it held is given back, what it left counts."""
        self.written()
        if is_crash:
            self.crash(self.ledgers[writer])
        else:
            self.loop.run_until_complete(self.ledgers[writer].close())
        for model in self.models.values():
            if model.run == self.runs[writer]:
                model.counted |= dict.fromkeys(model.open, TRY)
                model.open.clear()
                model.is_over = True
        self.run += 1
        self.runs[writer] = self.run + 1
        self.ledgers[writer] = SqliteLedger(self.path)

    def crash(self, dying: SqliteLedger) -> None:
        """Leave the file as a killed process does: its run still there, of a process that is not.

        Real kills are in tests/ledger/test_budgets.py; they are too slow for thousands of steps.
        """
        atexit.unregister(dying._close)
        dying._writer.close(lambda _: True)
        with closing(open_for_writing(str(self.path), busy_s=5)) as connection:
            connection.execute("UPDATE runs SET started = 'long ago' WHERE run = ?", (dying._run,))

    @rule(hours=st.sampled_from([-25, -1, 0, 1, 3, 26]))
    def jump(self, hours: int) -> None:
        """Let the clock jump, over a day's and a month's border and back."""
        self.at += timedelta(hours=hours)

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        if not hasattr(self, "loop"):
            return
        if not self.is_closed:
            self.written()
        for scope, window, settled, held in self.table():
            assert (settled, held) == self.used((scope, window)), (scope, window)
            (limit,) = (
                b.limit_nanousd
                for b in LIMITS
                if b.scope == scope and (b.window == "day") == (window.count("-") > 1)
            )
            assert settled + held <= limit

    @invariant()
    def the_table_can_be_computed_from_the_rows(self) -> None:
        if hasattr(self, "loop"):
            if not self.is_closed:
                self.written()
            with closing(open_for_reading(str(self.path), busy_s=5)) as connection:

                def query(sql: str, values: Any) -> list[Any]:
                    return connection.execute(sql, values).fetchall()

                assert list(rebuilt(query)) == list(select_budgets(query))

    def table(self) -> Iterator[tuple[str, str, int, int]]:
        with closing(open_for_reading(str(self.path), busy_s=5)) as connection:
            yield from connection.execute(
                'SELECT scope, "window", nanousd, held_nanousd FROM budgets'
            ).fetchall()


BudgetMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBudgets = BudgetMachine.TestCase
