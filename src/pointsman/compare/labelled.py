"""Labelled: requests with what several models made of each, one JSON object a line.

A row has the text, as `prompt`, `messages` or a whole `request`, and `scores`: quality 0..1 by
model; beside them, also by model, `costs` in USD, `usage` (`input_tokens`, `output_tokens`),
`latency_ms` and `accepted`, the verdict of the free checks. `tags` are the request's; `group` and
`id` may stand by. `answer_id` names the right answer: rows with one id have one, with two ids two;
a row that has it needs no `scores`, and says what a cache would have served.

A row of the bundled sample has no text, but what the scorer and the rules read of it: `reading`,
`signals` (phrases of ours that it holds), `words`, `input_tokens`; and `outcomes` by model, each
with `quality`, `cost_usd`, `input_tokens` and `output_tokens`.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, BinaryIO, TypeAlias

import msgspec

from pointsman.compare.openai_jsonl import JsonObject, Unusable, decode_chat, numbered_lines
from pointsman.compare.records import LeftOut, LoggedRequest, Outcome
from pointsman.compare.told_answers import ToldAnswer
from pointsman.core.features import extract
from pointsman.core.prices import nanousd_from_usd
from pointsman.core.types import Caller, Features, Reading
from pointsman.core.usage import Usage
from pointsman.scorer.groups import GROUPS
from pointsman.scorer.reading import COUNTS, PackedReading

_Quality: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
# The bounds are far beyond any one answer, and keep sums of many within what a ledger can hold.
_Usd: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
_Milliseconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class _Tokens(msgspec.Struct):
    input_tokens: _Count
    output_tokens: _Count


class _Row(msgspec.Struct):
    """A row with its text. Whatever is None is taken as not there."""

    scores: Mapping[str, _Quality | None] = {}
    answer_id: str | None = None
    prompt: str | None = None
    messages: list[JsonObject] | None = None
    request: JsonObject | None = None
    costs: Mapping[str, _Usd | None] = {}
    usage: Mapping[str, _Tokens | None] = {}
    latency_ms: Mapping[str, _Milliseconds | None] = {}
    accepted: Mapping[str, bool | None] = {}
    tags: Mapping[str, str] = {}


class _Measured(msgspec.Struct):
    quality: _Quality
    cost_usd: _Usd | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    latency_ms: _Milliseconds | None = None
    accepted: bool | None = None


class _SampleRow(msgspec.Struct):
    """A row of the bundled sample."""

    reading: JsonObject | list[object]
    outcomes: Mapping[str, _Measured]
    signals: list[str] = []
    words: _Count = 0
    input_tokens: _Count = 0


_row = msgspec.json.Decoder(_Row)
_sample_row = msgspec.json.Decoder(_SampleRow)
_SAMPLE_MARK = b'"reading"'


def is_labelled_line(entry: JsonObject) -> bool:
    """Return whether a JSON object looks like a row of labelled data."""
    return (
        isinstance(entry.get("scores"), dict)
        or ("reading" in entry and isinstance(entry.get("outcomes"), dict))
        or ("prompt" in entry and isinstance(entry.get("answer_id"), str))
    )


def read_labelled(file: BinaryIO, left_out: LeftOut) -> Iterator[LoggedRequest]:
    """Yield the labelled requests, one line in memory; lines of no use go to `left_out`."""
    for number, line in numbered_lines(file, left_out):
        try:
            yield _record(line)
        except Unusable as error:
            left_out.add_line(number, str(error))
        except msgspec.ValidationError as error:
            left_out.add_line(number, f"is no labelled request: {error}")
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            left_out.add_line(number, f"is not JSON: {error}")


def _record(line: bytes) -> LoggedRequest:
    if _SAMPLE_MARK in line and b'"scores"' not in line:
        return _from_sample(_sample_row.decode(line))
    row = _row.decode(line)
    body = dict(row.request) if row.request is not None else {}
    if row.messages is not None:
        body = {"messages": row.messages}
    elif row.prompt is not None:
        body = {"messages": [{"role": "user", "content": row.prompt}]}
    if not body:
        raise Unusable("has no prompt, messages or request")
    request = decode_chat(body)
    if row.tags:
        request = msgspec.structs.replace(request, caller=Caller(tags=tuple(row.tags.items())))
    outcomes = {
        model: _outcome(row, model, quality)
        for model, quality in row.scores.items()
        if quality is not None
    }
    if not outcomes and row.answer_id is None:
        raise Unusable("has no score and no answer_id")
    return LoggedRequest(
        features=extract(request),
        request=request,
        outcomes=outcomes,
        answer=None if row.answer_id is None else ToldAnswer.of_label(row.answer_id),
    )


def _outcome(row: _Row, model: str, quality: float) -> Outcome:
    cost, tokens, latency = row.costs.get(model), row.usage.get(model), row.latency_ms.get(model)
    usage = None
    if tokens is not None:
        usage = Usage(input_tokens=tokens.input_tokens, output_tokens=tokens.output_tokens)
    return Outcome(
        quality=quality,
        cost_nanousd=None if cost is None else _nanousd(cost),
        usage=usage,
        latency_ms=None if latency is None else round(latency),
        is_accepted=row.accepted.get(model),
    )


def _from_sample(row: _SampleRow) -> LoggedRequest:
    if not row.outcomes:
        raise Unusable("has no outcome")
    features = Features(
        text=" ".join(row.signals),
        words_told=row.words,
        turns=1,
        input_tokens=row.input_tokens,
        max_tokens=None,
        needs=frozenset(),
        is_tool_loop=False,
        reading=_reading(row.reading),
    )
    outcomes = {model: _measured(outcome) for model, outcome in row.outcomes.items()}
    return LoggedRequest(features=features, outcomes=outcomes)


def _reading(value: JsonObject | list[object]) -> Reading:
    """Return a reading, packed or not. Raises Unusable for one of another scorer."""
    if isinstance(value, dict) and not isinstance(value.get("grams"), str):
        reading = msgspec.convert(value, Reading)
    else:
        names = PackedReading.__struct_fields__
        fields = [value.get(name) for name in names] if isinstance(value, dict) else value
        try:
            reading = msgspec.convert(fields, PackedReading).unpack()
        except ValueError as error:  # msgspec's ValidationError is one too
            raise Unusable(f"has a reading that cannot be unpacked: {error}") from error
    if reading.group not in GROUPS or len(reading.counts) != COUNTS:
        raise Unusable("has a reading that another version of the scorer made; make it anew")
    return reading


def _measured(outcome: _Measured) -> Outcome:
    usage = None
    if outcome.input_tokens is not None and outcome.output_tokens is not None:
        usage = Usage(input_tokens=outcome.input_tokens, output_tokens=outcome.output_tokens)
    return Outcome(
        quality=outcome.quality,
        cost_nanousd=None if outcome.cost_usd is None else _nanousd(outcome.cost_usd),
        usage=usage,
        latency_ms=None if outcome.latency_ms is None else round(outcome.latency_ms),
        is_accepted=outcome.accepted,
    )


def _nanousd(usd: float) -> int:
    return nanousd_from_usd(Decimal(str(usd)))
