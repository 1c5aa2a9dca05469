"""Targets of the doors: configuration, headers, framing, prices, compression and what is kept."""

import asyncio
import gzip
import importlib.metadata
import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
from tests.core.wire.answers import STARTED
from tests.fuzz.target import Target, expect
from tests.providers.http1.test_reading import READ as REPLIES
from tests.providers.http1.test_reading import REFUSED as NO_REPLIES
from tests.server.test_framing import REFUSED

from pointsman.access.sqlite_keys import _grant
from pointsman.cache.entry import Entry, decode_entry, encode_entry
from pointsman.catalog import models, providers
from pointsman.config import parse_settings
from pointsman.core.errors import ConfigError, RequestError, UpstreamError
from pointsman.core.events import Finished, TextDelta, UsageReport
from pointsman.core.grants import Grant
from pointsman.core.prices import cost_nanousd
from pointsman.core.usage import Usage
from pointsman.deployments import price_book, resolve_tiers
from pointsman.pricing import PriceBook, price_from_usd_per_mtok
from pointsman.providers.http1.reading import HEAD_BYTES_MAX, Reading
from pointsman.providers.inflate import Inflater
from pointsman.providers.retry_after import RETRY_AFTER_S_MAX, retry_after_s
from pointsman.server.app import read_query
from pointsman.server.auth import sent_key
from pointsman.server.bodies import Bodies, Incoming, Limits
from pointsman.server.caller import read_caller
from pointsman.server.exchange import Exchange
from pointsman.server.origins import Origins
from pointsman.server.parser import Head
from pointsman.server.protocol import PIPELINED_MAX, Protocol, Refusal
from pointsman.server.reply import Reply
from pointsman.server.routes import check_method, find_route

_CONFIG = Path(__file__).parents[1] / "config" / "spec_example.toml"
_NOW_S = 1_795_392_000.0
_DAY = datetime.fromtimestamp(_NOW_S, UTC)
_ANSWER = (STARTED, TextDelta("hi"), UsageReport(Usage(input_tokens=1)), Finished("stop"))
_ENTRY = Entry(
    events=_ANSWER, tenant="t", tier="t", deployment="p/m", policy="p", reason="r",
    created_at_s=1.0, request_id="r",
)  # fmt: skip


def door_targets() -> list[Target]:
    """Return the targets."""
    rows = (msgspec.DecodeError, ValueError)
    return [
        Target("Retry-After", read_retry_after, retry_seeds),
        Target("configuration", read_config, config_seeds, (ConfigError,)),
        Target("prices", read_price, price_seeds, (ValueError,)),
        Target("catalogue providers", partial(read_rows, providers._File), row_seeds, rows),
        Target("catalogue models", partial(read_rows, models._File), row_seeds, rows),
        Target("cache entry", read_entry, entry_seeds),
        Target("grant", read_grant, grant_seeds, (), True),
        Target("inflate", inflate, inflate_seeds, (UpstreamError,)),
        Target("head", read_head, head_seeds, (RequestError,)),
        Target("framing", frame, frame_seeds),
        Target("upstream framing", read_replies, reply_seeds),
    ]


def read_replies(data: bytes) -> None:
    """Read a connection's bytes as an upstream's reply, whole and cut at random."""
    rng = Random(len(data))
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(8))
    bounds = pairwise([0, *cuts, len(data)])
    whole, cut = _reply_in([data]), _reply_in([data[begins:ends] for begins, ends in bounds])
    expect(whole == cut, f"cut anew it is another reply: {whole!r} and {cut!r}")


def _reply_in(pieces: Sequence[bytes]) -> tuple[object, ...]:
    reading = Reading()
    for piece in pieces:
        if piece:
            reading.feed(piece)
    ends_itself = reading.is_whole
    reading.end()
    expect(not (reading.fault and reading.is_whole), "a reply that is at fault is whole")
    expect(not reading.is_whole or reading.status >= 200, "a reply without a status is whole")
    expect(sum(map(len, reading.headers.values())) <= HEAD_BYTES_MAX, "headers without a bound")
    body = reading.take(len(b"".join(pieces)))
    headers = reading.headers if reading.status else {}  # of a reply that is none they say nothing
    return reading.status, headers, body, ends_itself, reading.is_whole


def reply_seeds() -> list[bytes]:
    """Return replies, sound ones and such as are refused."""
    return [*(one[0] for one in REPLIES.values()), *NO_REPLIES.values()]


def read_retry_after(data: bytes) -> None:
    """Read a wait from up to three headers."""
    texts = data.decode("latin-1").split("\n")
    names = ("retry-after", "date", "retry-after-ms")
    wait_s = retry_after_s(dict(zip(names, texts, strict=False)), now_s=_NOW_S)
    expect(wait_s is None or 0 <= wait_s <= RETRY_AFTER_S_MAX, f"a wait of {wait_s} s")


