"""FAULTS, row 12: a reply that does not end is cut off, and takes no more memory than its limit."""

import tracemalloc
from contextlib import suppress

import pytest
from tests.faults import upstream as up
from tests.pipeline.rig import ONE_TIER, asking, outcome, rig
from tests.providers.test_http import answered, calling, provider

from pointsman.core.errors import UpstreamTooLarge
from pointsman.core.wire.sse import FRAME_BYTES_MAX
from pointsman.providers import http_body

MIB = 1024 * 1024
CAP = 8 * MIB
PIECE = b"x" * 64 * 1024


def endless(*opening: bytes, kind: str = "application/json") -> up.Behaviour:
    """Open a reply and send letters until nobody reads them any more."""

    async def behave(peer: up.Peer) -> None:
        await peer.send(up.head(200, kind, Transfer_Encoding="chunked"))
        with suppress(ConnectionError):
            await peer.chunks(*opening)
            for _ in range(4 * CAP // len(PIECE)):
                await peer.chunks(PIECE)
            await peer.chunks(b"")

    return behave


FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"'


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_an_endless_reply_takes_twice_its_limit_at_most(monkeypatch, stream: bool):
    monkeypatch.setattr(http_body, "REPLY_BYTES_MAX", CAP)
    kind = "text/event-stream" if stream else "application/json"
    opening = FRAME if stream else b'{"choices":[{"message":{"content":"'
    async with up.upstream(m=endless(opening, kind=kind)) as server, provider() as made:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamTooLarge):
                await answered(made, asking(stream=stream), calling(server.base_url))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes <= 2 * CAP + MIB


async def test_a_frame_that_does_not_end_breaks_the_answer_off(tmp_path):
    behaviour = endless(up.delta("Hello"), FRAME, kind="text/event-stream")
    async with (
        up.upstream(**{"weak": behaviour, "weak-2": up.answer()}) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url) as r,
    ):
        got = await outcome(r.pipeline, asking())
        await r.settled()
        assert got.text == "Hello" and got.error is not None
        assert got.error.code == "upstream_too_large" and str(FRAME_BYTES_MAX) in str(got.error)
        (row,) = r.rows()
        assert (row.settlement.state, row.settlement.outcome) == ("settled", "failed")
        assert row.settlement.usage.is_estimated and server.calls("weak-2") == 0


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_huge_reply_is_told_and_tried_nowhere_else(tmp_path, monkeypatch, stream: bool):
    monkeypatch.setattr(http_body, "REPLY_BYTES_MAX", MIB)
    kind = "text/event-stream" if stream else "application/json"
    behaviour = endless(FRAME if stream else b'{"a":"', kind=kind)
    async with (
        up.upstream(**{"weak": behaviour, "weak-2": up.answer()}) as server,
        rig(tmp_path, None, tiers=ONE_TIER, base_url=server.base_url) as r,
    ):
        got = await outcome(r.pipeline, asking(stream=stream))
        await r.settled()
        assert got.error is not None and got.events == []
        assert (got.error.http_status, got.error.code) == (502, "upstream_too_large")
        assert len(server.seen) == 1
        (row,) = r.rows()
        assert (row.settlement.state, row.settlement.error) == ("unknown", "upstream_too_large")
