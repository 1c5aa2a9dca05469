"""Answers to draw: the events of a whole answer, in the order that models speak.

Reasoning, then text, then calls; of no dialect, so that every encoder writes them anew.
"""

import msgspec
from hypothesis import strategies as st
from tests.core.wire.prompts import IDS, JSON_OBJECTS, NAMES, SIGNATURES

from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.usage import Usage

PIECES = st.text('aé世😀 \n"\\{}', min_size=1, max_size=6)
STARTED = Started(
    id="made-up-1", created=1_795_392_000, model="made-up", dialect="none", is_stream=True
)
USAGES = st.builds(
    lambda cached, stored, kept, more, reasoning, text: Usage(
        input_tokens=cached + stored + kept + more,
        cached_input_tokens=cached,
        cache_write_tokens=stored + kept,
        long_cache_write_tokens=kept,
        output_tokens=reasoning + text,
        reasoning_tokens=reasoning,
    ),
    *[st.integers(0, 10**6)] * 4,
    st.integers(0, 10**6),
    st.integers(1, 10**6),
)


@st.composite
def calls(draw: st.DrawFn) -> list[ToolCallDelta]:
    """Draw the deltas of some calls, one call after the other."""
    found: list[ToolCallDelta] = []
    for index, made in enumerate(draw(st.lists(IDS, max_size=2, unique=True))):
        arguments = msgspec.json.encode(draw(JSON_OBJECTS)).decode()
        place = draw(st.integers(0, len(arguments)))
        found.append(
            ToolCallDelta(index=index, id=f"c{made}", name=draw(NAMES), arguments=arguments[:place])
        )
        if arguments[place:]:
            found.append(ToolCallDelta(index=index, arguments=arguments[place:]))
    return found


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Draw an answer that says something, whole and with its usage."""
    reasoning: list[Event] = [ReasoningDelta(text) for text in draw(st.lists(PIECES, max_size=2))]
    is_sealed: bool = draw(st.booleans())
    if reasoning and is_sealed:
        reasoning.append(ReasoningDelta("", signature=draw(SIGNATURES)))
    called = draw(calls())
    texts = draw(st.lists(PIECES, min_size=0 if called else 1, max_size=3))
    refusals = [] if called else draw(st.lists(PIECES, max_size=2))
    ends = ["stop", "length", "content_filter", "refusal"]
    if called:
        ends = ["tool_calls"]
    elif refusals:
        ends = ["refusal"]
    return [
        STARTED,
        *reasoning,
        *map(TextDelta, texts),
        *(TextDelta(text, is_refusal=True) for text in refusals),
        *called,
        UsageReport(draw(USAGES)),
        Finished(draw(st.sampled_from(ends))),
    ]