def read_config(data: bytes) -> None:
    """Read a configuration; what is wrong is told."""
    try:
        with patch.object(importlib.metadata, "distributions", lambda **_: ()):  # read from disk
            text = data.decode("utf-8", "replace")
            settings = parse_settings(text, "f.toml", {}, needs_keys=False)
            resolve_tiers(settings, prices=price_book(settings), at=_DAY)
    except ConfigError as error:
        expect(error.message, "a refusal without a word")
        raise


def read_price(data: bytes) -> None:
    """Read stated prices and book with them, and look a model's name up."""
    texts = [*data.decode("utf-8", "replace").split("\n"), "", "", ""]
    _PRICES.price(texts[0][:200], texts[1][:200], _DAY)
    price = price_from_usd_per_mtok(input=texts[0], output=texts[1], cached_input=texts[2] or None)
    cost = cost_nanousd(Usage(input_tokens=10**6, output_tokens=10**6), price)
    expect(cost >= 0, f"a cost of {cost}")


def read_rows(kind: type[msgspec.Struct], data: bytes) -> None:
    """Read rows of a catalogue."""
    msgspec.toml.decode(data, type=kind)


def read_entry(data: bytes) -> None:
    """Read what a cache kept: sealed as it is, and the same under a seal that fits."""
    entry = decode_entry(data)
    if data != encode_entry(_ENTRY):
        expect(entry is None or zlib.crc32(data[6:], 1) == int.from_bytes(data[2:6], "little"), "")
    payload = data[6:]
    forged = decode_entry(struct.pack("<HI", 1, zlib.crc32(payload, 1)) + payload)
    expect(forged is None or isinstance(forged, Entry), "what is no entry was read as one")


def read_grant(data: bytes) -> None:
    """Read a grant as the file of keys kept it."""
    found = _grant(data.decode("utf-8", "surrogateescape"))
    expect(found is None or isinstance(found, Grant), "what is no grant was read as one")


def inflate(data: bytes) -> None:
    """Undo a compression, in pieces."""
    inflater, given = Inflater("gzip" if data.startswith(b"\x1f") else "deflate"), 0
    for at in range(0, len(data), 100):
        given += sum(map(len, inflater.feed(data[at : at + 100])))
    expect(given <= max(64 * 1024, 100 * len(data)), f"{len(data)} bytes became {given}")


def read_head(data: bytes) -> None:
    """Read a request's path, query and headers as the server does before it reads the body."""
    first, *lines = data.decode("latin-1").split("\n")
    path, _, query = first.partition("?")
    headers = dict[str, str]()
    for line in lines:
        name, _, value = line.lower().partition(":")
        headers[name] = value.strip()
    found = find_route(path, headers)
    sent_key(headers)
    exchange = Exchange(
        method="POST", path=path, headers=headers, body=b"", request_id="r", named=found.named,
        query=read_query(query),
    )  # fmt: skip
    read_caller(exchange, found.dialect)
    Origins().check(headers)
    check_method(found, "POST", path)


class _Transport(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.is_over = False
        self.seen = 0

    def write(self, data: Any) -> None:
        if not self.is_over:
            self.written += data

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_over = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class _Echo:
    """Reads a request's body to its end, and says how long it was."""

    def __init__(self) -> None:
        self.bodies = Bodies(Limits())
        self.tasks = set[asyncio.Task[Any]]()

    async def handle(self, incoming: Incoming, reply: Reply) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            body = b"%d" % len(await incoming.read(self.bodies))
            if incoming.head.method == "HEAD":
                body = b""  # who reads the replies does not know which of them were to be without
            reply.start(200, [("content-length", str(len(body)))])
            reply.write(body)
            reply.finish()
        finally:
            self.tasks.discard(task)

    def turned_away(self, head: Head) -> Refusal | None:
        del head
        return None


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: _FAULTS.append(context))
    return loop


def frame(data: bytes) -> None:
    """Have the bytes come in on a connection, in pieces: all that goes out is whole replies."""
    _FAULTS.clear()
    _loop().run_until_complete(_come_in(data))
    expect(not _FAULTS, f"something failed unseen: {_FAULTS}")


async def _come_in(data: bytes) -> None:
    echo, transport, connections = _Echo(), _Transport(), set[Protocol]()
    protocol = Protocol(echo, connections)
    protocol.connection_made(transport)
    size = 1 + len(data) % 97
    pieces = [data] if len(data) % 2 else [data[at : at + size] for at in range(0, len(data), size)]
    for piece in pieces:
        if not transport.is_over:
            protocol.data_received(piece)
            if len(piece) % 3:
                await asyncio.sleep(0)
    for _ in range(1_000):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not echo.tasks or len(transport.written) == transport.seen:
            break  # or it waits for more of the body
        transport.seen = len(transport.written)
    expect(len(protocol.waiting) <= PIPELINED_MAX, "too many requests wait")
    protocol.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    expect(not echo.tasks, "a request outlives its connection")
    expect(not connections, "a connection is counted that is lost")
    _check_replies(bytes(transport.written))


