"""Decoding: an upstream's reply, streamed or whole, as events.

Source: `GenerateContentResponse` in google-genai 3.4's types, ai.google.dev/api/generate-content
(read 2026-11-23). Each event of a stream is such a response with the parts that are new; the counts
of tokens stand in each and are of all so far. No mark follows the last one. Parts that no event has
a word for (a picture, code that Google ran) stay in their frames alone.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from pointsman.core.errors import UpstreamBadResponse
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenProb,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.usage import Usage
from pointsman.core.wire.decoding import upstream_json
from pointsman.core.wire.gemini.errors import error_in_stream
from pointsman.core.wire.gemini.request import DIALECT
from pointsman.core.wire.gemini.signatures import read_signature
from pointsman.core.wire.premium import service_said
from pointsman.core.wire.sse import SseFrame

_REASONS = {"STOP": "stop", "MAX_TOKENS": "length"} | dict.fromkeys(
    (
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "MODEL_ARMOR",
    ),
    "content_filter",
)


class _FunctionCall(msgspec.Struct):
    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Token(msgspec.Struct, rename="camel"):
    token: str | None = None
    log_probability: float | None = None


class _Beside(msgspec.Struct):
    candidates: list[_Token] | None = None


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Beside] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    index: int | None = None
    content: _Content | None = None
    finish_reason: str | None = None
    logprobs_result: _Logprobs | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    service_tier: object = None


class _Reply(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    response_id: str | None = None


class _Counted(msgspec.Struct, rename="camel"):
    total_tokens: int


_reply = msgspec.json.Decoder(_Reply)
_counted = msgspec.json.Decoder(_Counted)


class GeminiFrameReader:
    """Turns a stream's responses into events.

    A finish reason may be followed by more counts, or by other candidates, so `Finished` is given
    at the stream's end, where every candidate had its reason.
    """

    def __init__(self) -> None:
        self._reader = _Reader(is_stream=True)

    def read(self, frame: SseFrame) -> Iterator[Event]:
        """Yield a frame's events. Raises UpstreamBadResponse, or the error that it carries."""
        if not frame.data:
            # An error may come as bare JSON between the events, google-genai's reader says.
            if b'"error"' in frame.raw and (said := error_in_stream(frame.raw)) is not None:
                raise said
            yield Note(frame.raw)
            return
        yield from self._reader.read(_decoded(frame.data, "stream"), frame.raw)

    def end(self) -> Finished | None:
        """Return the end, None when a finish reason is missing."""
        reason = self._reader.reason
        return None if reason is None else Finished(reason, b"")


def decode_reply(body: bytes) -> Iterator[Event]:
    """Yield the events of a whole JSON reply; the opening carries the body as its frame.

    Raises UpstreamBadResponse when it is not such a reply, or the error it carries.
    """
    reply = _decoded(body, "reply")
    if not reply.candidates and not (reply.prompt_feedback and reply.prompt_feedback.block_reason):
        raise UpstreamBadResponse("the upstream's reply has no candidates")
    reader = _Reader(is_stream=False)
    yield from reader.read(reply, body)
    yield Finished(reader.reason or "stop", b"")


def read_count(body: bytes) -> int:
    """Return the tokens that a reply to `countTokens` says. Raises UpstreamBadResponse."""
    return max(0, upstream_json(_counted.decode, body, "count").total_tokens)


