"""Comparison command: `compare` plays every strategy over a log, or over our own ledger."""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO, TypeAlias

from cyclopts import Parameter

from pointsman.assembly import build_routing, policy_settings
from pointsman.clock import SystemClock
from pointsman.commands.terminal import OK, AsJson, ConfigPath, complain, note
from pointsman.compare import Comparison, LeftOut, LoggedRequest, render
from pointsman.compare import compare as compare_strategies
from pointsman.compare.chart import check_chart, write_chart
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.compare.own_ledger import read_ledger
from pointsman.config import Settings, load_settings
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.ledger.opening import open_ledger

Records: TypeAlias = Iterator[LoggedRequest]
_Tick: TypeAlias = Callable[[int], None]

_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it
_NS_PER_S = 1_000_000_000
_SQLITE_FILE = "sqlite:///"
_SPAN = re.compile(r"(\d+)([dhm])")
_SPAN_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_TICK_REQUESTS = 200


def compare(
    data: Annotated[
        Path | None,
        Parameter(name="--data", help="Log of chat requests, OpenAI JSONL; else our own ledger."),
    ] = None,
    *,
    strategies: Annotated[
        str | None, Parameter(help='Names with commas between, such as "signals,all-fast + cache".')
    ] = None,
    since: Annotated[
        str | None, Parameter(help="Only what is not older: 7d, 12h, 30m, or 2026-11-01.")
    ] = None,
    chart: Annotated[
        Path | None, Parameter(help="Also draw the figures, in this PNG or SVG file.")
    ] = None,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Say what each strategy would have cost over a log, and how long it would have taken.

    Example: pointsman compare --data requests.jsonl --chart costs.png
    """
    try:
        if chart is not None:
            check_chart(chart)
        settings = load_settings(config, os.environ, needs_keys=False)
        begin_s = _begin_s(since)
        comparison = _compared(settings, data, _names(strategies), begin_s)
        _require_requests(comparison, data, settings, since)
        render(comparison, json=json)
        if chart is not None:
            write_chart(comparison, chart)
            note(f"Wrote {chart}.")
    except GatewayError as error:
        return complain(error.message.splitlines())
    except KeyboardInterrupt:
        note("interrupted; the log is only read, and nothing was written")
        return _INTERRUPTED
    return OK


def _compared(
    settings: Settings, data: Path | None, names: list[str] | None, begin_s: float | None
) -> Comparison:
    routing = build_routing(settings, os.environ, clock=SystemClock())
    left_out = LeftOut()
    source = _from_file(data, left_out) if data else _from_ledger(settings, left_out, begin_s)
    with source as records:
        return compare_strategies(
            _since(records, begin_s),
            snapshot=routing.snapshot,
            policies=policy_settings(settings),
            aliases=routing.aliases,
            strategies=names,
            ttl_s=settings.cache.ttl_s,
            left_out=left_out,
        )


@contextmanager
def _from_file(path: Path, left_out: LeftOut) -> Iterator[Records]:
    try:
        with path.open("rb") as file, _progress(f"Reading {path}", _size(file)) as tick:
            yield _ticked(read_openai_jsonl(file, left_out), tick, lambda _: file.tell())
    except OSError as error:
        raise ConfigError(
            f'--data "{path}": cannot be read: {error.strerror}; name a JSONL file of chat requests'
        ) from error


@contextmanager
def _from_ledger(settings: Settings, left_out: LeftOut, begin_s: float | None) -> Iterator[Records]:
    url = settings.ledger.url
    path = url.removeprefix(_SQLITE_FILE)
    if path != url and not Path(path).is_file():
        raise ConfigError(
            f'[ledger] url "{url}": there is no ledger there yet;'
            " send requests through pointsman first, or name a log with --data FILE"
        )
    ledger = open_ledger(url, durability=settings.ledger.durability)
    try:
        with _progress("Reading the ledger", None) as tick:
            rows = ledger.rows(since_ns=round((begin_s or 0) * _NS_PER_S))
            yield _ticked(read_ledger(rows, left_out), tick, lambda count: count)
    finally:
        asyncio.run(ledger.close())


def _ticked(records: Records, tick: _Tick, place: Callable[[int], int]) -> Records:
    """Yield the records, telling how far it is after every few of them."""
    for count, record in enumerate(records, start=1):
        yield record
        if count % _TICK_REQUESTS == 0:
            tick(place(count))


@contextmanager
def _progress(title: str, total: int | None) -> Iterator[_Tick]:
    """Show a bar on a terminal, on standard error; nothing elsewhere. `total` None: not known."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda completed: progress.update(task, completed=completed)


def _size(file: BinaryIO) -> int | None:
    size = os.fstat(file.fileno()).st_size
    return size or None  # a pipe has none


def _since(records: Records, begin_s: float | None) -> Records:
    """Yield the records of that time or later; of an unknown time too, when there is no bound."""
    for record in records:
        if begin_s is None or (record.at_s is not None and record.at_s >= begin_s):
            yield record


def _begin_s(since: str | None) -> float | None:
    """Return the Unix seconds that `--since` means. Raises ConfigError."""
    if since is None:
        return None
    now = datetime.now(UTC)
    with suppress(ValueError, OverflowError):
        if span := _SPAN.fullmatch(since):
            return (now - int(span[1]) * _SPAN_UNITS[span[2]]).timestamp()
        when = datetime.fromisoformat(since)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    raise ConfigError(
        f'--since "{since}": is no time; write 7d, 12h or 30m for that long ago, or a date'
        " such as 2026-11-01 (UTC)"
    )


def _names(strategies: str | None) -> list[str] | None:
    if strategies is None:
        return None
    return [name.strip() for name in strategies.split(",") if name.strip()]


def _require_requests(
    comparison: Comparison, data: Path | None, settings: Settings, since: str | None
) -> None:
    log = comparison.log
    if log.compared:
        return
    where = f'--data "{data}"' if data else f'[ledger] url "{settings.ledger.url}"'
    bound = f" since {since}" if since else ""
    reasons = [*log.lines_named]
    if log.unserved:
        reasons.append(f"no configured model can serve any of its {log.unserved:,} requests")
    remedy = "name another log" if data else "send requests first, or name a log with --data FILE"
    raise ConfigError("\n".join([f"{where}: no request to compare{bound}; {remedy}", *reasons]))
