"""Comparison command: `compare` plays every strategy over a log, or over our own ledger."""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from cyclopts import Parameter

from pointsman.assembly import build_routing, policy_settings
from pointsman.clock import SystemClock
from pointsman.commands.terminal import OK, AsJson, ConfigPath, complain, note, progress_bar
from pointsman.compare import Comparison, LeftOut, render
from pointsman.compare.bundled import (
    BUNDLES,
    DEFAULT,
    Bundle,
    bundled_settings,
    check_alone,
    find_bundle,
)
from pointsman.compare.chart import write_chart
from pointsman.compare.chart_file import check_chart
from pointsman.compare.files import FileJob, find_files, not_before, run_files, size_of, ticked
from pointsman.compare.on_ray import check_ray, run_files_on_ray
from pointsman.compare.own_ledger import read_ledger
from pointsman.compare.partial import Partial
from pointsman.compare.simulate import Job, conclude, play
from pointsman.compare.what_if import with_what_if
from pointsman.config import Settings, find_config, load_settings
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.ledger.opening import open_ledger

DataPaths = Annotated[
    list[Path] | None,
    Parameter(
        name="--data",
        consume_multiple=True,
        negative="",
        help="Logs, labelled data, or folders of them; `sample` and `chores` come with the package;"
        " without it our own ledger.",
    ),
]
_Tick: TypeAlias = Callable[[int], None]

