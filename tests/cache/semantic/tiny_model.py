"""A sentence model of five words, written as ONNX by hand: no package that writes models is needed.

Its graph is one `Gather`: a word's vector is its row of the table, so the test knows every vector.
"""

import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pointsman.cache.semantic.onnx_embedder import OnnxFiles

WORDS = ("[UNK]", "north", "south", "east", "naught")
TABLE = np.array([[0, 0, 1], [0, 2, 0], [0, -2, 0], [2, 0, 0], [0, 0, 0]], np.float32)
FLOAT, INT64 = 1, 7


def tiny_files(folder: Path) -> OnnxFiles:
    model, tokenizer = folder / "tiny.onnx", folder / "tokenizer.json"
    model.write_bytes(tiny_onnx())
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    made.pre_tokenizer = Whitespace()
    made.save(str(tokenizer))
    return OnnxFiles(
        model=model,
        tokenizer=tokenizer,
        model_sha256=sha256(model.read_bytes()).hexdigest(),
        tokenizer_sha256=sha256(tokenizer.read_bytes()).hexdigest(),
        tokens_max=8,
    )


def tiny_onnx() -> bytes:
    """Source: onnx.proto of ONNX 1.17: fields of ModelProto, GraphProto, NodeProto, TensorProto."""
    gather = text(1, "table") + text(1, "input_ids") + text(2, "hidden") + text(4, "Gather")
    table = (
        b"".join(number(1, size) for size in TABLE.shape)
        + number(2, FLOAT)
        + text(8, "table")
        + field(9, TABLE.tobytes())
    )
    graph = (
        field(1, gather)
        + text(2, "tiny")
        + field(5, table)
        + field(11, value("input_ids", INT64, ("batch", "words")))
        + field(12, value("hidden", FLOAT, ("batch", "words", 3)))
    )
    return number(1, 8) + field(7, graph) + field(8, text(1, "") + number(2, 13))


def value(name: str, kind: int, shape: tuple[str | int, ...]) -> bytes:
    sizes = b"".join(
        field(1, text(2, size) if isinstance(size, str) else number(1, size)) for size in shape
    )
    return text(1, name) + field(2, field(1, number(1, kind) + field(2, sizes)))


def text(tag: int, said: str) -> bytes:
    return field(tag, said.encode())


def field(tag: int, payload: bytes) -> bytes:
    return struct.pack("B", tag << 3 | 2) + varint(len(payload)) + payload


def number(tag: int, what: int) -> bytes:
    return struct.pack("B", tag << 3) + varint(what)


def varint(what: int) -> bytes:
    low = bytes([what & 0x7F | (0x80 if what > 0x7F else 0)])
    return low + varint(what >> 7) if what > 0x7F else low
