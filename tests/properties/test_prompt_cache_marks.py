"""Marks over growing conversations, from every dialect: the same history always has the same bytes,
and what one turn has had kept the next one reads.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given, reject
from hypothesis import strategies as st
from tests.core.builders import deployment, step
from tests.core.wire.prompts import conversations
from tests.properties.test_translation import each_dialect, request_of, unhurried

from pointsman.core.errors import RequestError
from pointsman.core.types import Deployment
from pointsman.core.wire import CODECS
from pointsman.core.wire.prompt import Message, Part, Prompt, Result, Text, Tool
from pointsman.providers.outgoing import written

LONG = "long " * 1_000
MARKS_MAX = 4
# How far before a mark the API looks for what it has. Source: platform.claude.com/docs/en/
# build-with-claude/prompt-caching (read 2026-11-23).
LOOK_BACK = 20
PLAIN = msgspec.structs.replace(deployment("anthropic/claude-sonnet-4-5"), dialect="anthropic")
MARKED = msgspec.structs.replace(PLAIN, has_cache_marks=True)
ADDED = b',"cache_control":{"type":"ephemeral"}'


class Cache:
    """A prompt cache as the API documents it, over blocks instead of tokens."""

    def __init__(self) -> None:
        self._kept: set[bytes] = set()

    def call(self, body: bytes) -> tuple[int, int]:
        """Return how many blocks a request reads, and up to which it has had all kept."""
        blocks = list(blocks_of(msgspec.json.decode(body)))
        marks = [at for at, (_, is_marked) in enumerate(blocks) if is_marked]
        assert len(marks) <= MARKS_MAX
        said = [block for block, _ in blocks]
        read = 0
        for mark in marks:
            for end in range(mark + 1, max(0, mark - LOOK_BACK), -1):
                if msgspec.json.encode(said[:end]) in self._kept:
                    read = max(read, end)
        self._kept |= {msgspec.json.encode(said[: mark + 1]) for mark in marks}
        return read, max(marks, default=-1) + 1


def blocks_of(body: dict[str, Any]) -> Iterator[tuple[object, bool]]:
    """Yield what the API reads as the prompt, in its order, and whether it has a mark."""
    for tool in body.get("tools", ()):
        yield "tool", tool.pop("cache_control", None) is not None
    said = [("system", body.get("system", ()))]
    said += [(message["role"], message["content"]) for message in body["messages"]]
    for role, content in said:
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            is_marked = block.pop("cache_control", None) is not None
            yield (role, block), is_marked


@st.composite
def turns(draw: st.DrawFn, dialect: str) -> list[bytes]:
    """Draw a conversation, as its client sends it at each of its turns, without marks of its own.

    Its system prompt is long enough for each turn to be marked.
    """
    drawn = [
        Message(message.role, tuple(map(unmarked, message.parts)))
        for message in draw(conversations(in_results=st.nothing()))
        if message.role != "system"
    ]
    tools = (Tool(name="look", description=draw(st.sampled_from(["", LONG]))),)
    sender = msgspec.structs.replace(deployment("acme/any"), dialect=dialect)
    bodies = []
    for end in range(1, len(drawn) + 1, 2):
        said = (Message("system", (Text(text=LONG),)), *drawn[:end])
        prompt = Prompt(messages=said, tools=tools, max_tokens=100)
        try:
            bodies.append(CODECS[dialect].write_prompt(prompt, step(sender)).body)
        except RequestError:
            reject()
    return bodies


def unmarked(part: Part) -> Part:
    if isinstance(part, Result):
        part = msgspec.structs.replace(part, parts=tuple(map(unmarked, part.parts)))
    return part if not hasattr(part, "mark") else msgspec.structs.replace(part, mark=None)


def sent(dialect: str, body: bytes, to: Deployment) -> bytes:
    try:
        return written(request_of(dialect, body, is_stream=False), step(to)).body
    except RequestError:
        reject()


@each_dialect
@unhurried
@given(st.data())
def test_a_history_has_the_same_bytes_at_every_turn(dialect: str, data: st.DataObject):
    before = b"["
    for body in data.draw(turns(dialect)):
        marked = sent(dialect, body, MARKED)
        assert marked == sent(dialect, body, MARKED)
        assert marked.replace(ADDED, b"") == sent(dialect, body, PLAIN)
        messages = bytes(msgspec.json.decode(marked.replace(ADDED, b""), type=Sent).messages)
        assert messages.startswith(before)
        before = messages.removesuffix(b"]")


@each_dialect
@unhurried
@given(st.data())
def test_what_a_turn_has_had_kept_the_next_one_reads(dialect: str, data: st.DataObject):
    cache, kept = Cache(), 0
    for body in data.draw(turns(dialect)):
        read, kept_now = cache.call(sent(dialect, body, MARKED))
        assert read >= kept
        assert kept_now > 0
        kept = kept_now


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_no_turn_has_too_many_calls_for_the_next_one_to_read(calls: list[int]):
    cache, kept = Cache(), 0
    said: list[dict[str, Any]] = [{"role": "user", "content": "go on"}]
    for turn, count in enumerate(calls):
        ids = [f"{turn}-{number}" for number in range(count)]
        made = [{"type": "tool_use", "id": made, "name": "look", "input": {}} for made in ids]
        given_back = [{"type": "tool_result", "tool_use_id": made} for made in ids]
        said = [*said, {"role": "assistant", "content": made}]
        said = [*said, {"role": "user", "content": given_back}]
        body = {"model": "m", "max_tokens": 9, "system": LONG, "messages": said}
        read, kept_now = cache.call(sent("anthropic", msgspec.json.encode(body), MARKED))
        assert read >= kept
        assert kept_now == 1 + 1 + 2 * sum(calls[: turn + 1])
        kept = kept_now


class Sent(msgspec.Struct):
    messages: msgspec.Raw