_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it
_NS_PER_S = 1_000_000_000
_SQLITE_FILE = "sqlite:///"
_SPAN = re.compile(r"(\d+)([dhm])")
_SPAN_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def compare(
    data: DataPaths = None,
    *,
    strategies: Annotated[
        str | None, Parameter(help='Names with commas between, such as "signals,all-fast + cache".')
    ] = None,
    since: Annotated[
        str | None, Parameter(help="Only what is not older: 7d, 12h, 30m, or 2026-11-01.")
    ] = None,
    format: Annotated[
        str | None, Parameter(help="The logs' format, where their first lines do not tell it.")
    ] = None,
    what_if: Annotated[
        Path | None,
        Parameter(help="TOML file whose tiers, prices and routing stand in for the configured."),
    ] = None,
    ray: Annotated[
        bool, Parameter(negative="", help="Read the files on a Ray cluster; needs the extra ray.")
    ] = False,
    chart: Annotated[
        Path | None, Parameter(help="Also draw the figures, in this PNG or SVG file.")
    ] = None,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Say what each strategy would have cost over a log, how good it is, and whether it pays.

    Example: pointsman compare --data requests.jsonl --chart costs.png
    """
    try:
        _check_extras(chart, on_ray=ray)
        check_alone(data or ())
        settings = _settings(config, data)
        if what_if is not None:
            settings = with_what_if(settings, what_if, os.environ)
        job = FileJob(
            job=_job(settings, _names(strategies), what_if),
            format=format,
            begin_s=_begin_s(since),
        )
        comparison = _compared(settings, data, job, on_ray=ray)
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


def _settings(config: str | None, data: list[Path] | None) -> Settings:
    """Return the settings; where there is nothing to route to, those of bundled data will do.

    Raises ConfigError.
    """
    try:
        return load_settings(config, os.environ, needs_keys=False)
    except ConfigError:
        is_bundled = not data or (len(data) == 1 and find_bundle(data[0]) is not None)
        if not is_bundled or find_config(config, os.environ) is not None:
            raise
    return bundled_settings(str(data[0]) if data else DEFAULT)


def _check_extras(chart: Path | None, *, on_ray: bool) -> None:
    """Raise ConfigError where something is missing that is only needed at the end."""
    if chart is not None:
        check_chart(chart)
    if on_ray:
        check_ray()


def _job(settings: Settings, names: list[str] | None, what_if: Path | None) -> Job:
    routing = build_routing(settings, os.environ, clock=SystemClock())
    return Job(
        snapshot=routing.snapshot,
        policies=policy_settings(settings),
        aliases=tuple(routing.aliases),
        strategies=None if names is None else tuple(names),
        ttl_s=settings.cache.ttl_s,
        also_keep=settings.cache.also_keep,
        is_repriced=what_if is not None,
        what_if="" if what_if is None else str(what_if),
    )


def _compared(
    settings: Settings, data: list[Path] | None, job: FileJob, *, on_ray: bool
) -> Comparison:
    bundle = find_bundle(data[0]) if data and len(data) == 1 else None
    if not data and DEFAULT in BUNDLES and not _has_ledger(settings):
        note("There is no ledger yet, so this is the bundled sample; name a log with --data FILE.")
        bundle = BUNDLES[DEFAULT]()
    if on_ray and (bundle or not data):
        raise ConfigError("--ray reads files; name them with --data")
    if job.format is not None and (bundle or not data):
        raise ConfigError(f'--format "{job.format}": it is of files; name them with --data')
    if bundle is not None:
        return _from_bundle(bundle, job)
    if data:
        return conclude(_from_files(find_files(data), job, on_ray=on_ray), job.job)
    return conclude(_from_ledger(settings, job), job.job)


def _from_bundle(bundle: Bundle, job: FileJob) -> Comparison:
    """Return the comparison over bundled data: by its own tiers, unless a what-if states others."""
    own = job.job
    policies = msgspec.structs.replace(own.policies, is_held_out=bundle.is_held_out)
    snapshot = own.snapshot if own.what_if else bundle.snapshot
    own = msgspec.structs.replace(own, snapshot=snapshot, policies=policies)
    left_out = LeftOut()
    comparison = conclude(play(not_before(bundle.read(left_out), job.begin_s), own, left_out), own)
    notes = (bundle.words, *comparison.notes) if bundle.words else comparison.notes
    return msgspec.structs.replace(comparison, notes=notes)


def _from_files(files: Sequence[Path], job: FileJob, *, on_ray: bool) -> Partial:
    job = msgspec.structs.replace(job, is_one_of_many=len(files) > 1)
    sizes = [size_of(path) for path in files]
    total = sum(size for size in sizes if size is not None)
    title = f"Reading {files[0]}" if len(files) == 1 else f"Reading {len(files):,} files"
    with progress_bar(title, total or None) as tick:
        return (run_files_on_ray if on_ray else run_files)(files, job, tick)


def _from_ledger(settings: Settings, job: FileJob) -> Partial:
    url = settings.ledger.url
    if not _has_ledger(settings):
        raise ConfigError(
            f'[ledger] url "{url}": there is no ledger there yet;'
            " send requests through pointsman first, or name a log with --data FILE"
        )
    ledger = open_ledger(url, durability=settings.ledger.durability)
    left_out = LeftOut()
    try:
        with progress_bar("Reading the ledger", None) as tick:
            rows = ledger.rows(since_ns=round((job.begin_s or 0) * _NS_PER_S))
            records = ticked(read_ledger(rows, left_out), tick)
            return play(not_before(records, job.begin_s), job.job, left_out)
    finally:
        asyncio.run(ledger.close())


def _has_ledger(settings: Settings) -> bool:
    """Return whether there is a ledger to read, as far as its URL tells."""
    url = settings.ledger.url
    path = url.removeprefix(_SQLITE_FILE)
    return path == url or Path(path).is_file()


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
    comparison: Comparison, data: Sequence[Path] | None, settings: Settings, since: str | None
) -> None:
    log = comparison.log
    if log.compared:
        return
    named = " ".join(f'"{path}"' for path in data or ())
    where = f"--data {named}" if named else f'[ledger] url "{settings.ledger.url}"'
    bound = f" since {since}" if since else ""
    reasons = [*log.lines_named]
    if log.unserved:
        reasons.append(f"no configured model can serve any of its {log.unserved:,} requests")
    remedy = "name another log" if data else "send requests first, or name a log with --data FILE"
    raise ConfigError("\n".join([f"{where}: no request to compare{bound}; {remedy}", *reasons]))
