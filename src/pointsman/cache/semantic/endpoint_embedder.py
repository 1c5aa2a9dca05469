"""Endpoint embedder: vectors from a provider of the operator's, in OpenAI's embeddings dialect.

Needs numpy, of the extra `embeddings`; imported by those alone who use it.

Source: OpenAI API reference, "Embeddings", create (as typed in openai 3.54, read 2026-11-23).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.core.errors import GatewayError

if TYPE_CHECKING:
    from pointsman.cache.semantic.embedding import Vectors

Ask: TypeAlias = Callable[[bytes], Awaitable[bytes]]

_BODY_BYTES_MAX = 16 * 1024 * 1024  # of a reply: 64 vectors of 4,096 numbers take about 6 MB

log = logging.getLogger("pointsman")


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int


class _Reply(msgspec.Struct):
    data: list[_Vector]


_reply = msgspec.json.Decoder(_Reply)


class EndpointEmbedder:
    """An `Embedder` that asks for its vectors.

    `ask` posts a body to `/embeddings` and returns the reply's; it may raise GatewayError.
    `chars_max`: a longer text gets a row of zeros unasked. `waiting_max`: calls under way at once.
    """

    def __init__(
        self,
        ask: Ask,
        model: str,
        *,
        timeout_s: float = 2.0,
        chars_max: int = 8_000,
        waiting_max: int = 16,
    ) -> None:
        self._ask = ask
        self._model = model
        self._timeout_s = timeout_s
        self._chars_max = chars_max
        self._waiting_max = waiting_max
        self._waiting = 0

    @property
    def name(self) -> str:
        """Return the model's name: who changes its weights behind it is to rename it."""
        return f"endpoint-{self._model}"

    async def embed(self, texts: Sequence[str]) -> "Vectors | None":
        """Return (n_texts, n_dimensions); None where it is late, fails, or too many wait."""
        short = [text for text in texts if 0 < len(text) <= self._chars_max]
        if not short:
            return np.zeros((len(texts), 0), np.float32)
        if self._waiting >= self._waiting_max:
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                found = _read(await self._ask(self._body(short)), len(short))
        except (GatewayError, TimeoutError, ValueError) as error:
            log.warning("embeddings: %s failed (%s): nothing alike is looked for", self.name, error)
            return None
        finally:
            self._waiting -= 1
        vectors = np.zeros((len(texts), found.shape[1]), np.float32)
        vectors[[0 < len(text) <= self._chars_max for text in texts]] = found
        return vectors

    async def aclose(self) -> None:
        """Do nothing: connections belong to whoever made `ask`."""

    def _body(self, texts: list[str]) -> bytes:
        asked = {"model": self._model, "input": texts, "encoding_format": "float"}
        return msgspec.json.encode(asked)


def _read(reply: bytes, count: int) -> "Vectors":
    """Return (count, n_dimensions), rows of length 1. Raises ValueError."""
    if len(reply) > _BODY_BYTES_MAX:
        raise ValueError(f"the reply has {len(reply)} bytes")
    vectors = {vector.index: vector.embedding for vector in _reply.decode(reply).data}
    if sorted(vectors) != list(range(count)) or len(set(map(len, vectors.values()))) != 1:
        raise ValueError("the reply has not one vector of one size for each text")
    found = np.array([vectors[place] for place in range(count)], np.float64)
    with np.errstate(over="ignore"):  # a length without end is refused below
        lengths: NDArray[np.float64] = np.sqrt(np.vecdot(found, found))
    if not (np.isfinite(lengths).all() and lengths.all()):
        raise ValueError("the reply has a vector of no length")
    unit: Vectors = (found / lengths[:, np.newaxis]).astype(np.float32)
    return unit
