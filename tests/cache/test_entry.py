"""An entry comes back as it was, or not at all."""

import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointsman.cache.entry import FORMAT, Entry, decode_entry, encode_entry
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.usage import Usage

TEXTS = st.text(max_size=20)
FRAMES = st.none() | st.binary(max_size=20)
NUMBERS = st.integers(0, 2**53)
USAGES = st.builds(Usage, input_tokens=NUMBERS, output_tokens=NUMBERS, is_estimated=st.booleans())
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Started,
        id=TEXTS,
        created=NUMBERS,
        model=TEXTS,
        dialect=TEXTS,
        is_stream=st.booleans(),
        frame=FRAMES,
    ),
    st.builds(TextDelta, text=TEXTS, choice=NUMBERS, frame=FRAMES),
    st.builds(ReasoningDelta, text=TEXTS, choice=NUMBERS, frame=FRAMES),
    st.builds(ToolCallDelta, index=NUMBERS, id=TEXTS, name=TEXTS, arguments=TEXTS, frame=FRAMES),
    st.builds(UsageReport, usage=USAGES, frame=FRAMES),
    st.builds(Note, frame=st.binary(max_size=20)),
    st.builds(Finished, reason=TEXTS, frame=FRAMES),
)
ENTRIES = st.builds(
    Entry,
    events=st.lists(EVENTS, max_size=6).map(tuple),
    tenant=TEXTS,
    tier=TEXTS,
    deployment=TEXTS,
    policy=TEXTS,
    reason=TEXTS,
    created_at_s=st.floats(0, 4e9),
    request_id=TEXTS,
)


def sealed(payload: bytes) -> bytes:
    return (
        FORMAT.to_bytes(2, "little") + zlib.crc32(payload, FORMAT).to_bytes(4, "little") + payload
    )


@given(entry=ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry):
    assert decode_entry(encode_entry(entry)) == entry


@given(entry=ENTRIES, data=st.data())
def test_a_flipped_bit_is_always_noticed(entry: Entry, data: st.DataObject):
    whole = bytearray(encode_entry(entry))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert decode_entry(bytes(whole)) is None


@given(entry=ENTRIES, data=st.data())
def test_an_entry_cut_short_or_with_more_behind_it_is_noticed(entry: Entry, data: st.DataObject):
    whole = encode_entry(entry)
    assert decode_entry(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    assert decode_entry(whole + data.draw(st.binary(min_size=1, max_size=9))) is None


@given(junk=st.binary())
@example(junk=b"\x91" * 100_000)
@example(junk=b"\xdd\xff\xff\xff\xff")
@example(junk=b"\x87\xa6events\xa1\xff")
def test_a_seal_on_something_else_gives_none(junk: bytes):
    assert decode_entry(junk) is None
    assert decode_entry(sealed(junk)) is None


@pytest.mark.parametrize("other", [0, FORMAT + 1])
def test_an_entry_of_another_format_gives_none(other: int):
    payload = msgspec.msgpack.encode({})
    seal = other.to_bytes(2, "little") + zlib.crc32(payload, other).to_bytes(4, "little")
    assert decode_entry(seal + payload) is None
