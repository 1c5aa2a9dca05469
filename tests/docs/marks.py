"""Tables that stand between two marks of a document written by hand."""

from pathlib import Path


def write_between(path: Path, begin: str, end: str, text: str) -> None:
    """Put a text between a document's marks. Raises ValueError where they are missing."""
    before, has_begun, rest = path.read_text("utf-8").partition(begin)
    _, has_ended, after = rest.partition(end)
    if not has_begun or not has_ended:
        raise ValueError(f"{path} has no {begin} and {end}; put them where the table is to stand")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")
