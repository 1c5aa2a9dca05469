"""A server that is killed while it works: row 20. One life of a process serves all its cells."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.faults import behaviours as does
from tests.faults import upstream as up
from tests.faults.cells import Case, P, Place, X
from tests.faults.door import Got, Wire, connected, request_bytes
from tests.faults.spoken import DIALECTS, TEXT, Dialect
from tests.pipeline.rig import until
from tests.server.processes import Served

from pointsman.ledger.sqlite import SqliteLedger

_PROVIDER = """
[providers.{name}]
dialect = "{name}"
base_url = "{url}"
api_key_env = ""
[[tiers]]
name = "{name}"
models = ["{name}/done", "{name}/stream", "{name}/whole"]
"""
_SECTIONS = """
[routing]
policy = "fixed:openai-chat"
[ledger]
url = "sqlite:///ledger.db"
"""


@dataclass(frozen=True)
class Seen:
    """What came of one request: what its client got, and how it was booked."""

    got: Got
    booked: tuple[tuple[str, str], ...]


_seen: dict[tuple[str, str], Seen] = {}


async def killed(place: Place) -> None:
    """Kill the server: the client sees its connection break, and nothing of it is forgotten."""
    if not _seen:
        await kill(place.folder)
    name = place.dialect.name
    done, cut = _seen[name, "done"], _seen[name, "stream" if place.is_stream else "whole"]
    assert done.got.is_whole and done.booked == ((X, "answered"),)
    assert not cut.got.is_whole and cut.booked == ((P, "lost"),)
    if place.is_stream:
        heard = place.dialect.heard(cut.got.body, is_stream=True)
        assert (cut.got.status, heard.text, heard.ending, heard.error) == (200, TEXT, "", "")
    else:
        assert cut.got == Got()


async def kill(folder: Path) -> None:
    """Have a request of each dialect and mode be under way, kill the server, and start it again."""
    script = {"done": does.answers(), "stream": does.hangs_mid_stream, "whole": up.hang}
    keys = [(dialect, model) for dialect in DIALECTS for model in script]
    async with up.upstream(**script) as upstream:
        sections = [_PROVIDER.format(name=d.name, url=upstream.base_url) for d in DIALECTS]
        (folder / "pointsman.toml").write_text("".join([*sections, _SECTIONS]), "utf-8")
        served = await asyncio.to_thread(Served, folder, None)
        try:
            port = int(served.address.rpartition(":")[2])
            wires = {(d.name, model): await begun(d, model, port) for d, model in keys}
            await until(lambda: upstream.calls("whole") == len(DIALECTS))
            served.signal(signal.SIGKILL)
        finally:
            served.process.kill()
            await asyncio.to_thread(served.ended)
        for wire in wires.values():
            if not wire.got.is_whole:
                await wire.rest()
        await until(lambda: not upstream.open_connections)
    ledger = SqliteLedger(folder / "ledger.db")  # as the next start does
    rows = list(ledger.rows())
    await ledger.close()
    for (name, model), wire in wires.items():
        booked = [r.settlement for r in rows if r.intent.deployment == f"{name}/{model}"]
        states = tuple((end.state, end.outcome) for end in booked)
        _seen[name, model] = Seen(wire.got, states)


async def begun(dialect: Dialect, model: str, port: int) -> Wire:
    """Ask; return the connection once the answer is as far as it gets."""
    wire = await connected(port)
    body = dialect.request(
        "Say hello.", model=f"{dialect.name}/{model}", is_stream=model != "whole"
    )
    wire.writer.write(request_bytes(dialect, body))
    if model == "stream":
        await wire.head()
        await wire.more(b"there.")
    elif model == "done":
        await wire.rest()
    return wire


CASES = (Case(20, "killed at work", killed),)
