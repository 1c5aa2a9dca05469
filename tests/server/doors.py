"""An app around scripted models, asked without a socket, and what its replies say."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from pointsman.access import KeyStore
from pointsman.access.environment import ADMIN_KEY_ENV, API_KEYS_ENV, stated_keys
from pointsman.access.keyring import Keyring
from pointsman.assembly import build_pipeline
from pointsman.clock import SystemClock
from pointsman.config import parse_settings
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.router import Pipeline
from pointsman.server import reply
from pointsman.server.app import App
from pointsman.server.bodies import Incoming, Limits
from pointsman.server.metrics import Metrics
from pointsman.server.parser import Head
from pointsman.server.routes import Services

TOML = """
[providers.fake]
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
[[tiers]]
name = "fast"
models = ["fake/small"]
max_tokens = 100
[[tiers]]
name = "power"
models = ["fake/large"]
[prices."fake/small"]
input = 1.0
output = 2.0
[prices."fake/large"]
input = 10.0
output = 20.0
[ledger]
url = "sqlite://"
"""
SCRIPT: Mapping[str, Sequence[Scripted | str]] = {
    "small": ["small says this"],
    "large": ["large says this"],
}
CHAT = "/v1/chat/completions"


class Reply(reply.Reply):
    """What an app sent, as far as it has come. `begun` is set once some of its body has."""

    def __init__(self, begun: asyncio.Event | None = None) -> None:
        self.pieces: list[bytes] = []
        self._begun = begun

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        return self.is_finished

    def write(self, body: bytes) -> None:
        assert self.has_started and not self.is_finished
        self.pieces.append(body)
        if self._begun is not None:
            self._begun.set()

    def finish(self) -> None:
        assert self.has_started and not self.is_finished
        super().finish()

    def _open(self, status: int, headers: dict[str, str]) -> None:
        assert not self.has_started, "a reply starts once"
        assert status

    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> dict[str, Any]:
        """Return the error of a reply in OpenAI's shape."""
        assert self.is_whole
        assert self.headers["content-type"] == "application/json"
        assert int(self.headers["content-length"]) == len(self.body)
        (name, error) = next(iter(self.json().items()))
        assert name == "error"
        assert error.keys() >= {"message", "type", "code", "param", "request_id"}
        assert error["request_id"] == self.headers["x-request-id"]
        assert self.headers["x-should-retry"] in {"true", "false"}
        assert "x-pointsman-attempts" in self.headers
        told: dict[str, Any] = error
        return told

    def frames(self) -> list[Any]:
        """Return the data of an event stream, `[DONE]` as it stands."""
        lines = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


class Source:
    """Brings no more of a body than a test feeds; `asked` is set once somebody wants more."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def go_on(self) -> None:
        self.asked.set()

    def hold(self) -> None: ...


class Unasked(Source):
    """Is never to be asked for a body."""

    def go_on(self) -> None:
        raise AssertionError("the body was asked for")


def request(
    path: str, headers: Mapping[str, str], method: str = "POST", source: Source | None = None
) -> Incoming:
    """Return a request of which no body has come yet."""
    path, _, query = path.partition("?")
    path = unquote(path, errors="replace")
    lower = {name.lower(): value for name, value in headers.items()}
    return Incoming(Head(method, path, query, lower), source or Source())


class Client:
    """Asks an app as a server would, and keeps what it says."""

    def __init__(self, app: App, pipeline: Pipeline, upstream: FakeProvider) -> None:
        self.app = app
        self.pipeline = pipeline
        self.upstream = upstream

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        *,
        hang_up: asyncio.Event | None = None,
        begun: asyncio.Event | None = None,
    ) -> Reply:
        """Send one request. A body of several parts comes chunked, without its length.

        `hang_up` makes the client go away; `begun` is set once some of a reply's body has come.
        """
        parts = [body] if isinstance(body, bytes) else list(body)
        sent = {"host": "localhost", **(headers or {})}
        if isinstance(body, bytes):
            sent = {"content-length": str(len(body)), **sent}
        incoming = request(path, sent, method)
        for part in parts:
            incoming.feed(part)
        if sent.get("content-length") in (None, str(len(b"".join(parts)))):
            incoming.end()
        heard = Reply(begun)
        watch = asyncio.create_task(_hang_up(incoming, hang_up))
        try:
            await self.send(incoming, heard)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        return heard

    async def send(self, incoming: Incoming, reply: Reply) -> None:
        """Hand a request to the app, and wait for its end."""
        incoming.task = asyncio.create_task(self.app.handle(incoming, reply))
        await incoming.task

    async def chat(self, text: str = "hello", **fields: Any) -> Reply:
        """Ask for a chat completion; `headers` are those of the request."""
        headers = fields.pop("headers", {})
        return await self.ask("POST", CHAT, chat_body(text, **fields), headers)


async def _hang_up(incoming: Incoming, gone: asyncio.Event | None) -> None:
    if gone is not None:
        await gone.wait()
        incoming.hang_up()


def chat_body(text: str = "hello", **fields: Any) -> bytes:
    """Return a chat body."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return json.dumps(body | fields).encode()


@asynccontextmanager
async def opened(
    script: Mapping[str, Sequence[Scripted | str]] = SCRIPT,
    *,
    keys: str = "",
    admin: str = "",
    store: KeyStore | None = None,
    limits: Limits | None = None,
    toml: str = TOML,
) -> AsyncIterator[Client]:
    """Open an app on scripted models; `keys` and `admin` are the environment's."""
    upstream = FakeProvider(script)
    settings = parse_settings(toml, "test.toml", {})
    async with build_pipeline(settings, {}, providers={"fake": upstream}, seed=1) as pipeline:
        metrics = Metrics()
        pipeline.observers.append(metrics.observe)
        services = Services(pipeline=pipeline, metrics=metrics)
        env = {API_KEYS_ENV: keys, ADMIN_KEY_ENV: admin}
        keyring = Keyring(stated_keys(env), store, SystemClock())
        yield Client(App(services, keyring, limits), pipeline, upstream)
        await keyring.close()
        assert upstream.open_calls == 0, "no call outlives its request"
