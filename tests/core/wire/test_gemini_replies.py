import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx2
import pytest
from google import genai
from google.genai import errors as sdk_errors
from google.genai import types as sdk
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import cut, decode_stream
from tests.core.wire.replies import built, frames_gone

from pointsman.core import errors as tree
from pointsman.core.errors import AttemptReport, GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenProb,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.types import Caller, Request
from pointsman.core.usage import Usage
from pointsman.core.wire.gemini import Gemini
from pointsman.core.wire.sse import FRAME_BYTES_MAX

GOLDEN = Path(__file__).parents[2] / "golden" / "gemini"
GEMINI = Gemini()
ASKED = GEMINI.decode_request(
    b'{"contents":[{"parts":[{"text":"Hi"}]}]}', Caller(model="auto", is_stream=True)
)
BROKEN = {"error_in_stream"}
STREAMS = sorted(path.stem for path in GOLDEN.glob("*.sse") if path.stem not in BROKEN)
REPLIES = sorted(path.stem for path in GOLDEN.glob("*.json") if ".request" not in path.stem)
BOTH = sorted({*STREAMS} & {*REPLIES})
SEAL = "CiQBjz1rX9m2Qe7+/cWkTnq0pUo5Zt8vB1yHsD3aLg=="


def stream(name: str) -> bytes:
    return (GOLDEN / f"{name}.sse").read_bytes()


def reply(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def decoded(chunks: Iterable[bytes]) -> Iterator[Event]:
    return decode_stream(chunks, GEMINI)


def encoded(events: Iterable[Event], model: str = "google/g") -> bytes:
    encoder = GEMINI.stream_encoder(ASKED, model)
    return b"".join(encoder.encode(event) for event in events)


def said(events: Iterable[Event]) -> tuple[object, ...]:
    """Return what an answer comes to, whether it was streamed or not."""
    listed = list(events)
    builder = built(listed)
    seals = [
        event.signature
        for event in listed
        if isinstance(event, ReasoningDelta | ToolCallDelta) and event.signature
    ]
    calls = [(call.name, json.loads(call.arguments)) for call in builder.tool_calls]
    return (
        builder.text,
        builder.reasoning,
        calls,
        builder.usage,
        builder.finish_reason,
        seals,
    )


def chunks_of(body: bytes) -> list[dict[str, object]]:
    """Return the events of a stream, each read by google-genai's types without a complaint."""
    pieces = [piece for piece in re.split(rb"\r?\n\r?\n", body) if piece]
    told = [json.loads(piece.removeprefix(b"data: ")) for piece in pieces]
    for chunk in told:
        validated(chunk)
    return told


def validated(body: dict[str, object]) -> sdk.GenerateContentResponse:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return sdk.GenerateContentResponse.model_validate(body)


@pytest.mark.parametrize("name", STREAMS)
def test_golden_streams_are_what_the_sdk_knows(name: str):
    assert chunks_of(stream(name))


@pytest.mark.parametrize("name", REPLIES)
def test_golden_replies_are_what_the_sdk_knows(name: str):
    validated(json.loads(reply(name)))


def test_a_streams_events_are_in_the_order_of_its_parts():
    events = frames_gone(decoded([stream("tool_calls")]))
    kept = [event for event in events if not isinstance(event, UsageReport)]
    assert kept == [
        Started(
            id="8mP-aKTmL9OhvdIPxN6V0Qk",
            created=0,
            model="gemini-3.5-flash",
            dialect="gemini",
            is_stream=True,
        ),
        ReasoningDelta("**Looking at the sum**\n\nIt is small."),
        TextDelta("Let me look."),
        ToolCallDelta(
            index=0,
            id="x7k2m9qa",
            name="get_weather",
            arguments='{"city": "Oslo", "days": [1, 2]}',
            signature=SEAL,
        ),
        ToolCallDelta(index=1, id="p3v8n1zd", name="get_weather", arguments='{"city": "Bergen"}'),
        Finished("tool_calls"),
    ]
    usage = [event.usage for event in events if isinstance(event, UsageReport)][-1]
    assert usage == Usage(
        input_tokens=88, cached_input_tokens=64, output_tokens=53, reasoning_tokens=20
    )


@pytest.mark.parametrize("name", sorted({*BOTH} - {"several_candidates", "tool_calls"}))
def test_a_stream_and_a_whole_reply_say_the_same(name: str):
    assert said(decoded([stream(name)])) == said(GEMINI.decode_reply(reply(name)))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text", "stop"),
        ("tool_calls", "tool_calls"),
        ("calls_without_ids", "tool_calls"),
        ("blocked_prompt", "content_filter"),
        ("max_tokens", "length"),
        ("malformed_call", "MALFORMED_FUNCTION_CALL"),
        ("several_candidates", "length"),
    ],
)
def test_a_replys_end_is_named(name: str, reason: str):
    assert [*GEMINI.decode_reply(reply(name))][-1] == Finished(reason, b"")


