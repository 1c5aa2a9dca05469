"""Claude Code: transcripts of sessions, one JSON object a line, each line one block of a message.

One call of the model is all the assistant's lines with one message id: the token counts stand on
each of them, and the last has the final count of the output. Before it come the user's messages and
the results of tools. Subagents talk in conversations of their own (`isSidechain`), in the same file
or in `<session>/subagents/agent-*.jsonl`. Lines with `forkedFrom` are copies from another session.

A line without a `stop_reason` was written while the answer still streamed; where a call has no
other, its output is estimated from its text, and so marked. The system prompt is not written.

A session that an old version resumed repeats the lines of the first one in a second file; a file is
read by itself, so those count twice.

Source: the transcripts of `~/.claude/projects` as described by users of them: 23min/copilot-lens
docs/research/claude-code-sessions.md; majiayu000/ccstats docs/algorithm/
authoritative-token-accounting.md; ccusage issues 866 and 901, claude-code issues 22686 and 28197
(2026-02 and 03: counts of a stream's first lines are not final). Anthropic publishes no format.
Usage: Anthropic API reference, "Messages" (`input_tokens` excludes what a cache read or wrote).
Read 2026-11-23.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from pointsman.compare.openai_jsonl import JsonObject, Unusable, numbered_lines, seconds_of
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.compare.transcripts import Asked, Conversation
from pointsman.core.features import estimate_tokens
from pointsman.core.usage import Usage

_SYNTHETIC = "<synthetic>"
# Kept at most, the newest: conversations, ids of calls, and lines of subagents without an id.
_CONVERSATIONS_MAX = 1_000
_IDS_MAX = 50_000


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    content: str | list[_Block | str] | None = None
    usage: _Usage | None = None
    stop_reason: str | None = None


class _Line(msgspec.Struct):
    type: str
    subtype: str | None = None
    uuid: str | None = None
    parentUuid: str | None = None  # noqa: N815 - as Claude Code writes it, like those below
    sessionId: str | None = None  # noqa: N815
    agentId: str | None = None  # noqa: N815
    requestId: str | None = None  # noqa: N815
    timestamp: str | None = None
    isSidechain: bool | None = None  # noqa: N815
    isMeta: bool | None = None  # noqa: N815
    isCompactSummary: bool | None = None  # noqa: N815
    isVisibleInTranscriptOnly: bool | None = None  # noqa: N815
    isApiErrorMessage: bool | None = None  # noqa: N815
    forkedFrom: msgspec.Raw = msgspec.Raw()  # noqa: N815
    message: msgspec.Raw = msgspec.Raw()


_line = msgspec.json.Decoder(_Line)
_message = msgspec.json.Decoder(_Message)


@dataclass(slots=True)
class _Call:
    """One call of the model while its lines come in."""

    id: str
    asked: Asked
    is_copy: bool
    began_s: float | None
    ended_s: float | None = None
    model: str = ""
    usage: _Usage = field(default_factory=_Usage)
    estimated_tokens: int = 0
    is_whole: bool = False

    def add(self, message: _Message, at_s: float | None) -> None:
        """Take one more line of it."""
        self.model = message.model or self.model
        self.ended_s = at_s or self.ended_s
        self.is_whole = self.is_whole or message.stop_reason is not None
        self.estimated_tokens += sum(map(_estimated_tokens, _blocks(message)))
        if message.usage and (message.usage.output_tokens or 0) >= (self.usage.output_tokens or 0):
            self.usage = message.usage

    @property
    def counted(self) -> Usage | None:
        """Return its tokens, None where no line has any."""
        read = max(self.usage.cache_read_input_tokens or 0, 0)
        written = max(self.usage.cache_creation_input_tokens or 0, 0)
        parts = self.usage.cache_creation or _CacheCreation()
        long = min(max(parts.ephemeral_1h_input_tokens or 0, 0), written)
        output = max(self.usage.output_tokens or 0, 0)
        sent = max(self.usage.input_tokens or 0, 0) + read + written
        if not sent and not output:
            return None
        return Usage(
            input_tokens=sent,
            cached_input_tokens=read,
            cache_write_tokens=written,
            long_cache_write_tokens=long,
            output_tokens=output if self.is_whole else max(output, self.estimated_tokens),
            is_estimated=not self.is_whole,
        )


@dataclass(slots=True)
class _Talk:
    """A conversation, and the call in it whose lines may still come in."""

    conversation: Conversation
    call: _Call | None = None

    def end_call(self) -> Iterator[LoggedRequest]:
        """Yield the call's record, when there is one to yield."""
        call, self.call = self.call, None
        usage = call.counted if call and not call.is_copy else None
        if call and usage:
            yield self.conversation.record(
                call.asked, usage, call.model, began_s=call.began_s, ended_s=call.ended_s
            )


