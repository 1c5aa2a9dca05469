"""LiteLLM: its spend logs, as JSON lines, as a JSON array or as CSV with a header.

Rows of the table LiteLLM_SpendLogs, as exported from the database or as `/spend/logs` returns them.
Prompts are there only where the proxy keeps them: in `proxy_server_request`, in old versions in
`messages`. Without them a row has its tokens alone. Long texts were cut by the proxy; a request
with such a text is decided by what is left of it, and has no key for a cache. Keys, users, tags and
what was spent are not read.

Source: BerriAI/litellm, litellm-proxy-extras/litellm_proxy_extras/schema.prisma (the table's
columns) and litellm/proxy/spend_tracking/spend_tracking_utils.py (`get_logging_payload`: what is
written to them, how texts are cut, that a failed call has the status "failure"); LiteLLM's
`prompt_tokens` count what a cache read and wrote too. Read 2026-11-23.
"""

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from pointsman.compare import openai_jsonl
from pointsman.compare.openai_jsonl import (
    BOM,
    JsonObject,
    Unusable,
    decode_answer,
    decode_chat,
    decode_object,
    is_keepable,
    number_of,
    numbered_lines,
    seconds_of,
    told_by,
)
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.streams import array_objects, peeked
from pointsman.core.answer import AnswerBuilder
from pointsman.core.types import Caller, Features, Request
from pointsman.core.usage import Usage

# What asks a model for words; others make vectors, pictures, sounds or nothing.
_CHATS = frozenset(
    {
        *("", "completion", "acompletion", "text_completion", "atext_completion"),
        *("responses", "aresponses", "anthropic_messages", "generate_content", "agenerate_content"),
        *("agenerate_content_stream", "generate_content_stream", "pass_through_endpoint"),
    }
)
_CUT = re.compile(rb"\.\.\. \((?:litellm_truncated skipped|truncated) \d+ chars\)")
_NOT_SENT = ("metadata", "proxy_server_request", "secret_fields")
_HEAD_BYTES = 4_096


def read_litellm_logs(file: BinaryIO, left_out: LeftOut) -> Iterator[LoggedRequest]:
    """Yield the calls of a spend log that a model answered, one row in memory.

    Rows of no use go to `left_out`; a CSV's rows are counted by the line on which they end.
    """
    head, file = peeked(file, _HEAD_BYTES)
    match head.removeprefix(BOM).lstrip()[:1]:
        case b"[":
            rows = _array_rows(file, left_out)
        case b"{":
            rows = numbered_lines(file, left_out)
        case _:
            yield from _read_csv(file, left_out)
            return
    for number, row in rows:
        try:
            entry = decode_object(row)
            page = entry.get("data")  # what /spend/logs/v2 answers: a page of rows
            entries = page if isinstance(page, list) else [entry]
        except Unusable as error:
            left_out.add_line(number, str(error))
            continue
        for entry in entries:
            yield from _records(number, entry, left_out)


def is_litellm_row(entry: JsonObject) -> bool:
    """Return whether a JSON object looks like a row of the table, or a page of rows."""
    page = entry.get("data")
    if isinstance(page, list) and page and isinstance(page[0], dict):
        entry = page[0]
    marks = {"startTime", "prompt_tokens", "call_type", "spend", "custom_llm_provider"}
    return "request_id" in entry and len(marks & entry.keys()) >= 2


def is_litellm_header(line: bytes) -> bool:
    """Return whether a line looks like the header of the table's CSV."""
    names = line.removeprefix(BOM).replace(b'"', b"").strip().split(b",")
    return b"request_id" in names and b"prompt_tokens" in names


def _array_rows(file: BinaryIO, left_out: LeftOut) -> Iterator[tuple[int, bytes]]:
    bytes_max = openai_jsonl.LINE_BYTES_MAX
    for number, row in array_objects(file, bytes_max):
        if row is None:
            left_out.add_line(number, f"has an object longer than {bytes_max} bytes")
        else:
            yield number, row


def _read_csv(file: BinaryIO, left_out: LeftOut) -> Iterator[LoggedRequest]:
    if csv.field_size_limit() < openai_jsonl.LINE_BYTES_MAX:  # one for the whole process
        csv.field_size_limit(openai_jsonl.LINE_BYTES_MAX)
    texts = (line.decode("utf-8", "replace") for line in file)
    rows = csv.reader(texts)
    names: list[str] = []
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            left_out.add_line(rows.line_num, f"is not CSV: {error}")
            continue
        if row is None:
            return
        if not row:
            continue
        if not names:
            names = [name.lstrip("\ufeff") for name in row]
        elif len(row) != len(names):
            reason = f"has {len(row)} columns where the header has {len(names)}"
            left_out.add_line(rows.line_num, reason)
        else:
            yield from _records(rows.line_num, dict(zip(names, row, strict=True)), left_out)


def _records(number: int, entry: object, left_out: LeftOut) -> Iterator[LoggedRequest]:
    try:
        if not isinstance(entry, dict):
            raise Unusable("is not a JSON object")
        yield _record(entry)
    except Unusable as error:
        left_out.add_line(number, str(error))


