"""Row 26: configurations that are no good, read by a server at work; and servers started on them.

Each is a sound one changed by value, by line or by byte, until a thousand are refused by the
reader that the server has too. Those that are accepted are what somebody may mean, and left out.
"""

import asyncio
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import aiohttp
from tests.faults import upstream as up
from tests.fuzz.mutation import mutated
from tests.server.doors import chat_body
from tests.server.processes import MAIN, Served, bare_environment

from pointsman.assembly import build_routing
from pointsman.clock import SystemClock
from pointsman.config import load_settings
from pointsman.core.errors import ConfigError
from soak import Figure

MUTANTS = 1_000
BOOTS = 100
BOOT_S_MAX = 2.0
BAD_EXIT = 2
_CLIENTS = 4
_WAIT_S = 10.0
_REFUSED, _TAKEN = "stays as it was", "has been read anew"
_TOML = """
[server]
log_requests = false
[providers.u]
base_url = "{url}"
dialect = "openai-chat"
api_key_env = ""
[[tiers]]
name = "fast"
models = ["u/small"]
max_tokens = 100
[[tiers]]
name = "power"
models = ["u/large", {{ model = "u/larger", params = {{ temperature = 0.5 }} }}]
[routing]
policy = "fixed:fast"
aliases = ["auto", "gpt-4o"]
[timeouts]
total_s = 60.0
[prices."u/small"]
input = 1.0
output = 2.0
[cache]
exact = false
[budgets]
daily_usd = 1000.0
[ledger]
url = "sqlite:///ledger.db"
"""
_ODD = (
    "",
    "-1",
    "1e999",
    '""',
    '"x"',
    "[]",
    "{}",
    "[[1]]",
    "true",
    "nan",
    '"\\u0000"',
    "1979-05-27",
)


def measure(scale: float = 1.0) -> list[Figure]:
    """Return what bad reloads did to those who asked meanwhile, and how bad starts end."""
    return asyncio.run(_measured(max(10, round(MUTANTS * scale)), max(2, round(BOOTS * scale))))


async def _measured(mutants: int, boots: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with up.upstream(small=up.answer()) as upstream:
            bad = list(_bad(_TOML.format(url=upstream.base_url), mutants, folder / "tried.toml"))
            figure = await _reloaded(folder, _TOML.format(url=upstream.base_url), bad)
        return [figure, await asyncio.to_thread(_boots, folder, bad[:: max(1, mutants // boots)])]


def _bad(sound: str, count: int, file: Path) -> Iterator[bytes]:
    """Yield so many texts that are refused."""
    rng = Random(26)
    while count:
        text = _changed(sound, rng)
        file.write_bytes(text)
        try:
            settings = load_settings(str(file), {})
            build_routing(settings, {}, clock=SystemClock())
        except ConfigError:
            count -= 1
            yield text


def _changed(sound: str, rng: Random) -> bytes:
    lines = sound.splitlines()
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            return mutated(sound.encode(), rng, is_json=False)
        case 1:
            del lines[at]
        case 2:
            lines.insert(rng.randrange(len(lines)), lines[at])
        case 3:
            lines[at] = lines[at].replace("=", rng.choice(("", "==", "x =", ". =")), 1)
        case _:
            lines[at] = f"{lines[at].partition('=')[0]}= {rng.choice(_ODD)}"
    return "\n".join(lines).encode()


async def _reloaded(folder: Path, sound: str, bad: list[bytes]) -> Figure:
    """Have a server read every text while clients ask."""
    file = folder / "pointsman.toml"
    file.write_text(sound, "utf-8")
    server = await asyncio.to_thread(Served, folder, None)
    statuses: dict[int, int] = {}
    is_over = asyncio.Event()
    unsaid = taken = 0
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as clients:
        for number in range(_CLIENTS):
            clients.create_task(_ask(session, server.base_url, number, statuses, is_over))
        try:
            for text in bad:
                file.write_bytes(text)
                told = await _told(server)
                taken += _TAKEN in told
                unsaid += _REFUSED in told and "pointsman.toml" not in told
        finally:
            is_over.set()
    is_alive = server.process.poll() is None
    server.process.kill()
    await asyncio.to_thread(server.ended)
    asked = sum(statuses.values())
    dropped = asked - statuses.get(200, 0)
    return Figure(
        "row 26", f"requests not answered while {len(bad):,} bad configurations were read",
        "0; none taken; each told with its file",
        f"{dropped} of {asked:,} {_others(statuses)}; {taken} taken; {unsaid} untold",
        asked > len(bad) // 2 and not dropped and not taken and not unsaid and is_alive,
    )  # fmt: skip


def _others(statuses: Mapping[int, int]) -> str:
    """Return what was told to those who got no answer; status 0: nothing."""
    return str({status: count for status, count in statuses.items() if status != 200} or "")


async def _ask(
    session: aiohttp.ClientSession,
    base_url: str,
    number: int,
    statuses: dict[int, int],
    is_over: asyncio.Event,
) -> None:
    asked = 0
    while not is_over.is_set():
        asked += 1
        body = chat_body(f"{number} asks {asked}")
        try:
            async with session.post(f"{base_url}/chat/completions", data=body) as reply:
                await reply.read()
                status = reply.status
        except aiohttp.ClientError:
            status = 0
        statuses[status] = statuses.get(status, 0) + 1


async def _told(server: Served) -> str:
    """Have the server read its file, and return what it says of that."""
    before = len(server.errors)
    server.signal(signal.SIGHUP)
    until_s = time.monotonic() + _WAIT_S
    while time.monotonic() < until_s:
        told = server.errors[before:]
        if told.endswith("\n") and (_REFUSED in told or _TAKEN in told):
            return told
        await asyncio.sleep(0.002)
    return ""


def _boots(folder: Path, bad: list[bytes]) -> Figure:
    """Start a server on each of some texts."""
    took_s: list[float] = []
    others = 0
    for text in bad:
        (folder / "pointsman.toml").write_bytes(text)
        began_s = time.monotonic()
        done = subprocess.run(
            [*MAIN, "serve", "--port", "0", "--config", "pointsman.toml"],
            cwd=folder, env=_environment(), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        took_s.append(time.monotonic() - began_s)
        others += done.returncode != BAD_EXIT or b"Traceback" in done.stderr
    return Figure(
        "row 26", f"the longest of {len(bad)} starts on a bad configuration; ended otherwise than"
        f" with status {BAD_EXIT}", f"<= {BOOT_S_MAX:g} s; 0", f"{max(took_s):.1f} s; {others}",
        max(took_s) <= BOOT_S_MAX and not others,
    )  # fmt: skip


def _environment() -> Mapping[str, str]:
    """Return one in which Python keeps its bytecode, as an installed package has it."""
    environment = bare_environment()
    del environment["PYTHONDONTWRITEBYTECODE"]
    return environment
