"""Replay: logged prompts put to every tier anew, judged, and written down at once.

The requests are drawn by a hash of their bodies, so a second run draws the same ones and goes on
where the first one stopped. What was asked often is drawn as often as falls to it, and answered
anew each time: what is certified then holds for the traffic as it is. Every call goes through the
production pipeline and is booked.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from pointsman.compare.records import LoggedRequest
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.core.features import extract
from pointsman.core.prices import Price, cost_nanousd
from pointsman.core.types import Answer, Caller, Deployment, Features, Request, Snapshot
from pointsman.core.usage import Usage
from pointsman.scorer.model import shipped
from pointsman.scorer.prospects import expected_costs
from pointsman.scorer.reading import read_features
from pointsman.training.judging import AnswerJudge

LIMIT = 400
TAG = ("pointsman", "replay")
_AT_ONCE = 4
_FAILURES_MAX = 5
_NANOUSD = 1_000_000_000
_FRAME_TOKENS, _VERDICT_TOKENS = 200, 10  # of a comparison by a model, beside what it compares


class Router(Protocol):
    """What answers requests; `library.AsyncRouter` does."""

    async def route(self, prompt: Request) -> Answer:
        """Return the whole answer. Raises GatewayError."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One request to replay.

    `id`: hash of its body and of how often that came before. `output_tokens`: as logged, else None.
    """

    id: str
    request: Request
    output_tokens: int | None


@dataclass(slots=True)
class Replayed:
    """What a replay came to. `unpriced`: answers whose cost nobody knows, counted as estimated."""

    answered: int = 0
    failed: int = 0
    spent_nanousd: int = 0
    unpriced: int = 0
    is_out_of_money: bool = False
    last_error: str = ""
    failures_in_a_row: int = field(default=0, repr=False)


def draw_requests(records: Iterable[LoggedRequest], limit: int) -> list[Drawn]:
    """Return at most `limit` requests of a log, sorted by the hash that draws them.

    A body that occurs again is drawn by itself, so they are a random sample of the log. Raises
    ConfigError where the log keeps no prompts.
    """
    drawn = nsmallest(limit, _with_ids(records), key=lambda it: it.id)
    if not drawn:
        raise ConfigError("--replay: the log holds no prompt; name a log that keeps them")
    return drawn


def estimate_nanousd(drawn: Sequence[Drawn], snapshot: Snapshot) -> int:
    """Return about what putting the requests to every tier costs, without judging.

    Input tokens and, where the log does not say, output tokens are estimated. Raises ConfigError
    for a model without a price.
    """
    return sum(sum(_costs(it, snapshot)) for it in drawn)


def estimate_judging_nanousd(drawn: Sequence[Drawn], snapshot: Snapshot, tier: str) -> int:
    """Return about what it costs that a tier's first model compares all answers, in both orders.

    It reads the request and two answers each time, and says a word. Raises ConfigError for a model
    without a price.
    """
    price = _price(snapshot.tier(tier).deployments[0])
    total = 0
    for it in drawn:
        features = extract(it.request)
        read = features.input_tokens + round(2 * _output_tokens(it, features)) + _FRAME_TOKENS
        usage = Usage(input_tokens=read, output_tokens=_VERDICT_TOKENS)
        total += 2 * (len(snapshot.tiers) - 1) * cost_nanousd(usage, price)
    return total


def read_done(path: Path) -> frozenset[str]:
    """Return the ids of the requests that an earlier run has written down.

    Raises ConfigError where there is something that cannot be read.
    """
    try:
        with path.open("rb") as file:
            return frozenset(_id_of(line) for line in file) - {""}
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise ConfigError(
            f'--out "{path}": cannot be read: {error.strerror or error}; name a file for the'
            " outcomes, in a folder that can be written"
        ) from error


async def replay(
    drawn: Sequence[Drawn],
    snapshot: Snapshot,
    router: Router,
    judge: AnswerJudge,
    *,
    out: Path,
    spent_max_nanousd: int,
    judged_nanousd: Callable[[], int],
    tick: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Put each request to every tier and append its outcomes to `out`, a line a request.

    Nothing is begun that is estimated to lead beyond `spent_max_nanousd`. `judged_nanousd`: what
    judging has cost so far. Raises ConfigError where `out` cannot be written, GatewayError where
    request after request fails.
    """
    done = Replayed()
    try:
        with _opened(out) as file:
            run = _Run(snapshot, router, judge, file, done, spent_max_nanousd, judged_nanousd, tick)
            await run.all(drawn)
    except OSError as error:
        raise ConfigError(f'--out "{out}": cannot be written: {error.strerror or error}') from error
    return done


