"""Answers across dialects: whoever answered, each client reads the same in its own words."""

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.core.builders import cut, decode_stream, deployment, step
from tests.core.wire.answers import STARTED, answers
from tests.core.wire.prompts import asking
from tests.core.wire.replies import built

from pointsman.core.errors import (
    ContextLengthExceeded,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReset,
    UpstreamUnavailable,
)
from pointsman.core.events import Event, Finished, TextDelta, TokenProb, UsageReport
from pointsman.core.types import Caller, Request
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS

DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini")
GOLDEN = Path(__file__).parents[1] / "golden"
STREAMS = [
    (dialect, path)
    for dialect in DIALECTS
    for path in sorted((GOLDEN / dialect.replace("-", "_")).glob("*.sse"))
]
OURS = "acme/large"
# Counts that a dialect has no word for.
UNTOLD = {
    "openai-chat": {"long_cache_write_tokens"},
    "openai-responses": {"long_cache_write_tokens"},
    "gemini": {"cache_write_tokens", "long_cache_write_tokens"},
}
REFUSING = {"openai-chat", "openai-responses"}
SEALING = {"openai-responses", "anthropic", "gemini"}

WEIGHING = ("openai-chat", "openai-responses", "gemini")
WORDS = st.text("aé世 ", min_size=1, max_size=4)
PROBABILITIES = st.floats(-9, 0, width=16)
TOKENS = st.lists(
    st.builds(
        TokenProb,
        token=WORDS,
        logprob=PROBABILITIES,
        others=st.lists(st.builds(TokenProb, WORDS, PROBABILITIES), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=3,
).map(tuple)

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
each_pair = pytest.mark.parametrize(
    ("upstream", "client"), list(product(DIALECTS, DIALECTS)), ids=lambda name: name
)
unhurried = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def asked(dialect: str, *, is_stream: bool) -> Request:
    """Return a client's request for an answer with its usage."""
    prompt = asking(is_stream=is_stream)
    to = msgspec.structs.replace(deployment(OURS), dialect=dialect)
    body = CODECS[dialect].write_prompt(prompt, step(to)).body
    return CODECS[dialect].decode_request(body, Caller(model="auto", is_stream=is_stream))


def encoded(dialect: str, events: Iterable[Event], *, is_stream: bool) -> bytes:
    request = asked(dialect, is_stream=is_stream)
    if not is_stream:
        return CODECS[dialect].encode_reply(events, request, OURS)
    encoder = CODECS[dialect].stream_encoder(request, OURS)
    return b"".join(encoder.encode(event) for event in events)


def decoded(dialect: str, chunks: Iterable[bytes], *, is_stream: bool = True) -> Iterator[Event]:
    if not is_stream:
        yield from CODECS[dialect].decode_reply(b"".join(chunks))
        return
    yield from decode_stream(chunks, CODECS[dialect])


def outcome(events: Iterator[Event]) -> list[object]:
    """Return the events, and the error that they end in."""
    found: list[object] = []
    try:
        found += events
    except UpstreamError as error:
        found.append((type(error), error.message))
    return found


def told(events: Iterable[Event], *dialects: str) -> dict[str, object]:
    """Return what an answer says, as far as these dialects have words for it.

    An answer that was withheld is so by a filter or by the model: not all tell which.
    """
    events = list(events)
    builder = built(events)
    reason = builder.finish_reason
    texts = [event for event in events if isinstance(event, TextDelta)]
    refused = REFUSING.issuperset(dialects) and [text.text for text in texts if text.is_refusal]
    is_withheld = reason in ("content_filter", "refusal")
    usage = builder.usage or Usage()
    untold = set().union(*(UNTOLD.get(dialect, set()) for dialect in dialects))
    return {
        "text": builder.text,
        "refusal": "".join(refused or ()),
        "reasoning": builder.reasoning,
        "calls": [
            (call.id, call.name, msgspec.json.decode(call.arguments)) for call in builder.tool_calls
        ],
        "signatures": list(builder.signatures) if SEALING.issuperset(dialects) else [],
        "usage": {
            name: getattr(usage, name) for name in usage.__struct_fields__ if name not in untold
        },
        "finish": "withheld" if is_withheld else reason,
    }


@each_pair
@unhurried
@given(events=answers(), is_streamed=st.booleans(), is_asked_as_stream=st.booleans())
def test_a_client_reads_what_the_upstream_said(
    upstream, client, events, is_streamed, is_asked_as_stream
):
    sent = encoded(upstream, events, is_stream=is_streamed)
    came = list(decoded(upstream, [sent], is_stream=is_streamed))
    assert told(came, upstream) == told(events, upstream)
    relayed = encoded(client, came, is_stream=is_asked_as_stream)
    read = decoded(client, [relayed], is_stream=is_asked_as_stream)
    assert told(read, upstream, client) == told(events, upstream, client)


@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "reply"])
@pytest.mark.parametrize("is_asked_as_stream", [True, False], ids=["as stream", "as reply"])
def test_what_is_written_for_an_hour_reaches_a_client_with_a_word_for_it(
    client, is_streamed, is_asked_as_stream
):
    path = GOLDEN / "anthropic" / ("cached_long.sse" if is_streamed else "cached_long.json")
    came = list(decoded("anthropic", [path.read_bytes()], is_stream=is_streamed))
    sent = told(came)["usage"]
    assert isinstance(sent, dict) and sent["long_cache_write_tokens"] == 50
    relayed = encoded(client, came, is_stream=is_asked_as_stream)
    read = told(decoded(client, [relayed], is_stream=is_asked_as_stream))["usage"]
    lost = UNTOLD.get(client, set())
    assert read == {name: 0 if name in lost else count for name, count in sent.items()}