def test_a_filtered_stream_ends_as_one():
    assert [*decoded([stream("safety")])][-1] == Finished("content_filter", b"")


def test_a_seal_after_the_text_is_reasoning_of_its_own():
    for events in (decoded([stream("thinking")]), GEMINI.decode_reply(reply("thinking"))):
        sealed = [event for event in events if isinstance(event, ReasoningDelta)][-1]
        assert (sealed.text, sealed.signature, sealed.is_redacted) == ("", SEAL, True)


def test_calls_without_ids_get_the_same_ones_each_time():
    def ids(events: Iterable[Event]) -> list[str]:
        return [event.id for event in events if isinstance(event, ToolCallDelta)]

    streamed = ids(decoded([stream("calls_without_ids")]))
    assert streamed == ids(decoded([stream("calls_without_ids")]))
    assert len({*streamed}) == 2
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", made) for made in streamed)
    other = stream("calls_without_ids").replace(b"8mP-", b"9mP-")
    assert not {*ids(decoded([other]))} & {*streamed}


def test_what_tools_brought_in_is_input():
    (usage,) = (e.usage for e in decoded([stream("grounded")]) if isinstance(e, UsageReport))
    assert usage == Usage(input_tokens=126, output_tokens=4)


def test_log_probabilities_come_with_the_text():
    (text,) = (e for e in GEMINI.decode_reply(reply("logprobs")) if isinstance(e, TextDelta))
    assert text.logprobs == (
        TokenProb("Yes", -0.125, others=(TokenProb("Yes", -0.125), TokenProb("No", -2.25))),
        TokenProb(".", -0.5, others=(TokenProb(".", -0.5),)),
    )


def test_several_candidates_keep_apart():
    events = [*decoded([stream("several_candidates")])]
    told = [(e.choice, e.text) for e in events if isinstance(e, TextDelta)]
    assert told == [(0, "Heads"), (1, "Tails"), (0, "!"), (1, "?")]


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_gives_the_same_events(name: str):
    body = stream(name)
    whole = [*decoded([body])]
    for place in range(len(body) + 1):
        assert [*decoded([body[:place], body[place:]])] == whole


@given(name=st.sampled_from(STREAMS), places=st.lists(st.integers(0, 3000), max_size=40))
def test_many_cuts_give_the_same_events(name: str, places: list[int]):
    assert [*decoded(cut(stream(name), places))] == [*decoded([stream(name)])]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_stops_early_is_no_answer(name: str):
    frames = re.findall(rb".*?\r?\n\r?\n", stream(name), re.DOTALL)
    assert b"".join(frames) == stream(name)
    for count in range(len(frames)):
        with pytest.raises(tree.UpstreamReset):
            list(decoded(frames[:count]))


def test_an_error_in_the_stream_is_raised_wherever_it_is_cut():
    body = stream("error_in_stream")
    for place in range(0, len(body), 7):
        with pytest.raises(tree.UpstreamUnavailable, match="overloaded"):
            list(decoded([body[:place], body[place:]]))


def test_an_error_as_bare_json_in_the_stream_is_raised():
    error = json.dumps({"error": {"code": 429, "message": "slow", "status": "X"}}, indent=2)
    first = stream("text").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with pytest.raises(tree.UpstreamRateLimited, match="slow"):
        list(decoded([first, error.encode() + b"\n\n"]))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"data: {\n\n", tree.UpstreamBadResponse),
        (b'data: {"candidates": 1}\n\n', tree.UpstreamBadResponse),
        (b"data: " + b"x" * FRAME_BYTES_MAX + b"\n\n", tree.UpstreamTooLarge),
        (b"", tree.UpstreamReset),
    ],
    ids=["not JSON", "another type", "too large", "empty"],
)
def test_a_bad_stream_is_named(body: bytes, error: type[GatewayError]):
    with pytest.raises(error):
        list(decoded([body]))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", tree.UpstreamBadResponse),
        (b"{}", tree.UpstreamBadResponse),
        (b'{"candidates": []}', tree.UpstreamBadResponse),
        (b'{"error": {"code": 503, "status": "UNAVAILABLE"}}', tree.UpstreamUnavailable),
        (b'{"error": {"status": "RESOURCE_EXHAUSTED"}}', tree.UpstreamRateLimited),
    ],
)
def test_a_bad_reply_is_named(body: bytes, error: type[GatewayError]):
    with pytest.raises(error):
        list(GEMINI.decode_reply(body))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_this_dialect_goes_on_untouched_but_for_the_model(name: str):
    body = stream(name).replace(b'"index": 0', b'"index": 0, "unknown": {"modelVersion": 1}')
    body += b": a comment\r\n\r\n"
    relayed = encoded(decoded([body]), "google/ge\\mini")
    assert relayed == body.replace(
        b'"modelVersion": "gemini-3.5-flash"', b'"modelVersion": "google/ge\\\\mini"'
    )


