"""A gateway and its upstream while they run: started on their cores, asked, and ended."""

import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.speed import processes
from bench.speed.asking import ask, free_port
from bench.speed.bodies import COUNTER, LARGE_CHARS, MODEL, SMALL_CHARS, Dialect, body
from bench.speed.install import PEERS, installed_version
from bench.speed.loads import Callee
from bench.speed.results import ROOT, said
from bench.speed.spec import HERE, Gateway, filled

BIN = Path(sys.executable).parent
LOG_TAIL_CHARS = 600


class NotStarted(Exception):
    """A gateway did not come to answer; says what it printed."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores the gateway has, and which the upstream and the load share."""

    gateway: tuple[int, ...] = (0,)
    load: tuple[int, ...] = (1,)


class Upstream:
    """The mock upstream while it runs. `url`: without /v1."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def requests(self) -> int:
        """Return how many requests have come so far."""
        status, told = ask("GET", f"{self.url}/stats", b"", {})
        assert status == 200, told
        return int(json.loads(told)["requests"])


@contextmanager
def upstream(cores: Cores, *, delay_ms: float = 5.0) -> Iterator[Upstream]:
    """Run the mock: 100 chunks a stream, `delay_ms` apart."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        module = [sys.executable, "-m", "bench.speed.mock_upstream"]
        process = processes.start(
            [*module, "--port", "0", "--delay", str(delay_ms)],
            cores=cores.load,
            log=log,
            folder=ROOT,
            env={"PYTHONUNBUFFERED": "1"},
        )
        try:
            deadline_s = time.monotonic() + 30
            while not (told := log.read_text()).strip().isdigit():
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise NotStarted(f"the mock upstream: {told[-LOG_TAIL_CHARS:]}")
                time.sleep(0.02)
            yield Upstream(process, int(told))
        finally:
            processes.end(process)


class Started:
    """A gateway while it runs. `cold_start_s`: from its start to its first whole answer."""

    def __init__(self, gateway: Gateway, work: Path, values: Mapping[str, str]) -> None:
        self.gateway = gateway
        self.work = work
        self._values = values
        self.headers = [f"{name}: {filled(v, values)}" for name, v in gateway.headers.items()]
        self.base = f"http://127.0.0.1:{values['PORT']}"
        self.pid = 0
        self.cold_start_s = 0.0

    @property
    def url(self) -> str:
        return f"{self.base}{self.gateway.path}"

    @property
    def callee(self) -> Callee:
        return Callee(self.url, tuple(self.headers), self.work)

    def callee_at(self, path: str) -> Callee:
        return Callee(f"{self.base}{path}", tuple(self.headers), self.work)

    def start(self, cores: Cores) -> "subprocess.Popen[bytes]":
        """Start it and wait for its first answer. Raises NotStarted."""
        for name, template in self.gateway.files.items():
            text = (HERE / "gateways" / template).read_text("utf-8")
            path = self.work / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(filled(text, self._values), "utf-8")
        began_s = time.perf_counter()
        process = processes.start(
            [filled(word, self._values) for word in self.gateway.command],
            cores=cores.gateway,
            log=self.work / "log",
            env={name: filled(v, self._values) for name, v in self.gateway.env.items()},
            folder=self.work,
        )
        self.pid = process.pid
        try:
            self._wait(process, began_s)
        except BaseException:
            processes.end(process)
            raise
        return process

    def _wait(self, process: "subprocess.Popen[bytes]", began_s: float) -> None:
        text = self.body_text("small").replace(COUNTER, "0").encode()
        last = "nothing listens"
        while True:
            with suppress(OSError, http.client.HTTPException):
                if self.gateway.address_file:
                    told = (self.work / self.gateway.address_file).read_text("utf-8").strip()
                    self.base = told or self.base
                status, answer = ask("POST", self.url, text, self._header_map())
                if status == 200 and (b'"choices"' in answer or b'"content"' in answer):
                    self.cold_start_s = time.perf_counter() - began_s
                    return
                last = f"status {status}: {answer[:200]!r}"
            waited_s = time.perf_counter() - began_s
            if process.poll() is not None or waited_s > self.gateway.start_timeout_s:
                log = (self.work / "log").read_text("utf-8", "replace")[-LOG_TAIL_CHARS:]
                raise NotStarted(f"{self.gateway.name} after {waited_s:.0f} s: {last}; {log}")
            time.sleep(0.005 if waited_s < 5 else 0.05)

    def _header_map(self) -> dict[str, str]:
        pairs = (header.partition(":") for header in self.headers)
        return {name.strip(): value.strip() for name, _, value in pairs} | {
            "content-type": "application/json"
        }

    def body_text(
        self,
        kind: str,
        *,
        dialect: Dialect | None = None,
        model: str = "",
        chars: int = 0,
        is_fixed: bool = False,
    ) -> str:
        """Return a body: "small", "large" or "stream"; `chars` in place of the kind's length."""
        gateway = self.gateway
        is_stream = kind == "stream"
        size = chars or (LARGE_CHARS if kind == "large" else SMALL_CHARS)
        text = body(dialect or gateway.dialect, size, is_stream=is_stream)
        asked = model or (is_stream and gateway.stream_model) or gateway.model
        text = text.replace(MODEL, asked)
        return text.replace(COUNTER, "0") if is_fixed else text


@contextmanager
def started(
    gateway: Gateway,
    up: Upstream,
    cores: Cores,
    settings: Mapping[str, str] | None = None,
    prepare: Callable[[Path], None] | None = None,
) -> Iterator[Started]:
    """Run a gateway in a new folder of its own, which `prepare` may fill. Raises NotStarted."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{gateway.name}-") as folder:
        values = {
            "MOCK": up.url,
            "MOCK_PORT": str(up.port),
            "PORT": str(free_port()),
            "WORK": folder,
            "BIN": str(BIN),
            "PEER": str(PEERS / gateway.name),
            **gateway.settings,
            **(settings or {}),
        }
        if prepare is not None:
            prepare(Path(folder))
        running = Started(gateway, Path(folder), values)
        process = running.start(cores)
        try:
            yield running
        finally:
            processes.end(process)


def version(gateway: Gateway) -> str:
    """Return a gateway's version: of the package that was installed, or what it says itself."""
    if gateway.install is not None:
        return installed_version(PEERS / gateway.name, gateway.install)
    bin_folder = gateway.settings.get("BIN", str(BIN))
    told = said(*(word.replace("{BIN}", bin_folder) for word in gateway.version))
    found = re.search(r"\d+\.\d+[\w.]*", told)
    return found.group() if found else told