def _record(entry: JsonObject) -> LoggedRequest:
    metadata = _object(entry.get("metadata"))
    _check(entry, metadata)
    usage = _usage(entry, metadata)
    is_hit = str(entry.get("cache_hit")).lower() == "true"
    is_kept, answer = _answer(entry)
    began_s, ended_s = _at_s(entry.get("startTime")), _at_s(entry.get("endTime"))
    has_times = began_s and ended_s and ended_s > began_s and not is_hit
    request = _request(entry)
    features = LoggedRequest.of(request, None, "", None).features if request else _NO_TEXT
    if request is None or request.caller.cache == "off":  # cut: its length is not what was sent
        features = msgspec.structs.replace(features, input_tokens=usage.input_tokens)
    return LoggedRequest(
        features=features,
        request=request,
        usage=usage,
        model=_model(entry),
        latency_ms=round((ended_s - began_s) * 1_000) if has_times else None,  # type: ignore[operator]
        at_s=began_s,
        is_hit=is_hit,
        is_keepable=is_kept,
        conversation=_text(entry.get("session_id")),
        answer=told_by(answer) if answer and not is_hit else None,
    )


_NO_TEXT = Features(
    text="",
    turns=0,
    input_tokens=0,
    max_tokens=None,
    needs=frozenset(),
    is_tool_loop=False,
)


def _check(entry: JsonObject, metadata: JsonObject) -> None:
    """Raise Unusable for a row that is no answered call of a chat."""
    if "prompt_tokens" not in entry or "startTime" not in entry:
        raise Unusable("is no row of LiteLLM_SpendLogs: it lacks prompt_tokens or startTime")
    if "failure" in (entry.get("status"), metadata.get("status")):
        error = _object(metadata.get("error_information")).get("error_class")
        raise Unusable(f"is a call that failed{f': {error}' if error else ''}")
    kind = _text(entry.get("call_type"))
    if kind not in _CHATS:
        raise Unusable(f'is no chat but a call of type "{kind}"')


def _usage(entry: JsonObject, metadata: JsonObject) -> Usage:
    """Return the tokens as the provider counted them, cached ones where the row tells."""
    told = _object(metadata.get("usage_object")) or _object(metadata.get("additional_usage_values"))
    sent = _object(told.get("prompt_tokens_details"))
    made = _object(told.get("completion_tokens_details"))
    read = _count(told.get("cache_read_input_tokens")) or _count(sent.get("cached_tokens"))
    written = (
        _count(told.get("cache_creation_input_tokens"))
        or _count(sent.get("cache_write_tokens"))
        or _count(sent.get("cache_creation_tokens"))
    )
    parts = _object(sent.get("cache_creation_token_details"))
    prompt, output = _count(entry.get("prompt_tokens")), _count(entry.get("completion_tokens"))
    if not prompt and not output:
        raise Unusable("counts no tokens")
    return Usage(
        # Where the parts are more than the whole, the row is of a version that left them out of it.
        input_tokens=prompt if read + written <= prompt else prompt + read + written,
        cached_input_tokens=read,
        cache_write_tokens=written,
        long_cache_write_tokens=min(_count(parts.get("ephemeral_1h_input_tokens")), written),
        output_tokens=output,
        reasoning_tokens=min(_count(made.get("reasoning_tokens")), output),
    )


def _request(entry: JsonObject) -> Request | None:
    """Return the request, None where its messages are not kept or cannot be read."""
    sent = entry.get("proxy_server_request")
    body = dict(_object(sent))
    body = dict(_object(body["body"])) if "body" in body and "messages" not in body else body
    if not body.get("messages"):
        body = {"messages": _json(entry.get("messages"))}
    if not isinstance(body["messages"], list) or not body["messages"]:
        return None
    body = {
        name: value
        for name, value in body.items()
        if name not in _NOT_SENT and not name.startswith("litellm_") and value is not None
    }
    body["model"] = _text(entry.get("model_group")) or body.get("model") or ""
    try:
        request = decode_chat(body)
    except Unusable:  # another dialect's messages: what it cost is still worth its row
        return None
    if _CUT.search(request.body):
        request = msgspec.structs.replace(request, caller=Caller(cache="off"))
    return request


def _answer(entry: JsonObject) -> tuple[bool, AnswerBuilder | None]:
    """Return whether a cache would keep the answer, and it; where none is written, that it would.

    None where it cannot be read.
    """
    reply = _object(entry.get("response"))
    if not reply:
        return True, None
    try:
        answer = decode_answer(reply)
    except Unusable:
        return False, None
    return is_keepable(answer), answer


def _model(entry: JsonObject) -> str:
    """Return the model's name without LiteLLM's name of who serves it."""
    model, provider = _text(entry.get("model")), _text(entry.get("custom_llm_provider"))
    return model.removeprefix(f"{provider}/") if provider else model


def _json(value: object) -> object:
    """Return a column of JSON, which is a text in a CSV and where the proxy wrote one."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _object(value: object) -> JsonObject:
    found = _json(value)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    """Return a count that may be written as a text; 0 for none."""
    if type(value) is int and 0 <= value < 1e15:
        return value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    found = number_of(value)
    return round(found) if found is not None and found < 1e15 else 0


def _at_s(value: object) -> float | None:
    return seconds_of(value) if isinstance(value, str) else number_of(value)
