"""A small share of the fuzzing that `python -m soak g8_fuzz` does at length, and what it found."""

import json
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.mutation import INPUT_BYTES_MAX, next_input
from tests.fuzz.target import SLOW_S, BrokenContract, Target, check, expect
from tests.fuzz.targets import TARGETS

# CPU time is the same on a busy machine only roughly, and a test may not fail for that.
_PATIENT_S = 50 * SLOW_S
_CHAT = b'{"id":"x","object":"chat.completion","created":1,"model":"m",%s"choices":[%s]}'
_CHOICE = b'{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}'
# Each broke a contract once. By target: what came, in few bytes.
FOUND: dict[str, tuple[str, bytes]] = {
    "a count of choices that is no number": (
        "request openai-chat",
        b'{"model":"auto","n":"NaN","messages":[{"role":"user","content":"x"}]}',
    ),
    "no UTF-8 in a reply's unread member": (
        "reply openai-chat", _CHAT % (b'"x\xc8":1,', _CHOICE)
    ),
    "no UTF-8 in a reply's unread text": (
        "reply openai-chat", _CHAT % (b'"x":"\xc9",', _CHOICE)
    ),
    "no UTF-8 in Anthropic's reply": (
        "reply anthropic",
        b'{"id":"x","type":"message","role":"assistant","model":"m","x":"\xc0",'
        b'"content":[{"type":"text","text":"x"}],"stop_reason":"end_turn"}',
    ),
    "no UTF-8 in a response": (
        "reply openai-responses",
        b'{"id":"x","object":"response","status":"completed","model":"m","x\xb9":1,"output":[]}',
    ),
    "no UTF-8 in the arguments of Gemini's call": (
        "stream gemini",
        b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":'
        b'{"a":"\x81"}}}]}}]}\n\n',
    ),
    "an opening without its message": (
        "stream anthropic",
        b'event: message_start\ndata: {"type":"message_start","x":{"model":"m"}}\n\n'
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
    "a wait with a control character behind it": ("Retry-After", b"\n\n1500\x1d"),
    "a count below 0": ("count gemini", b'{"totalTokens":-1}'),
    "a price that no book can hold": ("prices", b"1e99988\n1"),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_nearly_sound_breaks_no_contract(name: str):
    target = TARGETS[name]
    seeds = tuple(target.seeds())

    @settings(max_examples=100, deadline=None)
    @given(number=st.integers(0, 2**64))
    def fuzz(number: int) -> None:
        data = next_input(seeds, Random(number), is_json=target.is_json)
        check(target, data, slow_s=_PATIENT_S)

    for seed in seeds:
        check(target, seed, slow_s=_PATIENT_S)
    fuzz()


@pytest.mark.parametrize("name", TARGETS)
def test_some_of_what_a_target_begins_from_is_sound(name: str):
    """Else all its inputs might be refused at the first byte."""
    target = TARGETS[name]
    passed = 0
    for seed in target.seeds():
        try:
            target.run(seed)
        except target.refusals:
            continue
        passed += 1
    assert passed > 0


@pytest.mark.parametrize("found", FOUND)
def test_what_fuzzing_found_stays_mended(found: str):
    name, data = FOUND[found]
    check(TARGETS[name], data, slow_s=_PATIENT_S)


def test_what_breaks_a_contract_is_seen():
    def run(data: bytes) -> None:
        expect(b"bad" not in data, "bad")
        if b"odd" in data:
            raise ValueError(data)
        if b"slow" in data:
            until_s = time.thread_time() + 0.02
            while time.thread_time() < until_s:
                pass

    target = Target("t", run, lambda: [b"x"], (ValueError,))
    check(target, b"good")
    check(target, b"odd")
    with pytest.raises(BrokenContract, match="bad"):
        check(target, b"bad")
    with pytest.raises(BrokenContract, match="took"):
        check(target, b"slow", slow_s=0.01)
    with pytest.raises(ValueError, match="odd"):
        check(Target("t", run, lambda: [b"x"]), b"odd")


@given(number=st.integers(0, 2**64))
def test_inputs_are_bounded_and_come_again_for_the_same_number(number: int):
    seeds = [json.dumps({"a": [1, {"b": "text"}], "c": "x" * 9000}).encode(), b"plain"]
    first = next_input(seeds, Random(number), is_json=True)
    assert first == next_input(seeds, Random(number), is_json=True)
    assert len(first) <= INPUT_BYTES_MAX


def test_inputs_differ_and_much_of_what_is_json_stays_so():
    seeds = [json.dumps({"a": [1, {"b": "text"}], "c": "x"}).encode()]
    inputs = {next_input(seeds, Random(number), is_json=True) for number in range(300)}
    assert len(inputs) > 200
    assert sum(map(_is_json, inputs)) > 100


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
