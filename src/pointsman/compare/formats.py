"""Formats: which log a file is, and its requests; a folder is all the logs below it.

A file is read by itself: what one worker makes of it does not hang on the others, so a folder may
be spread over many (`log_files`, then `read_log_file` on each).
"""

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pointsman.compare.claude_code import is_claude_code_line, read_claude_code
from pointsman.compare.codex import is_codex_line, read_codex
from pointsman.compare.labelled import is_labelled_line, read_labelled
from pointsman.compare.litellm_logs import is_litellm_header, is_litellm_row, read_litellm_logs
from pointsman.compare.openai_jsonl import (
    BOM,
    LINE_BYTES_MAX,
    JsonObject,
    Unusable,
    decode_object,
    is_openai_line,
    read_openai_jsonl,
)
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.streams import array_objects, peeked
from pointsman.core.errors import ConfigError

Reader: TypeAlias = Callable[[BinaryIO, LeftOut], Iterator[LoggedRequest]]

_SUFFIXES = (".jsonl", ".jsonl.gz")
_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 256 * 1024
_NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class _Format:
    read: Reader
    is_line: Callable[[JsonObject], bool]


# In the order in which a line is tried: what is told by more comes first.
_FORMATS: Mapping[str, _Format] = {
    "labelled": _Format(read_labelled, is_labelled_line),
    "codex": _Format(read_codex, is_codex_line),
    "claude-code": _Format(read_claude_code, is_claude_code_line),
    "litellm": _Format(read_litellm_logs, is_litellm_row),
    "openai-jsonl": _Format(read_openai_jsonl, is_openai_line),
}
FORMAT_NAMES = tuple(sorted(_FORMATS))


class Log:
    """A log of one or more files. Reading it again starts anew.

    `bytes_total` is the files' size, None for a pipe. `bytes_read` is how far reading is.
    """

    def __init__(self, path: Path, left_out: LeftOut, format: str | None) -> None:
        self.files = log_files(path)
        self.bytes_total = sum(file.stat().st_size for file in self.files) or None
        self._left_out = left_out
        self._format = format
        self._is_folder = path.is_dir()
        self._bytes_before = 0
        self._bytes_here: Callable[[], int] = lambda: 0

    @property
    def bytes_read(self) -> int:
        """Return how many bytes of the files, as they lie on disk, are read."""
        return self._bytes_before + self._bytes_here()

    def __iter__(self) -> Iterator[LoggedRequest]:
        """Yield the requests, file by file. Raises ConfigError for a file that cannot be read."""
        self._bytes_before = 0
        for path in self.files:
            yield from _read(
                path,
                self._left_out,
                self._format,
                is_one_of_many=self._is_folder,
                begin=self._begin,
            )
            self._bytes_here = lambda: 0
            self._bytes_before += path.stat().st_size

    def _begin(self, raw: BinaryIO) -> None:
        is_seekable = raw.seekable()
        self._bytes_here = lambda: raw.tell() if is_seekable and not raw.closed else 0


def open_log(path: Path, left_out: LeftOut, format: str | None = None) -> Log:
    """Return the log at a path: a file, or a folder with its JSONL files, all told by themselves.

    `format` None: each file's first lines tell. A folder's files of no known format are left out by
    name. Raises ConfigError where there is nothing to read or no such format.
    """
    _check_name(format)
    return Log(path, left_out, format)


def log_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a log: itself, or a folder's *.jsonl and *.jsonl.gz, sorted by path.

    So Claude Code's sessions stand beside their subagents. Raises ConfigError where there are none.
    """
    if not path.is_dir():
        if not path.exists():
            raise ConfigError(f'log "{path}": there is no such file or folder; check its name')
        return (path,)
    found = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    files = tuple(sorted(file for file in found if file.name.endswith(_SUFFIXES)))
    if not files:
        raise ConfigError(f'log "{path}": the folder holds no .jsonl file; name a file in it')
    return files


def read_log_file(
    path: Path, left_out: LeftOut, format: str | None = None, *, is_one_of_many: bool = False
) -> Iterator[LoggedRequest]:
    """Yield the requests of one file, gzip or plain, its format told by it or by its name.

    `is_one_of_many`: what is left out is named with the file's name, and a file of no known format
    is left out whole. Raises ConfigError, where it is not, and where the file cannot be read.
    """
    _check_name(format)
    yield from _read(path, left_out, format, is_one_of_many=is_one_of_many)


def find_format(file: BinaryIO) -> tuple[str | None, BinaryIO]:
    """Return the name of a stream's format, and the stream from its beginning.

    The first line of a known shape tells; the name is None where none of the first 32 MiB does, and
    "" for an empty stream.
    """
    count = _HEAD_BYTES
    while True:
        head, file = peeked(file, count)
        name = _format_of(head)
        if name is not None or len(head) < count or count >= LINE_BYTES_MAX:
            return ("" if not head.strip() and len(head) < count else name), file
        count *= 8


def _read(
    path: Path,
    left_out: LeftOut,
    format: str | None,
    *,
    is_one_of_many: bool,
    begin: Callable[[BinaryIO], None] = lambda _: None,
) -> Iterator[LoggedRequest]:
    part = LeftOut() if is_one_of_many else left_out
    try:
        with path.open("rb") as raw:
            begin(raw)
            name, file = format, _unpacked(raw)
            if name is None:
                name, file = find_format(file)
            if name is None and not is_one_of_many:
                raise _unknown(path)
            if name is None:
                part.lines += 1
                part.named.append("is no log that is known")
            elif name:
                yield from _FORMATS[name].read(file, part)
    except (EOFError, zlib.error):
        part.lines += 1
        part.named.append("the compressed data breaks off")
    except OSError as error:
        raise ConfigError(
            f'log "{path}": cannot be read: {error.strerror or error}; name a log of requests'
        ) from error
    finally:
        if part is not left_out:
            _merge(left_out, part, path)


def _unpacked(raw: BinaryIO) -> BinaryIO:
    head, file = peeked(raw, len(_GZIP))
    return io.BufferedReader(gzip.GzipFile(fileobj=file), _HEAD_BYTES) if head == _GZIP else file


def _format_of(head: bytes) -> str | None:
    text = head.removeprefix(BOM).lstrip()
    if text[:1] == b"[":
        rows = (row for _, row in array_objects(io.BytesIO(text), LINE_BYTES_MAX) if row)
        return "litellm" if any(map(is_litellm_row, _objects(rows))) else None
    for entry in _objects(text.splitlines()):
        for name, format in _FORMATS.items():
            if format.is_line(entry):
                return name
    return "litellm" if is_litellm_header(text.partition(b"\n")[0]) else None


def _objects(rows: Iterator[bytes] | list[bytes]) -> Iterator[JsonObject]:
    for row in rows:
        with suppress(Unusable):
            yield decode_object(row)


def _merge(left_out: LeftOut, part: LeftOut, path: Path) -> None:
    """Add what a file of many left out, named with the file's name."""
    room = _NAMED_MAX - len(left_out.named)
    left_out.named.extend(f"{path.name}, {reason}" for reason in part.named[: max(room, 0)])
    left_out.lines += part.lines
    left_out.attempts.update(part.attempts)


def _check_name(format: str | None) -> None:
    if format is not None and format not in _FORMATS:
        raise ConfigError(f'log format "{format}": not known; there are {", ".join(FORMAT_NAMES)}')


def _unknown(path: Path) -> ConfigError:
    return ConfigError(
        f'log "{path}": its lines are of no format that is known; where you know it, name it with'
        f" --format: {', '.join(FORMAT_NAMES)}"
    )
