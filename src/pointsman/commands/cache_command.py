"""`cache`: what is kept, one entry of it, taking one out, and filling it before clients come."""

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from pointsman.cache import Cache, CacheSettings, build_cache
from pointsman.cache.entry import ALIAS_BYTES, Entry, entry_key
from pointsman.cache.sqlite_file import FAULTS, Tally, tally
from pointsman.clock import SystemClock
from pointsman.commands.cache_warming import Warmed, warm_file
from pointsman.commands.report_command import since_ns
from pointsman.commands.running_server import ask_server, is_running, operator_key
from pointsman.commands.terminal import FAILED, OK, AsJson, ConfigPath, note, refuse, say, say_json
from pointsman.config import Settings, load_settings
from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import ConfigError, GatewayError, UnknownEntry
from pointsman.core.prices import format_usd
from pointsman.core.usage import Usage
from pointsman.keeping import without_secrets
from pointsman.kept_answers import KeptAnswers
from pointsman.ledger import BOOKED
from pointsman.ledger.opening import is_there, open_ledger

_NS_PER_S = 1_000_000_000
_SHOWN_CHARS = 2_000
_OK, _NOT_FOUND = 200, 404

EntryId = Annotated[
    str, Parameter(help="As x-pointsman-cache-id has it.", allow_leading_hyphen=True)
]

cache = App(
    name="cache",
    help=(
        "Show what the cache has kept and saved, look at an answer, purge it, fill the cache.\n\n"
        "Example: pointsman cache stats --since 7d"
    ),
)


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache did in a period, and what its file holds; `file` None: there is none."""

    since: str
    requests: int
    hits: dict[str, int]
    file: Tally | None


@cache.default
@cache.command
def stats(
    *,
    since: Annotated[
        str | None, Parameter(help="A UTC day or time, or a span such as 24h, 7d, 2w; else today.")
    ] = None,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Show how many answers came from the cache, how they were found, and what its file holds.

    Example: pointsman cache stats --since 7d
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        made = asyncio.run(_stats(settings, since_ns(since, datetime.now(UTC))))
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json(made)
        return OK
    hits = sum(made.hits.values())
    share = f" ({hits / made.requests:.0%})" if made.requests else ""
    say(f"requests  {made.requests:,} since {made.since}")
    say(f"hits      {hits:,}{share}")
    for tier, count in made.hits.items():
        say(f"  {tier:12} {count:,}")
    if made.file is None:
        say("file      none; [cache] path names one")
    else:
        megabytes = made.file.answer_bytes / 1e6
        say(f"file      {made.file.answers:,} answers, {megabytes:,.1f} MB, {made.file.aliases:,}"
            " other wordings")  # fmt: skip
    return OK


@cache.command
def inspect(entry_id: EntryId, *, json: AsJson = False, config: ConfigPath = None) -> int:
    """Show an answer that the cache's file keeps, and where it came from; secrets are blanked.

    Example: pointsman cache inspect Yk3v0eXkq0Qf2u1cN9zV7m8r4t6w5y2x1a0b9c8d7e4
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        entry = _entry(settings, entry_id)
    except GatewayError as error:
        return refuse(error, json=json)
    facts = _facts(entry_id, entry, settings.cache.ttl_s)
    if json:
        say_json(facts)
    else:
        for name, value in facts.items():
            say(f"{name:11} {value}")
    return OK


@cache.command
def purge(entry_id: EntryId, *, json: AsJson = False, config: ConfigPath = None) -> int:
    """Take an answer out, so that it is never given again: at the running server, or in its file.

    The key is POINTSMAN_ADMIN_KEY, which purges anybody's, else as `pointsman run` has it.

    Example: pointsman cache purge Yk3v0eXkq0Qf2u1cN9zV7m8r4t6w5y2x1a0b9c8d7e4
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        where = _purge(settings, entry_id)
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json({"id": entry_id, "purged": True, "where": where})
    else:
        say(f"{entry_id} is purged, {where}.")
    return OK


@cache.command
def warm(
    file: Annotated[Path, Parameter(help="JSONL of chat requests, or of logged ones.")],
    *,
    model: Annotated[str | None, Parameter(help="Ask for this instead of what lines name.")] = None,
    at_once: Annotated[int, Parameter(help="Requests under way at once.")] = 4,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Send the running server the requests of a file, so that their answers are kept.

    Lines are as for `pointsman compare`: chat bodies, logs of them, Batch API lines. What is kept
    already costs nothing, so an interrupted run is taken up by running it again. The answers are
    for the key that they are sent with: POINTSMAN_API_KEY, else the first of POINTSMAN_API_KEYS.

    Example: pointsman cache warm questions.jsonl --model auto
    """
    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        if at_once < 1:
            raise ConfigError(f"--at-once {at_once}: must be 1 or more")
        made = warm_file(settings, file, model=model, at_once=at_once)
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json(made)
    else:
        _say_warmed(made)
    return FAILED if made.failed else OK


