"""Opening a ledger by its URL."""

import re
from collections.abc import Callable
from pathlib import Path

from pointsman.core.errors import ConfigError
from pointsman.extensions import entry_points
from pointsman.ledger import Durability, Ledger
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_file import MEMORY

ENTRY_POINTS = "pointsman.ledgers"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_CREDENTIALS = re.compile(r"//[^/@]*@")


def open_ledger(url: str, *, durability: Durability = "strict") -> Ledger:
    """Return the ledger at `url`.

    `sqlite:///relative.db`, `sqlite:////absolute.db`; `sqlite://` and `sqlite:///:memory:` are in
    memory. Another scheme is the name of an entry point of the group `pointsman.ledgers`.
    Raises ConfigError when the URL says nothing usable, LedgerUnavailable when the file is locked.
    """
    found = _SCHEME.fullmatch(url)
    scheme, rest = (found[1].lower(), found[2]) if found else ("", url)
    if scheme == "sqlite":
        return SqliteLedger(_sqlite_path(url, rest), durability=durability)
    for entry in entry_points(group=ENTRY_POINTS, name=scheme) if scheme else ():
        try:
            factory: Callable[[str], Ledger] = entry.load()
            return factory(url)
        except Exception as error:  # a third party's code: whatever it raises stops the start
            raise ConfigError(
                f"[ledger] url: {entry.value} does not start: {error!r}; mend or remove its package"
            ) from error
    raise ConfigError(
        f'[ledger] url "{_CREDENTIALS.sub("//***@", url)}": {_what_is_wrong(scheme)};'
        ' write "sqlite:///pointsman.db", or install the package that brings the scheme'
    )


def is_there(url: str) -> bool:
    """Return whether a ledger has been made at `url`: opening it would else make its file."""
    found = _SCHEME.fullmatch(url)
    if found is None or found[1].lower() != "sqlite":
        return True
    path = sqlite_file(url)
    return path is not None and Path(path).is_file()


def sqlite_file(url: str) -> str | None:
    """Return the SQLite file that `url` names, None where it names none, or memory.

    Raises ConfigError for a path that cannot be one.
    """
    found = _SCHEME.fullmatch(url)
    if found is None or found[1].lower() != "sqlite":
        return None
    path = _sqlite_path(url, found[2])
    return None if path == MEMORY else path


def _what_is_wrong(scheme: str) -> str:
    if not scheme:
        return "it has no scheme"
    known = ", ".join(sorted({"sqlite", *entry_points(group=ENTRY_POINTS).names}))
    return f'nobody knows the scheme "{scheme}" (known: {known})'


def _sqlite_path(url: str, rest: str) -> str:
    if rest in {"", "/", f"/{MEMORY}"}:
        return MEMORY
    if not rest.startswith("/"):
        raise ConfigError(
            f'[ledger] url "{url}": a path follows three slashes; write "sqlite:///{rest}"'
        )
    if "?" in rest or "#" in rest:
        raise ConfigError(f'[ledger] url "{url}": "?" and "#" mean nothing here; leave them out')
    return rest[1:]
