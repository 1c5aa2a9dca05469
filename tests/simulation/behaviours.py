"""Behaviours: what an upstream does with one call, drawn: good answers, and every kind of fault."""

import email.utils
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, TypeAlias

from tests.simulation import replies
from tests.simulation.replies import CONTENT, END, FINISH, USAGE, Said

Ends: TypeAlias = Literal["keep", "close", "reset", "hang", "ping"]

_WORDS = ("river", "stone", "lantern", "meadow", "copper", "winter", "harbour", "violet", "amber")
_HUGE_BYTES = 8 * 1024 * 1024 + 1


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire. `marks`: by what is told, the offset in `raw` where it is told.

    `stops_at`: what is sent of it, None for all; then it `ends`. `said`: the answer in it, None
    where there is none. `retry_after_s`: for how long it asks to be left alone. `cuts`: in how many
    places it is cut, `gap_s` apart at most.
    """

    kind: str
    raw: bytes = b""
    marks: Mapping[str, int] = field(default_factory=dict)
    said: Said | None = None
    stops_at: int | None = None
    ends: Ends = "keep"
    wait_s: float = 0.0
    gap_s: float = 0.0
    cuts: int = 0
    retry_after_s: float | None = None

    @property
    def may_bill(self) -> bool:
        """Return whether an upstream may charge for it: all but what it has refused."""
        return not self.kind.startswith(("4", "302", "context", "spent", "error 4"))

    @property
    def text(self) -> str:
        return "" if self.said is None else self.said.text


@dataclass(frozen=True, slots=True)
class Draw:
    """What a behaviour is drawn from."""

    dialect: str
    said: Said
    is_stream: bool
    rng: Random
    date: str


def reply_to(
    dialect: str,
    number: int,
    rng: Random,
    *,
    is_stream: bool,
    has_fault: bool,
    is_lying: bool,
    date: str,
) -> Reply:
    """Return what comes of the call `number`, whose answer is no other's."""
    words = [f"{number}.{n}:{rng.choice(_WORDS)} " for n in range(rng.randint(1, 14))]
    words[-1] = words[-1].strip() + "."
    tokens = (10_000 if is_lying else 100) + number
    said = Said(words, input_tokens=5, output_tokens=tokens, has_usage=rng.random() < 0.9)
    if not said.has_usage and dialect == "anthropic":
        said = replace(said, has_usage=True)
    drawn = Draw(dialect, said, is_stream, rng, date)
    behave = rng.choice(_FAULTS) if has_fault else _good
    reply = behave(drawn)
    return replace(
        reply,
        wait_s=reply.wait_s or rng.choice((0.01, 0.1, 1.0)) * rng.random(),
        cuts=reply.cuts or rng.choice((0, 2, 10)),
        gap_s=reply.gap_s or rng.choice((0.001, 0.02, 0.2)),
    )


def _good(drawn: Draw) -> Reply:
    """Answer, as asked."""
    if not drawn.is_stream:
        body = replies.whole(drawn.dialect, drawn.said)
        raw = _head(200, "application/json", length=len(body)) + body
        marks = dict.fromkeys((CONTENT, FINISH, USAGE, END), len(raw))
        return _with_usage(Reply("good", raw, marks, drawn.said))
    is_chunked = drawn.rng.random() < 0.8
    raw = _head(200, "text/event-stream", length=None if is_chunked else -1)
    marks = {}
    for frame, tells in replies.frames(drawn.dialect, drawn.said):
        raw += _chunk(frame) if is_chunked else frame
        for name in tells:
            if name != CONTENT or CONTENT not in marks:
                marks[name] = len(raw)
    raw += b"0\r\n\r\n" if is_chunked else b""
    return _with_usage(
        Reply("good", raw, marks, drawn.said, ends="keep" if is_chunked else "close")
    )


def _with_usage(reply: Reply) -> Reply:
    if reply.said is not None and reply.said.has_usage:
        return reply
    return replace(reply, marks={n: at for n, at in reply.marks.items() if n != USAGE})


def _stopped(ends: Ends) -> Callable[[Draw], Reply]:
    """Return a behaviour that stops somewhere in a good answer."""

    def behave(drawn: Draw) -> Reply:
        good = _good(drawn)
        at = drawn.rng.randrange(len(good.raw))
        return replace(good, kind=f"stops and {ends}s", stops_at=at, ends=ends)

    return behave


def _silent(ends: Ends) -> Callable[[Draw], Reply]:
    def behave(drawn: Draw) -> Reply:
        del drawn
        return Reply(f"{ends}s", ends=ends)

    return behave


def _slow(drawn: Draw) -> Reply:
    good = _good(drawn)
    return replace(good, kind="slow", wait_s=drawn.rng.uniform(1, 12), gap_s=3.0, cuts=8)


def _pings(drawn: Draw) -> Reply:
    """Say something, then only that somebody is there."""
    good = _good(replace(drawn, is_stream=True))
    return replace(good, kind="pings", stops_at=good.marks[CONTENT], ends="ping")


def _empty(drawn: Draw) -> Reply:
    said = replace(drawn.said, words=())
    return replace(_good(replace(drawn, said=said)), kind="empty")


