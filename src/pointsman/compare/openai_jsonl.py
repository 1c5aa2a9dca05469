"""OpenAI JSONL: logs of chat requests, one JSON object a line, in the shapes found in the wild.

A request body; `{"request": …, "response": …}`; a Batch API line, with or without its answer; a
fine-tuning example, whose last message is the answer. Time, latency and `answer_id` (equal where
one answer is right) are read where they stand beside them.

Source: OpenAI API reference, "Batch" (the request input and output objects) and "Fine-tuning" (chat
format), as typed in openai-python 3.54, read 2026-11-23.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import BinaryIO, TypeAlias

import msgspec

from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.told_answers import ToldAnswer
from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import GatewayError
from pointsman.core.features import estimate_input_tokens, estimate_tokens
from pointsman.core.types import Caller, Request
from pointsman.core.usage import Usage
from pointsman.core.wire.openai_chat import OpenAIChat
from pointsman.keeping import may_be_said_again

LINE_BYTES_MAX = 32 * 1024 * 1024

JsonObject: TypeAlias = Mapping[str, object]

BOM = b"\xef\xbb\xbf"
_MS_PER_UNIT = {
    "latency_ms": 1,
    "duration_ms": 1,
    "response_time_ms": 1,
    "latency_s": 1_000,
    "duration_s": 1_000,
}
_TIMES = ("created_at", "timestamp", "time", "ts", "created")
_TALKS = ("conversation_id", "session_id", "thread_id")
_ANSWER_ID = "answer_id"
_BESIDE = ("response", "completion", "error", "usage", "id", "custom_id", _ANSWER_ID)
# What loggers put beside the fields of a request that stands at the top level: not sent to a model.
_NOT_SENT = frozenset({*_MS_PER_UNIT, *_TIMES, *_TALKS, *_BESIDE})
# A larger number of seconds is past the year 5000: it counts milli-, micro- or nanoseconds.
_SECONDS_MAX = 1e11

_codec = OpenAIChat()
_line = msgspec.json.Decoder(dict[str, object])


class Unusable(Exception):
    """A line that holds no request to compare; the message says why."""


def read_openai_jsonl(file: BinaryIO, left_out: LeftOut) -> Iterator[LoggedRequest]:
    """Yield the requests of a log, one line in memory; lines of no use go to `left_out`."""
    for number, line in numbered_lines(file, left_out):
        try:
            yield _record(line)
        except Unusable as error:
            left_out.add_line(number, str(error))


def numbered_lines(file: BinaryIO, left_out: LeftOut) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, counted from 1; one too long goes to `left_out`."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            left_out.add_line(number, f"is longer than {LINE_BYTES_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES_MAX)
            continue
        if number == 1:
            line = line.removeprefix(BOM)
        if line.strip():
            yield number, line


def decode_object(data: bytes | str) -> dict[str, object]:
    """Return a JSON object. Raises Unusable for anything else."""
    try:
        return _line.decode(data)
    except msgspec.ValidationError as error:
        raise Unusable("is not a JSON object") from error
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Unusable(f"is not JSON: {error}") from error


def is_openai_line(entry: JsonObject) -> bool:
    """Return whether a JSON object looks like a line of such a log."""
    request, body = entry.get("request"), entry.get("body")
    inner = request.get("body") if isinstance(request, dict) else None
    return "custom_id" in entry or any(
        isinstance(chat, dict) and "messages" in chat for chat in (entry, request, body, inner)
    )


def _record(line: bytes) -> LoggedRequest:
    entry = decode_object(line)
    body = _body(entry)
    reply = _reply(entry, body)
    request = decode_chat(body)
    answer = decode_answer(reply) if reply is not None else None
    return LoggedRequest.of(
        request,
        _usage(request, answer) if answer else None,
        (answer.started.model if answer and answer.started else "") or request.model,
        _latency_ms(entry),
        at_s=_at_s(entry, answer),
        is_keepable=answer is None or is_keepable(answer),
        conversation=next((it for name in _TALKS if isinstance(it := entry.get(name), str)), ""),
        answer=_told(entry, answer),
    )


def _told(entry: JsonObject, answer: AnswerBuilder | None) -> ToldAnswer | None:
    label = entry.get(_ANSWER_ID)
    if isinstance(label, str):
        return ToldAnswer.of_label(label)
    return told_by(answer) if answer else None


def told_by(answer: AnswerBuilder) -> ToldAnswer | None:
    """Return what an answer's words tell, None where it has none."""
    return ToldAnswer.of_words(answer.text) if answer.text.strip() else None