def test_a_model_that_changes_in_the_stream_is_replaced_too():
    first, rest = stream("text").split(b"\r\n\r\n", 1)
    body = first + b"\r\n\r\n" + rest.replace(b"gemini-3.5-flash", b"gemini-3.5-flash-002")
    models = {chunk["modelVersion"] for chunk in chunks_of(encoded(decoded([body])))}
    assert models == {"google/g"}


def test_a_frame_of_several_lines_is_still_one_answer():
    chunk = json.dumps(json.loads(reply("text")), indent=1).replace("\n", "\ndata: ")
    body = f"data: {chunk}\n\n".encode().replace(b"gemini-3.5-flash", b"other", 1)
    body = stream("text").partition(b"\r\n\r\n")[0] + b"\n\n" + body
    assert chunks_of(encoded(decoded([body])))[1]["modelVersion"] == "google/g"


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_of_this_dialect_goes_on_but_for_the_model(name: str):
    sent = GEMINI.encode_reply(GEMINI.decode_reply(reply(name)), ASKED, "google/g")
    assert sent == reply(name).replace(b'"gemini-3.5-flash"', b'"google/g"')


@pytest.mark.parametrize("name", sorted({*REPLIES} - {"picture"}))
def test_a_recorded_reply_can_be_streamed(name: str):
    body = encoded(GEMINI.decode_reply(reply(name)))
    assert chunks_of(body)[-1]["usageMetadata"]
    assert said(decoded([body])) == said(GEMINI.decode_reply(reply(name)))


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_can_be_given_whole(name: str):
    body = GEMINI.encode_reply(decoded([stream(name)]), ASKED, "google/g")
    validated(json.loads(body))
    assert said(GEMINI.decode_reply(body)) == said(decoded([stream(name)]))


def test_a_whole_reply_joins_text_of_one_kind():
    body = json.loads(GEMINI.encode_reply(decoded([stream("thinking")]), ASKED, "google/g"))
    assert body["candidates"][0]["content"]["parts"] == [
        {"text": "**Looking at the sum**\n\nIt is small.", "thought": True},
        {"text": "It is 42."},
        {"text": "", "thoughtSignature": SEAL},
    ]
    assert body["responseId"] == "8mP-aKTmL9OhvdIPxN6V0Qk"


OPENING = Started(id="r-1", created=5, model="other", dialect="anthropic", is_stream=True)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
seals = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
probs = st.builds(TokenProb, texts, st.sampled_from([-0.5, -1.25])).map(lambda one: (one,))


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Answers that another dialect's decoder might give: blocks, and calls in several deltas."""
    events: list[Event] = [OPENING]
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["text", "thought", "sealed", "call"]), max_size=5)):
        pieces = draw(st.lists(texts, min_size=1, max_size=3))
        match kind:
            case "text":
                logprobs = draw(st.one_of(st.just(()), probs))
                events += [TextDelta(piece, logprobs=logprobs) for piece in pieces]
            case "thought":
                events += [ReasoningDelta(piece) for piece in pieces]
                events.append(ReasoningDelta("", signature=draw(seals)))
            case "sealed":
                events.append(ReasoningDelta("", signature=draw(seals), is_redacted=True))
            case _:
                arguments = json.dumps({"a": pieces})
                parts = cut(arguments.encode(), [3, 5])
                events.append(
                    ToolCallDelta(
                        index=calls,
                        id=f"c{calls}",
                        name="f",
                        signature=draw(st.one_of(st.just(""), seals)),
                    )
                )
                events += [ToolCallDelta(index=calls, arguments=p.decode()) for p in parts]
                calls += 1
    cached, reasoning = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    usage = Usage(
        input_tokens=9, cached_input_tokens=cached, output_tokens=8, reasoning_tokens=reasoning
    )
    reason = draw(st.sampled_from(["length", "content_filter"]))
    reason = "tool_calls" if calls else reason
    return [*events, UsageReport(usage), Finished(reason)]


