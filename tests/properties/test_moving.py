"""Conversations that move, from every dialect to every upstream, in the bytes that are sent.

A client gives back a history in which several have had a part; the receiver gets all that was said,
of the seals its own alone, and calls under ids that it takes. What `refit` does to a history in no
dialect's words is in tests/core/wire/test_history.py.
"""

import re
from collections.abc import Iterator
from typing import TypeGuard

import msgspec
from hypothesis import event, given, reject
from hypothesis import strategies as st
from tests.core.builders import step
from tests.core.wire.prompts import RULES, parts_of, prompts
from tests.properties.test_translation import (
    NO_MEDIA,
    UPSTREAMS,
    each_dialect,
    each_upstream,
    read_back,
    request_of,
    said,
    unhurried,
    written,
)

from pointsman.core.errors import RequestError
from pointsman.core.types import CallIds, Deployment, History, Request, Step
from pointsman.core.wire import CODECS
from pointsman.core.wire.history import recalled
from pointsman.core.wire.prompt import Call, Message, Part, Prompt, Result, Thinking, Written
from pointsman.core.wire.translate import encode_request

OTHER = "elsewhere/another"


class Moved(msgspec.Struct):
    """A request that goes to a step: all that it says, as its client knows it, and what is sent."""

    step: Step
    request: Request
    before: Prompt
    sent: Written
    after: Prompt

    @property
    def own(self) -> set[str]:
        """Return the seals that the receiver has made."""
        makers = self.request.history.makers
        return {seal for seal, maker in makers.items() if maker == self.step.deployment.id}


@st.composite
def moves(draw: st.DrawFn, dialect: str, to: Deployment) -> Moved:
    """Draw a conversation of several makers and send it on."""
    source = next(upstream for upstream in UPSTREAMS if upstream.dialect == dialect)
    prompt = numbered(draw(prompts(in_results=NO_MEDIA, is_signed=True)))
    body = written(prompt, source).body
    request = request_of(dialect, body, is_stream=prompt.is_stream)
    bare = [part for part in parts_of(CODECS[dialect].read_prompt(request)) if is_bare(part)]
    kept = {call.id: f"Kept{number:04}" for number, call in enumerate(bare) if draw(st.booleans())}
    kept = {} if dialect == "gemini" else kept  # which has a place for them
    maker = st.sampled_from([to.id, OTHER, ""])
    makers = {seal: draw(maker) for seal in (*request.signatures, *kept.values())}
    history = History(makers={s: by for s, by in makers.items() if by}, call_signatures=kept)
    request = msgspec.structs.replace(request, history=history)
    receiver = step(msgspec.structs.replace(to, call_ids=draw(RULES)))
    before = recalled(CODECS[dialect].read_prompt(request), kept)
    sent = sent_to(receiver, request)
    return Moved(receiver, request, before, sent, read_back(sent, to, is_stream=prompt.is_stream))


def numbered(prompt: Prompt) -> Prompt:
    """Return the prompt with a seal of its own wherever it has one, told from all other text."""
    numbers = iter(range(10_000))

    def one(part: Part) -> Part:
        if isinstance(part, Call | Thinking) and part.signature:
            return msgspec.structs.replace(part, signature=f"Seal{next(numbers):04}")
        return part

    messages = tuple(Message(m.role, tuple(one(part) for part in m.parts)) for m in prompt.messages)
    return msgspec.structs.replace(prompt, messages=messages)


def is_bare(part: Part) -> TypeGuard[Call]:
    return isinstance(part, Call) and not part.signature


def sent_to(receiver: Step, request: Request) -> Written:
    try:
        return encode_request(request, receiver)
    except RequestError:
        reject()


def sealed(prompt: Prompt, kind: type[Part]) -> Iterator[str]:
    for part in parts_of(prompt):
        if isinstance(part, kind) and isinstance(part, Call | Thinking) and part.signature:
            yield part.signature


@each_dialect
@each_upstream
@unhurried
@given(data=st.data())
def test_a_conversation_arrives_whole_and_fit_for_its_receiver(dialect, to, data):
    moved = data.draw(moves(dialect, to))
    assert said(moved.after) == said(moved.before)
    check_seals(moved)
    check_calls(moved)
    check_again(moved)


def check_seals(moved: Moved) -> None:
    """Its own seals have arrived, in order, and no others; nor has any thinking of others."""
    dialect, own = moved.step.deployment.dialect, moved.own
    thoughts = [seal for seal in sealed(moved.before, Thinking) if seal in own]
    calls = [seal for seal in sealed(moved.before, Call) if seal in own]
    event(f"own: {bool(thoughts or calls)}")
    for seal in {*sealed(moved.before, Thinking), *sealed(moved.before, Call)} - own:
        assert seal.encode() not in moved.sent.body
    if dialect != "openai-chat" and "reasoning" not in moved.sent.dropped:
        arrived = list(sealed(moved.after, Thinking))
        # A tool loop that was not begun by thinking may have to go on without: then it is named.
        goes_on = "thinking" in moved.sent.dropped
        assert arrived == (thoughts[: len(arrived)] if goes_on else thoughts)
    if dialect == "gemini":
        assert list(sealed(moved.after, Call)) == calls
    left = [part for part in parts_of(moved.after) if isinstance(part, Thinking)]
    assert [part for part in left if part.signature not in own] == []


def check_calls(moved: Moved) -> None:
    """Calls go under ids that the receiver takes, no two share one, and each result has a call."""
    to = moved.step.deployment
    made = [part.id for part in parts_of(moved.after) if isinstance(part, Call)]
    answered = [part.call_id for part in parts_of(moved.after) if isinstance(part, Result)]
    assert len(set(made)) == len(made)
    assert set(answered) <= set(made)
    if to.dialect != "gemini":  # which matches them by their order, so that no id is sent
        assert [one for one in made if not fits(one, to.call_ids)] == []


def fits(made: str, rule: CallIds) -> bool:
    is_long_enough = not rule.chars_exact or len(made) == rule.chars_max
    return is_long_enough and len(made) <= rule.chars_max and bool(re.fullmatch(rule.pattern, made))


def check_again(moved: Moved) -> None:
    """What has been made to fit is sent on as it is."""
    to = moved.step.deployment
    again = request_of(to.dialect, moved.sent.body, is_stream=moved.request.is_stream)
    makers = dict.fromkeys(again.signatures, to.id)
    assert set(makers) <= moved.own
    sent = sent_to(moved.step, msgspec.structs.replace(again, history=History(makers=makers)))
    assert msgspec.json.decode(sent.body) == msgspec.json.decode(moved.sent.body)
    assert sent.dropped == ()
