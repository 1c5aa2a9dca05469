"""What a scripted upstream does, in the dialect in which it was asked."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tests.faults import upstream as up
from tests.faults.spoken import BY_PATH, TEXT, Dialect
from tests.faults.upstream import Behaviour, Peer

OK_HEAD = up.head(200, Content_Length="999")


def spoken(peer: Peer) -> Dialect:
    """Return the dialect in which a peer asks."""
    return BY_PATH[peer.seen.line.split(" ")[1]]


def is_stream(peer: Peer) -> bool:
    """Return whether a stream was asked for."""
    return bool(peer.seen.body.get("stream"))


def answers(text: str = TEXT, ending: str = "stop") -> Behaviour:
    """Answer as asked, streamed or not."""

    async def behave(peer: Peer) -> None:
        dialect, body = spoken(peer), peer.seen.body
        if is_stream(peer):
            await up.stream(*dialect.frames(body, text, ending))(peer)
        else:
            await up.reply(200, dialect.whole(body, text, ending))(peer)

    return behave


def answers_in_pieces(text: str, size: int) -> Behaviour:
    """Answer as asked, `size` bytes to a segment: letters and frames are cut anywhere."""

    async def behave(peer: Peer) -> None:
        dialect, body, streamed = spoken(peer), peer.seen.body, is_stream(peer)
        said = b"".join(dialect.frames(body, text)) if streamed else dialect.whole(body, text)
        kind = "text/event-stream" if streamed else "application/json"
        peer.keeps_alive = True
        await peer.send(up.head(200, kind, Content_Length=str(len(said))))
        for start in range(0, len(said), size):
            await peer.send(said[start : start + size])
            await asyncio.sleep(0)

    return behave


def fails(
    status: int, message: str = "This went wrong.", code: str = "", **headers: str
) -> Behaviour:
    """Answer with an error."""

    async def behave(peer: Peer) -> None:
        await up.reply(status, spoken(peer).error(status, message, code), **headers)(peer)

    return behave


def breaks(ending: Callable[[Peer], Iterable[bytes]], *, ends: bool = True) -> Behaviour:
    """Stream all the text, then these frames; `ends`: the body ends as HTTP wants it."""

    async def behave(peer: Peer) -> None:
        frames = (*spoken(peer).opening(peer.seen.body), *ending(peer))
        await up.stream(*frames, ends=ends)(peer)

    return behave


def fails_inside(status: int, *, after_content: bool) -> Behaviour:
    """Answer 200 with an error inside: in the stream, or as the whole body."""

    async def behave(peer: Peer) -> None:
        dialect, body = spoken(peer), peer.seen.body
        if not is_stream(peer):
            await up.reply(200, dialect.error(status, "Overloaded."))(peer)
            return
        before = dialect.opening(body) if after_content else []
        await up.stream(*before, dialect.error_frame(status, "Overloaded."))(peer)

    return behave


async def hangs_mid_stream(peer: Peer) -> None:
    """Stream all the text, then nothing."""
    await peer.send(up.stream_head())
    await peer.chunks(*spoken(peer).opening(peer.seen.body))
    await peer.hang()


async def hangs_in_preamble(peer: Peer) -> None:
    """Stream what comes before the text, then nothing."""
    await peer.send(up.stream_head())
    await peer.chunks(*spoken(peer).preamble(peer.seen.body))
    await peer.hang()


async def pings_mid_stream(peer: Peer) -> None:
    """Stream all the text, then nothing but comments."""
    await up.then_ping(*spoken(peer).opening(peer.seen.body))(peer)


async def truncates(peer: Peer) -> None:
    """Say that all is well, and half a JSON body."""
    said = spoken(peer).whole(peer.seen.body)
    await up.reply(200, said[: len(said) // 2])(peer)


def resets_mid_stream(once: asyncio.Event) -> Behaviour:
    """Stream all the text, and break the connection once the client has read it."""

    async def behave(peer: Peer) -> None:
        await peer.send(up.stream_head())
        await peer.chunks(*spoken(peer).opening(peer.seen.body))
        await once.wait()
        peer.reset()

    return behave


def waits(go_on: asyncio.Event, then: Behaviour | None = None) -> Behaviour:
    """Answer when told to: a stream shows its text at once and ends when told."""

    async def behave(peer: Peer) -> None:
        if then is not None or not is_stream(peer):
            await go_on.wait()
            await (then or answers())(peer)
            return
        dialect, body = spoken(peer), peer.seen.body
        opening = dialect.opening(body)
        await peer.send(up.stream_head())
        await peer.chunks(*opening)
        await go_on.wait()
        peer.keeps_alive = True
        await peer.chunks(*dialect.frames(body)[len(opening) :], b"")

    return behave


def endless(piece: bytes, pieces: int, *, in_frame: bool = False) -> Behaviour:
    """Answer with a text of so many pieces, or until nobody reads it any more.

    A stream says it frame by frame, or all `in_frame`, which has no end; a whole reply is JSON.
    """

    async def behave(peer: Peer) -> None:
        dialect, body = spoken(peer), peer.seen.body
        with _noting_the_cut(peer):
            if is_stream(peer):
                await peer.send(up.stream_head())
                *before, last = dialect.opening(body)
                await peer.chunks(*before, last)
                open_end = last.partition(TEXT.split()[-1].encode())[0] if in_frame else b""
                frame = last.replace(TEXT.split()[-1].encode(), piece)
                await peer.chunks(open_end or frame)
                for _ in range(pieces):
                    await peer.chunks(piece if in_frame else frame)
            else:
                await peer.send(up.head(200, Transfer_Encoding="chunked"))
                start, _, end = dialect.whole(body).partition(TEXT.encode())
                await peer.chunks(start)
                for _ in range(pieces):
                    await peer.chunks(piece)
                await peer.chunks(end)
            await peer.chunks(b"")

    return behave


@contextmanager
def _noting_the_cut(peer: Peer) -> Iterator[None]:
    """Note where the caller closes the connection before the reply has ended."""
    try:
        yield
    except ConnectionError:
        peer.seen.was_cut = peer.seen.was_closed = True
