"""`train`: fits the scorer to one's own outcomes, proves it on those held out, installs it."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from cyclopts import Parameter

from pointsman.assembly import build_routing, policy_settings
from pointsman.clock import SystemClock
from pointsman.commands.terminal import FAILED, OK, AsJson, ConfigPath, note, refuse, say, say_json
from pointsman.compare.records import LeftOut
from pointsman.config import Settings, load_settings
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.core.prices import format_usd
from pointsman.core.types import Snapshot
from pointsman.ledger.opening import open_ledger
from pointsman.library import AsyncRouter

try:
    from pointsman.compare.labelled import read_labelled
    from pointsman.training.course import LABELS_MIN, Course, Plan, take_course
    from pointsman.training.installing import install
    from pointsman.training.joining import Joined, join_models, show_joined
    from pointsman.training.labels import Labels, gather
    from pointsman.training.replay_session import Replaying, run_replay
    from pointsman.training.sources import LedgerFacts, labelled_rows
    from pointsman.training.views import show_course
except ModuleNotFoundError as error:  # what the extra brings is not installed
    _missing = str(error.name)
else:
    _missing = ""

_SQLITE_FILE = "sqlite:///"
_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


_Data: TypeAlias = Annotated[
    Path | None,
    Parameter(
        name="--data", help='JSONL: "prompt" or "messages", "scores" by model (0..1), "costs".'
    ),
]
_FromLedger: TypeAlias = Annotated[
    bool, Parameter(negative="", help="Learn from the ledger's labels, as without --data.")
]
_Log: TypeAlias = Annotated[
    Path | None, Parameter(help="Put this log's prompts to every tier first: it costs money.")
]
_JudgeName: TypeAlias = Annotated[
    str | None,
    Parameter(help="Of replayed answers: command:<command line>, validators or tier:<tier>."),
]
_Limit: TypeAlias = Annotated[int, Parameter(help="How many of the log's prompts to replay.")]
_MaxUsd: TypeAlias = Annotated[
    float | None, Parameter(help="Spend no more; else half as much again as is estimated.")
]
_Out: TypeAlias = Annotated[
    Path, Parameter(help="Where replayed outcomes go; a second run goes on from there.")
]
_Yes: TypeAlias = Annotated[bool, Parameter(negative="", help="Replay without asking.")]
_Confidence: TypeAlias = Annotated[
    float | None, Parameter(help="Of the certificate, above 0 and below 1; else as configured.")
]
_KeepScorer: TypeAlias = Annotated[
    bool, Parameter(negative="", help="Fit nothing: measure models, certify what is in use.")
]
_DryRun: TypeAlias = Annotated[bool, Parameter(negative="", help="Install nothing.")]


def train(
    *,
    data: _Data = None,
    ledger: _FromLedger = False,
    replay: _Log = None,
    judge: _JudgeName = None,
    limit: _Limit = 400,
    max_usd: _MaxUsd = None,
    out: _Out = Path("outcomes.jsonl"),
    yes: _Yes = False,
    confidence: _Confidence = None,
    keep_scorer: _KeepScorer = False,
    dry_run: _DryRun = False,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Fit the scorer to your own outcomes, prove it on those held out, and install it.

    It is installed only where it beats the length of the text alone, and the scorer in use.

    Example: pointsman train --data outcomes.jsonl --dry-run
    """
    try:
        require_extra(_missing)
        settings = load_settings(config, os.environ, needs_keys=False)
        routing = build_routing(settings, os.environ, clock=SystemClock())
        if sum((data is not None, ledger, replay is not None)) > 1:
            raise ConfigError("--data, --ledger and --replay: only one of them can be learned from")
        if replay is not None:
            wanted = _replaying(replay, judge, out, limit, max_usd)
            _replay(wanted, config, is_confirmed=yes)
            data = out
        labels, plan = _labels(
            settings, routing.snapshot, data, confidence, keep_scorer=keep_scorer
        )
        if keep_scorer and len(labels.compared()) < LABELS_MIN:
            joined = join_models(labels, plan)
            return _finish(joined, show_joined(joined), settings, is_dry=dry_run, json=json)
        with progress("Training") as tick:
            course = take_course(labels, plan, tick)
        return _finish(course, show_course(course), settings, is_dry=dry_run, json=json)
    except GatewayError as error:
        return refuse(error, json=json)
    except KeyboardInterrupt:
        note("interrupted; nothing was installed, and outcomes that were replayed are kept")
        return _INTERRUPTED


def require_extra(missing: str) -> None:
    """Raise ConfigError where a package of the extra `train` is missing."""
    if missing:
        raise ConfigError(f"{missing} is not installed; pip install 'pointsman[train]'")


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done, on standard error; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(file=sys.stderr).status(title) as status:
        yield lambda step: status.update(f"{title}: {step}")


