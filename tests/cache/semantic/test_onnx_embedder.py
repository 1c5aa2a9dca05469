import asyncio
import logging
import threading
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from tests.cache.semantic.tiny_model import tiny_files

from pointsman.cache.semantic.onnx_embedder import MINILM_SHA256, OnnxEmbedder
from pointsman.core.errors import ConfigError


@pytest.fixture
async def embedder(tmp_path):
    made = OnnxEmbedder(tiny_files(tmp_path))
    yield made
    await made.aclose()


async def test_a_text_becomes_the_mean_of_its_words_at_length_one(embedder):
    vectors = await embedder.embed(["north", "north east", "north north south", "strange"])
    assert vectors.dtype == np.float32
    half = 1 / sqrt(2)
    assert vectors == pytest.approx(np.array([[0, 1, 0], [half, half, 0], [0, 1, 0], [0, 0, 1]]))


async def test_a_text_has_the_same_vector_in_any_company(embedder):
    alone = await embedder.embed(["north east"])
    among = await embedder.embed(["south", "north east", "east east east east"])
    assert (alone[0] == among[1]).all()


@pytest.mark.parametrize(
    "text",
    ["north " * 9, "x" * 10_000_000, "", "naught", "north south"],
    ids=["too many words", "too long to be split", "empty", "of no length", "which cancel out"],
)
async def test_what_cannot_be_embedded_is_near_to_nothing(embedder, text):
    vectors = await embedder.embed([text, "north"])
    assert vectors.tolist() == [[0, 0, 0], [0, 1, 0]]


async def test_as_many_words_as_the_model_reads_are_read(embedder):
    assert (await embedder.embed(["north " * 8])).any()


async def test_no_texts_are_no_rows(embedder):
    assert (await embedder.embed([])).shape == (0, 3)


@pytest.mark.parametrize("which", ["model", "tokenizer"])
def test_a_file_that_was_changed_is_refused_with_both_digests(tmp_path, which):
    files = tiny_files(tmp_path)
    path = getattr(files, which)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ConfigError) as told:
        OnnxEmbedder(files)
    assert str(path) in str(told.value)
    assert getattr(files, f"{which}_sha256") in str(told.value)


def test_a_digest_may_be_written_in_capitals(tmp_path):
    files = tiny_files(tmp_path)
    capitals = replace(files, model_sha256=files.model_sha256.upper())
    assert OnnxEmbedder(capitals).name == OnnxEmbedder(files).name


def test_another_model_or_bound_has_another_name(tmp_path):
    files = tiny_files(tmp_path)
    names = {OnnxEmbedder(replace(files, tokens_max=size)).name for size in (8, 9)}
    assert len(names) == 2


def test_a_model_that_is_not_the_known_one_is_refused_unless_it_is_pinned(tmp_path):
    with pytest.raises(ConfigError, match=MINILM_SHA256):
        OnnxEmbedder(replace(tiny_files(tmp_path), model_sha256=MINILM_SHA256))


def test_a_file_that_is_not_there_is_told(tmp_path):
    files = tiny_files(tmp_path)
    files.model.unlink()
    with pytest.raises(ConfigError, match=r"tiny\.onnx cannot be read"):
        OnnxEmbedder(files)


def test_a_file_that_is_no_model_is_told(tmp_path):
    files = tiny_files(tmp_path)
    with pytest.raises(ConfigError, match=r"no ONNX model"):
        OnnxEmbedder(
            replace(files, model=files.tokenizer, model_sha256=files.tokenizer_sha256),
        )


async def test_nothing_is_embedded_for_those_that_would_wait_too_long(tmp_path):
    embedder = OnnxEmbedder(replace(tiny_files(tmp_path), waiting_max=2))
    go_on = threading.Event()
    embedder._thread.submit(go_on.wait)
    waiting = [asyncio.create_task(embedder.embed(["north"])) for _ in range(2)]
    await asyncio.sleep(0)
    assert await embedder.embed(["north"]) is None
    go_on.set()
    assert all(found is not None for found in await asyncio.gather(*waiting))
    assert await embedder.embed(["north"]) is not None
    await embedder.aclose()


async def test_a_model_that_fails_is_logged_and_raises_nothing(embedder, caplog):
    embedder._session = None
    with caplog.at_level(logging.WARNING):
        assert await embedder.embed(["north"]) is None
    assert "the model failed" in caplog.text


async def test_a_closed_embedder_raises_nothing(embedder):
    await embedder.aclose()
    assert await embedder.embed(["north"]) is None