@each_dialect
@unhurried
@given(events=answers(), places=st.lists(st.integers(0, 3_000), max_size=5))
def test_events_do_not_depend_on_where_a_stream_is_cut(dialect, events, places):
    body = encoded(dialect, events, is_stream=True)
    whole = list(decoded(dialect, [body]))
    assert list(decoded(dialect, cut(body, places))) == whole
    assert list(decoded(dialect, (bytes([byte]) for byte in body))) == whole


@pytest.mark.parametrize(
    ("dialect", "path"), STREAMS, ids=[f"{dialect}-{path.stem}" for dialect, path in STREAMS]
)
def test_a_real_streams_events_do_not_depend_on_where_it_is_cut(dialect, path):
    body = path.read_bytes()
    whole = outcome(decoded(dialect, [body]))
    assert outcome(decoded(dialect, (bytes([byte]) for byte in body))) == whole
    for place in range(0, len(body), 7):
        assert outcome(decoded(dialect, cut(body, [place]))) == whole


@each_pair
@unhurried
@given(events=answers(), number=st.integers(0, 5))
def test_an_upstream_that_breaks_off_ends_in_an_error_of_the_clients_dialect(
    upstream, client, events, number
):
    sent = encoded(upstream, events, is_stream=True)
    came = list(decoded(upstream, [sent]))[:number]
    assume(not any(isinstance(event, Finished) for event in came))
    request = asked(client, is_stream=True)
    encoder = CODECS[client].stream_encoder(request, OURS)
    body = b"".join(encoder.encode(event) for event in came)
    body += encoder.error(UpstreamReset("the upstream's stream ended early"), "id-1")
    with pytest.raises(UpstreamError) as caught:
        list(decoded(client, [body]))
    assert "ended early" in caught.value.message


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRateLimited("slow down"),
        UpstreamUnavailable("out of order"),
        UpstreamRejected("no such thing", status=400, body=b"no such thing"),
        ContextLengthExceeded("prompt is too long", status=400, body=b"prompt is too long"),
    ],
    ids=lambda error: error.code,
)
@each_pair
def test_an_upstreams_error_is_told_in_the_clients_words(upstream, client, error):
    came = CODECS[upstream].error_body(error, "id-1")
    read = CODECS[upstream].read_error(error.http_status, came, None)
    assert type(read) is type(error)
    told = CODECS[client].error_body(read, "id-2")
    again = CODECS[client].read_error(read.http_status, told, None)
    assert type(again) is type(error)
    assert error.message in again.message


@pytest.mark.parametrize(("upstream", "client"), list(product(WEIGHING, WEIGHING)))
@pytest.mark.parametrize("is_stream", [False, True])
@given(tokens=TOKENS)
def test_log_probabilities_are_told_by_all_that_have_words_for_them(
    upstream, client, is_stream, tokens
):
    text = "".join(token.token for token in tokens)
    events: list[Event] = [
        STARTED,
        TextDelta(text, logprobs=tokens),
        UsageReport(Usage()),
        Finished("stop"),
    ]
    came = list(decoded(upstream, [encoded(upstream, events, is_stream=is_stream)],
                        is_stream=is_stream))  # fmt: skip
    read = list(decoded(client, [encoded(client, came, is_stream=is_stream)], is_stream=is_stream))
    assert [weighed(token) for token in probabilities(read)] == [weighed(one) for one in tokens]


def probabilities(events: Iterable[Event]) -> list[TokenProb]:
    return [one for event in events if isinstance(event, TextDelta) for one in event.logprobs]


def weighed(token: TokenProb) -> tuple[object, ...]:
    """Return a token as all can tell it: not all give its bytes."""
    return token.token, token.logprob, [(other.token, other.logprob) for other in token.others]


@each_dialect
@unhurried
@given(events=answers(), place=st.integers(0, 5_000))
def test_a_stream_that_breaks_off_is_never_a_clean_end(dialect, events, place):
    body = encoded(dialect, events, is_stream=True)
    whole = told(decoded(dialect, [body]), dialect)
    try:
        found = told(decoded(dialect, [body[: place % len(body)]]), dialect)
    except UpstreamError:
        return
    for name in ("text", "reasoning", "calls", "finish"):
        assert found[name] == whole[name]