class _Reader:
    """Reads responses that follow each other into events, and learns how the answer ended."""

    def __init__(self, *, is_stream: bool) -> None:
        self._is_stream = is_stream
        self._has_started = False
        self._id = ""
        self._call_count = 0
        self._ends: dict[int, str] = {}
        self._callers = set[int]()

    @property
    def reason(self) -> str | None:
        """Return why the answer ended, None where it has not; of several, any but "stop"."""
        if not self._ends or not all(self._ends.values()):
            return None
        reasons = [
            _reason(word, has_calls=index in self._callers) for index, word in self._ends.items()
        ]
        return next((reason for reason in reasons if reason != "stop"), "stop")

    def read(self, reply: _Reply, frame: bytes) -> Iterator[Event]:
        """Yield a response's events; the first one carries `frame`."""
        for event in self._events(reply):
            yield msgspec.structs.replace(event, frame=frame)
            frame = b""
        if frame:
            yield Note(frame)

    def _events(self, reply: _Reply) -> Iterator[Event]:
        if not self._has_started:
            self._has_started = True
            self._id = reply.response_id or ""
            yield Started(
                id=self._id,
                created=0,  # Gemini does not tell
                model=reply.model_version or "",
                dialect=DIALECT,
                is_stream=self._is_stream,
            )
        if reply.prompt_feedback is not None and reply.prompt_feedback.block_reason:
            self._ends.setdefault(0, "SAFETY")
        for candidate in reply.candidates or ():
            index = candidate.index or 0
            yield from self._content(candidate, index)
            if candidate.finish_reason and candidate.finish_reason != "FINISH_REASON_UNSPECIFIED":
                self._ends[index] = candidate.finish_reason
            else:
                self._ends.setdefault(index, "")
        if reply.usage_metadata is not None:
            service = service_said(reply.usage_metadata.service_tier)
            yield UsageReport(_usage(reply.usage_metadata), service=service)

    def _content(self, candidate: _Candidate, index: int) -> Iterator[Event]:
        logprobs = _token_probs(candidate.logprobs_result)
        for part in (candidate.content.parts if candidate.content else None) or ():
            signature = read_signature(part.thought_signature)
            if part.function_call is not None:
                yield self._call(part.function_call, signature, index)
            elif part.thought:
                yield ReasoningDelta(part.text or "", index, signature=signature)
            else:
                if part.text:
                    yield TextDelta(part.text, index, logprobs=logprobs)
                    logprobs = ()
                if signature:
                    yield ReasoningDelta("", index, signature=signature, is_redacted=True)
        if logprobs:
            yield TextDelta("", index, logprobs=logprobs)

    def _call(self, call: _FunctionCall, signature: str, choice: int) -> ToolCallDelta:
        number, self._call_count = self._call_count, self._call_count + 1
        self._callers.add(choice)
        arguments = bytes(call.args)
        name = call.name or ""
        return ToolCallDelta(
            index=number,
            id=call.id or _made_id(self._id, number, name, arguments),
            name=name,
            arguments="{}" if arguments in (b"", b"null") else arguments.decode(),
            choice=choice,
            signature=signature,
        )


def _made_id(response_id: str, number: int, name: str, arguments: bytes) -> str:
    """Return an id for a call without one: a digest of whose it is, which it is, and what it says.

    So the same reply gives the same ids, and two calls of a conversation different ones.
    """
    source = f"{response_id}\0{number}\0{name}\0".encode() + arguments
    return "call_" + hashlib.sha256(source).hexdigest()[:24]


def _reason(word: str, *, has_calls: bool) -> str:
    """Return the end as the events name it; Gemini's own word where they have none."""
    reason = _REASONS.get(word, word)
    return "tool_calls" if reason == "stop" and has_calls else reason


def _usage(said: _Usage) -> Usage:
    """Return the tokens: what tools brought in is input, thoughts are output beside the answer's.

    Source: `GenerateContentResponseUsageMetadata`: the total is the sum of prompt, candidates, tool
    use and thoughts; the prompt includes what is cached.
    """
    thoughts = said.thoughts_token_count or 0
    return Usage(
        input_tokens=(said.prompt_token_count or 0) + (said.tool_use_prompt_token_count or 0),
        cached_input_tokens=said.cached_content_token_count or 0,
        output_tokens=(said.candidates_token_count or 0) + thoughts,
        reasoning_tokens=thoughts,
    )


def _token_probs(result: _Logprobs | None) -> tuple[TokenProb, ...]:
    if result is None:
        return ()
    beside = [
        [_token_prob(token) for token in top.candidates or ()]
        for top in result.top_candidates or ()
    ]
    chosen = result.chosen_candidates or ()
    return tuple(
        msgspec.structs.replace(
            _token_prob(token), others=tuple(beside[at]) if at < len(beside) else ()
        )
        for at, token in enumerate(chosen)
    )


def _token_prob(token: _Token) -> TokenProb:
    return TokenProb(token.token or "", token.log_probability or 0.0)


def _decoded(data: bytes, kind: str) -> _Reply:
    reply = upstream_json(_reply.decode, data, kind)
    if b'"error"' in data and (said := error_in_stream(data)) is not None:
        raise said
    return reply
