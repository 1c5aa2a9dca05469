"""File paths: whether the files that settings name could be made where they are to stand."""

import os
from collections.abc import Iterator
from pathlib import Path

from pointsman.config.problems import Problem
from pointsman.config.settings import Settings
from pointsman.ledger.sqlite_file import MEMORY

_SQLITE_FILE = "sqlite:///"


def find_misplaced(settings: Settings) -> Iterator[Problem]:
    """Yield the files of ledger and cache that cannot be opened; makes none of them."""
    url, cache = settings.ledger.url, settings.cache
    file = url[len(_SQLITE_FILE) :]
    is_file = url.lower().startswith(_SQLITE_FILE) and file not in {"", MEMORY}
    if is_file and (text := _fault(Path(file))):
        yield Problem(("ledger", "url"), text, url)
    is_kept = cache.exact and cache.path and cache.store in {"", "sqlite"}
    if is_kept and (text := _fault(Path(cache.path))):
        yield Problem(("cache", "path"), text, cache.path)


def _fault(file: Path) -> str:
    folder = file.parent
    try:
        if file.is_dir():
            return "is a folder; name a file in it"
        if not folder.is_dir():
            return f"there is no folder {folder}; create it, or choose another path"
    except (OSError, ValueError) as error:  # a name too long, or one with a null character
        return f"cannot be a file ({error}); choose another path"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"nothing may be written in {folder}; change its rights, or choose another path"
    return ""
