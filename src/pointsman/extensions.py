"""Extensions: what other packages offer by entry point.

Python's own reader of them brings those of mail and of zip files with it, so it loads when one is
looked for: without extensions a start never does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


def entry_points(*, group: str, name: str | None = None) -> "EntryPoints":
    """Return the entry points of a group that are installed, or those of one name."""
    from importlib.metadata import entry_points as installed

    points = installed(group=group)
    return points if name is None else points.select(name=name)