def read_claude_code(file: BinaryIO, left_out: LeftOut) -> Iterator[LoggedRequest]:
    """Yield a session's model calls, one line in memory; lines of no use go to `left_out`.

    In the order in which they ended, or rather in which the next one of their conversation began.
    """
    session = _Session()
    for number, line in numbered_lines(file, left_out):
        try:
            yield from session.take(line)
        except Unusable as error:
            left_out.add_line(number, str(error))
    for talk in session.talks.values():
        yield from talk.end_call()


def is_claude_code_line(entry: JsonObject) -> bool:
    """Return whether a JSON object looks like a line of a transcript."""
    marks = {"sessionId", "leafUuid", "snapshot", "parentUuid"}
    return isinstance(entry.get("type"), str) and bool(marks & entry.keys())


class _Session:
    """What is known of a file's conversations so far."""

    def __init__(self) -> None:
        self.talks: OrderedDict[str, _Talk] = OrderedDict()
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._side_lines: OrderedDict[str, str] = OrderedDict()

    def take(self, data: bytes) -> Iterator[LoggedRequest]:
        """Take a line, yield the calls that it shows to have ended. Raises Unusable."""
        try:
            line = _line.decode(data)
            is_said = line.type in ("user", "assistant")
            message = _message.decode(bytes(line.message) or b"{}") if is_said else None
        except msgspec.ValidationError as error:
            raise Unusable(f"does not fit: {error}") from error
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise Unusable(f"is not JSON: {error}") from error
        at_s = seconds_of(line.timestamp) if line.timestamp else None
        if message and line.type == "user":
            yield from self._trim()
            _take_user(self._talk(line).conversation, line, message, at_s)
        elif message:
            yield from self._trim()
            yield from self._take_answer(line, message, at_s)
        elif line.subtype == "compact_boundary":
            self._talk(line).conversation.compact(0)

    def _take_answer(
        self, line: _Line, message: _Message, at_s: float | None
    ) -> Iterator[LoggedRequest]:
        if line.isApiErrorMessage:
            raise Unusable("holds an error instead of an answer")
        if message.model == _SYNTHETIC:  # Claude Code's own words; no model was called
            return
        talk = self._talk(line)
        name = message.id or line.requestId or line.uuid or ""
        if talk.call is None or talk.call.id != name:
            if name in self._ended:
                return
            yield from talk.end_call()
            _keep(self._ended, name, "")
            is_copy = bytes(line.forkedFrom) not in (b"", b"null")
            talk.call = _Call(name, talk.conversation.ask(), is_copy, at_s)
            talk.conversation.answer()
        talk.call.add(message, at_s)

    def _talk(self, line: _Line) -> _Talk:
        name = line.sessionId or ""
        if line.isSidechain:
            name = self._side_name(line)
        if name in self.talks:
            self.talks.move_to_end(name)
        else:
            self.talks[name] = _Talk(Conversation(id=name))
        return self.talks[name]

    def _side_name(self, line: _Line) -> str:
        """Return the name of a subagent's conversation: by its id, else by its first line."""
        session = line.sessionId or ""
        if line.agentId:
            return f"{session}/{line.agentId}"
        name = self._side_lines.get(line.parentUuid or "") or f"{session}/{line.uuid or ''}"
        if line.uuid:
            _keep(self._side_lines, line.uuid, name)
        return name

    def _trim(self) -> Iterator[LoggedRequest]:
        while len(self.talks) > _CONVERSATIONS_MAX:
            _, oldest = self.talks.popitem(last=False)
            yield from oldest.end_call()


def _keep(kept: OrderedDict[str, str], name: str, value: str) -> None:
    kept[name] = value
    if len(kept) > _IDS_MAX:
        kept.popitem(last=False)


def _take_user(
    conversation: Conversation, line: _Line, message: _Message, at_s: float | None
) -> None:
    blocks = _blocks(message)
    results = [block for block in blocks if block.type == "tool_result"]
    has_images = any(map(_is_image, blocks))
    if line.isCompactSummary:
        conversation.compact(0)
    elif line.isVisibleInTranscriptOnly:  # not sent
        return
    if results:
        conversation.take_results(len(results), at_s, has_images=has_images)
    elif line.isMeta:  # Claude Code's own words beside the user's
        conversation.turns += 1
    else:
        text = "\n".join(block.text for block in blocks if block.text is not None)
        conversation.hear(text, at_s, has_images=has_images)


def _blocks(message: _Message) -> list[_Block]:
    match message.content:
        case None:
            return []
        case str(text):
            return [_Block(type="text", text=text)]
        case blocks:
            return [_Block(type="text", text=it) if isinstance(it, str) else it for it in blocks]


def _is_image(block: _Block) -> bool:
    # In a result the name is a value of its JSON: text that has it shows its quotes escaped.
    return block.type == "image" or b'"image"' in bytes(block.content)


def _estimated_tokens(block: _Block) -> int:
    words = estimate_tokens((block.text or "") + (block.thinking or ""))
    return words + -(-len(bytes(block.input)) // 4)
