"""Requests across dialects: what one says another says too, or tells by name that it does not."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from tests.core.builders import deployment, step
from tests.core.wire.prompts import LINKED, PDFS, PNGS, RULES, parts_of, prompts

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Deployment, Request
from pointsman.core.wire import CODECS
from pointsman.core.wire.history import refit, valid_call_id
from pointsman.core.wire.prompt import (
    Call,
    Media,
    Message,
    Part,
    Prompt,
    Reasoning,
    Result,
    Text,
    Thinking,
    Written,
)
from pointsman.core.wire.translate import encode_request

MODELS = {
    "openai-chat": ("acme/large",),
    "openai-responses": ("openai/gpt-5.4",),
    "anthropic": ("anthropic/claude-opus-4-6", "anthropic/claude-haiku-4-5"),
    "gemini": ("google/gemini-3-pro", "google/gemini-2.5-flash"),
}
UPSTREAMS = [
    msgspec.structs.replace(deployment(model), dialect=dialect)
    for dialect, models in MODELS.items()
    for model in models
]
each_upstream = pytest.mark.parametrize("to", UPSTREAMS, ids=lambda to: to.id)
each_dialect = pytest.mark.parametrize("dialect", MODELS)
unhurried = settings(
    max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
NO_MEDIA = st.nothing()


def request_of(dialect: str, body: bytes, *, is_stream: bool) -> Request:
    """Return a client's request with this body."""
    caller = Caller(model="auto", is_stream=is_stream)
    return CODECS[dialect].decode_request(body, caller)


def written(prompt: Prompt, to: Deployment) -> Written:
    """Return the prompt as a body; a prompt that is refused is not looked at further."""
    try:
        return CODECS[to.dialect].write_prompt(prompt, step(to))
    except RequestError:
        reject()


def read_back(sent: Written, to: Deployment, *, is_stream: bool) -> Prompt:
    request = request_of(to.dialect, sent.body, is_stream=is_stream)
    return CODECS[to.dialect].read_prompt(request)


def said(prompt: Prompt) -> list[tuple[str, tuple[object, ...]]]:
    """Return who said what, as all dialects can say it.

    Messages of one role in a row are one, results come first in it and each is one text; calls are
    told apart by their order and results by which call they answer.
    """
    calls = [part.id for part in parts_of(prompt) if isinstance(part, Call)]
    turns: list[tuple[str, tuple[object, ...]]] = []
    for message in prompt.messages:
        parts = tuple(_said(part, calls) for part in _in_order(message))
        if turns and turns[-1][0] == message.role:
            turns[-1] = (message.role, turns[-1][1] + parts)
        elif parts:
            turns.append((message.role, parts))
    return turns


def _in_order(message: Message) -> Iterator[Part]:
    parts = [part for part in message.parts if not isinstance(part, Thinking)]
    yield from (part for part in parts if isinstance(part, Result))
    yield from (part for part in parts if isinstance(part, Text | Media))
    yield from (part for part in parts if isinstance(part, Call))


def _said(part: Part, calls: list[str]) -> object:
    match part:
        case Text(text=text, is_refusal=is_refusal):
            return text, is_refusal
        case Media():
            return part.kind, part.url or part.media_type, part.data
        case Call(id=made, name=name, arguments=arguments):
            return calls.index(made), name, msgspec.json.decode(arguments or "{}")
        case Result(call_id=made):
            texts = [inner.text for inner in part.parts if isinstance(inner, Text)]
            return calls.index(made), "\n".join(texts), part.is_error
        case _:
            raise AssertionError(part)


def views(prompt: Prompt) -> dict[str, object]:
    """Return what a prompt says, each under the name that is told where it is dropped.

    What says no more than nothing at all would is nothing here.
    """
    sampling, choice, shape = prompt.sampling, prompt.tool_choice, prompt.shape
    parts = list(parts_of(prompt))
    marks = [part.mark for part in (*parts, *prompt.tools) if not isinstance(part, Thinking)]
    return {
        "messages": said(prompt),
        "cache_control": [mark for mark in marks if mark is not None],
        "image_detail": [part.detail for part in parts if isinstance(part, Media) and part.detail],
        "reasoning": [part for part in parts if isinstance(part, Thinking)],
        "file_name": [part.name for part in parts if isinstance(part, Media) and part.name],
        "max_tokens": prompt.max_tokens,
        "tools": [
            (tool.name, tool.description, msgspec.json.decode(tool.schema))
            for tool in prompt.tools
        ],
        "tools.strict": [tool.name for tool in prompt.tools if tool.is_strict],
        "tool_choice": choice.mode if choice.mode != "auto" and prompt.tools else None,
        "tool_choice.name": choice.name,
        "parallel_tool_calls": bool(
            prompt.tools and choice.is_parallel is False and choice.mode != "none"
        ),
        "response_format": shape and msgspec.json.decode(shape.schema or b"1"),
        "response_format.name": shape.name if shape else "",
        "response_format.description": shape.description if shape else "",
        "response_format.strict": (shape and shape.is_strict) or None,
        "user": prompt.user,
        "service_tier": prompt.service_tier if prompt.service_tier != "auto" else "",
        "verbosity": prompt.verbosity,
        "is_stream": prompt.is_stream,
        "reasoning_effort": thinks(prompt.reasoning),
        **{
            name: getattr(sampling, name)
            for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty",
                         "presence_penalty", "stop", "choices", "logprobs", "logit_bias")
        },
    }  # fmt: skip