def _body(entry: JsonObject) -> dict[str, object]:
    """Return the request's body: under `request` or `body`, else the line without what is beside.

    Raises Unusable when there is no chat in it.
    """
    for name in ("request", "body"):
        inner = entry.get(name)
        if isinstance(inner, dict):
            body = inner.get("body", inner) if name == "request" else inner
            break
    else:
        body = {name: value for name, value in entry.items() if name not in _NOT_SENT}
    if isinstance(body, dict) and isinstance(body.get("messages"), list) and body["messages"]:
        return dict(body)
    if "messages" in entry or "request" in entry or "body" in entry:
        raise Unusable("has no messages; only chat requests can be compared")
    if "response" in entry:
        raise Unusable("has an answer but no request; join the batch's output with its input")
    raise Unusable("has no messages, request or body; is it a log of chat requests?")


def _reply(entry: JsonObject, body: dict[str, object]) -> JsonObject | None:
    """Return the answer as a reply's JSON; take it from the messages where it is the last one."""
    if entry.get("error"):
        raise Unusable("holds an error instead of an answer")
    reply = entry.get("response")
    if isinstance(reply, dict) and "status_code" in reply:
        if reply["status_code"] != 200:
            raise Unusable(f"was answered with status {reply['status_code']}")
        reply = reply.get("body")
    elif isinstance(reply, dict) and "choices" not in reply and "body" in reply:
        reply = reply["body"]
    if isinstance(reply, dict):
        return reply
    if isinstance(reply, str):
        return _reply_of({"content": reply})
    messages = body["messages"]
    assert isinstance(messages, list), "checked in _body"
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return None
    body["messages"] = messages[:-1]
    content = last.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        last = {**last, "content": "\n".join(text for text in texts if isinstance(text, str))}
    return _reply_of(last)


def _reply_of(message: JsonObject) -> JsonObject:
    return {"choices": [{"message": message}]}


def decode_chat(body: JsonObject) -> Request:
    """Return the request of a chat body, which may lack a model. Raises Unusable."""
    try:
        encoded = msgspec.json.encode({"model": "", **body})
        return _codec.decode_request(encoded, Caller())
    except GatewayError as error:
        raise Unusable(error.message) from error


def decode_answer(reply: JsonObject) -> AnswerBuilder:
    """Return what a reply says. Raises Unusable."""
    builder = AnswerBuilder()
    try:
        for event in _codec.decode_reply(msgspec.json.encode(reply)):
            builder.add(event)
    except GatewayError as error:
        raise Unusable(f"the answer is of no use: {error.message}") from error
    return builder


def _usage(request: Request, answer: AnswerBuilder) -> Usage:
    """Return the usage as logged, else an estimate from the texts."""
    if answer.usage is not None and answer.usage.input_tokens:
        return answer.usage
    calls = "".join(call.name + call.arguments for call in answer.tool_calls)
    return Usage(
        input_tokens=estimate_input_tokens(request),
        output_tokens=estimate_tokens(answer.reasoning + answer.text + calls),
        is_estimated=True,
    )


def is_keepable(answer: AnswerBuilder) -> bool:
    """Return whether a cache would keep the answer: whole, in words, without tool calls."""
    is_whole = answer.finish_reason == "stop" and bool(answer.text) and not answer.tool_calls
    return is_whole and may_be_said_again(answer.text)


def _latency_ms(entry: JsonObject) -> int | None:
    for name, factor in _MS_PER_UNIT.items():
        value = number_of(entry.get(name))
        if value is not None:
            return round(value * factor)
    return None


def _at_s(entry: JsonObject, answer: AnswerBuilder | None) -> float | None:
    for name in _TIMES:
        value = entry.get(name)
        seconds = seconds_of(value) if isinstance(value, str) else number_of(value)
        if seconds:
            while seconds > _SECONDS_MAX:
                seconds /= 1_000
            return seconds
    created = answer.started.created if answer and answer.started else 0
    return float(created) if created > 0 else None


def number_of(value: object) -> float | None:
    """Return a number >= 0, None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return float(value) if is_number else None  # type: ignore[arg-type]


def seconds_of(text: str) -> float | None:
    """Return the Unix seconds of an ISO 8601 time, UTC where it names no zone; None for no time."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
