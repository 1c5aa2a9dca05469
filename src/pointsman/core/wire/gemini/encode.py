"""Encoding: events as a client's stream or reply. A frame of the same dialect goes on untouched."""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pointsman.core.errors import GatewayError
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
from pointsman.core.wire.gemini.errors import error_body
from pointsman.core.wire.gemini.request import DIALECT
from pointsman.core.wire.gemini.signatures import write_signature
from pointsman.core.wire.splice import splice
from pointsman.core.wire.sse import data_frame, parse_frame, with_data

# Every word that `FinishReason` of google-genai 3.4 knows and that an upstream may have ended with.
_OWN_REASONS = frozenset(
    [
        "LANGUAGE",
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "IMAGE_OTHER",
        "NO_IMAGE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "PUP_LIMITED_DISABLED",
        "CONTINUATION",
    ]
)
_REASONS = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}

_Members = dict[str, object]


class GeminiStreamEncoder:
    """Writes one stream. `model` is `provider/model`, put in place of the upstream's own name.

    A function call goes out when it is whole. The last event has the finish reason and the counts.
    """

    def __init__(self, model: str) -> None:
        self._model = msgspec.json.encode(model)
        self._is_relay = False
        self._named: re.Pattern[bytes] | None = None
        self._parts = _PartWriter()
        self._head: _Members = {}
        self._choices = {0}

    def encode(self, event: Event) -> bytes:
        """Return the bytes for one event, maybe none."""
        if isinstance(event, Started):
            self._open(event)
        if self._is_relay:
            return self._renamed(event.frame) if event.frame else b""
        written = [self._candidate(choice, part) for choice, part in self._parts.write(event)]
        if isinstance(event, Finished):
            return b"".join(written) + self._end()
        return b"".join(written)

    def ping(self) -> bytes:
        """Return nothing: google-genai's reader takes a comment for a piece of JSON."""
        return b""

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return the in-stream error."""
        return data_frame(error_body(error, request_id))

    def _open(self, event: Started) -> None:
        self._is_relay = event.dialect == DIALECT and event.is_stream and event.frame is not None
        source = re.escape(msgspec.json.encode(event.model))
        self._named = re.compile(rb'("modelVersion"\s*:\s*)' + source) if event.model else None
        self._head = {"modelVersion": msgspec.Raw(self._model), "responseId": event.id}

    def _renamed(self, frame: bytes) -> bytes:
        if frame.count(b'"modelVersion"') == 1 and self._named and self._named.search(frame):
            return self._named.sub(lambda match: match[1] + self._model, frame)
        read = parse_frame(frame)
        if not read.data or b'"modelVersion"' not in frame:
            return frame
        if "modelVersion" not in msgspec.json.decode(read.data):
            return frame
        return with_data(read, splice(read.data, {"modelVersion": self._model}))

    def _candidate(self, choice: int, part: "_Part") -> bytes:
        self._choices.add(choice)
        return self._frame([_candidate(choice, [part])], {})

    def _end(self) -> bytes:
        ends = [self._parts.end(choice) for choice in sorted(self._choices)]
        candidates = [
            {"content": {"parts": [{"text": ""}], "role": "model"}, "index": choice} | end
            for choice, end in zip(sorted(self._choices), ends, strict=True)
        ]
        return self._frame(candidates, self._parts.usage)

    def _frame(self, candidates: list[_Members], usage: _Members) -> bytes:
        return data_frame(msgspec.json.encode({"candidates": candidates} | usage | self._head))


def encode_reply(events: Iterable[Event], model: str) -> bytes:
    """Return a whole answer as a JSON reply; one that came as such goes on but for the model."""
    writer = _PartWriter()
    started: Started | None = None
    parts: dict[int, list[_Part]] = {0: []}
    for event in events:
        if isinstance(event, Started):
            started = event
        for choice, part in writer.write(event):
            _join(parts.setdefault(choice, []), part)
    if started and started.frame and started.dialect == DIALECT and not started.is_stream:
        return splice(started.frame, {"modelVersion": msgspec.json.encode(model)})
    reply = {
        "candidates": [
            _candidate(choice, parts[choice]) | writer.end(choice) for choice in sorted(parts)
        ],
        **writer.usage,
        "modelVersion": model,
        "responseId": started.id if started else "",
    }
    return msgspec.json.encode(reply)


class _Part(msgspec.Struct):
    """A part of the content; its `logprobs` go beside that."""

    text: str | None = None
    thought: bool = False
    function_call: _Members | None = None
    thought_signature: str = ""
    logprobs: tuple[TokenProb, ...] = ()


class _PartWriter:
    """Turns events into parts, calls once they are whole, and knows how the answer ended."""

    def __init__(self) -> None:
        self.usage: _Members = {}
        self._is_own = False
        self._call: list[ToolCallDelta] = []
        self._reason = ""
        self._broken: dict[int, str] = {}

    def write(self, event: Event) -> Iterator[tuple[int, _Part]]:
        """Yield the parts that an event completes, each with the candidate it belongs to."""
        match event:
            case ToolCallDelta():
                if self._call and event.index != self._call[0].index:
                    yield from self._whole_call()
                self._call.append(event)
            case TextDelta(text=text, choice=choice, logprobs=logprobs):
                yield from self._whole_call()
                if text or logprobs:
                    yield choice, _Part(text=text, logprobs=logprobs)
            case ReasoningDelta(text=text, choice=choice):
                yield from self._whole_call()
                signature = event.signature and write_signature(
                    event.signature, is_own=self._is_own
                )
                if text or signature:
                    is_thought = not event.is_redacted
                    yield choice, _Part(text=text, thought=is_thought, thought_signature=signature)
            case UsageReport(usage=usage):
                self.usage = {"usageMetadata": usage_metadata(usage)}
            case Started(dialect=dialect):
                self._is_own = dialect == DIALECT
            case Finished(reason=reason):
                yield from self._whole_call()
                self._reason = reason
            case Note():
                pass

    def end(self, choice: int) -> _Members:
        """Return how a candidate ended; one whose call has no JSON for arguments ended in that."""
        if choice in self._broken:
            return {
                "finishReason": "MALFORMED_FUNCTION_CALL",
                "finishMessage": self._broken[choice],
            }
        word = self._reason
        return {"finishReason": _REASONS.get(word, word if word in _OWN_REASONS else "OTHER")}

    def _whole_call(self) -> Iterator[tuple[int, _Part]]:
        deltas, self._call = self._call, []
        if not deltas:
            return
        arguments = "".join(delta.arguments for delta in deltas) or "{}"
        name = "".join(delta.name for delta in deltas)
        signature = next((delta.signature for delta in deltas if delta.signature), "")
        try:
            msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            self._broken[deltas[0].choice] = f"{name} was called with {arguments}"
            return
        call: _Members = {"id": next((delta.id for delta in deltas if delta.id), "")}
        call |= {"name": name, "args": msgspec.Raw(arguments.encode())}
        if signature:
            signature = write_signature(signature, is_own=self._is_own)
        yield deltas[0].choice, _Part(function_call=call, thought_signature=signature)


def usage_metadata(usage: Usage) -> Mapping[str, object]:
    """Return usage in this dialect's names; cache writes have none, and are in the prompt's."""
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.total_tokens,
    }
    if usage.cached_input_tokens:
        counts["cachedContentTokenCount"] = usage.cached_input_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    return counts


def _join(parts: list[_Part], new: _Part) -> None:
    """Add a part: text goes on with text of its kind, up to a signature."""
    last = parts[-1] if parts else None
    is_more = (
        last is not None
        and last.text is not None
        and new.text is not None
        and last.thought == new.thought
        and not last.thought_signature
        and (new.thought or not new.thought_signature)
    )
    if last is not None and is_more:
        last.text = (last.text or "") + (new.text or "")
        last.logprobs += new.logprobs
        last.thought_signature = new.thought_signature
    else:
        parts.append(new)


def _candidate(choice: int, parts: list[_Part]) -> _Members:
    written = [_wire(part) for part in parts]
    content: _Members = {"parts": written or [{"text": ""}], "role": "model"}
    logprobs = tuple(prob for part in parts for prob in part.logprobs)
    return {"content": content, "index": choice} | (
        {"logprobsResult": _logprobs(logprobs)} if logprobs else {}
    )


def _wire(part: _Part) -> _Members:
    members: _Members = {}
    if part.text is not None:
        members["text"] = part.text
    if part.function_call is not None:
        members["functionCall"] = part.function_call
    if part.thought:
        members["thought"] = True
    if part.thought_signature:
        members["thoughtSignature"] = part.thought_signature
    return members


def _logprobs(probs: tuple[TokenProb, ...]) -> _Members:
    return {
        "chosenCandidates": [_token(prob) for prob in probs],
        "topCandidates": [{"candidates": [_token(one) for one in prob.others]} for prob in probs],
    }


def _token(prob: TokenProb) -> _Members:
    return {"token": prob.token, "logProbability": prob.logprob}
