"""The judge: what must hold of every world, however it went. Each claim says what it compares."""

import asyncio
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.simulation.accounts import Account, Line, read_lines
from tests.simulation.clients import Got, Read, read
from tests.simulation.network import MemoryNetwork
from tests.simulation.plan import Plan
from tests.simulation.replies import FINISH, USAGE
from tests.simulation.trace import Trace
from tests.simulation.upstream import Book, Entry

from pointsman.access.rates import OwnUses, RequestRates, TokenRates
from pointsman.router import Pipeline
from pointsman.server.app import App

ATTEMPTS_MAX = 4
TRIES_MAX = 2
# What else than its own limit a request may take: commits that wait for a lock, and the drain.
SLACK_S = 12.0
# A reply that is whole may take so long to be read to its end. FAULTS, row 17, has it for a cut.
CUT_S = 0.25
# Source: FAULTS, row 8.
SILENT_S = 1.0
_INTENTS = "SELECT count(*) FROM intents WHERE tags = ? AND deployment = ?"


class Judge:
    """One world's. It looks at the ledger's file through a connection of its own."""

    def __init__(self, plan: Plan, trace: Trace, book: Book, path: Path) -> None:
        self._plan = plan
        self._trace = trace
        self._book = book
        self._path = path
        self._calls: Counter[tuple[int, str]] = Counter()

    # While things happen.

    def called(self, entry: Entry) -> None:
        """Claim that a call that has come to an upstream has a committed intent of its own."""
        key = (entry.group, entry.deployment)
        self._calls[key] += 1
        tags = json.dumps({"group": str(entry.group)})
        connection = sqlite3.connect(self._path)
        try:
            ((count,),) = connection.execute(_INTENTS, (tags, entry.deployment))
        finally:
            connection.close()
        told = f"call {entry.number} of {entry.deployment}: {count} intents"
        self._trace.claim(count >= self._calls[key], told)

    def attempt_begins(self, deployment: str, now_s: float) -> None:
        """Claim that nobody is called before the time that it has named itself."""
        since_s, until_s = self._book.rested.get(deployment, (now_s, now_s))
        told = f"{deployment} begins at {now_s}, told at {since_s} to wait until {until_s}"
        self._trace.claim(now_s <= since_s or now_s >= until_s - 1e-6, told)

    def committed(self, connection: sqlite3.Connection, writes: int) -> None:
        """Claim that what is settled and what is held stay within every limit."""
        del writes
        if self._plan.is_lying or not self._plan.limits:
            return
        rows = connection.execute('SELECT scope, "window", nanousd, held_nanousd FROM budgets')
        for scope, window, nanousd, held_nanousd in rows:
            kind = "day" if window.count("-") == 2 else "month"
            limit = self._plan.limits.get(f"{scope} {kind}")
            told = f"budget {scope} of {window}: {nanousd} + {held_nanousd} > {limit}"
            self._trace.claim(limit is None or nanousd + held_nanousd <= limit, told)
            self._trace.claim(nanousd >= 0 and held_nanousd >= 0, f"{scope} of {window} below 0")

    def answered(self, got: Got) -> None:
        """Claim that a request took no longer than it may, and ended as its dialect ends."""
        limit_s = self._plan.settings.timeouts.total_s + SLACK_S + got.lagged_s
        took_s = (got.ended_s or 0.0) - got.began_s
        self._trace.claim(took_s <= limit_s, f"ask {got.ask.number} took {took_s} s > {limit_s} s")
        if got.left_s is not None:
            late_s = (got.ended_s or 0.0) - got.left_s
            is_let_go = late_s <= CUT_S or bool(got.ask.once)  # that one may ask again
            self._trace.claim(is_let_go, f"ask {got.ask.number} goes on {late_s} s without it")
            return
        self._trace.claim(got.is_whole, f"ask {got.ask.number} has no end: {got.pieces[-1:]}")
        self._trace.claim(got.status not in {0, 401, 500}, f"ask {got.ask.number}: {got.status}")

    def at_rest(self, pipeline: Pipeline, app: App, path: Path) -> None:
        """Claim that nothing is under way, held or open once all clients have gone."""
        claim = self._trace.claim
        for target in self._plan.targets:
            record = pipeline.health._record(target.deployment)
            claim(not record.in_flight, f"{target.name}: {record.in_flight} in flight at rest")
            claim(not record.probes, f"{target.name}: {len(record.probes)} probes at rest")
            claim(not record.retrying, f"{target.name}: {record.retrying} retries at rest")
        claim(not app.in_flight, f"{app.in_flight} requests in flight at rest")
        held = _in_use(pipeline._tokens)
        claim(not held, f"{held} hold tokens at rest")
        inside = _in_use(app._rates)
        claim(not inside, f"{inside} are inside at rest")
        claim(not pipeline._flights.count, f"{pipeline._flights.count} flights at rest")
        connection = sqlite3.connect(path)
        try:
            (holds,) = connection.execute("SELECT count(*) FROM holds").fetchone()
            (claims,) = connection.execute(
                "SELECT count(*) FROM outcomes"
                " WHERE status IS NULL AND run IN (SELECT run FROM runs)"
            ).fetchone()
            (open_count,) = connection.execute(
                "SELECT count(*) FROM intents AS i WHERE NOT EXISTS (SELECT 1 FROM ends AS e"
                " WHERE e.request_id = i.request_id AND e.attempt = i.attempt)"
            ).fetchone()
        finally:
            connection.close()
        claim(not holds, f"{holds} holds at rest")
        claim(not claims, f"{claims} Idempotency-Keys claimed at rest")
        claim(not open_count, f"{open_count} attempts open at rest")

    def after(self, network: MemoryNetwork, tasks: Iterable[asyncio.Task[object]]) -> None:
        """Claim that a process that has ended has left nothing behind."""
        left = [task.get_coro() for task in tasks if task is not asyncio.current_task()]
        self._trace.claim(not left, f"tasks left: {left}")
        wires = len(network.open_wires)
        self._trace.claim(not wires, f"{wires} connections left")

    # At the end.

    def at_end(self, everything: list[Got]) -> None:
        """Judge what clients got, and the books."""
        by_text = {entry.reply.text: entry for entry in self._book.entries}
        lines = read_lines(self._path)
        settled = {line.usage: line for line in lines if line.is_answer}
        per_request: defaultdict[str, list[Line]] = defaultdict(list)
        for line in lines:
            per_request[line.request_id].append(line)
        for got in everything:
            if got.status == 200:
                self._judge_answer(got, by_text, settled)
                self._judge_headers(got, per_request[request_id(got)])
        self._judge_grants(everything)
        self._judge_quotas(lines)
        self._judge_leavers(everything)
        self._judge_patience(everything)
        self._judge_once(everything)
        self._judge_attempts(lines)
        account = Account(self._plan, self._trace, self._book)
        account.judge(lines, self._path)

    def _judge_answer(
        self,
        got: Got,
        by_text: dict[str, Entry],
        settled: dict[tuple[int, int], Line],
    ) -> None:
        """Claim that an answer is one call's, whole where it says so, and booked."""
        if not got.is_stream and not got.is_whole:
            return
        claim, number = self._trace.claim, got.ask.number
        answer = read(got)
        claim(
            not (answer.is_clean and answer.has_error), f"ask {number}: an error, and a clean end"
        )
        if got.is_whole and not answer.is_clean:
            claim(answer.has_error, f"ask {number}: neither an error nor an end")
        if not answer.text:
            return
        found = by_text.get(answer.text) or self._begun_by(answer.text)
        claim(found is not None, f"ask {number}: {answer.text!r} is no call's answer")
        if found is None:
            return
        claim(found.group == got.ask.group, f"ask {number} got the answer of another's call")
        if answer.is_clean:
            self._judge_whole(got, answer, found, settled)

    def _judge_whole(
        self, got: Got, answer: Read, entry: Entry, settled: dict[tuple[int, int], Line]
    ) -> None:
        claim, number = self._trace.claim, got.ask.number
        claim(answer.text == entry.reply.text, f"ask {number}: a clean end after part of an answer")
        claim(FINISH in entry.told, f"ask {number}: a clean end that call {entry.number} had not")
        said = entry.reply.said
        if got.is_whole and USAGE in entry.told and said is not None:
            line = settled.get((said.input_tokens, said.output_tokens))
            is_late = self._is_told_of(got, "settles late")
            claim(line is not None or is_late, f"ask {number}: call {entry.number} is not booked")

    def _judge_headers(self, got: Got, lines: list[Line]) -> None:
        """Claim that the attempts and the cost that an answer tells are those that are booked."""
        told, number = got.headers, got.ask.number
        stopped = [line for line in lines if (line.state, line.outcome) == ("voided", "cancelled")]
        called = [line for line in lines if line.outcome != "hit" and line not in stopped]
        stated = 0 if told["x-pointsman-cache"] == "hit" else int(told["x-pointsman-attempts"])
        text = f"ask {number} tells of {stated} attempts, {len(called)} are booked"
        self._trace.claim(stated == len(called), text)
        if "x-pointsman-cost-usd" in told and not self._is_told_of(got, "settles late"):
            cost = round(float(told["x-pointsman-cost-usd"]) * 1e9)
            booked = sum(line.cost_nanousd or 0 for line in lines)
            self._trace.claim(cost == booked, f"ask {number} cost {cost}, booked {booked}")

    def _judge_quotas(self, lines: list[Line]) -> None:
        """Claim that no key calls a tier more often in a day than it may."""
        calls = Counter(
            (line.key, self._plan.tier_of(line.deployment), line.day)
            for line in lines
            if line.outcome != "hit"
        )
        for (key, tier, day), count in calls.items():
            most = self._plan.grants[key].tier_calls_per_day.get(tier, count)
            self._trace.claim(count <= most, f"{key} called {tier} {count} times on {day}")

    def _judge_leavers(self, everything: list[Got]) -> None:
        """Claim that no call goes on once all who have asked for it have gone."""
        spans: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        for got in everything:
            spans[got.ask.group].append((got.began_s, (got.ended_s or 0.0) + CUT_S))
        for entry in self._book.entries:
            over_s = entry.over_s or float("inf")
            is_wanted = any(begins <= over_s <= ends for begins, ends in spans[entry.group])
            text = f"call {entry.number} went on until {over_s}: {spans[entry.group]}"
            self._trace.claim(is_wanted, text)

    def _judge_patience(self, everything: list[Got]) -> None:
        """Claim that nobody waits for a silent upstream longer than its limit; slow readers may."""
        slow = {got.ask.group for got in everything if got.lagged_s}
        limits = self._plan.settings.timeouts
        for entry in self._book.entries:
            most_s = max(limits.first_byte_s, limits.idle_s)
            if not entry.is_stream:  # it may be answered by a stream all the same
                most_s = max(most_s, limits.reply_s)
            waited_s = (entry.over_s or 0.0) - entry.heard_s
            text = f"call {entry.number} was waited for {waited_s} s > {most_s} s"
            is_over = waited_s <= most_s + SILENT_S or entry.group in slow
            self._trace.claim(is_over, text)

    def _judge_grants(self, everything: list[Got]) -> None:
        """Claim that no key has anybody called that it may not use."""
        keys = {got.ask.group: got.ask.key for got in everything}
        for entry in self._book.entries:
            key, tier = keys[entry.group], self._plan.tier_of(entry.deployment)
            allowed = self._plan.grants[key].tiers
            text = f"call {entry.number}: {key} has tier {tier} called"
            self._trace.claim(not allowed or tier in allowed, text)

    def _is_told_of(self, got: Got, what: str) -> bool:
        """Return whether the log says so of this request."""
        return any(what in line and request_id(got) in line for line in self._trace.lines)

    def _begun_by(self, text: str) -> Entry | None:
        """Return the one call whose answer begins so."""
        found = [e for e in self._book.entries if e.reply.text.startswith(text)]
        return found[0] if (found and ":" in text) or len(found) == 1 else None

    def _judge_once(self, everything: list[Got]) -> None:
        """Claim that all who sent one Idempotency-Key got one outcome, byte for byte."""
        kept: dict[tuple[str, str], Got] = {}
        for got in everything:
            if not got.ask.once or not got.is_whole:
                continue
            whose = (got.ask.key, got.ask.once)
            first, told = kept.get(whose), f"ask {got.ask.number}"
            if got.headers.get("x-pointsman-idempotent") == "replayed":
                first = kept.setdefault(whose, got)
                same = (got.status, got.body) == (first.status, first.body)
                self._trace.claim(same, f"{told}: replayed is not what came first")
                is_final = _is_whole(got) or got.status != 200
                self._trace.claim(is_final, f"{told}: what broke off is replayed")
            elif _is_whole(got) and not self._is_told_of(got, "is not kept"):
                self._trace.claim(first is None, f"{told}: run again, not replayed")
                kept[whose] = got

    def _judge_attempts(self, lines: list[Line]) -> None:
        """Claim the bounds of FAULTS: so many attempts a request, so many a target."""
        called = [line for line in lines if line.outcome != "hit"]
        per_request = Counter(line.request_id for line in called)
        per_target = Counter((line.request_id, line.deployment) for line in called)
        for name, count in per_request.items():
            self._trace.claim(count <= ATTEMPTS_MAX, f"{name}: {count} attempts")
        for target, count in per_target.items():
            self._trace.claim(count <= TRIES_MAX, f"{target}: {count} tries")


def request_id(got: Got) -> str:
    return got.headers["x-request-id"]


def _is_whole(got: Got) -> bool:
    """Return whether it is a whole answer."""
    return got.status == 200 and read(got).is_clean and not read(got).has_error


def _in_use(rates: RequestRates | TokenRates) -> list[str]:
    """Return the keys that have something in flight."""
    assert isinstance(rates._uses, OwnUses)
    return [name for name, use in rates._uses._keys.items() if use.here]
