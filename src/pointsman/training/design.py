"""Design: readings as matrices, the input of every fit."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pointsman.core.types import Reading
from pointsman.scorer.familiar import BUCKETS


def design(readings: Sequence[Reading], n_counts: int) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """Return the grams (n, 65536), each row of unit length, and the first counts (n, n_counts).

    A gram that a reading has is 1 over the root of how many it has, as `Head.need` takes it.
    """
    sizes = [len(reading.grams) for reading in readings]
    columns = np.array([gram for reading in readings for gram in sorted(reading.grams)], dtype=int)
    values = np.repeat([(size or 1) ** -0.5 for size in sizes], sizes)
    starts = np.concatenate(([0], np.cumsum(sizes, dtype=int)))
    grams = sp.csr_array((values, columns, starts), shape=(len(readings), BUCKETS))
    counts = np.array([reading.counts[:n_counts] for reading in readings], dtype=float)
    return grams, counts.reshape(len(readings), n_counts)