def _say_warmed(made: Warmed) -> None:
    cost = format_usd(made.cost_nanousd)
    say(
        f"{made.asked:,} answered anew for {cost}, {made.found:,} kept before,"
        f" {made.failed:,} failed"
    )
    for reason in made.reasons:
        note(reason)


async def _stats(settings: Settings, start_ns: int) -> Stats:
    hits: dict[str, int] = dict.fromkeys(BOOKED, 0)
    requests = 0
    tiers = {booked: tier for tier, booked in BOOKED.items()}
    if is_there(settings.ledger.url):
        ledger = open_ledger(settings.ledger.url, durability=settings.ledger.durability)
        try:
            for row in ledger.rows(since_ns=start_ns):
                requests += row.intent.attempt == 1
                if row.settlement.outcome == "hit":
                    hits[tiers.get(row.settlement.cache, "exact")] += 1
        finally:
            await ledger.close()
    start = datetime.fromtimestamp(start_ns // _NS_PER_S, UTC).isoformat(timespec="minutes")
    return Stats(since=start, requests=requests, hits=hits, file=_tally(settings.cache))


def _tally(stated: CacheSettings) -> Tally | None:
    path = Path(stated.path)
    if not stated.path or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            return tally(reader, alias_bytes=ALIAS_BYTES)
    except FAULTS as error:
        raise ConfigError(f"[cache] path {stated.path!r} cannot be read ({error})") from error


def _entry(settings: Settings, named: str) -> Entry:
    """Return the entry of the file. Raises UnknownEntry; ConfigError where there is no file."""
    with closing(_opened(settings)) as opened:
        key = entry_key(named)
        kept = KeptAnswers.of(opened, settings.cache, SystemClock())
        entry = None if key is None else kept.entry(key)
    if entry is None:
        raise UnknownEntry(
            f"no entry {named[:100]!r} is in {settings.cache.path!r}, or not any more"
        )
    return entry


def _opened(settings: Settings) -> Cache:
    """Return the cache of the file that is there. Raises ConfigError."""
    stated = settings.cache
    if not stated.path:
        raise ConfigError("[cache] path is not set, so all that is kept is in the server's memory")
    if not Path(stated.path).is_file():
        raise ConfigError(f"[cache] path {stated.path!r}: there is no such file yet")
    opened = build_cache(stated)
    if opened is None:
        raise ConfigError("[cache] exact is false, so nothing is kept; set it to true")
    return opened


def _purge(settings: Settings, named: str) -> str:
    """Purge an entry; return where. Raises GatewayError where that cannot be done."""
    key = entry_key(named)
    if key is None:
        raise UnknownEntry(f"{named[:100]!r} is no id of an entry; they have 43 characters")
    if is_running(settings):
        sent = operator_key(os.environ)
        status, told = ask_server(settings, "DELETE", f"/v1/cache/{named}", key=sent)
        if status == _OK:
            return "at the running server"
        if status == _NOT_FOUND:
            raise UnknownEntry(f"the running server keeps no entry {named[:100]!r} for this key")
        raise ConfigError(f"the running server does not purge it (status {status}): {told}")
    _entry(settings, named)  # or there is nothing to purge
    with closing(_opened(settings)) as opened:
        kept = KeptAnswers.of(opened, settings.cache, SystemClock())
        if not asyncio.run(kept.purge(key)):
            raise ConfigError(f"[cache] path {settings.cache.path!r} does not take it; see above")
    return "in the file"


def _facts(named: str, entry: Entry, ttl_s: int) -> dict[str, object]:
    builder = AnswerBuilder()
    for event in entry.events:
        builder.add(event)
    answer, usage = without_secrets(builder.text), builder.usage or Usage()
    left_s = entry.created_at_s + ttl_s - datetime.now(UTC).timestamp()
    made = datetime.fromtimestamp(entry.created_at_s, UTC)
    more = len(answer) - _SHOWN_CHARS
    return {
        "id": named,
        "key": entry.tenant,
        "created": made.isoformat(timespec="seconds"),
        "left_s": max(0, round(left_s)),
        "tier": entry.tier,
        "model": entry.deployment,
        "policy": entry.policy,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "tokens": f"{usage.input_tokens}+{usage.output_tokens}",
        "answer": answer[:_SHOWN_CHARS] + (f"… and {more:,} characters" if more > 0 else ""),
    }