def _filtered(drawn: Draw) -> Reply:
    return replace(_good(replace(drawn, said=replace(drawn.said, reason="filter"))), kind="filter")


def _status(
    status: int, *, told_s: float | None = None, as_date: bool = False
) -> Callable[..., Reply]:
    """Return a behaviour that refuses, with a Retry-After where `told_s` is not None."""

    def behave(drawn: Draw) -> Reply:
        body = replies.error(drawn.dialect, status, "no")
        more = []
        if told_s is not None and as_date:
            more = [f"Retry-After: {_later(drawn.date, told_s)}", f"Date: {drawn.date}"]
        elif told_s is not None:
            more = [f"Retry-After: {told_s:g}"]
        return _refusal(f"{status} {told_s}", status, body, more, told_s)

    return behave


def _context(drawn: Draw) -> Reply:
    text = "This model's maximum context length is 8 tokens."
    body = replies.error(drawn.dialect, 400, text, "context_length_exceeded")
    return _refusal("context", 400, body, [], None)


def _spent(drawn: Draw) -> Reply:
    body = replies.error(drawn.dialect, 429, "You exceeded your quota", "insufficient_quota")
    return _refusal("spent", 429, body, [], None)


def _malformed(drawn: Draw) -> Reply:
    kind = (
        "text/event-stream" if drawn.is_stream and drawn.rng.random() < 0.5 else "application/json"
    )
    bad = drawn.rng.choice((b'{"choices": [', b"[]", b"null", b"\xff\xfe", b'data: {"choi\n\n'))
    raw = _head(200, kind, length=len(bad)) + bad
    return Reply("malformed", raw)


def _wrong_type(drawn: Draw) -> Reply:
    del drawn
    body = b"<html>Welcome</html>"
    return Reply("html", _head(200, "text/html", length=len(body)) + body)


def _no_http(drawn: Draw) -> Reply:
    del drawn
    return Reply("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ends="close")


def _error_inside(drawn: Draw) -> Reply:
    """Answer 200 and then an error, perhaps after some content."""
    good = _good(replace(drawn, is_stream=True))
    status = drawn.rng.choice((429, 500, 529, 400))
    frame = replies.error_frame(drawn.dialect, status, "no more")
    words = drawn.rng.choice((0, len(drawn.said.words)))
    raw = _head(200, "text/event-stream", length=None)
    if words:
        told = [
            frame for frame, tells in replies.frames(drawn.dialect, drawn.said) if CONTENT in tells
        ]
        raw += b"".join(map(_chunk, told))
    raw += _chunk(frame) + b"0\r\n\r\n"
    marks = {CONTENT: len(raw)} if words else {}
    return Reply(f"error {status} inside", raw, marks, good.said)


def _early_end(drawn: Draw) -> Reply:
    """Say the stream's last word before the answer has ended."""
    if drawn.dialect != "openai-chat":
        return _stopped("close")(drawn)
    raw = _head(200, "text/event-stream", length=None)
    marks = {}
    for frame, tells in replies.frames(drawn.dialect, drawn.said):
        if not tells & {FINISH, USAGE}:
            raw += _chunk(frame)
            marks[CONTENT] = len(raw)
    return Reply("early end", raw + b"0\r\n\r\n", marks, drawn.said)


def _huge(drawn: Draw) -> Reply:
    """Send a frame that is larger than any may be."""
    frame = b"data: " + b"x" * _HUGE_BYTES if drawn.rng.random() < 0.1 else b"data: " + b"x" * 9_000
    raw = _head(200, "text/event-stream", length=None) + _chunk(frame)
    return Reply("huge", raw, ends="hang", cuts=1)


def _refusal(
    kind: str, status: int, body: bytes, headers: list[str], told_s: float | None
) -> Reply:
    raw = _head(status, "application/json", *headers, length=len(body)) + body
    return Reply(kind, raw, retry_after_s=told_s)


def _head(status: int, kind: str, *headers: str, length: int | None) -> bytes:
    """Return a reply's head. `length` None: chunked; -1: until the connection's end."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", *headers]
    if length is None:
        lines.append("Transfer-Encoding: chunked")
    elif length >= 0:
        lines.append(f"Content-Length: {length}")
    else:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _later(date: str, seconds: float) -> str:
    when = email.utils.parsedate_to_datetime(date).timestamp() + seconds
    return email.utils.formatdate(when, usegmt=True)


_FAULTS: tuple[Callable[[Draw], Reply], ...] = (
    _stopped("reset"),
    _stopped("reset"),
    _stopped("close"),
    _stopped("close"),
    _stopped("hang"),
    _silent("hang"),
    _silent("reset"),
    _silent("close"),
    _slow,
    _pings,
    _empty,
    _filtered,
    *(_status(status) for status in (429, 500, 503, 529, 400, 422, 401, 403, 404, 413, 302)),
    _status(429, told_s=2.0),
    _status(429, told_s=15.0),
    _status(429, told_s=3.0, as_date=True),
    _status(503, told_s=5.0),
    _context,
    _spent,
    _malformed,
    _wrong_type,
    _no_http,
    _error_inside,
    _error_inside,
    _huge,
    _early_end,
    _early_end,
    _early_end,
)