@given(events=answers())
def test_any_answer_streamed_or_whole_is_the_sdks_and_comes_back(events: list[Event]):
    streamed = encoded(events)
    chunks = chunks_of(streamed)
    assert {chunk["responseId"] for chunk in chunks} == {"r-1"}
    whole = GEMINI.encode_reply(events, ASKED, "google/g")
    validated(json.loads(whole))
    assert said(decoded([streamed])) == said(events)
    assert said(GEMINI.decode_reply(whole)) == said(events)
    logprobs = [p for e in events if isinstance(e, TextDelta) for p in e.logprobs]
    for back in (decoded([streamed]), GEMINI.decode_reply(whole)):
        assert [p for e in back if isinstance(e, TextDelta) for p in e.logprobs] == logprobs


@given(events=answers())
def test_what_the_sdk_gives_back_has_the_seals_that_were_sent(events: list[Event]):
    whole = validated(json.loads(GEMINI.encode_reply(events, ASKED, "google/g")))
    assert whole.candidates is not None
    assert whole.candidates[0].content is not None
    content = json.loads(whole.candidates[0].content.model_dump_json(exclude_none=True))
    read = GEMINI.decode_request(json.dumps({"contents": [content]}).encode(), Caller(model="auto"))
    assert list(read.signatures) == said(events)[-1]
    ids = [event.id for event in events if isinstance(event, ToolCallDelta) and event.id]
    assert read.turns[0].tool_call_ids == tuple(ids)


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', '{"a":1}}'])
def test_a_call_with_broken_arguments_ends_as_gemini_ends_it(arguments: str):
    events: list[Event] = [
        OPENING,
        ToolCallDelta(index=0, id="a", name="f", arguments=arguments),
        Finished("tool_calls"),
    ]
    for candidate in (
        chunks_of(encoded(events))[-1]["candidates"][0],  # type: ignore[index]
        json.loads(GEMINI.encode_reply(events, ASKED, "google/g"))["candidates"][0],
    ):
        assert candidate["finishReason"] == "MALFORMED_FUNCTION_CALL"
        assert arguments in candidate["finishMessage"]
        assert candidate["content"]["parts"] == [{"text": ""}]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("refusal", "SAFETY"),
        ("TOO_MANY_TOOL_CALLS", "TOO_MANY_TOOL_CALLS"),
        ("pause_turn", "OTHER"),
    ],
)
def test_an_end_has_gemini_s_own_word(reason: str, word: str):
    (chunk,) = chunks_of(encoded([OPENING, Finished(reason)]))
    assert chunk["candidates"][0]["finishReason"] == word  # type: ignore[index]


def test_no_ping_is_sent_for_the_sdk_would_read_it_as_json():
    assert GEMINI.stream_encoder(ASKED, "google/g").ping() == b""


def error_json(code: int, message: str, status: str, *details: object) -> bytes:
    error = {"code": code, "message": message, "status": status, "details": details}
    return json.dumps({"error": error}).encode()


QUOTA = "You exceeded your current quota, please check your plan and billing details."
INVALID_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, error_json(400, "API key not valid.", "X", INVALID_KEY), tree.UpstreamAuth),
        (400, error_json(400, "Bad field.", "INVALID_ARGUMENT"), tree.UpstreamRejected),
        (400, error_json(400, TOO_LONG, "INVALID_ARGUMENT"), tree.ContextLengthExceeded),
        (
            400,
            error_json(400, "User location is not supported.", "FAILED_PRECONDITION"),
            tree.UpstreamAuth,
        ),
        (401, error_json(401, "No.", "UNAUTHENTICATED"), tree.UpstreamAuth),
        (403, error_json(403, "No.", "PERMISSION_DENIED"), tree.UpstreamAuth),
        (404, error_json(404, "models/x is not found", "NOT_FOUND"), tree.UpstreamModelMissing),
        (429, error_json(429, QUOTA, "RESOURCE_EXHAUSTED", RETRY), tree.UpstreamRateLimited),
        (
            429,
            error_json(429, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"),
            tree.UpstreamAuth,
        ),
        (500, error_json(500, "Oh.", "INTERNAL"), tree.UpstreamUnavailable),
        (503, b"[" + error_json(503, "Full.", "UNAVAILABLE") + b"]", tree.UpstreamUnavailable),
        (504, b"<html>timeout</html>", tree.UpstreamUnavailable),
        (418, b"[]", tree.UpstreamRejected),
    ],
)
def test_an_upstreams_error_is_told_by_its_status_and_words(
    status: int, body: bytes, error: type[GatewayError]
):
    assert type(GEMINI.read_error(status, body, None)) is error


