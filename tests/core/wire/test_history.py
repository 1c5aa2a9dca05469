"""Conversations that move: nothing said is lost, nothing sealed by another goes along."""

import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import chat_request, deployment, step
from tests.core.wire.prompts import IDS, RULES, conversations, parts_of

from pointsman.core.types import CallIds, History, Request
from pointsman.core.wire.history import is_foreign, keeper, recalled, refit, valid_call_id
from pointsman.core.wire.prompt import Call, Media, Message, Prompt, Result, Text, Thinking

PROMPTS = conversations(is_signed=True).map(lambda messages: Prompt(messages=messages))


def said(prompt: Prompt) -> list[object]:
    """Return all that was said, in order: texts, media, calls and results, and by whom."""
    found: list[object] = []
    for message in prompt.messages:
        for part in message.parts:
            match part:
                case Call(name=name, arguments=arguments):
                    found.append((message.role, "call", name, arguments))
                case Result(parts=parts, is_error=is_error):
                    found.append((message.role, "result", parts, is_error))
                case Text() | Media():
                    found.append((message.role, part))
                case Thinking():
                    pass
    return found


def links(prompt: Prompt) -> list[int]:
    """Return for each result, in order, which call of the conversation it answers last."""
    made = [part.id for part in parts_of(prompt) if isinstance(part, Call)]
    latest = {one: number for number, one in enumerate(made)}
    return [latest[part.call_id] for part in parts_of(prompt) if isinstance(part, Result)]


def signatures(prompt: Prompt) -> set[str]:
    return {
        part.signature
        for part in parts_of(prompt)
        if isinstance(part, Call | Thinking) and part.signature
    }


@st.composite
def keepers(draw: st.DrawFn) -> Callable[[str], bool]:
    """Draw who keeps what: any rule that depends on the signature alone."""
    kept = draw(st.sampled_from(["", "ab", "ABCDabcd0123"]))
    return lambda signature: bool(signature) and signature[0] in kept


@given(prompt=PROMPTS, keeps=keepers(), rule=RULES)
def test_nothing_that_was_said_is_lost_and_the_order_stays(prompt, keeps, rule):
    fitted = refit(prompt, keeps, rule)
    assert said(fitted) == said(prompt)
    assert msgspec.structs.replace(fitted, messages=()) == msgspec.structs.replace(
        prompt, messages=()
    )


@given(prompt=PROMPTS, keeps=keepers(), rule=RULES)
def test_only_what_the_receiver_sealed_itself_goes_along(prompt, keeps, rule):
    fitted = refit(prompt, keeps, rule)
    assert signatures(fitted) == {one for one in signatures(prompt) if keeps(one)}
    thoughts = [part for part in parts_of(fitted) if isinstance(part, Thinking)]
    assert thoughts == [
        part for part in parts_of(prompt) if isinstance(part, Thinking) and keeps(part.signature)
    ]


@given(prompt=PROMPTS, keeps=keepers(), rule=RULES)
def test_every_call_id_is_valid_and_results_still_meet_their_calls(prompt, keeps, rule):
    fitted = refit(prompt, keeps, rule)
    for part in parts_of(fitted):
        if isinstance(part, Call):
            assert re.fullmatch(rule.pattern, part.id) and len(part.id) <= rule.chars_max
            assert not rule.chars_exact or len(part.id) == rule.chars_max
    assert links(fitted) == links(prompt)


@given(prompt=PROMPTS, keeps=keepers(), rule=RULES)
def test_what_fits_already_is_left_as_it_is(prompt, keeps, rule):
    fitted = refit(prompt, keeps, rule)
    assert refit(fitted, keeps, rule) == fitted


@given(prompt=PROMPTS)
def test_a_prompt_for_its_own_maker_stays_itself(prompt):
    assert refit(prompt, bool, CallIds()) == prompt


@given(ids=st.lists(IDS | st.text(max_size=80), unique=True), rule=RULES)
def test_ids_stay_apart_and_a_valid_one_is_kept(ids, rule):
    made = [valid_call_id(one, rule) for one in ids]
    assert len(set(made)) == len(ids)
    assert [valid_call_id(one, rule) for one in made] == made
    for old, new in zip(ids, made, strict=True):
        assert re.fullmatch(rule.pattern, new) and len(new) <= rule.chars_max
        if new == old:
            assert not rule.chars_exact or len(old) == rule.chars_max


def test_a_message_of_foreign_reasoning_alone_goes_and_an_empty_one_stays():
    sealed = Message("assistant", (Thinking(text="hm", signature="theirs"),))
    empty, other = Message("assistant"), Message("user", (Text(text="Hi"),))
    prompt = Prompt(messages=(other, sealed, empty))
    assert refit(prompt, lambda _: False, CallIds()).messages == (other, empty)
    assert refit(prompt, bool, CallIds()) == prompt


def request(**members: object) -> Request:
    asked = chat_request(b'{"model":"auto","messages":[{"role":"user","content":"Hi"}]}')
    return msgspec.structs.replace(asked, **members)


@pytest.mark.parametrize(
    ("makers", "expected"),
    [({}, False), ({"s": "acme/large"}, True), ({"s": "acme/small"}, False)],
    ids=["nobody knows", "its own", "another's"],
)
def test_a_signature_goes_back_to_its_maker_alone(makers, expected):
    asked = request(signatures=("s",), history=History(makers=makers))
    to = step(deployment("acme/large"))
    assert keeper(asked, to)("s") is expected
    assert is_foreign(asked, to) is not expected


def test_a_history_is_foreign_where_a_call_has_an_id_that_the_provider_refuses():
    calling = {"role": "assistant", "tool_calls": [{"id": "call_1"}]}
    asked = chat_request(msgspec.json.encode({"model": "auto", "messages": [calling]}))
    strict = msgspec.structs.replace(
        deployment("acme/large"), call_ids=CallIds(chars_max=9, chars_exact=True)
    )
    assert not is_foreign(asked, step(deployment("acme/large")))
    assert is_foreign(asked, step(strict))


def test_a_call_gets_the_signature_back_that_its_clients_dialect_left_out():
    bare, sealed = Call(id="a", name="f", arguments=""), Call(id="b", name="f", arguments="")
    sealed = msgspec.structs.replace(sealed, signature="own")
    prompt = Prompt(messages=(Message("assistant", (bare, sealed)),))
    (message,) = recalled(prompt, {"a": "kept", "b": "other", "c": "x"}).messages
    assert [part.signature for part in message.parts if isinstance(part, Call)] == ["kept", "own"]
    assert recalled(prompt, {}) is prompt
