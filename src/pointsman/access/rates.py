"""Rates: how much a key may ask for in a minute and at once. Pure: the time is passed in.

A window of a minute slides by whole seconds: what was used in a second counts until that second is
60 s past. So in no 60 s, wherever they begin, is more used than the limit, and what was used is
forgotten at most a second late. What is counted is one process's, or that of all workers of one
server (`shared_uses`); nothing of it outlives them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Protocol

from pointsman.core.errors import RateLimited
from pointsman.core.grants import Grant

WINDOW_S = 60
# When one in flight will end is not known; a second is as good a guess as any.
IN_FLIGHT_RETRY_S = 1.0
UNLIMITED: AbstractContextManager[None] = nullcontext()


class Minute:
    """What was used of something in the last minute, by the second."""

    def __init__(self, seconds: Iterable[tuple[int, int]] = ()) -> None:
        self._seconds = deque(seconds)
        self._total = sum(amount for _, amount in self._seconds)

    @property
    def seconds(self) -> tuple[tuple[int, int], ...]:
        """Return (second, amount), the earliest first; `WINDOW_S` + 1 of them once looked at."""
        return tuple(self._seconds)

    def used(self, now_s: float) -> int:
        """Return how much the last minute counts."""
        while self._seconds and self._seconds[0][0] < floor(now_s) - WINDOW_S:
            self._total -= self._seconds.popleft()[1]
        return self._total

    def add(self, amount: int, now_s: float) -> None:
        """Count some more; time that goes back counts as the latest there was."""
        second = floor(now_s)
        self._total += amount
        if self._seconds and self._seconds[-1][0] >= second:
            latest, before = self._seconds.pop()
            self._seconds.append((latest, before + amount))
        else:
            self._seconds.append((second, amount))

    def room_after_s(self, amount: int, limit: int, now_s: float) -> float:
        """Return in how many seconds there is room for `amount`, if nothing else is used till then.

        0 where there is room now. `amount` is within the limit.
        """
        excess = self.used(now_s) + amount - limit
        if excess <= 0:
            return 0.0
        for second, used in self._seconds:
            excess -= used
            if excess <= 0:
                return second + WINDOW_S + 1 - now_s
        raise AssertionError(f"{amount} is over the limit of {limit}")


@dataclass(slots=True)
class Use:
    """What a key uses of something: of the last minute, and what is in flight.

    `here` is in flight in this process, `elsewhere` in the server's other workers.
    """

    minute: Minute = field(default_factory=Minute)
    here: int = 0
    elsewhere: int = 0


class Uses(Protocol):
    """What every key uses of something, by its name."""

    def of(self, tenant: str, now_s: float) -> AbstractContextManager[Use]:
        """Have what a key uses at hand; what is changed of it holds where nothing is raised.

        Raises RateLimited where that cannot be had.
        """

    def change(self, tenant: str, *, here: int, used: int = 0, now_s: float = 0.0) -> None:
        """Have so much more (less than 0: less) be in flight here, and count what was used."""


class OwnUses:
    """One process's."""

    def __init__(self) -> None:
        self._keys: dict[str, Use] = {}

    def of(self, tenant: str, now_s: float) -> AbstractContextManager[Use]:
        """Return what a key uses."""
        del now_s
        use = self._keys.get(tenant)
        if use is None:
            use = self._keys[tenant] = Use()
        return nullcontext(use)

    def change(self, tenant: str, *, here: int, used: int = 0, now_s: float = 0.0) -> None:
        """Note what is in flight, and what was used."""
        use = self._keys[tenant]
        use.here += here
        if used:
            use.minute.add(used, now_s)


