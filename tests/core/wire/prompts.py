"""Prompts to draw: whole conversations that keep the order all dialects want.

Users and the assistant speak by turns, the user first and last; each call of the assistant has its
result in the user's message right after. Only what some dialect gives a place is drawn.
"""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st

from pointsman.core.types import CallIds
from pointsman.core.wire.prompt import (
    EFFORTS,
    CacheMark,
    Call,
    Media,
    Message,
    Part,
    Prompt,
    Reasoning,
    Result,
    Role,
    Sampling,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
)

# No white space at an end and never white space alone, which some APIs refuse or cut off.
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6)
NAMES = st.text("abcdefg_", min_size=1, max_size=6).filter(lambda name: name.strip("_") != "")
IDS = st.text("abcXYZ019_-", min_size=1, max_size=24)
SIGNATURES = st.text("ABCDabcd0123", min_size=8, max_size=16)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
JSON_OBJECTS = st.dictionaries(NAMES, JSON_VALUES, max_size=3)
SCHEMAS = st.lists(NAMES, max_size=3, unique=True).map(
    lambda names: msgspec.json.encode(
        {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
            "required": names,
            "additionalProperties": False,
        }
    )
)
RULES = st.sampled_from(
    [
        CallIds(),
        CallIds(chars_max=40),
        CallIds(chars_max=9, pattern="[a-zA-Z0-9]+", chars_exact=True),
        CallIds(chars_max=12, pattern="[a-z0-9]+"),
    ]
)
HELLO = Message("user", (Text(text="Hi"),))
MARKS = st.none() | st.builds(CacheMark, ttl=st.sampled_from(["5m", "1h"]))


def asking(*parts: Part, role: Role = "user", **members: Any) -> Prompt:
    """Return a prompt of one message with these parts, or a greeting; members as in `Prompt`."""
    return Prompt(messages=(Message(role, parts or HELLO.parts),), **members)


def encoded(start: bytes) -> st.SearchStrategy[str]:
    """Return base64 of data that begins so."""
    return st.binary(max_size=8).map(lambda rest: base64.b64encode(start + rest).decode())


PNGS = st.builds(
    Media,
    kind=st.just("image"),
    media_type=st.just("image/png"),
    data=encoded(b"\x89PNG\r\n\x1a\n"),
    detail=st.just("") | st.sampled_from(["low", "high"]),
)
LINKED = st.builds(
    Media, kind=st.just("image"), url=NAMES.map("https://pictures.test/{}.png".format)
)
PDFS = st.builds(
    Media,
    kind=st.just("file"),
    media_type=st.just("application/pdf"),
    data=encoded(b"%PDF-1.7 "),
    name=NAMES.map("{}.pdf".format),
)
SOUNDS = st.builds(
    Media, kind=st.just("audio"), media_type=st.just("audio/wav"), data=encoded(b"RIFF")
)
TEXTS = st.builds(Text, text=WORDS, mark=MARKS)
THOUGHTS = st.builds(Thinking, text=WORDS, signature=SIGNATURES)


@st.composite
def calls(draw: st.DrawFn, turn: int, *, is_signed: bool = False) -> tuple[Call, ...]:
    """Draw the calls of one message, with ids that no other has."""
    made = draw(st.lists(IDS, max_size=3, unique=True))
    sealed = st.just("") | SIGNATURES if is_signed else st.just("")
    return tuple(
        Call(
            id=f"{turn}{one}",
            name=draw(NAMES),
            arguments=msgspec.json.encode(draw(JSON_OBJECTS)).decode(),
            signature=draw(sealed),
        )
        for one in made
    )


@st.composite
def results(draw: st.DrawFn, call: Call, media: st.SearchStrategy[Media]) -> Result:
    parts = draw(st.lists(TEXTS | media, max_size=2))
    return Result(call_id=call.id, parts=tuple(parts), is_error=draw(st.booleans()))


