"""Replies out of bytes: what is one, what is none, and where each ends."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.providers.http1.reading import (
    ANNOUNCED_MAX,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    Reading,
)

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 3\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
WHOLE = OK + LENGTH + b"\r\nabc"


def read(*pieces: bytes, closes: bool = False) -> Reading:
    reading = Reading()
    for piece in pieces:
        reading.feed(piece)
    if closes:
        reading.end()
    return reading


def facts(reading: Reading) -> tuple[object, ...]:
    """Return all that a reply says; what is wrong with it as yes or no."""
    body = reading.take(1_000_000)
    headers = reading.headers if reading.status else {}
    return (reading.status, headers, body, reading.is_whole, bool(reading.fault))


READ: dict[str, tuple[bytes, int, bytes, bool]] = {
    "a length": (WHOLE, 200, b"abc", True),
    "no length": (OK + b"content-length: 0\r\n\r\n", 200, b"", True),
    "chunks": (OK + CHUNKED + b"\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", 200, b"abc", True),
    "Chunked": (OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200, b"", True),
    "trailers": (OK + CHUNKED + b"\r\n0\r\nx-later: 1\r\n\r\n", 200, b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", True),
    "no reason": (b"HTTP/1.1 429\r\ncontent-length: 0\r\n\r\n", 429, b"", True),
    "announced": (b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY * 3 + WHOLE, 200, b"abc", True),
    "1.0 kept alive": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + LENGTH + b"\r\nabc",
                       200, b"abc", True),
    "1.0": (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\nabc", 200, b"abc", False),
    "asks to close": (OK + b"connection: close\r\n" + LENGTH + b"\r\nabc", 200, b"abc", False),
    "offers another protocol": (OK + b"connection: upgrade\r\nupgrade: h2c\r\n" + LENGTH
                                + b"\r\nabc", 200, b"abc", True),
}  # fmt: skip


@pytest.mark.parametrize(("data", "status", "body", "keeps_alive"), READ.values(), ids=READ)
def test_a_reply_is_read_to_its_end_and_no_further(data, status, body, keeps_alive):
    reading = read(data)
    assert not reading.fault and reading.is_whole
    assert (reading.status, reading.take(99), reading.keeps_alive) == (status, body, keeps_alive)


# Whatever two readers could take for different replies, and what is no HTTP/1.1 at all.
REFUSED: dict[str, bytes] = {
    "length and chunks": OK + LENGTH + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": OK + CHUNKED + LENGTH + b"\r\n0\r\n\r\n",
    "two lengths": OK + LENGTH + b"content-length: 4\r\n\r\nabcd",
    "the same length twice": OK + LENGTH + LENGTH + b"\r\nabc",
    "a list of lengths": OK + b"content-length: 3, 3\r\n\r\nabc",
    "a signed length": OK + b"content-length: +3\r\n\r\nabc",
    "a negative length": OK + b"content-length: -3\r\n\r\nabc",
    "an empty length": OK + b"content-length: \r\n\r\nabc",
    "a length beyond 64 bits": OK + b"content-length: 99999999999999999999\r\n\r\n",
    "gzip, then chunks": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks, then gzip": OK + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks twice": OK + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "another coding": OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an empty coding": OK + b"transfer-encoding: \r\n\r\n",
    "chunks in 1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH + b"\r\nabc",
    "0.9": b"HTTP/0.9 200 OK\r\n" + LENGTH + b"\r\nabc",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a request": b"POST / HTTP/1.1\r\n\r\n",
    "line feeds alone": b"HTTP/1.1 200 OK\ncontent-length: 3\n\nabc",
    "a carriage return alone": OK + b"x: a\rcontent-length: 3\r\n\r\nabc",
    "a folded header": OK + b"x: a\r\n b\r\n" + LENGTH + b"\r\nabc",
    "a blank before the colon": OK + b"content-length : 3\r\n\r\nabc",
    "a header without a name": OK + b": x\r\n\r\n",
    "NUL in a header": OK + b"x: a\0b\r\n\r\n",
    "status 0": b"HTTP/1.1 000 None\r\n" + LENGTH + b"\r\nabc",
    "another protocol": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "an announcement with a body": b"HTTP/1.1 103 Early\r\n" + LENGTH + b"\r\nabc" + WHOLE,
    "an announcement in chunks": b"HTTP/1.1 103 Early\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + WHOLE,
    "nothing but announcements": EARLY * (ANNOUNCED_MAX + 1),
    "too many headers": OK + b"x: y\r\n" * (HEADERS_MAX + 1) + b"\r\n",
    "long headers": OK + b"x: %b\r\n\r\n" % (b"y" * HEAD_BYTES_MAX),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_no_reply(data: bytes):
    reading = read(data)
    assert reading.fault and not reading.is_whole and not reading.keeps_alive
    assert reading.status == 0


BROKEN_BODIES: dict[str, bytes] = {
    "no size": b"\r\nabc\r\n",
    "a negative size": b"-1\r\n",
    "a size beyond 64 bits": b"fffffffffffffffff\r\n",
    "more than its size": b"3\r\nabcd\r\n",
    "line feeds alone": b"3\nabc\n0\n\n",
    "many trailers": b"0\r\n" + b"x: y\r\n" * (HEADERS_MAX + 1) + b"\r\n",
    "a long trailer": b"0\r\nx: %b\r\n\r\n" % (b"y" * HEAD_BYTES_MAX),
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_a_body_in_broken_chunks_does_not_become_whole(body: bytes):
    reading = read(OK + CHUNKED + b"\r\n" + body)
    assert reading.status == 200 and reading.fault
    assert not reading.is_whole and not reading.keeps_alive


@pytest.mark.parametrize("opening", [b"HTTP/1.1 200 ", OK + b"x: ", OK + CHUNKED + b"\r\n3;"])
def test_what_the_parser_keeps_to_itself_has_a_bound(opening: bytes):
    kilobytes = HEAD_BYTES_MAX // 1000
    assert not read(opening, *[b"y" * 1000] * kilobytes).fault
    assert read(opening, *[b"y" * 1000] * (kilobytes + 2)).fault


def test_no_fault_repeats_what_came():
    for data in (*REFUSED.values(), b"canary\r\n", OK + b"canary\x01: x\r\n"):
        assert "canary" not in read(data).fault


def test_a_body_without_an_end_of_its_own_ends_with_its_connection():
    open_end = (OK + b"\r\nabc", b"def")
    assert not read(*open_end).is_whole
    reading = read(*open_end, closes=True)
    assert reading.is_whole and not reading.keeps_alive and reading.take(99) == b"abcdef"


@pytest.mark.parametrize(
    "data", [b"", OK, OK + LENGTH + b"\r\nab", OK + CHUNKED + b"\r\n3\r\nabc\r\n", EARLY]
)
def test_a_reply_that_breaks_off_is_not_whole(data: bytes):
    assert not read(data, closes=True).is_whole


@pytest.mark.parametrize("more", [WHOLE, EARLY, b"x", b"\0"])
def test_what_follows_a_reply_ends_the_connection_and_changes_nothing(more: bytes):
    together, apart = read(WHOLE + more), read(WHOLE, more)
    for reading in (together, apart):
        assert not reading.keeps_alive and not reading.fault and reading.is_whole
        assert reading.take(99) == b"abc"


def test_one_reading_reads_reply_after_reply():
    reading = Reading()
    for number in range(50):
        reading.expect()
        reading.feed(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n%02d" % (400 + number, number))
        assert reading.is_whole and reading.keeps_alive
        assert (reading.status, reading.take(99)) == (400 + number, b"%02d" % number)


def test_the_first_of_two_headers_counts_and_names_are_read_in_small_letters():
    reading = read(OK + b"Retry-After: 1\r\nretry-after: 2\r\n" + LENGTH + b"\r\nabc")
    assert reading.headers[b"retry-after"] == b"1"


def test_a_body_is_taken_piece_by_piece():
    reading = read(OK + b"content-length: 10\r\n\r\n0123456789")
    assert [reading.take(4) for _ in range(4)] == [b"0123", b"4567", b"89", b""]


REPLIES = (
    *(data for data, *_ in READ.values()),
    *REFUSED.values(),
    *(OK + CHUNKED + b"\r\n" + body for body in BROKEN_BODIES.values()),
    OK + b"\r\nabc",
)


@given(data=st.sampled_from(REPLIES), cuts=st.lists(st.integers(0, 40_000)))
def test_a_reply_does_not_depend_on_where_the_network_cuts(data: bytes, cuts: Sequence[int]):
    assert facts(read(*split(data, cuts), closes=True)) == facts(read(data, closes=True))


@pytest.mark.parametrize("data", [WHOLE, READ["chunks"][0], READ["announced"][0]])
def test_a_reply_is_the_same_byte_by_byte(data: bytes):
    single = [data[at : at + 1] for at in range(len(data))]
    assert facts(read(*single)) == facts(read(data))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_no_bytes_make_it_raise(data: bytes, cuts: Sequence[int]):
    for begins in (b"", OK, OK + CHUNKED + b"\r\n"):
        reading = read(*split(begins + data, cuts), closes=True)
        assert not (reading.fault and reading.is_whole)


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[begins:ends] for begins, ends in pairwise(bounds)]
