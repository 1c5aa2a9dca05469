"""World: one seed's processes, one after the other, over one ledger file."""

import asyncio
import atexit
import gc
import logging
import sqlite3
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.simulation.clients import Got, ask
from tests.simulation.disk import Disk, SimulatedWriter
from tests.simulation.judge import Judge
from tests.simulation.loop import Crash, VirtualLoop
from tests.simulation.network import MemoryNetwork
from tests.simulation.plan import KEYS, Ask, Plan, draw
from tests.simulation.trace import Trace
from tests.simulation.upstream import Book, Entry, Upstream

from pointsman.access.environment import StatedKeys
from pointsman.access.keyring import Keyring
from pointsman.access.secret import digest
from pointsman.assembly import build_routing
from pointsman.cache import build_cache
from pointsman.config import Settings
from pointsman.core.health import Call, Health
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.providers.http import HttpProvider
from pointsman.router import Pipeline
from pointsman.routing import Routing, Stores
from pointsman.server.app import App
from pointsman.server.metrics import Metrics
from pointsman.server.routes import Services

_MEMORY_DISK = Path("/dev/shm")
_LIFE_S_MAX = 7_200.0
_DRAIN_S = 30.0
_REST_S = 5.0


def run(seed: int) -> Trace:
    """Let one world happen, and return its trace. Raises Broken where anything does not hold."""
    trace = replayed(seed)
    trace.check()
    return trace


def replayed(seed: int) -> Trace:
    """Let one world happen, and return its trace, whatever is broken in it.

    The ledger's file is put where nothing waits for a disk, if there is such a place.
    """
    gc.freeze()  # so that collecting what a world leaves behind looks at nothing else
    try:
        return _happened(seed)
    finally:
        gc.collect()
        gc.unfreeze()


def _happened(seed: int) -> Trace:
    folder = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as here:
        world = World(seed, Path(here) / "ledger.db")
        with world.listening():
            world.happen()
    return world.trace


class SimulatedClock:
    """The loop's time, and a wall clock that jumps."""

    def __init__(self, loop: VirtualLoop, plan: Plan) -> None:
        self._loop = loop
        self._plan = plan

    def monotonic_s(self) -> float:
        return self._loop.time()

    def wall_s(self) -> float:
        now_s = self._loop.time()
        return self._plan.wall_s + now_s + sum(by for at, by in self._plan.jumps if at <= now_s)

    def wall_ns(self) -> int:
        return int(self.wall_s() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class WatchedHealth(Health):
    """The real health, with the judge told of each attempt that begins."""

    def __init__(self, rng: Random, judge: Judge) -> None:
        super().__init__(rng.random)
        self._judge = judge

    def begin(self, deployment: str, now_s: float, *, is_retry: bool) -> Call:
        self._judge.attempt_begins(deployment, now_s)
        return super().begin(deployment, now_s, is_retry=is_retry)


class Life:
    """One process: from its start until it is told to end, or crashes."""

    def __init__(self, world: "World", loop: VirtualLoop) -> None:
        self.world = world
        self.loop = loop
        plan, rng = world.plan, world.rng
        self.clock = SimulatedClock(loop, plan)
        self.disk = Disk(plan.disk, loop, rng, world.judge.committed)
        self.writers: list[SimulatedWriter] = []
        self.ledger = SqliteLedger(
            world.path,
            durability=plan.disk.durability,
            writer=self._write,
        )
        stores = Stores(
            ledger=self.ledger,
            cache=build_cache(plan.settings.cache),
            caching=plan.settings.cache,
            has_readings=False,
            outcomes=self.ledger.outcomes(self.clock.wall_ns),
            contents=None,
        )
        self.pipeline = Pipeline(
            self._routing(plan.settings), stores, clock=self.clock, rng=rng, new_id=world.new_id
        )
        self.pipeline.health = WatchedHealth(rng, world.judge)
        self.services = Services(pipeline=self.pipeline, metrics=Metrics())

    def _routing(self, settings: Settings) -> Routing:
        http = HttpProvider(
            timeouts=settings.timeouts, key_of=lambda _: None, now_s=self.clock.wall_s
        )
        providers = {target.name: http for target in self.world.plan.targets}
        return build_routing(settings, {}, clock=self.clock, providers=providers)

    def _keys(self) -> StatedKeys:
        pepper = b"of the simulation"
        grants = self.world.plan.grants
        by_digest = {digest(key, pepper): (name, grants[name]) for name, key in KEYS.items()}
        return StatedKeys(pepper=pepper, by_digest=by_digest)

    def _reload(self, settings: Settings) -> None:
        self.world.trace.note(self.loop.time(), "reload", settings.routing.policy)
        self.pipeline.swap(self._routing(settings))

    def _write(self, *args: object, **given: object) -> SimulatedWriter:
        writer = SimulatedWriter(*args, disk=self.disk, **given)
        self.writers.append(writer)
        return writer

    async def live(self, asks: list[Ask], ends_s: float | None) -> None:
        """Serve what is asked until `ends_s`, or until all is answered."""
        keyring = Keyring(self._keys(), None, self.clock)
        app = App(self.services, keyring, new_id=self.world.new_id)
        for at_s, settings in self.world.plan.reloads:
            if at_s > self.loop.time():
                self.loop.call_at(at_s, self._reload, settings)
        clients = [asyncio.create_task(self._client(app, each)) for each in asks]
        if ends_s is not None:
            await asyncio.sleep(max(0.0, ends_s - self.loop.time()))
            self.services.is_draining = True
            self.loop.call_later(_DRAIN_S, app.stop)
            await app.wait_idle()
            self.world.trace.note(self.loop.time(), "idle")
        await asyncio.gather(*clients)
        self.disk.heal()
        await asyncio.sleep(_REST_S)
        self.world.judge.at_rest(self.pipeline, app, self.world.path)
        await self.pipeline.aclose()
        await keyring.close()
        await asyncio.sleep(0)
        self.world.judge.after(self.world.network, asyncio.all_tasks())

    async def _client(self, app: App, wanted: Ask) -> None:
        await asyncio.sleep(max(0.0, wanted.at_s - self.loop.time()))
        if self.services.is_draining and self.world.is_to_come_later(wanted):
            return
        got = self.world.begin(wanted, self.loop.time())
        await ask(app, got)
        self.world.end(got, self.loop.time())

    def bury(self) -> None:
        """Have the process be dead: nothing of it writes or sends any more."""
        for writer in self.writers:
            writer.die()
        self.world.network.cut()
        atexit.unregister(self.ledger._close)
        self.loop.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]