@st.composite
def conversations(
    draw: st.DrawFn,
    *,
    media: st.SearchStrategy[Media] = PNGS,
    in_results: st.SearchStrategy[Media] = PNGS,
    is_signed: bool = False,
) -> tuple[Message, ...]:
    """Draw messages. `is_signed`: reasoning and calls may be sealed."""
    system = draw(st.lists(TEXTS, max_size=2))
    messages = [Message("system", tuple(system))] if system else []
    open_calls: tuple[Call, ...] = ()
    for turn in range(draw(st.integers(0, 3))):
        messages.append(Message("user", draw(user_parts(open_calls, media, in_results))))
        open_calls = draw(calls(turn, is_signed=is_signed))
        thoughts = draw(st.lists(THOUGHTS, max_size=2)) if is_signed else []
        texts = draw(st.lists(TEXTS, min_size=0 if open_calls else 1, max_size=1))
        messages.append(Message("assistant", (*thoughts, *texts, *open_calls)))
    messages.append(Message("user", draw(user_parts(open_calls, media, in_results))))
    return tuple(messages)


@st.composite
def user_parts(
    draw: st.DrawFn,
    asked: tuple[Call, ...],
    media: st.SearchStrategy[Media],
    in_results: st.SearchStrategy[Media],
) -> tuple[Part, ...]:
    answered = [draw(results(call, in_results)) for call in asked]
    said = draw(st.lists(TEXTS | media, min_size=0 if answered else 1, max_size=3))
    return (*answered, *said)


def maybe(drawn: "st.SearchStrategy[object]") -> "st.SearchStrategy[object]":
    """Draw nothing most times, so that few things come together and many prompts go through."""
    return st.one_of(st.none(), st.none(), st.none(), drawn)


SAMPLINGS = st.builds(
    Sampling,
    temperature=maybe(st.sampled_from([0.0, 0.5, 1.0, 1.5])),
    top_p=maybe(st.sampled_from([0.1, 0.9])),
    top_k=maybe(st.integers(1, 50)),
    seed=maybe(st.integers(0, 99)),
    frequency_penalty=maybe(st.sampled_from([0.5, 1.0])),
    presence_penalty=maybe(st.sampled_from([0.5, 1.0])),
    stop=st.just(()) | st.lists(WORDS, max_size=3, unique=True).map(tuple),
    choices=st.none(),
    logprobs=st.none(),
    logit_bias=maybe(st.just(b'{"5":1}')),
)
REASONINGS = st.one_of(
    st.just(Reasoning()),
    st.builds(Reasoning, effort=st.sampled_from(EFFORTS), summary=st.sampled_from(["", "auto"])),
    st.builds(Reasoning, budget_tokens=st.integers(1_024, 3_000), is_shown=st.just(True)),
)
SHAPES = st.sampled_from([None, None, Shape()]) | st.builds(
    Shape,
    schema=SCHEMAS,
    name=st.just("") | NAMES,
    description=st.just("") | WORDS,
    is_strict=st.none() | st.booleans(),
)


@st.composite
def prompts(
    draw: st.DrawFn,
    *,
    media: st.SearchStrategy[Media] = PNGS,
    in_results: st.SearchStrategy[Media] = PNGS,
    is_signed: bool = False,
) -> Prompt:
    """Draw a whole request that any dialect can say most of."""
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    tools = tuple(
        Tool(
            name=name,
            description=draw(st.just("") | WORDS),
            schema=draw(SCHEMAS),
            is_strict=draw(st.none() | st.booleans()),
            mark=draw(MARKS),
        )
        for name in names
    )
    return Prompt(
        messages=draw(conversations(media=media, in_results=in_results, is_signed=is_signed)),
        tools=tools,
        tool_choice=draw(choices(names)),
        max_tokens=draw(st.none() | st.integers(4_000, 9_000)),
        sampling=draw(SAMPLINGS),
        shape=draw(SHAPES),
        reasoning=draw(REASONINGS),
        user=draw(st.just("") | NAMES),
        service_tier=draw(st.sampled_from(["", "", "auto", "default", "flex"])),
        verbosity=draw(st.sampled_from(["", "", "low", "high"])),
        is_stream=draw(st.booleans()),
    )


def choices(names: list[str]) -> st.SearchStrategy[ToolChoice]:
    if not names:
        return st.just(ToolChoice())
    named = st.builds(ToolChoice, mode=st.just("named"), name=st.sampled_from(names))
    return named | st.builds(
        ToolChoice,
        mode=st.sampled_from([None, "auto", "none", "required"]),
        is_parallel=st.none() | st.booleans(),
    )


def parts_of(prompt: Prompt) -> Iterator[Part]:
    """Yield every part of every message, results' own parts after them."""
    for message in prompt.messages:
        for part in message.parts:
            yield part
            if isinstance(part, Result):
                yield from part.parts