class RequestRates:
    """How many requests each key makes, by its name. A limit that its grant does not set is none.

    What is refused does not count: whoever comes too often is let in again after a minute.
    """

    def __init__(self, uses: Uses | None = None) -> None:
        self._uses: Uses = uses or OwnUses()

    def entered(self, tenant: str, grant: Grant, now_s: float) -> AbstractContextManager[None]:
        """Have a request count, and be in flight until the end of the block.

        Raises RateLimited where the key has too many in flight, or had too many in this minute.
        """
        if grant.requests_per_minute is None and grant.concurrency is None:
            return UNLIMITED
        return self._entered(tenant, grant, now_s)

    @contextmanager
    def _entered(self, tenant: str, grant: Grant, now_s: float) -> Iterator[None]:
        with self._uses.of(tenant, now_s) as use:
            if grant.concurrency is not None and use.here + use.elsewhere >= grant.concurrency:
                raise RateLimited(
                    f'key "{tenant}": {grant.concurrency} of its requests are in flight, and no'
                    " more may be at once; wait for one to end",
                    retry_after_s=IN_FLIGHT_RETRY_S,
                )
            if grant.requests_per_minute is not None:
                told = f'key "{tenant}": requests'
                _check(use.minute, 1, grant.requests_per_minute, now_s, told)
                use.minute.add(1, now_s)
            use.here += 1
        try:
            yield
        finally:
            self._uses.change(tenant, here=-1)


class TokenRates:
    """How many tokens each key's requests take, by its name."""

    def __init__(self, uses: Uses | None = None) -> None:
        self._uses: Uses = uses or OwnUses()
        self._in_flight: dict[tuple[str, str], _InFlight] = {}

    @property
    def has_any(self) -> bool:
        """Return whether any request in flight is metered."""
        return bool(self._in_flight)

    def hold(
        self,
        request_id: str,
        tenant: str,
        grant: Grant,
        tokens: int | None,
        now_s: float,
        *,
        input_tokens: int = 0,
    ) -> None:
        """Hold the most tokens that a request may take, None where that is not known.

        They count until `release`. A request that may take more than the whole limit waits until
        nothing else counts and then goes alone: what it takes beyond is counted too, so the next
        one waits for that much longer. Raises RateLimited where there is no room for it.
        """
        limit = grant.tokens_per_minute
        if limit is None:
            return
        wanted = limit if tokens is None else min(tokens, limit)
        told = f'key "{tenant}": tokens'
        with self._uses.of(tenant, now_s) as use:
            held = use.here + use.elsewhere
            _check(use.minute, min(held + wanted, limit), limit, now_s, told)
            if held + wanted > limit:
                raise RateLimited(
                    f"{told} of this minute are held by requests in flight: {held} of {limit}, and"
                    f" this one may take {wanted}; wait for one to end, or ask for fewer"
                    " max_tokens",
                    retry_after_s=IN_FLIGHT_RETRY_S,
                )
            use.here += wanted
        self._in_flight[tenant, request_id] = _InFlight(wanted, input_tokens)

    def note(self, request_id: str, tenant: str, tokens: int | None) -> None:
        """Note that a request in flight has taken so many more; of any other nothing is kept.

        None: nobody can say; then it has taken its input, which was sent.
        """
        flight = self._in_flight.get((tenant, request_id))
        if flight is not None:
            before = flight.counted
            flight.used += flight.input_tokens if tokens is None else tokens
            if flight.counted > before:
                self._uses.change(tenant, here=flight.counted - before)

    def release(self, request_id: str, tenant: str, now_s: float) -> None:
        """Count what a request has taken, in place of what it held; once."""
        flight = self._in_flight.pop((tenant, request_id), None)
        if flight is not None:
            self._uses.change(tenant, here=-flight.counted, used=flight.used, now_s=now_s)


@dataclass(slots=True)
class _InFlight:
    """What a request in flight may take at most, its input's share, and what it has taken."""

    held: int
    input_tokens: int
    used: int = 0

    @property
    def counted(self) -> int:
        """Return what it may take, or has taken where that is more."""
        return max(self.held, self.used)


def _check(minute: Minute, amount: int, limit: int, now_s: float, told: str) -> None:
    """Raise RateLimited where there is no room for `amount`, saying when there will be."""
    wait_s = minute.room_after_s(amount, limit, now_s)
    if wait_s > 0:
        raise RateLimited(
            f"{told} of this minute are used up: {minute.used(now_s)} of {limit}, and room is"
            f" needed for {amount}; try again in {ceil(wait_s)} s",
            retry_after_s=wait_s,
        )