def thinks(reasoning: Reasoning) -> bool | None:
    """Return whether the model is to reason, None where nothing is said; each has its own scale."""
    if reasoning.effort is None and reasoning.budget_tokens is None:
        return True if reasoning.is_adaptive else None
    return reasoning.effort != "none" and reasoning.budget_tokens != 0


# What else a name stands for; on the short road it is told as the client wrote it.
_ALSO = {
    "reasoning_budget": ("reasoning_effort",),
    "thinking": ("reasoning_effort", "reasoning_shown", "reasoning_summary"),
    "thinking.budget_tokens": ("reasoning_effort",),
    "thinking.display": ("reasoning_shown",),
    "output_config.effort": ("reasoning_effort",),
}


def differences(before: Prompt, after: Prompt, dropped: tuple[str, ...]) -> dict[str, object]:
    """Return what two prompts say differently and nobody told of."""
    old, new = views(before), views(after)
    also = {name: _ALSO[name] for name in dropped if name in _ALSO}
    dropped = (*dropped, *(name for names in also.values() for name in names))
    nothing: tuple[object, ...] = (None, "", (), [])
    return {
        name: (old[name], new[name])
        for name in old
        if old[name] != new[name] and old[name] not in nothing and name not in dropped
    }


@each_upstream
@unhurried
@given(prompt=prompts(media=PNGS | LINKED | PDFS, in_results=NO_MEDIA, is_signed=True))
def test_a_body_says_what_its_prompt_said_or_names_what_it_does_not(to, prompt):
    sent = written(prompt, to)
    back = read_back(sent, to, is_stream=prompt.is_stream)
    assert differences(prompt, back, sent.dropped) == {}
    assert (back.unread, back.refused) == ((), ())


@each_dialect
@each_upstream
@unhurried
@given(prompt=prompts(media=PNGS | LINKED | PDFS, in_results=NO_MEDIA))
def test_what_both_dialects_can_say_crosses_from_one_to_the_other(dialect, to, prompt):
    source = next(upstream for upstream in UPSTREAMS if upstream.dialect == dialect)
    asked = written(prompt, source)
    request = request_of(dialect, asked.body, is_stream=prompt.is_stream)
    try:
        sent = encode_request(request, step(to))
    except RequestError:
        reject()
    before = CODECS[dialect].read_prompt(request)
    after = read_back(sent, to, is_stream=prompt.is_stream)
    assert differences(before, after, sent.dropped) == {}


@each_upstream
@unhurried
@given(prompt=prompts(is_signed=True), rule=RULES, kept=st.sampled_from(["", "ABCD", "ab01"]))
def test_a_body_made_to_fit_reads_as_its_prompt_made_to_fit(to, prompt, rule, kept):
    def keeps(signature: str) -> bool:
        return bool(signature) and signature[0] in kept

    codec, body = CODECS[to.dialect], written(prompt, to).body
    fitted = codec.refit_body(body, keeps=keeps, call_id=lambda made: valid_call_id(made, rule))
    before = codec.read_prompt(request_of(to.dialect, body, is_stream=prompt.is_stream))
    after = codec.read_prompt(request_of(to.dialect, fitted, is_stream=prompt.is_stream))
    assert after == refit(before, keeps, rule)


@each_upstream
@unhurried
@given(prompt=prompts(in_results=PNGS, is_signed=True))
def test_pictures_that_tools_gave_back_and_the_words_around_them_all_arrive(to, prompt):
    sent = written(prompt, to)
    back = read_back(sent, to, is_stream=prompt.is_stream)
    assert pictures(back) == pictures(prompt)
    words = "\n".join(texts(back))
    assert [text for text in texts(prompt) if text not in words] == []


def pictures(prompt: Prompt) -> list[str]:
    return sorted(part.data for part in parts_of(prompt) if isinstance(part, Media))


def texts(prompt: Prompt) -> list[str]:
    return [part.text for part in parts_of(prompt) if isinstance(part, Text)]
