"""Shared: memory that the workers of one server hold in common, and its locks."""

from pointsman.shared.marks import Marks, OwnMarks, SharedMarks
from pointsman.shared.region import Region

__all__ = ["Marks", "OwnMarks", "Region", "SharedMarks"]