def read_labels(path: Path, snapshot: Snapshot, *, needs_all: bool = True) -> "Labels":
    """Return the labels of a file, and tell what was left out. Raises ConfigError.

    `needs_all`: whether every tier's first model must have outcomes.
    """
    left_out = LeftOut()
    try:
        with path.open("rb") as file:
            labels = gather(read_labelled(file, left_out), snapshot, needs_all=needs_all)
    except OSError as error:
        raise ConfigError(
            f'--data "{path}": cannot be read: {error.strerror or error}; name a JSONL file of'
            " requests with outcomes"
        ) from error
    finally:  # where no label is left, this says why
        if left_out.lines:
            named = "; ".join(left_out.named[:3])
            note(f"{left_out.lines:,} lines of {path} are left out ({named})")
    return labels


def _labels(
    settings: Settings,
    snapshot: Snapshot,
    data: Path | None,
    confidence: float | None,
    *,
    keep_scorer: bool,
) -> "tuple[Labels, Plan]":
    stated = settings.routing.confidence if confidence is None else confidence
    if not 0 < stated < 1:
        raise ConfigError(f"--confidence {stated:g}: give a number above 0 and below 1")
    now = datetime.now(UTC)
    if data is not None:
        labels, name = read_labels(data, snapshot, needs_all=not keep_scorer), data.name
    else:
        labels, name = _ledger_labels(settings, snapshot), "the ledger"
    plan = Plan(
        settings=policy_settings(settings),
        confidence=stated,
        data=name,
        made_on=now.date().isoformat(),
        is_sample=data is not None,
        keep_scorer=keep_scorer,
    )
    return labels, plan


def _replaying(
    log: Path, judge: str | None, out: Path, limit: int, max_usd: float | None
) -> "Replaying":
    """Return what is to be replayed. Raises ConfigError for what makes no sense."""
    if judge is None:
        raise ConfigError(
            "--replay: say who judges the answers, with --judge command:<command line>,"
            " --judge validators or --judge tier:<tier>"
        )
    if limit < 1:
        raise ConfigError(f"--limit {limit}: give a number of prompts, 1 or more")
    return Replaying(log, judge, out, limit, max_usd)


def _replay(wanted: "Replaying", config: str | None, *, is_confirmed: bool) -> None:
    router = AsyncRouter.from_config(config)
    with progress("Replaying") as tick:
        done = run_replay(wanted, router, confirm_with(is_confirmed=is_confirmed), tick)
    note(
        f"{done.answered:,} requests were answered and judged for"
        f" {format_usd(done.spent_nanousd)}, {done.failed:,} came to nothing"
        + (f" ({done.last_error})" if done.failed else "")
        + ("; the money is at its end" if done.is_out_of_money else "")
    )


def confirm_with(*, is_confirmed: bool) -> Callable[[str], bool]:
    """Return who is asked whether money may be spent: nobody, where it is confirmed already.

    Raises ConfigError, when asking, where there is no terminal.
    """

    def confirm(told: str) -> bool:
        note(told)
        if is_confirmed:
            return True
        if not sys.stdin.isatty():
            raise ConfigError("--replay: there is no terminal to ask on; confirm with --yes")
        sys.stderr.write("Go on? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return confirm


def _ledger_labels(settings: Settings, snapshot: Snapshot) -> "Labels":
    url = settings.ledger.url
    path = url.removeprefix(_SQLITE_FILE)
    if path != url and not Path(path).is_file():
        raise ConfigError(
            f'[ledger] url "{url}": there is no ledger there yet; send requests through pointsman'
            " first, or name outcomes with --data, or a log with --replay"
        )
    ledger = open_ledger(url, durability=settings.ledger.durability)
    facts = LedgerFacts()
    try:
        records = list(labelled_rows(ledger, facts))
    finally:
        asyncio.run(ledger.close())
    if not records:
        raise ConfigError(
            f"the ledger has {facts.told()}; switch [audit] on, or name outcomes with --data, or a"
            " log with --replay"
        )
    note(f"the ledger has {facts.told()}")
    return gather(records, snapshot)


def _finish(
    found: "Course | Joined", told: str, settings: Settings, *, is_dry: bool, json: bool
) -> int:
    """Install what is worth it, and say what came of it."""
    path = settings.routing.scorer
    if found.faults:
        outcome, status = "not installed: " + "; ".join(found.faults), FAILED
    elif is_dry:
        outcome, status = "a dry run: nothing is installed", OK
    elif not path:
        outcome, status = 'not installed: routing.scorer = "" names no file to put it in', FAILED
    else:
        former = install(found.tuning, Path(path))
        kept = f"; the former one is kept as {former}" if former else ""
        outcome, status = f"installed as {path}{kept}", OK
    if json:
        say_json(
            {"outcome": outcome, "is_installed": outcome.startswith("installed"), **_told(found)}
        )
    else:
        say(told)
        say("")
        say(outcome)
    return status


def _told(found: "Course | Joined") -> dict[str, object]:
    """Return what came of it for machines, without the weights."""
    told: dict[str, object] = msgspec.to_builtins(found)
    tuning = told.pop("tuning")
    assert isinstance(tuning, dict), "a Struct"
    return {**told, "tuning": {name: value for name, value in tuning.items() if name != "heads"}}
