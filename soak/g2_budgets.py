"""G2: budgets under many requests at once, through real sockets: nothing over, nothing turned away.

The server is a process of its own; its upstream keeps a book. Output alone has a price, so one try
may cost exactly WORST, and a request holds two of them, or one where there is room for one only.

* Wave 1: all requests at once, none answered before each has come through or was denied. How many
  come through is known beforehand, key by key: more is overshoot, fewer are phantom denials.
* Waves 2 and on: answers of any size, failures, and clients that leave. Meanwhile the ledger's
  table is read again and again: settled + held <= limit, always. After each wave one more request
  per key: it comes through if and only if its worst case fits what the rows leave.
"""

import asyncio
import itertools
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
from aiohttp import web
from tests.server.processes import served

from pointsman.ledger import BudgetRow
from pointsman.ledger.sqlite_budgets import rebuilt, select_budgets
from pointsman.ledger.sqlite_statements import Query
from soak import Figure

BUDGETS, AT_ONCE, WAVES = 100, 10, 5
MAX_TOKENS = 100
WORST = MAX_TOKENS * 2_000  # at 2 USD per million tokens of output
_TRIES_HELD = 2
_PATIENCE_S = 60.0
_FAILING, _LEAVING = 0.05, 0.05

TOML = """
[providers.up]
dialect = "openai-chat"
base_url = "{url}"
[[tiers]]
name = "only"
models = ["up/m"]
[prices."up/m"]
input = 0.0
output = 2.0
[cache]
exact = false
[ledger]
url = "sqlite:///ledger.db"
[server]
log_requests = false
wait_max_s = 0.0  # all of a thousand at once are to reach the budgets; G6 is about shedding
[timeouts]
connect_s = 30.0  # a thousand at once on a busy machine are no fault of the budgets'
[budgets]
daily_usd = 1000.0
"""


