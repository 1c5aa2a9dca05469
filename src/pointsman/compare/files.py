"""Files: the map over a log's files. Each is read apart, with its own cache and conversations.

So one process and many machines come to the same sums, which are added up in the files' order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from pointsman.compare.formats import log_files, open_log, read_log_file
from pointsman.compare.partial import Partial
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.simulate import Job, play
from pointsman.core.errors import ConfigError

Tick = Callable[[int], None]

_TICK_REQUESTS = 200


class FileJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with each file of a log.

    `format` None: each file's first lines tell. `begin_s`: only requests of this time (Unix
    seconds) or later, None for all. `is_one_of_many`: messages name the file.
    """

    job: Job
    format: str | None = None
    begin_s: float | None = None
    is_one_of_many: bool = False


def find_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files of logs and of folders of logs, each once. Raises ConfigError."""
    return tuple(dict.fromkeys(file for path in paths for file in log_files(path)))


def run_files(files: Sequence[Path], job: FileJob, tick: Tick = lambda _: None) -> Partial:
    """Return the sums over the files, read one after the other.

    `tick` is told how many bytes are read. Raises ConfigError for a file that cannot be read.
    """
    whole, done = Partial(), 0
    for path in files:
        whole.merge(play_file(path, job, partial(_tell, tick, done)))
        done += size_of(path) or 0
        tick(done)
    return whole


def play_file(path: Path, job: FileJob, tick: Tick | None = None) -> Partial:
    """Return the sums over one file. Raises ConfigError when it cannot be read."""
    left_out = LeftOut()
    records: Iterable[LoggedRequest]
    if job.is_one_of_many:
        records = read_log_file(path, left_out, job.format, is_one_of_many=True)
    else:
        log = open_log(path, left_out, job.format)
        records = log if tick is None else ticked(log, lambda _: tick(log.bytes_read))
    return play(not_before(records, job.begin_s), job.job, left_out)


def ticked(records: Iterable[LoggedRequest], tick: Tick) -> Iterator[LoggedRequest]:
    """Yield the records, telling their number after every few of them."""
    for count, record in enumerate(records, start=1):
        yield record
        if count % _TICK_REQUESTS == 0:
            tick(count)


def not_before(records: Iterable[LoggedRequest], begin_s: float | None) -> Iterator[LoggedRequest]:
    """Yield the records of that time or later; of an unknown time too, when there is no bound."""
    for record in records:
        if begin_s is None or (record.at_s is not None and record.at_s >= begin_s):
            yield record


def _tell(tick: Tick, before: int, here: int) -> None:
    tick(before + here)


def size_of(path: Path) -> int | None:
    """Return a file's size in bytes, None for a pipe. Raises ConfigError when it is gone."""
    try:
        return path.stat().st_size or None
    except OSError as error:
        raise ConfigError(
            f'log "{path}": cannot be read: {error.strerror}; name a log of requests'
        ) from error
