"""Compressed replies: read where they are honest, cut off where they are bombs."""

import gzip
import sys
import zlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults import upstream as up
from tests.pipeline.rig import asking
from tests.providers.test_http import answered, calling, provider

from pointsman.core.errors import UpstreamBadResponse, UpstreamTooLarge
from pointsman.core.events import Finished, TextDelta
from pointsman.providers import http_body
from pointsman.providers.inflate import PIECE_BYTES, RATIO_MAX, UNMINDED_BYTES, Inflater

Squeeze = Callable[[bytes], bytes]
SQUEEZED: dict[str, Squeeze] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
}
EACH = pytest.mark.parametrize("encoding", SQUEEZED)


def inflated(encoding: str, pieces: list[bytes]) -> bytes:
    inflater = Inflater(encoding)
    return b"".join(plain for piece in pieces for plain in inflater.feed(piece))


@given(
    st.sampled_from(["gzip", "deflate", "br"]),
    st.binary(max_size=400).map(lambda text: text * 7),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_what_was_compressed_comes_back_wherever_the_network_cuts_it(encoding, text, cuts):
    body = SQUEEZED[encoding](text)
    marks = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    pieces = [body[start:end] for start, end in pairwise(marks)]
    assert inflated(encoding, pieces) == text


def test_a_file_of_several_members_is_one_text():
    assert inflated("gzip", [gzip.compress(b"a") + gzip.compress(b"b")]) == b"ab"


@EACH
def test_pieces_are_never_larger_than_asked_for(encoding: str):
    text = Random(1).randbytes(400_000)
    inflater = Inflater(encoding)
    pieces = list(inflater.feed(SQUEEZED[encoding](text)))
    assert b"".join(pieces) == text and max(map(len, pieces)) <= 2 * PIECE_BYTES


@EACH
def test_a_bomb_is_cut_off_at_a_hundred_times_its_size(encoding: str):
    bomb = SQUEEZED[encoding](bytes(50_000_000))
    inflater, given_bytes = Inflater(encoding), 0
    with pytest.raises(UpstreamTooLarge):  # noqa: PT012 -- what came before it is counted
        for start in range(0, len(bomb), 100):
            for plain in inflater.feed(bomb[start : start + 100]):
                given_bytes += len(plain)
    assert given_bytes <= max(UNMINDED_BYTES, RATIO_MAX * len(bomb))


@pytest.mark.parametrize("encoding", ["zstd", "compress", "gzip, gzip", "gzip,br", "x"])
def test_an_encoding_that_nobody_asked_for_is_refused_by_name(encoding: str):
    with pytest.raises(UpstreamBadResponse, match="only gzip, deflate and br"):
        Inflater(encoding)


@EACH
@pytest.mark.parametrize("body", [b"plain text", b"\x1f\x8b nonsense", b"\x78\x9c\xff\xff\xff"])
def test_what_is_not_what_it_says_is_a_bad_response(encoding: str, body: bytes):
    with pytest.raises(UpstreamBadResponse):
        inflated(encoding, [body * 3])


@EACH
async def test_a_compressed_reply_is_read(encoding: str):
    body = SQUEEZED[encoding](up.answer_body("Hello there."))
    squeezed = up.reply(200, body, Content_Encoding=encoding)
    async with up.upstream(m=squeezed) as server, provider() as made:
        events = await answered(made, asking(stream=False), calling(server.base_url))
        assert server.seen[0].headers["accept-encoding"] == "identity"
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hello there."]
    assert isinstance(events[-1], Finished)


@EACH
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_bomb_of_a_reply_is_too_large(encoding: str, stream: bool):
    bomb = SQUEEZED[encoding](up.answer_body("x" * 30_000_000))
    kind = "text/event-stream" if stream else "application/json"
    behaviour = up.reply(200, bomb, kind, Content_Encoding=encoding)
    async with up.upstream(m=behaviour) as server, provider() as made:
        with pytest.raises(UpstreamTooLarge, match="100 times"):
            await answered(made, asking(stream=stream), calling(server.base_url))


def test_brotli_without_its_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(UpstreamBadResponse, match=r"pip install 'pointsman\[brotli\]'"):
        Inflater("br")


async def test_what_is_inflated_counts_against_the_limit_of_a_reply(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(http_body, "REPLY_BYTES_MAX", 50_000)
    body = gzip.compress(up.answer_body("x" * 60_000))
    behaviour = up.reply(200, body, Content_Encoding="gzip")
    async with up.upstream(m=behaviour) as server, provider() as made:
        with pytest.raises(UpstreamTooLarge, match="over 50000 bytes"):
            await answered(made, asking(stream=False), calling(server.base_url))
