"""Codex: its rollouts, one JSON object a line: `{"timestamp", "type", "payload"}`.

One call of the model is one `token_count` event, written when its answer has ended. An event that
repeats the session's total was sent again and is no call; nor is one without input and output: it
tells of a window filled or compacted. A forked session starts with a copy of its parent's lines,
written anew at once; the copy ends with the first turn whose id was minted after the fork.

Source: openai/codex, codex-rs/protocol/src/protocol.rs (RolloutLine, RolloutItem, SessionMeta,
TurnContextItem, TokenUsageInfo and its `append_last_usage` and `fill_to_context_window`) and
models.rs (ResponseItem); what is written twice: ccusage issues 876 (2026-03), 1288 and 1371
(2026-06), kenn-io/agentsview pull request 657 (2026-06). Time in an id: RFC 9562, section 5.7
(UUID version 7). Read 2026-11-23.
"""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from pointsman.compare.openai_jsonl import JsonObject, Unusable, numbered_lines, seconds_of
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.transcripts import Conversation
from pointsman.core.usage import Usage

_TYPES = frozenset({"session_meta", "turn_context", "response_item", "event_msg", "compacted"})
_TURN_BEGINS = frozenset({"task_started", "turn_started"})
# Where turns have no id of use: a copy is written in less, a person's next turn takes longer.
_COPYING_S_MAX = 5


class _Line(msgspec.Struct):
    type: str
    timestamp: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class _Instructions(msgspec.Struct):
    text: str | None = None


class _Meta(msgspec.Struct):
    id: str | None = None
    timestamp: str | None = None
    forked_from_id: str | None = None
    base_instructions: _Instructions | None = None


class _TurnContext(msgspec.Struct):
    model: str | None = None
    turn_id: str | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()


class _Tokens(msgspec.Struct):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    total_tokens: int = 0


class _Counts(msgspec.Struct):
    total_token_usage: _Tokens | None = None
    last_token_usage: _Tokens | None = None


class _Event(msgspec.Struct):
    type: str = ""
    turn_id: str | None = None
    info: _Counts | None = None


class _Compacted(msgspec.Struct):
    replacement_history: list[msgspec.Raw] | None = None


_line = msgspec.json.Decoder(_Line)
_meta = msgspec.json.Decoder(_Meta)
_turn_context = msgspec.json.Decoder(_TurnContext)
_item = msgspec.json.Decoder(_Item)
_event = msgspec.json.Decoder(_Event)
_compacted = msgspec.json.Decoder(_Compacted)
_content = msgspec.json.Decoder(str | list[_Part] | None)


def read_codex(file: BinaryIO, left_out: LeftOut) -> Iterator[LoggedRequest]:
    """Yield a session's model calls, one line in memory; lines of no use go to `left_out`."""
    rollout = _Rollout()
    for number, line in numbered_lines(file, left_out):
        try:
            record = rollout.take(line)
        except Unusable as error:
            left_out.add_line(number, str(error))
            continue
        if record is not None:
            yield record


def is_codex_line(entry: JsonObject) -> bool:
    """Return whether a JSON object looks like a line of a rollout."""
    kind = entry.get("type")
    return isinstance(kind, str) and kind in _TYPES and isinstance(entry.get("payload"), dict)


