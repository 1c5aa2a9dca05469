"""Installing: puts a tuning where the configuration looks for it, whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from pointsman.core.errors import ConfigError
from pointsman.scorer.tuning import Tuning, encode_tuning

BEFORE = ".before"


def install(tuning: Tuning, path: Path) -> Path | None:
    """Write a tuning; return where the former one is kept, None where there was none.

    The file is replaced in one step, so a reader finds the old one or the new one, whatever
    happens. Raises ConfigError where it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    former = path.with_name(path.name + BEFORE)
    try:
        had_one = path.exists()
        with part.open("wb") as file:
            file.write(encode_tuning(tuning))
            file.flush()
            os.fsync(file.fileno())
        if had_one:
            former.write_bytes(path.read_bytes())
        part.replace(path)
    except OSError as error:
        raise ConfigError(
            f'routing.scorer "{path}": cannot be written: {error.strerror or error}; name a file in'
            " a folder that can be"
        ) from error
    finally:  # a Ctrl-C too leaves no half a file
        with suppress(OSError):  # which a name too long for the file system raises here too
            part.unlink()
    return former if had_one else None
