"""Library: the Python door. `AsyncRouter` for a running event loop, `Router` for everybody else."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias, Unpack

import msgspec

from pointsman.asking import Asking, build_request
from pointsman.assembly import build_pipeline
from pointsman.config import Settings, TierSettings, check_settings, load_settings
from pointsman.config.problems import Origin, raise_problems
from pointsman.config.structure import read_struct
from pointsman.core.errors import ConfigError, RequestError
from pointsman.core.events import Event
from pointsman.core.types import Answer, Decision, Request
from pointsman.explanation import Explanation
from pointsman.loop_thread import CLOSED, LoopThread
from pointsman.policies import quality_proof
from pointsman.providers import Provider
from pointsman.report import Report, build_report
from pointsman.router import Pipeline
from pointsman.server.in_process import AsyncTransport, BlockingTransport, Door, client_module
from pointsman.stream import AnswerStream

if TYPE_CHECKING:
    import httpx2

Prompt: TypeAlias = str | Sequence[Mapping[str, object]] | Request

_NS_PER_S = 1_000_000_000


class AsyncRouter:
    """Sends each request to the cheapest tier that will answer it well, and books it.

    `tiers` go from cheapest to strongest; `sections` are those of `pointsman.toml`, such as
    `routing={"policy": "cascade"}` or `ledger={"url": "sqlite://"}`. `env` holds the providers'
    keys. `call_with` are providers of your own, by the name that the models carry.

    Raises ConfigError for what cannot be used; RuntimeError where a closed router is asked.
    """

    pipeline: Pipeline
    is_closed = False

    def __init__(
        self,
        tiers: Sequence[TierSettings] = (),
        *,
        env: Mapping[str, str] | None = None,
        call_with: Mapping[str, Provider] | None = None,
        **sections: object,
    ) -> None:
        env = os.environ if env is None else env
        settings = _settings(tiers, sections)
        check_settings(settings, env, needs_keys=call_with is None)
        self.pipeline = build_pipeline(settings, env, providers=call_with)

    @classmethod
    def from_config(cls, path: str | None = None, *, env: Mapping[str, str] | None = None) -> Self:
        """Return a router of a configuration file, or of what the environment offers."""
        env = os.environ if env is None else env
        return cls._from_settings(load_settings(path, env), env)

    @classmethod
    def _from_settings(cls, settings: Settings, env: Mapping[str, str]) -> Self:
        router = cls.__new__(cls)
        router.pipeline = build_pipeline(settings, env)
        return router

    async def route(self, prompt: Prompt, **asking: Unpack[Asking]) -> Answer:
        """Return the whole answer to a prompt, a list of messages, or a request.

        Not streamed unless `asking` says so: then validators see it all. Raises GatewayError.
        """
        asking.setdefault("stream", False)
        async with self.open(prompt, **asking) as stream:
            return await stream.collect()

    @asynccontextmanager
    async def open(self, prompt: Prompt, **asking: Unpack[Asking]) -> AsyncIterator[AnswerStream]:
        """Open an answer and iterate its events as they come.

        Raises GatewayError, on entering and from the events.
        """
        self._check_open()
        asking.setdefault("stream", True)
        async with self.pipeline.open(build_request(prompt, asking)) as stream:
            yield stream

    def classify(self, prompt: Prompt, **asking: Unpack[Asking]) -> Decision:
        """Return the decision for a prompt; calls no one. Raises RequestError."""
        return self.pipeline.decide(build_request(prompt, asking))

    def explain(self, prompt: Prompt, **asking: Unpack[Asking]) -> Explanation:
        """Return the decision for a prompt, and what each tier would cost. Calls no one."""
        return self.pipeline.explain(build_request(prompt, asking))

    def report(self, *, by: str | None = None, since: datetime | None = None) -> Report:
        """Return what was spent and saved since `since`, None for today's UTC midnight."""
        self._check_open()
        now = datetime.now(UTC)
        start = since or now.replace(hour=0, minute=0, second=0, microsecond=0)
        since_ns = int(start.timestamp()) * _NS_PER_S
        tiers = self.pipeline.routing.snapshot.tiers
        return build_report(
            self.pipeline.stores.ledger.rows(since_ns=since_ns),
            tiers=tiers,
            by=by,
            since_ns=since_ns,
            until_ns=None,
            audits=self.pipeline.stores.ledger.audits(),
            quality_proof=quality_proof(self.pipeline.routing.policy, tiers),
        )

    async def feedback(self, request_id: str, score: float) -> bool:
        """Keep a score (0..1) for an answer; False when its request is not known.

        Raises RequestError for another score.
        """
        self._check_open()
        if not 0 <= score <= 1:
            raise RequestError(f"score is {score}; it goes from 0 to 1", param="score")
        return await self.pipeline.feedback(request_id, score)

    def http_client(self) -> "httpx2.AsyncClient":
        """Return an HTTP client for `openai.AsyncOpenAI(http_client=...)` that ends up here."""
        client: httpx2.AsyncClient = client_module().AsyncClient(
            transport=AsyncTransport(self.door)
        )
        return client

    @cached_property
    def door(self) -> Door:
        """Return what the HTTP clients end up in: the server's routes."""
        return Door(self.pipeline)

    async def aclose(self) -> None:
        """Write what is pending, let go of connections and files; the second time does nothing."""
        if not self.is_closed:
            self.is_closed = True
            await self.pipeline.aclose()

    async def __aenter__(self) -> Self:
        """Return the router."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    def _check_open(self) -> None:
        if self.is_closed:
            raise RuntimeError(CLOSED)


class Router:
    """`AsyncRouter` for code without an event loop: it runs one in a thread of its own.

    Takes what AsyncRouter takes. May be used from several threads at once.
    """

    def __init__(
        self,
        tiers: Sequence[TierSettings] = (),
        *,
        env: Mapping[str, str] | None = None,
        call_with: Mapping[str, Provider] | None = None,
        **sections: object,
    ) -> None:
        self._begin(AsyncRouter(tiers, env=env, call_with=call_with, **sections))

    @classmethod
    def from_config(cls, path: str | None = None, *, env: Mapping[str, str] | None = None) -> Self:
        """Return a router of a configuration file, or of what the environment offers."""
        router = cls.__new__(cls)
        router._begin(AsyncRouter.from_config(path, env=env))
        return router

    def route(self, prompt: Prompt, **asking: Unpack[Asking]) -> Answer:
        """Return the whole answer to a prompt, a list of messages, or a request.

        Raises GatewayError.
        """
        return self._thread.run(self._router.route(prompt, **asking))

    @contextmanager
    def open(self, prompt: Prompt, **asking: Unpack[Asking]) -> Iterator["BlockingStream"]:
        """Open an answer and iterate its events as they come. Raises GatewayError."""
        opened = self._router.open(prompt, **asking)
        stream = self._thread.run(opened.__aenter__())
        try:
            yield BlockingStream(stream, self._thread)
        finally:
            if not self._thread.is_closed:  # closing has stopped it already
                self._thread.run(opened.__aexit__(None, None, None))

    def classify(self, prompt: Prompt, **asking: Unpack[Asking]) -> Decision:
        """Return the decision for a prompt; calls no one. Raises RequestError."""
        return self._router.classify(prompt, **asking)

    def explain(self, prompt: Prompt, **asking: Unpack[Asking]) -> Explanation:
        """Return the decision for a prompt, and what each tier would cost. Calls no one."""
        return self._router.explain(prompt, **asking)

    def report(self, *, by: str | None = None, since: datetime | None = None) -> Report:
        """Return what was spent and saved since `since`, None for today's UTC midnight."""
        return self._router.report(by=by, since=since)

    def feedback(self, request_id: str, score: float) -> bool:
        """Keep a score (0..1) for an answer; False when its request is not known."""
        return self._thread.run(self._router.feedback(request_id, score))

    def http_client(self) -> "httpx2.Client":
        """Return an HTTP client for `openai.OpenAI(http_client=...)` that ends up here."""
        client: httpx2.Client = client_module().Client(
            transport=BlockingTransport(self._router.door, self._thread.run)
        )
        return client

    def close(self) -> None:
        """Stop what runs, write what is pending, let go of connections and files, end the thread.

        Does nothing the second time.
        """
        self._thread.close(self._router.aclose)

    def __enter__(self) -> Self:
        """Return the router."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _begin(self, router: AsyncRouter) -> None:
        self._router = router
        self._thread = LoopThread()


class BlockingStream:
    """An `AnswerStream` read without an event loop. `answering` has what is known of it."""

    def __init__(self, answering: AnswerStream, thread: LoopThread) -> None:
        self.answering = answering
        self._thread = thread

    def __iter__(self) -> Iterator[Event]:
        """Yield the events."""
        while (event := self._thread.run(self._next())) is not None:
            yield event

    def collect(self) -> Answer:
        """Read the stream to its end."""
        return self._thread.run(self.answering.collect())

    async def _next(self) -> Event | None:
        return await anext(self.answering, None)


def _settings(tiers: Sequence[TierSettings], sections: Mapping[str, object]) -> Settings:
    """Return settings of plain values or of their Structs. Raises ConfigError."""
    try:
        data = msgspec.to_builtins({**sections, "tiers": tuple(tiers)})
    except TypeError as error:
        raise ConfigError(f"settings: {error}; sections hold what TOML has a form for") from error
    settings, problems = read_struct(data, Settings)
    raise_problems(problems, Origin())
    assert settings is not None, "what cannot be read has problems"
    return settings