def _check_replies(written: bytes) -> None:
    while written:
        head, end, rest = written.partition(b"\r\n\r\n")
        expect(end and head.startswith(b"HTTP/1.1 "), f"{head[:60]!r} is no reply's head")
        if head.startswith(b"HTTP/1.1 100 "):
            written = rest
            continue
        lengths = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        expect(len(lengths) == 1, f"{head[:60]!r} has {len(lengths)} lengths")
        expect(len(rest) >= lengths[0], "a reply is cut short")
        written = rest[lengths[0] :]


def retry_seeds() -> list[bytes]:
    """Return waits in every form."""
    return [
        b"30", b"0.5", b"\nx\n1500", b"Mon, 23 Nov 2026 10:00:00 GMT",
        b"Mon, 23 Nov 2026 10:00:05 GMT\nMon, 23 Nov 2026 10:00:00 GMT",
        b"Monday, 23-Nov-26 10:00:00 GMT", b"Mon Nov 23 10:00:00 2026",
        b"Mon, 23 Nov 2026 10:00:00 +2359", b"99999999999999999999", b"-1",
    ]  # fmt: skip


def config_seeds() -> list[bytes]:
    """Return the example of the specification, whole and section by section."""
    whole = _CONFIG.read_bytes()
    base = b'[providers.p]\ndialect = "openai-chat"\nbase_url = "http://127.0.0.1:9/v1"\n'
    base += b'[[tiers]]\nname = "a"\nmodels = ["p/m"]\n'
    sections = (
        b"[cache]\nttl_s = 5\n",
        b"[budgets]\ndaily_usd = 1\n",
        b"[timeouts]\nconnect_s = 2\n",
    )
    return [whole, base, *(base + section for section in sections), whole[: len(whole) // 2]]


def price_seeds() -> list[bytes]:
    """Return rates, and names of models."""
    return [
        b"1.5\n2.5", b"0\n0\n0.1", b"openai\ngpt-4o", b"anthropic\nclaude-sonnet-4-6", b"1e-9\n1e9",
        b"google\ngemini-2.5-pro", b"openrouter\nmeta-llama/llama-3:free", b"NaN\nInfinity",
    ]  # fmt: skip


def row_seeds() -> list[bytes]:
    """Return the first tables of the catalogue's files, and what a file needs at the least."""
    folder = Path(providers.__file__).parent
    files = [(folder / name).read_bytes() for name in ("providers.toml", "models.toml")]
    return [b"[sources]\n[models]\n", b"[providers]\n", *(_tables(file) for file in files)]


def _tables(file: bytes) -> bytes:
    return file[: file.rindex(b"\n[", 0, 4000)]


def entry_seeds() -> list[bytes]:
    """Return an entry."""
    return [encode_entry(_ENTRY)]


def grant_seeds() -> list[bytes]:
    """Return grants."""
    return [msgspec.json.encode(Grant()), b'{"tiers":["a"],"models":["p/m"],"tags":{"a":"b"}}']


def inflate_seeds() -> list[bytes]:
    """Return compressed texts, one of them a bomb."""
    plain = b'{"a":"some text"}' * 9
    return [
        gzip.compress(plain, mtime=0),
        zlib.compress(plain),
        gzip.compress(bytes(10**6), mtime=0),
    ]


def head_seeds() -> list[bytes]:
    """Return paths with headers."""
    return [
        b"/v1/chat/completions?a=b\nhost: localhost\nauthorization: Bearer x\n"
        b"x-pointsman-tags: a=b,c=d",
        b"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse\nx-goog-api-key: x",
        b"/v1/messages\nhost: 127.0.0.1:80\norigin: http://127.0.0.1:80\nanthropic-version: 1",
        b"/v1/models/a/b/c\nhost: [::1]\nsec-fetch-site: cross-site\nx-pointsman-cache: refresh",
    ]  # fmt: skip


def frame_seeds() -> list[bytes]:
    """Return requests, and what is refused as one."""
    head = b"POST /v1/decide HTTP/1.1\r\nHost: localhost\r\n"
    chunked = (
        head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"
    )
    plain = head + b"Content-Length: 5\r\n\r\nhello"
    return [
        plain, chunked, plain + chunked + plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        head + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
        *list(REFUSED.values())[::4],
    ]  # fmt: skip


_FAULTS = list[Any]()
_PRICES = PriceBook()