@dataclass
class Upstream:
    """Answers with as many tokens as chance says, at most those allowed, and books them.

    `gate`: what all answers wait for. `charged`: nano-USD, by the key's name, which is the prompt.
    """

    rng: Random
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: int = 0
    is_kind: bool = True
    charged: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one chat completion."""
        asked = await request.json()
        self.arrived += 1
        await self.gate.wait()
        if not self.is_kind and self.rng.random() < _FAILING:
            # No 5xx: the breaker would open, and nobody come through at all.
            return web.json_response({"error": {"message": "slow down"}}, status=429)
        tokens = self.rng.randint(1, asked["max_tokens"])
        self.charged[asked["messages"][0]["content"]] += tokens * 2_000
        usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
        message = {"role": "assistant", "content": "Hello there."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice],
             "created": 1, "usage": usage}
        )  # fmt: skip

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; yield the base URL."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


@dataclass
class Count:
    """What was found. `over` and `phantom` are what must not be."""

    requests: int = 0
    denied: int = 0
    readings: int = 0
    over: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


class Run:
    """One server, its clients, and the judge."""

    def __init__(self, folder: Path, budgets: int, seed: int) -> None:
        self.rng = Random(seed)
        self.upstream = Upstream(Random(seed + 1))
        self.limits = {f"k{n:03}": (1 + n % 25) * WORST for n in range(budgets)}
        self.count = Count()
        self._path = folder / "ledger.db"
        self._folder = folder

    async def go(self, waves: int) -> Count:
        """Run all waves."""
        async with self.upstream.listening() as url:
            toml = TOML.format(url=url) + "".join(
                f"[budgets.keys.{name}]\ndaily_usd = {limit / 1e9:.9f}\n"
                for name, limit in self.limits.items()
            )
            keys = ",".join(f"{name}:secret-{name}" for name in self.limits)
            with served(self._folder, toml, {"POINTSMAN_API_KEYS": keys}) as server:
                connector = aiohttp.TCPConnector(limit=0)
                async with aiohttp.ClientSession(
                    f"{server.base_url}/", connector=connector
                ) as session:
                    await self._all_at_once(session)
                    self.upstream.is_kind = False
                    for _ in range(waves - 1):
                        await self._wave(session)
                assert server.stop() == 0, server.errors
            self._judge_books()
        return self.count

    async def _all_at_once(self, session: aiohttp.ClientSession) -> None:
        asked = {
            name: [asyncio.create_task(self._ask(session, name)) for _ in range(AT_ONCE)]
            for name in self.limits
        }
        tasks = list(itertools.chain(*asked.values()))
        async with asyncio.timeout(_PATIENCE_S):
            while sum(task.done() for task in tasks) + self.upstream.arrived < len(tasks):
                self._read()
                await asyncio.sleep(0.05)
        self.upstream.gate.set()
        for name, own in asked.items():
            codes = Counter(await asyncio.gather(*own))
            tries = self.limits[name] // WORST
            fit = min(AT_ONCE, -(-tries // _TRIES_HELD))
            if codes["ok"] > fit:
                self.count.over.append(f"{name}: {codes['ok']} came through, {fit} fit")
            elif codes["ok"] < fit:
                self.count.phantom.append(f"{name}: {codes['ok']} came through, {fit} fit")
        await self._probe(session)

    async def _wave(self, session: aiohttp.ClientSession) -> None:
        names = list(self.limits) * AT_ONCE
        self.rng.shuffle(names)
        asking = asyncio.gather(
            *(self._ask(session, name, leaves=self.rng.random() < _LEAVING) for name in names)
        )
        while not asking.done():
            self._read()
            await asyncio.sleep(0.02)
        await asking
        await self._probe(session)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        """Ask once more for each key, when nothing is under way: what fits must come through."""
        await self._quiet()
        kind, self.upstream.is_kind = self.upstream.is_kind, True
        left = {name: limit - self._spent(name) for name, limit in self.limits.items()}
        codes = await asyncio.gather(*(self._ask(session, name) for name in left))
        self.upstream.is_kind = kind
        for (name, room), code in zip(left.items(), codes, strict=True):
            if code == "budget_exceeded" and room >= WORST:
                self.count.phantom.append(f"{name}: denied with {room} left")
            elif code == "ok" and room < WORST:
                self.count.over.append(f"{name}: let in with {room} left")
        await self._quiet()

    async def _ask(self, session: aiohttp.ClientSession, name: str, *, leaves: bool = False) -> str:
        """Return "ok", an error's code, or "left" for a client that went away."""
        self.count.requests += 1
        body = {
            "model": "auto",
            "max_tokens": MAX_TOKENS,
            "messages": [{"role": "user", "content": name}],
        }
        headers = {"authorization": f"Bearer secret-{name}"}
        patience = aiohttp.ClientTimeout(total=self.rng.uniform(0.0, 0.3) if leaves else None)
        try:
            async with session.post(
                "chat/completions", json=body, headers=headers, timeout=patience
            ) as reply:
                told = await reply.json()
        except TimeoutError:
            return "left"
        code = "ok" if reply.status == 200 else str(told["error"]["code"])
        self.count.denied += code == "budget_exceeded"
        if code not in {"ok", "budget_exceeded", "upstream_rate_limited"}:
            self.count.odd.append(json.dumps(told)[:200])
        return code

    async def _quiet(self) -> None:
        """Wait until nothing is held any more."""
        async with asyncio.timeout(_PATIENCE_S):
            rows = self._rows()
            while any(row.held_nanousd for row in rows):
                await asyncio.sleep(0.05)
                rows = self._rows()

    def _read(self) -> None:
        """Read the ledger's table as another process would, and hold it against the limits."""
        self.count.readings += 1
        for row in self._rows():
            limit = self.limits.get(row.scope.removeprefix("key:"))
            if limit is not None and row.nanousd + row.held_nanousd > limit:
                self.count.over.append(f"{row.scope}: {row.nanousd} + {row.held_nanousd} > {limit}")

    def _rows(self) -> list[BudgetRow]:
        return [row for row in self._query(select_budgets) if row.window.count("-") > 1]

    def _query(self, select: Callable[[Query], Iterator[BudgetRow]]) -> list[BudgetRow]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            return list(select(lambda sql, values: connection.execute(sql, values).fetchall()))

    def _spent(self, name: str) -> int:
        """Return what the rows say a key has spent; unknown attempts at their worst case."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            (spent,) = connection.execute(
                "SELECT coalesce(sum(CASE state WHEN 'voided' THEN 0"
                " ELSE coalesce(cost_nanousd, worst_case_nanousd) END), 0)"
                ' FROM intents JOIN ends USING (request_id, attempt) WHERE "key" = ?',
                (name,),
            ).fetchone()
            return int(spent)

    def _judge_books(self) -> None:
        """Compare what was charged with the limits, and the table with what the rows make of it."""
        for name, limit in self.limits.items():
            if self.upstream.charged[name] > limit:
                charged = self.upstream.charged[name]
                self.count.over.append(f"{name}: charged {charged} of {limit}")
        if self._query(select_budgets) != self._query(rebuilt):
            self.count.odd.append("the table is not the sum of its rows")


def measure(scale: float = 1.0, *, seed: int = 0) -> list[Figure]:
    """Return the overshoots and the phantom denials of all waves."""
    budgets = max(5, round(BUDGETS * scale))
    with tempfile.TemporaryDirectory() as folder:
        count = asyncio.run(Run(Path(folder), budgets, seed).go(WAVES))
    size = (
        f"{count.requests:,} requests, {budgets * AT_ONCE:,} at once, {budgets} budgets,"
        f" {count.denied:,} denied, {count.readings:,} readings"
    )
    wrong = (count.over + count.phantom + count.odd)[:1]
    first = f"; first: {wrong[0]}" if wrong else ""
    is_sound = not count.odd and count.denied > 0
    over, phantom = len(count.over), len(count.phantom)
    return [
        Figure("G2", "overshoot", "0", f"{over} ({size}){first}", is_sound and not over),
        Figure("G2", "phantom denials", "0", f"{phantom}{first}", is_sound and not phantom),
    ]


def main() -> None:
    """Print what was found at full size."""
    for figure in measure():
        found, _, size = figure.reached.partition(" ")
        print(f"{figure.goal} {figure.what} {found} (asked {figure.asked}) {size}")


if __name__ == "__main__":
    main()