class World:
    """All that one seed makes happen."""

    def __init__(self, seed: int, path: Path) -> None:
        self.rng = Random(seed)
        self.plan = draw(self.rng)
        self.path = path
        self.trace = Trace(seed, place=str(path.parent))
        self.network = MemoryNetwork()
        self.got: list[Got] = []
        self._lives = 0
        self._ids = 0
        self._later: list[Ask] = list(self.plan.asks)
        self.book = Book(self.trace, self._wall_s, self.plan.is_lying, self._called)
        self.judge = Judge(self.plan, self.trace, self.book, path)
        self._life: Life | None = None
        for target in self.plan.targets:
            self.network.listen(
                f"{target.name}.test", target.address, Upstream(target, self.book, self.rng)
            )

    def listening(self) -> "Listening":
        return Listening(self.trace)

    def happen(self) -> None:
        """Let one process after the other live, then judge what is left."""
        now_s = 0.0
        ends = list(self.plan.ends)
        is_crash = True
        while self._later or is_crash:  # after a crash one more process sees what it left
            while ends and ends[0][0] <= now_s:
                ends.pop(0)
            ends_s, is_crash = ends.pop(0) if ends else (None, False)
            now_s, is_crash = self._live_once(now_s, ends_s, is_crash=is_crash)
            now_s += self.rng.uniform(0, 2)
        self.judge.at_end(self.got)

    def _live_once(
        self, now_s: float, ends_s: float | None, *, is_crash: bool
    ) -> tuple[float, bool]:
        """Let one process live; return when it has ended, and whether it has crashed."""
        loop = VirtualLoop(
            self.network,
            begins_s=now_s,
            crashes_s=ends_s if is_crash else None,
            ends_s=now_s + _LIFE_S_MAX,
        )
        self._lives += 1
        self.book.rested.clear()
        asks, self._later = self._later, []
        self.trace.note(now_s, "life", self._lives)
        self._life = life = Life(self, loop)
        try:
            loop.run_until_complete(life.live(asks, None if is_crash else ends_s))
        except Crash:
            self.trace.note(loop.time(), "crash")
            self._crashed(asks, loop.time())
            life.bury()
            _declare_dead(self.path)
            is_dead = True
        else:
            is_dead = False
        finally:
            loop.close()
        if is_dead:
            self._life = None
            del life
            _forget(self.trace)
        return loop.time(), is_dead

    def _crashed(self, asks: list[Ask], now_s: float) -> None:
        """Tell those whose request was under way; who has a key for it asks again."""
        begun = {got.ask.number for got in self.got}
        self._later += [each for each in asks if each.number not in begun]
        for got in self.got:
            if got.life == self._lives and not got.is_over:
                got.has_crashed = got.is_over = True
                got.ended_s = now_s
                if got.ask.once:
                    self._later.append(got.ask)

    def is_to_come_later(self, wanted: Ask) -> bool:
        """Return whether a client finds the server draining and comes back after its restart."""
        if self.rng.random() < 0.5:
            return False
        self._later.append(wanted)
        return True

    def begin(self, wanted: Ask, now_s: float) -> Got:
        got = Got(wanted, self._lives, now_s)
        self.got.append(got)
        self.trace.note(now_s, "ask", wanted.number, wanted.group, wanted.dialect, wanted.model)
        return got

    def end(self, got: Got, now_s: float) -> None:
        self.trace.note(
            now_s, "got", got.ask.number, got.status, got.is_whole, got.left_s, got.body
        )
        self.judge.answered(got)

    def new_id(self) -> str:
        self._ids += 1
        return f"req_{self._ids:024d}"

    def _wall_s(self) -> float:
        assert self._life is not None
        return self._life.clock.wall_s()

    def _called(self, entry: Entry) -> None:
        self.judge.called(entry)


class Listening(logging.Handler):
    """Hears what the product logs: a trace in the log is a fault of ours."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace
        self._logger = logging.getLogger("pointsman")

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.log(record.getMessage())
        if record.exc_info:
            self._trace.claim(
                False, f"a trace in the log: {record.getMessage()}: {record.exc_info[1]!r}"
            )

    def __enter__(self) -> "Listening":
        self._was = self._logger.propagate
        self._logger.propagate = False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._was


def _forget(trace: Trace) -> None:
    """Have the garbage of a dead process collected now, and nothing of what it does then count.

    What it would have tidied up finds everything closed; at any later time it would happen in the
    middle of another world.
    """
    was, sys.unraisablehook = sys.unraisablehook, lambda _: None
    trace.is_open = False
    try:
        gc.collect()
    finally:
        sys.unraisablehook = was
        trace.is_open = True


def _declare_dead(path: Path) -> None:
    """Have the file's runs be those of another process than this one."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE runs SET started = 'long ago'")
    connection.close()