@dataclass(slots=True)
class _Run:
    snapshot: Snapshot
    router: Router
    judge: AnswerJudge
    file: BinaryIO
    done: Replayed
    spent_max_nanousd: int
    judged_nanousd: Callable[[], int]
    tick: Callable[[int], None]
    under_way_nanousd: int = 0

    async def all(self, drawn: Sequence[Drawn]) -> None:
        """Replay the requests, a few at once, until they or the money are at an end."""
        waiting = iter(drawn)

        async def work() -> None:
            for it in waiting:
                cost = sum(_costs(it, self.snapshot))
                spent = self.done.spent_nanousd + self.judged_nanousd()
                if spent + self.under_way_nanousd + cost > self.spent_max_nanousd:
                    self.done.is_out_of_money = True
                    return
                self.under_way_nanousd += cost
                try:
                    await self._one(it)
                finally:
                    self.under_way_nanousd -= cost

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(work())
        except* GatewayError as errors:
            raise errors.exceptions[0] from None

    async def _one(self, it: Drawn) -> None:
        """Put one request to every tier; write its outcomes where at least two are known."""
        answers = await asyncio.gather(*(self._ask(it, name) for name in self.snapshot.names))
        known = [answer for answer in answers if answer is not None]
        has_strongest = answers[-1] is not None
        if has_strongest and len(known) > 1:
            request = it.request
            found = await self.judge.qualities(request, extract(request), known)
            judged = [(a, q) for a, q in zip(known, found, strict=True) if q is not None]
            if len(judged) > 1:
                self._write(it, judged)
                self.done.answered += 1
                self.done.failures_in_a_row = 0
                self.tick(self.done.answered)
                return
            self.done.last_error = "the judge gives no verdict"
        self.done.failed += 1
        self.done.failures_in_a_row += 1
        if self.done.failures_in_a_row >= _FAILURES_MAX:
            raise GatewayError(
                f"--replay: {_FAILURES_MAX} requests in a row came to nothing, the last one with:"
                f" {self.done.last_error}; what was answered is kept"
            )

    async def _ask(self, it: Drawn, tier: str) -> Answer | None:
        caller = Caller(tags=(*it.request.caller.tags, TAG), cache="off")
        request = msgspec.structs.replace(it.request, model=tier, caller=caller)
        try:
            answer = await self.router.route(request)
        except GatewayError as error:
            self.done.last_error = error.message
            return None
        if answer.cost_nanousd is None:
            self.done.unpriced += 1
        self.done.spent_nanousd += answer.cost_nanousd or 0
        return answer

    def _write(self, it: Drawn, judged: Sequence[tuple[Answer, float]]) -> None:
        line = {
            "id": it.id,
            "request": msgspec.Raw(it.request.body),
            "tags": dict(it.request.caller.tags),
            "scores": {answer.model: quality for answer, quality in judged},
            "costs": {
                answer.model: answer.cost_nanousd / _NANOUSD
                for answer, _ in judged
                if answer.cost_nanousd is not None
            },
            "usage": {
                answer.model: {
                    "input_tokens": answer.usage.input_tokens,
                    "output_tokens": answer.usage.output_tokens,
                }
                for answer, _ in judged
            },
        }
        self.file.write(msgspec.json.encode(line) + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())


def _opened(out: Path) -> BinaryIO:
    """Return the file to append to, at the beginning of a line: a run may be stopped within one."""
    is_cut = out.exists() and out.read_bytes()[-1:] not in (b"", b"\n")
    file = out.open("ab")
    if is_cut:
        file.write(b"\n")
    return file


class _Line(msgspec.Struct):
    id: str


def _id_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Line).id
    except msgspec.MsgspecError:  # cut off where the run before was
        return ""


def _with_ids(records: Iterable[LoggedRequest]) -> Iterator[Drawn]:
    """Yield the requests that the log keeps, each copy of a body with an id of its own."""
    copies: Counter[bytes] = Counter()
    for record in records:
        if record.request is None:
            continue
        body = sha256(record.request.body)
        key = body.digest()
        if copies[key]:
            body.update(b"\0%d" % copies[key])
        copies[key] += 1
        output = record.usage.output_tokens if record.usage is not None else None
        yield Drawn(body.hexdigest()[:24], record.request, output)


def _costs(it: Drawn, snapshot: Snapshot) -> list[int]:
    """Return what the request is expected to cost on each tier, in nano-USD."""
    features = extract(it.request)
    for tier in snapshot.tiers:
        _price(tier.deployments[0])
    costs = expected_costs(features, snapshot.tiers, _output_tokens(it, features))
    return [cost or 0 for cost in costs]


def _output_tokens(it: Drawn, features: Features) -> float:
    """Return how long an answer is expected to be: as logged, else as the scorer has it."""
    if it.output_tokens is not None:
        return it.output_tokens
    return shipped().output_tokens(read_features(features))


def _price(deployment: Deployment) -> Price:
    if deployment.price is None:
        raise ConfigError(
            f"--replay: {deployment.id} has no price, so its cost cannot be told; add"
            f' [prices."{deployment.id}"]'
        )
    return deployment.price
