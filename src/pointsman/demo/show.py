"""Show: sends the bundled requests through the one pipeline and prints what happens, as it does."""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pointsman.asking import build_request
from pointsman.assembly import build_pipeline, build_routing
from pointsman.clock import SystemClock
from pointsman.compare import LoggedRequest
from pointsman.config import Settings
from pointsman.core.answer import AnswerBuilder
from pointsman.core.events import TextDelta
from pointsman.core.prices import format_usd
from pointsman.core.secret import Variables
from pointsman.core.types import Answer, Request, Snapshot
from pointsman.demo.models import LocalModels
from pointsman.demo.provider import WithoutTemplate
from pointsman.demo.requests import DemoRequest
from pointsman.demo.tiers import FAST, STAND_INS, demo_settings
from pointsman.ledger import LedgerSettings
from pointsman.providers.http import HttpProvider
from pointsman.report import Report, build_report
from pointsman.router import Pipeline
from pointsman.stream import AnswerStream

if TYPE_CHECKING:
    from rich.console import Console

_ASKED_CHARS = 44


@dataclass(frozen=True, slots=True)
class Shown:
    """What a run of the demo leaves: its records in order, the report, and the tiers."""

    records: tuple[LoggedRequest, ...]
    report: Report
    snapshot: Snapshot


async def show(
    requests: Sequence[DemoRequest], models: LocalModels, folder: Path, console: "Console"
) -> Shown:
    """Send the requests in order; `folder` takes the ledger. Raises GatewayError."""
    urls = (models["gemma"].base_url, models["smollm2"].base_url)
    ledger, now = folder / "demo.db", datetime.now(UTC)
    settings = demo_settings(*urls, ledger, at=now)
    dead_first = demo_settings(*urls, ledger, at=now, has_dead_first=True)
    records: list[LoggedRequest] = []
    template_tokens = await _template_tokens(settings)
    call_with = {"local-1": WithoutTemplate(_http(settings), template_tokens)}
    async with build_pipeline(settings, os.environ, providers=call_with) as pipeline:
        whole = pipeline.routing
        broken = build_routing(dead_first, os.environ, clock=SystemClock(), providers=call_with)
        _print_head(console, template_tokens)
        for number, asked in enumerate(requests, 1):
            pipeline.swap(broken if asked.force == "fallback" else whole)
            records.append(await _one(pipeline, asked, number, len(requests), console))
        tiers = pipeline.routing.snapshot.tiers
        report = build_report(pipeline.stores.ledger.rows(), tiers=tiers, by="model")
        return Shown(tuple(records), report, pipeline.routing.snapshot)


def _http(settings: Settings) -> HttpProvider:
    return HttpProvider(timeouts=settings.timeouts, key_of=Variables(os.environ))


async def _template_tokens(settings: Settings) -> int:
    """Return how many input tokens the weak model's server counts for an empty message."""
    request = build_request("", {"model": FAST, "max_tokens": 1, "cache": "off"})
    in_memory = msgspec.structs.replace(settings, ledger=LedgerSettings(url="sqlite://"))
    async with build_pipeline(in_memory, os.environ) as pipeline, pipeline.open(request) as stream:
        return (await stream.collect()).usage.input_tokens


async def _one(
    pipeline: Pipeline, asked: DemoRequest, number: int, total: int, console: "Console"
) -> LoggedRequest:
    request = _request(asked)
    clock = SystemClock()
    began_s, at_s = clock.monotonic_s(), clock.wall_ns() / 1e9
    async with AsyncExitStack() as stack:
        if not asked.stream:
            line = f"{number}/{total}  {asked.text[:_ASKED_CHARS]}"
            stack.enter_context(console.status(line))
        stream = await stack.enter_async_context(pipeline.open(request))
        answer = await _read(stream, console if asked.stream else None)
    latency_ms = round((clock.monotonic_s() - began_s) * 1000)
    _print_row(console, number, asked, answer, latency_ms)
    return LoggedRequest.of(
        request,
        answer.usage,
        answer.model,
        latency_ms,
        at_s=at_s,
        is_hit=answer.is_cached,
        is_keepable=answer.finish_reason == "stop",
    )


def _request(asked: DemoRequest) -> Request:
    body = asked.body(model="auto")
    messages = body.pop("messages")
    assert isinstance(messages, list), "DemoRequest.body gives a chat body"
    return build_request(messages, {"model": "auto", "fields": body})


async def _read(stream: AnswerStream, console: "Console | None") -> Answer:
    """Read an answer to its end, on the screen as it comes where there is a console."""
    builder = AnswerBuilder()
    async for event in stream:
        builder.add(event)
        if console is not None and isinstance(event, TextDelta):
            _say(console, event.text, style="dim", end="")
    if console is not None:
        console.print()
    return stream.answer(builder)


def _print_head(console: "Console", template_tokens: int) -> None:
    console.print(
        f"{FAST} is a base model, whose template adds {template_tokens} tokens of worked examples "
        "to each request; they are left out of its tokens."
    )
    for model, stand_in in STAND_INS.items():
        console.print(f"{model} runs here for nothing; it is priced as its stand-in, {stand_in}.")
    console.print()
    _say(
        console,
        f"{'#':>3} {'kind':8} {'tier':6} {'model':16} {'tokens':>9} {'cost':>12} "
        f"{'cache':5} {'time':>7}  request",
        style="bold",
    )


def _print_row(
    console: "Console", number: int, asked: DemoRequest, answer: Answer, latency_ms: int
) -> None:
    usage = answer.usage
    tokens = f"{usage.input_tokens}+{usage.output_tokens}"
    line = (
        f"{number:>3} {asked.kind:8} {answer.tier:6} {answer.model:16} {tokens:>9} "
        f"{format_usd(answer.cost_nanousd):>12} {answer.cache:5} {latency_ms / 1000:>6.2f}s  "
        f"{' '.join(asked.text.split())[:_ASKED_CHARS]}"
    )
    style = "green" if answer.is_cached else None
    width = console.width if console.is_terminal else len(line)
    _say(console, line[:width], style=style)
    for remark in _remarks(asked, answer):
        _say(console, f"{'':4}{remark}", style="yellow")


def _say(console: "Console", text: str, *, style: str | None, end: str = "\n") -> None:
    """Print text as it is: a model's own brackets are no markup, and its lines stay whole."""
    console.print(text, style=style, end=end, markup=False, highlight=False, soft_wrap=True)


def _remarks(asked: DemoRequest, answer: Answer) -> Sequence[str]:
    if answer.attempts < 2:
        return ()
    return (f"{asked.force or 'more than one attempt'}: {answer.reason}; {answer.model} answered",)
