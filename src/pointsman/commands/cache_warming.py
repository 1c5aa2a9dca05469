"""Cache warming: sends a file's requests to the running server, so that it keeps the answers.

What is kept already is a hit and costs nothing: a run that was interrupted is taken up by another.
"""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from decimal import Decimal
from pathlib import Path
from threading import local

import msgspec

from pointsman.commands.run_command import check_running, client_key, server_root
from pointsman.commands.running_server import ServerConnection
from pointsman.commands.terminal import progress_bar
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.compare.records import LeftOut
from pointsman.config import Settings
from pointsman.core.errors import ConfigError
from pointsman.core.prices import nanousd_from_usd

_OK = 200
_CHAT = "/v1/chat/completions"
_OF_STREAMS = frozenset({"stream", "stream_options"})
_REASONS_MAX = 5
_WAITING_MAX = 2  # requests read ahead, for each that is under way


class Warmed(msgspec.Struct, kw_only=True):
    """What came of it: `asked` were answered anew, `found` were kept already.

    `reasons`: why the first ones failed, or were left out.
    """

    asked: int = 0
    found: int = 0
    failed: int = 0
    cost_nanousd: int = 0
    reasons: list[str] = []


class _Told(msgspec.Struct, frozen=True):
    """What a request came to; `reason` "" where it was answered."""

    is_hit: bool
    cost_nanousd: int
    reason: str


def warm_file(settings: Settings, file: Path, *, model: str | None, at_once: int) -> Warmed:
    """Return what came of sending a file's requests. Raises ConfigError, also without a server."""
    if not file.is_file():
        raise ConfigError(f"{str(file)!r}: there is no such file")
    check_running(server_root(settings))
    key, left_out, made = client_key(os.environ), LeftOut(), Warmed()
    own = local()  # a connection for each thread
    opened: list[ServerConnection] = []

    def send(body: bytes) -> _Told:
        if not hasattr(own, "connection"):
            own.connection = ServerConnection(settings, key)
            opened.append(own.connection)
        return _sent(own.connection, body)

    pool = ThreadPoolExecutor(at_once, "pointsman-warm")
    try:
        with progress_bar("sent", None) as tick:
            under_way: set[Future[_Told]] = set()
            for body in _bodies(file, left_out, model):
                under_way.add(pool.submit(send, body))
                if len(under_way) >= at_once * _WAITING_MAX:
                    under_way = _counted(made, under_way)
                    tick(made.asked + made.found + made.failed)
            while under_way:
                under_way = _counted(made, under_way)
                tick(made.asked + made.found + made.failed)
    finally:
        pool.shutdown(cancel_futures=True)
        for connection in opened:
            connection.close()
    made.failed += left_out.lines
    made.reasons += left_out.named
    return made


def _bodies(file: Path, left_out: LeftOut, model: str | None) -> Iterator[bytes]:
    """Yield the bodies to send, none of them a stream: it is replayed as one all the same."""
    with file.open("rb") as lines:
        for record in read_openai_jsonl(lines, left_out):
            assert record.request is not None, "a log of requests has them"
            members = msgspec.json.decode(record.request.body, type=dict[str, msgspec.Raw])
            members = {name: value for name, value in members.items() if name not in _OF_STREAMS}
            if model is not None:
                members["model"] = msgspec.Raw(msgspec.json.encode(model))
            yield msgspec.json.encode(members)


def _sent(connection: ServerConnection, body: bytes) -> _Told:
    try:
        status, headers, text = connection.ask("POST", _CHAT, body)
    except ConfigError as error:
        return _Told(False, 0, error.message)
    if status != _OK:
        return _Told(False, 0, f"status {status}: {text}")
    cost = nanousd_from_usd(Decimal(headers.get("x-pointsman-cost-usd", "0")))
    return _Told(headers.get("x-pointsman-cache") == "hit", cost, "")


def _counted(made: Warmed, under_way: set[Future[_Told]]) -> set[Future[_Told]]:
    """Wait for one at least, count those that have ended, and return the others."""
    ended, others = wait(under_way, return_when=FIRST_COMPLETED)
    for future in ended:
        told = future.result()
        made.cost_nanousd += told.cost_nanousd
        if told.reason:
            made.failed += 1
            if len(made.reasons) < _REASONS_MAX:
                made.reasons.append(told.reason)
        elif told.is_hit:
            made.found += 1
        else:
            made.asked += 1
    return others
