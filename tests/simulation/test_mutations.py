"""What the simulation is worth: each of these faults, put into the product, breaks a world soon.

The bound is on how many seeds it takes, from 0 on; without a fault none of them is broken, as the
other test shows.
"""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from tests.simulation.world import replayed

from pointsman.attempt import Attempt
from pointsman.budgets import Purse
from pointsman.core.errors import UpstreamError
from pointsman.core.events import Event, Finished, Sink, TextDelta
from pointsman.core.usage import Usage
from pointsman.gate.draft import HeldDraft
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.providers import http

SEEDS_MAX = 60


def first_broken(claims: Callable[[str], bool]) -> int | None:
    """Return the first seed in whose world such a claim does not hold, None for none."""
    for seed in range(SEEDS_MAX):
        if any(claims(told) for told in replayed(seed).broken):
            return seed
    return None


def test_it_finds_a_call_without_its_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reserve(*_: object) -> None:
        return None

    monkeypatch.setattr(SqliteLedger, "reserve", reserve)
    monkeypatch.setattr(Purse, "reserve", reserve)
    monkeypatch.setattr(Purse, "held_nanousd", 0)
    assert first_broken(lambda told: "0 intents" in told) is not None


def test_it_finds_a_call_that_is_settled_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Attempt.settle

    async def twice(self: Attempt, outcome, error: str = "") -> None:
        await settle(self, outcome, error)
        again = msgspec.structs.replace(self._intent, attempt=self.number + 4)
        settlement = self._settlement("settled", outcome, self.builder.usage or Usage(), error)
        await self._desk.ledger.book_hit(again, settlement)

    monkeypatch.setattr(Attempt, "settle", twice)
    assert first_broken(lambda told: "booked twice" in told) is not None


def test_it_finds_two_answers_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    more, broken = Attempt.more, dict[Attempt, UpstreamError]()

    async def spliced(self: Attempt, sink: Sink | None = None) -> Sequence[Event]:
        if self in broken:
            raise broken[self]
        try:
            return await more(self, sink)
        except UpstreamError as error:
            if not self.builder.chars:
                raise
            broken[self] = error
            return [TextDelta(" And now another one goes on.")]

    monkeypatch.setattr(Attempt, "more", spliced)
    assert first_broken(lambda told: "is no call's answer" in told) is not None


def test_it_finds_a_told_wait_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "retry_after_s", lambda *_, **__: None)
    assert first_broken(lambda told: "to wait until" in told) is not None


def test_it_finds_a_hold_that_is_never_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Purse, "release", lambda _: None)
    assert first_broken(lambda told: "holds at rest" in told) is not None


def test_it_finds_a_broken_stream_that_ends_as_if_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    more = HeldDraft.more

    async def ended(self: HeldDraft, sink: Sink | None = None) -> Sequence[Event]:
        try:
            return await more(self, sink)
        except UpstreamError:
            return [Finished("stop", b"")]

    monkeypatch.setattr(HeldDraft, "more", ended)
    assert first_broken(lambda told: "clean end" in told) is not None
