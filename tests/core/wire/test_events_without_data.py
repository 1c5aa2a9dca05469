"""What a stream says outside any event's data goes on as it came, whatever it looks like."""

from pathlib import Path

import pytest

from pointsman.core.types import Caller
from pointsman.core.wire import CODECS

GOLDEN = Path(__file__).parents[2] / "golden"
# As fuzzing found it (2026-11-23): the name of a field and no data in the same event.
ODD = b'note: {"model": "m", "modelVersion": "m", "response": {"model": "m"}}\ndata: \n\n'


@pytest.mark.parametrize(
    ("dialect", "folder", "body"),
    [
        ("openai-chat", "openai_chat", b'{"model":"auto","messages":[{"role":"user"}]}'),
        ("openai-responses", "openai_responses", b'{"model":"auto","input":"x"}'),
        (
            "anthropic",
            "anthropic",
            b'{"model":"auto","max_tokens":9,"messages":[{"role":"user","content":"x"}]}',
        ),
        ("gemini", "gemini", b'{"contents":[{"role":"user","parts":[{"text":"x"}]}]}'),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" not in value else "",
)
@pytest.mark.parametrize("odd", [ODD, ODD.replace(b"data: \n", b""), b": " + ODD])
def test_an_event_without_data_goes_on_as_it_came(dialect, folder, body, odd):
    stream = (GOLDEN / folder / "text.sse").read_bytes()
    first, mark, rest = stream.partition(b"\n\n")
    codec = CODECS[dialect]
    asked = codec.decode_request(body, Caller(model="auto", is_stream=True))
    decoder = codec.stream_decoder()
    encoder = codec.stream_encoder(asked, "ours")
    events = [*decoder.feed(first + mark + odd + rest), *decoder.finish()]
    assert odd in b"".join(encoder.encode(event) for event in events)
