"""Chart file: where a picture goes, checked before the work and written whole or not at all."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.core.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

_DPI = 150


def check_chart(path: Path) -> None:
    """Raise ConfigError when a chart cannot be drawn there: before the work, not after it."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f'--chart "{path}": the name must end in {" or ".join(SUFFIXES)}')
    if not path.absolute().parent.is_dir():
        raise ConfigError(f'--chart "{path}": there is no folder {path.absolute().parent}')
    figure_class()


def save_chart(figure: "Figure", path: Path) -> None:
    """Write a figure; the file is either whole or not touched. Raises ConfigError."""
    drawn = BytesIO()
    figure.savefig(drawn, format=path.suffix.lower()[1:], dpi=_DPI)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(drawn.getvalue())
        part.replace(path)
    except OSError as error:
        raise ConfigError(f'--chart "{path}": cannot be written: {error.strerror}') from error
    finally:  # a Ctrl-C too leaves no half a file
        part.unlink(missing_ok=True)


def figure_class() -> "type[Figure]":
    """Return the class of figures. Raises ConfigError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "--chart needs matplotlib, which is not installed; pip install 'pointsman[charts]'"
        ) from error
    return Figure
