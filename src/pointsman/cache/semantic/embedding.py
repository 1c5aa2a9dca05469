"""Embedding: what makes vectors of prompts, so that those like each other are found.

Likeness is no proof that two prompts have the same answer: to all-MiniLM-L6-v2 "How do I convert a
PNG to JPG?" and "How do I convert a JPG to PNG?" have a cosine of 0.995, more than most
paraphrases. Whatever is found by it is to be judged.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """Makes vectors of texts. `name` tells apart vectors that mean nothing to each other."""

    @property
    def name(self) -> str:
        """Return which model, and which weights, it is."""

    async def embed(self, texts: Sequence[str]) -> "Vectors | None":
        """Return (n_texts, n_dimensions), float32, rows of length 1; None when there are none now.

        A text that is longer than the model reads has a row of zeros, near to nothing: two that
        differ behind that place would else be one. Never raises for a fault of the model.
        """

    async def aclose(self) -> None:
        """Let go of threads and memory."""