@pytest.mark.parametrize(
    ("header_s", "expected_s"), [(None, 34.5), (2.0, 2.0)], ids=["from the body", "from a header"]
)
def test_the_time_to_come_back_is_read(header_s: float | None, expected_s: float):
    error = GEMINI.read_error(429, error_json(429, QUOTA, "X", RETRY), header_s)
    assert error.retry_after_s == expected_s


def test_an_error_body_is_googles():
    error = tree.AllTargetsFailed("nobody answers; try later", retry_after_s=1.5, param="model")
    error.attempts = (AttemptReport(deployment="a/b", outcome="reset", latency_ms=12),)
    told = json.loads(GEMINI.error_body(error, "req-1"))["error"]
    assert (told["code"], told["status"]) == (503, "UNAVAILABLE")
    details = {detail["@type"].rpartition(".")[2]: detail for detail in told["details"]}
    assert details["ErrorInfo"]["reason"] == "ALL_TARGETS_FAILED"
    assert details["RequestInfo"]["requestId"] == "req-1"
    assert details["RetryInfo"]["retryDelay"] == "1.5s"
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "model"
    assert details["DebugInfo"]["stackEntries"] == ["a/b: reset, 12 ms"]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (tree.RequestError("x"), 400, "INVALID_ARGUMENT"),
        (tree.Unauthorized("x"), 401, "UNAUTHENTICATED"),
        (tree.ModelNotFound("x"), 404, "NOT_FOUND"),
        (tree.MethodNotAllowed("x", allowed=("GET",)), 405, "INVALID_ARGUMENT"),
        (tree.RequestTimeout("x"), 408, "DEADLINE_EXCEEDED"),
        (tree.UpstreamRateLimited("x"), 429, "RESOURCE_EXHAUSTED"),
        (tree.GatewayError("x"), 500, "INTERNAL"),
        (tree.UpstreamReset("x"), 502, "UNAVAILABLE"),
        (tree.UpstreamTimeout("x"), 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_each_status_has_googles_word(error: GatewayError, code: int, status: str):
    told = json.loads(GEMINI.error_body(error, "r"))["error"]
    assert (told["code"], told["status"]) == (code, status)


def test_googles_own_error_is_relayed_and_another_dialects_is_not():
    own = error_json(400, "Bad field.", "INVALID_ARGUMENT")
    assert GEMINI.error_body(GEMINI.read_error(400, own, None), "r") == own
    other = b'{"error": {"message": "no", "type": "invalid_request_error"}}'
    told = json.loads(GEMINI.error_body(GEMINI.read_error(400, other, None), "r"))["error"]
    assert told["status"] == "INVALID_ARGUMENT"


def client(asked: list[Request], answer: httpx2.Response) -> genai.Client:
    """Return google-genai's client, whose requests are read here and get this answer."""

    def handle(http: httpx2.Request) -> httpx2.Response:
        match = re.search(r"/models/([^:]+):(\w+)", http.url.path)
        assert match is not None
        caller = Caller(model=match[1], is_stream=match[2] == "streamGenerateContent")
        asked.append(GEMINI.decode_request(http.content, caller))
        return answer

    transport = httpx2.MockTransport(handle)
    options = sdk.HttpOptions(base_url="http://gateway.test", client_args={"transport": transport})
    return genai.Client(api_key="k", http_options=options)


CONFIG = sdk.GenerateContentConfig(
    system_instruction="Be brief.",
    tools=[
        sdk.Tool(
            function_declarations=[
                sdk.FunctionDeclaration(
                    name="get_weather",
                    parameters_json_schema={"type": "object", "properties": {"city": {}}},
                )
            ]
        )
    ],
    max_output_tokens=50,
    thinking_config=sdk.ThinkingConfig(thinking_level=sdk.ThinkingLevel.LOW, include_thoughts=True),
)
CALLING: list[Event] = [
    OPENING,
    ReasoningDelta("Which city?", signature="not base64 ~"),
    ToolCallDelta(index=0, id="toolu_1", name="get_weather", arguments='{"city":'),
    ToolCallDelta(index=0, arguments='"Oslo"}', signature="seal"),
    UsageReport(Usage(input_tokens=5, output_tokens=7, reasoning_tokens=3)),
    Finished("tool_calls"),
]


def whole(events: list[Event]) -> httpx2.Response:
    body = GEMINI.encode_reply(events, ASKED, "acme/big")
    return httpx2.Response(200, content=body, headers={"content-type": "application/json"})


def streamed(*body: bytes) -> httpx2.Response:
    headers = {"content-type": "text/event-stream"}
    return httpx2.Response(200, content=b"".join(body), headers=headers)


def heard(
    ours: genai.Client, contents: list[sdk.Content], *, is_stream: bool
) -> list[sdk.GenerateContentResponse]:
    if is_stream:
        models = ours.models.generate_content_stream(model="auto", contents=contents, config=CONFIG)
        return [*models]
    return [ours.models.generate_content(model="auto", contents=contents, config=CONFIG)]


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_sdk_calls_a_tool_and_brings_back_what_it_was_given(is_stream: bool):
    asked: list[Request] = []
    answer = streamed(encoded(CALLING, "acme/big")) if is_stream else whole(CALLING)
    ours = client(asked, answer)
    question = sdk.Content(role="user", parts=[sdk.Part(text="Weather?")])
    given = heard(ours, [question], is_stream=is_stream)
    parts = [part for one in given for part in one.parts or () if part != sdk.Part(text="")]
    assert [part.function_call.args for part in parts if part.function_call] == [{"city": "Oslo"}]
    assert given[-1].model_version == "acme/big"
    assert given[-1].usage_metadata is not None
    assert given[-1].usage_metadata.thoughts_token_count == 3

    result = sdk.Part.from_function_response(name="get_weather", response={"output": "rain"})
    answered = [
        sdk.Content(role="model", parts=parts),
        sdk.Content(role="user", parts=[result]),
    ]
    heard(ours, [question, *answered], is_stream=is_stream)
    first, second = asked
    assert (first.model, first.is_stream, first.system) == ("auto", is_stream, "Be brief.")
    assert first.max_tokens == 50
    assert second.signatures == ("not base64 ~", "seal")
    assert [turn.role for turn in second.turns] == ["user", "assistant", "tool"]
    told = GEMINI.read_prompt(second)
    assert (told.unread, told.refused) == ((), ())
    assert told.reasoning.effort == "low"
    assert told.tools[0].schema == b'{"type":"object","properties":{"city":{}}}'
    assert told.messages[-1].parts[0].call_id == "toolu_1"  # type: ignore[union-attr]


def test_the_sdk_raises_our_errors():
    refusal = tree.Unauthorized("the key is missing; send x-goog-api-key")
    body = GEMINI.error_body(refusal, "r")
    ours = client([], httpx2.Response(401, content=body))
    with pytest.raises(sdk_errors.ClientError, match="x-goog-api-key") as caught:
        ours.models.generate_content(model="auto", contents="Hi")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")


def test_the_sdk_hears_that_a_stream_broke():
    encoder = GEMINI.stream_encoder(ASKED, "acme/big")
    body = encoder.encode(OPENING) + encoder.encode(TextDelta("Half"))
    body += encoder.error(tree.UpstreamReset("the upstream broke off"), "r")
    told: list[str | None] = []
    ours = client([], streamed(body))
    with pytest.raises(sdk_errors.ServerError, match="broke off"):
        told.extend(
            one.text for one in ours.models.generate_content_stream(model="auto", contents="Hi")
        )
    assert told == ["Half"]


def test_a_chat_of_the_sdk_keeps_the_answer_in_its_history():
    events: list[Event] = [OPENING, TextDelta("One"), TextDelta(" two"), Finished("stop")]
    asked: list[Request] = []
    ours = client(asked, streamed(encoded(events)))
    chat = ours.chats.create(model="auto")
    assert "".join(one.text or "" for one in chat.send_message_stream("count")) == "One two"
    list(chat.send_message_stream("go on"))
    roles = [turn.role for turn in asked[1].turns]
    assert (roles[0], {*roles[1:-1]}, roles[-1]) == ("user", {"assistant"}, "user")
    assert "".join(turn.text for turn in asked[1].turns[1:-1]) == "One two"
