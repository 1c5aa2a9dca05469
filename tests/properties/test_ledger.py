"""The plain ledger against a model: intents, ends, hits and feedback, in any order.

It is closed and opened again now and then.
Budgets and holds have a machine of their own, in test_budgets.py.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.ledger.attempts import FAILED, HIT, LOST, OPEN, SETTLED, VOIDED, intent

from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger import Intent, Settlement
from pointsman.ledger.sqlite import SqliteLedger

REQUESTS = st.sampled_from(["r1", "r2", "r3"])
ATTEMPTS = st.integers(1, 2)
TENANTS = st.sampled_from(["acme", "umbrella", ""])
ENDS = st.sampled_from([SETTLED, FAILED, LOST, VOIDED])
OWNERS = {"r1": "acme", "r2": "umbrella", "r3": "acme"}


def asked(request: str, attempt: int) -> Intent:
    return intent(request, attempt, at_ns=attempt, tenant=OWNERS[request])


class LedgerMachine(RuleBasedStateMachine):
    """One writer on one file, closed and opened again now and then."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.db"
        self.loop = asyncio.new_event_loop()
        self.ledger = SqliteLedger(self.path)
        self.ends: dict[tuple[str, int], Settlement] = {}
        self.scores: dict[str, float] = {}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.wait(self.ledger.close())
            self.loop.close()
            self.folder.cleanup()

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(request=REQUESTS, attempt=ATTEMPTS)
    def reserve(self, request: str, attempt: int) -> None:
        """Twice the same is once, also behind its end."""
        self.wait(self.ledger.reserve(asked(request, attempt)))
        self.ends.setdefault((request, attempt), OPEN)

    @rule(request=REQUESTS, attempt=ATTEMPTS)
    def reserve_something_else_there(self, request: str, attempt: int) -> None:
        other = intent(request, attempt, at_ns=attempt, tenant=OWNERS[request], tier="other")
        if (request, attempt) in self.ends:
            with pytest.raises(LedgerUnavailable):
                self.wait(self.ledger.reserve(other))

    @rule(request=REQUESTS, attempt=ATTEMPTS, end=ENDS, is_queued=st.booleans())
    def end(self, request: str, attempt: int, end: Settlement, is_queued: bool) -> None:
        """The first end wins; one without an intent is none."""
        if is_queued:
            self.ledger.close_attempt(request, attempt, end)
        else:
            self.wait(self.ledger.settle(request, attempt, end))
        if self.ends.get((request, attempt)) == OPEN:
            self.ends[request, attempt] = end

    @rule(request=REQUESTS)
    def hit(self, request: str) -> None:
        self.wait(self.ledger.book_hit(asked(request, 1), HIT))
        self.ends.setdefault((request, 1), HIT)

    @rule(request=REQUESTS, tenant=TENANTS, score=st.floats(0, 1))
    def say_how_good_it_was(self, request: str, tenant: str, score: float) -> None:
        """Only the tenant whose request it is may; the last word holds."""
        is_known = tenant == OWNERS[request] and any(name == request for name, _ in self.ends)
        assert self.wait(self.ledger.book_feedback(request, tenant, score, 1)) == is_known
        if is_known:
            self.scores[request] = score

    @rule()
    def open_again(self) -> None:
        """Closing ends what is open, as lost."""
        self.wait(self.ledger.close())
        self.ledger = SqliteLedger(self.path)
        self.ends = {place: LOST if end == OPEN else end for place, end in self.ends.items()}

    @invariant()
    def the_file_is_what_the_model_says(self) -> None:
        if not hasattr(self, "ledger"):
            return
        self.wait(self.ledger.book_feedback("nobody", "", 0.0, 1))  # behind what is queued
        found = {(r.intent.request_id, r.intent.attempt): r for r in self.ledger.rows()}
        assert found.keys() == self.ends.keys()
        for place, row in found.items():
            assert row.settlement.state == self.ends[place].state
            assert row.settlement.cost_nanousd == self.ends[place].cost_nanousd
        assert dict(self.ledger.feedback()) == self.scores


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