class _Rollout:
    """What is known of a session so far."""

    def __init__(self) -> None:
        self._conversation = Conversation()
        self._model = ""
        self._total: _Tokens | None = None
        self._has_begun = False
        self._forked_s: float | None = None  # while what comes is a copy, else None

    def take(self, data: bytes) -> LoggedRequest | None:
        """Take a line, return the call that it shows to have ended. Raises Unusable."""
        try:
            line = _line.decode(data)
            at_s = seconds_of(line.timestamp) if line.timestamp else None
            match line.type:
                case "session_meta":
                    self._begin(_meta.decode(line.payload), at_s)
                case "turn_context":
                    context = _turn_context.decode(line.payload)
                    self._model = context.model or self._model
                    self._begin_turn(context.turn_id, at_s)
                case "response_item":
                    self._take_item(_item.decode(line.payload), at_s)
                case "compacted":
                    history = _compacted.decode(line.payload).replacement_history
                    self._conversation.compact(1 if history is None else len(history))
                case "event_msg":
                    return self._take_event(_event.decode(line.payload), at_s)
                case _:
                    pass
        except msgspec.ValidationError as error:
            raise Unusable(f"does not fit: {error}") from error
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise Unusable(f"is not JSON: {error}") from error
        return None

    def _begin(self, meta: _Meta, at_s: float | None) -> None:
        if self._has_begun:  # a fork's parent tells of itself too
            return
        self._has_begun = True
        self._conversation.id = meta.id or ""
        self._conversation.system = (meta.base_instructions and meta.base_instructions.text) or ""
        if meta.forked_from_id:
            written_s = seconds_of(meta.timestamp) if meta.timestamp else None
            self._forked_s = _minted_s(meta.id) or written_s or at_s

    def _begin_turn(self, turn_id: str | None, at_s: float | None) -> None:
        if self._forked_s is None:
            return
        minted_s = _minted_s(turn_id)
        if minted_s is not None:
            is_own = minted_s >= self._forked_s
        else:
            is_own = at_s is not None and at_s > self._forked_s + _COPYING_S_MAX
        if is_own:
            self._forked_s = None

    def _take_item(self, item: _Item, at_s: float | None) -> None:
        if item.type == "message" and item.role == "user":
            content = _content.decode(item.content)
            parts = [_Part(text=content)] if isinstance(content, str) else content or []
            text = "\n".join(part.text for part in parts if part.text is not None)
            has_images = any(part.type == "input_image" for part in parts)
            self._conversation.hear(text, at_s, has_images=has_images)
        elif item.type.endswith("_output"):
            # In an output the name is a value of its JSON: text that has it shows quotes escaped.
            has_images = b'"input_image"' in bytes(item.output)
            self._conversation.take_results(1, at_s, has_images=has_images)

    def _take_event(self, event: _Event, at_s: float | None) -> LoggedRequest | None:
        if event.type in _TURN_BEGINS:
            self._begin_turn(event.turn_id, at_s)
        if event.type != "token_count" or event.info is None:
            return None
        total, before = event.info.total_token_usage, self._total
        if total is not None and total == before:
            return None
        self._total = total or before
        usage = _usage(event.info.last_token_usage or _grown(total, before))
        if not usage.total_tokens:
            return None
        asked = self._conversation.ask()
        self._conversation.answer()
        if self._forked_s is not None:
            return None
        return self._conversation.record(asked, usage, self._model, began_s=at_s, ended_s=at_s)


def _grown(total: _Tokens | None, before: _Tokens | None) -> _Tokens:
    """Return what a session's total grew by; a total that shrank was started anew."""
    if total is None:
        return _Tokens()
    if before is None or total.total_tokens < before.total_tokens:
        return total
    names = _Tokens.__struct_fields__
    return _Tokens(**{name: getattr(total, name) - getattr(before, name) for name in names})


def _usage(tokens: _Tokens) -> Usage:
    sent, made = max(tokens.input_tokens, 0), max(tokens.output_tokens, 0)
    read = min(max(tokens.cached_input_tokens, 0), sent)
    return Usage(
        input_tokens=sent,
        cached_input_tokens=read,
        cache_write_tokens=min(max(tokens.cache_write_input_tokens, 0), sent - read),
        output_tokens=made,
        reasoning_tokens=min(max(tokens.reasoning_output_tokens, 0), made),
    )


def _minted_s(name: str | None) -> float | None:
    """Return the Unix seconds in a UUID of version 7, None for anything else."""
    digits = (name or "").replace("-", "")
    try:
        return int(digits[:12], 16) / 1_000 if len(digits) == 32 and digits[12] == "7" else None
    except ValueError:
        return None
