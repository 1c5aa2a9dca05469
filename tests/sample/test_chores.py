"""The bundled chores: each can be answered, none by repeating it, and the outcomes are theirs."""

import json
from collections import Counter
from pathlib import Path
from typing import assert_never, get_args

import msgspec
import pytest

import pointsman.sample.chores as chores_module
from pointsman import AsyncRouter, Tier
from pointsman.asking import build_request
from pointsman.core.features import extract
from pointsman.demo.models import MODEL_NAMES
from pointsman.providers.fake import FakeProvider
from pointsman.sample.checks import Check, Exact, Items, Json, Lines, Number, Table, Words
from pointsman.sample.chores import MODELS, Group, format_chores, load_chores, parse_chores
from pointsman.validators import Ask, Draft, ValidationSettings, build_validators, judge

FILE = Path(chores_module.__file__).with_name("chores.jsonl")
CHORES = parse_chores(FILE.read_bytes())
MEASURED = load_chores()
TOKENS_MAX = 96
TIERS = (Tier("fast", ["fake/small"]), Tier("power", ["fake/large"]))
SECTIONS = {
    "providers": {"fake": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}},
    "ledger": {"url": "sqlite://"},
}


def right_answer(check: Check) -> str:
    """Return an answer as a model that knows would write it."""
    match check:
        case Exact(any_of=(first, *_)) | Words(any_of=(first, *_)):
            return first
        case Lines(text=text):
            return f"```\n{text}\n```"
        case Number(value=value):
            return f"The answer is {value:g}."
        case Json(any_of=(first, *_)):
            return f"Here it is:\n```json\n{json.dumps(first, indent=2)}\n```"
        case Items(items=items):
            return "\n".join(f"- {item}" for item in items)
        case Table(rows=(head, *rows)):
            lines = [head, ["---"] * len(head), *rows]
            return "\n".join("| " + " | ".join(line) + " |" for line in lines)
        case Exact() | Words() | Json() | Table():
            raise AssertionError(f"{check}: accepts nothing")
        case _:
            assert_never(check)


def echoes(text: str) -> list[str]:
    """Return answers that only give the request back, whole or what stands behind its opening."""
    parts = [text, text.partition(":")[2], text.partition("\n")[2], text.partition("? ")[2]]
    parts = [part.strip() for part in parts if part.strip()]
    return [
        frame.format(part)
        for part in parts
        for frame in ("{}", '"{}"', "```\n{}\n```", "Answer: {}", "Sure! {}", "{}\n{}")
        if frame.count("{}") == 1
    ] + [f"{part}\n{part}" for part in parts]


def test_the_expected_answer_is_right():
    assert [it.id for it in CHORES if not it.accepts(right_answer(it.check))] == []


def test_repeating_the_request_is_not_an_answer():
    assert [(it.id, echo) for it in CHORES for echo in echoes(it.text) if it.accepts(echo)] == []


@pytest.mark.parametrize("phrase", ["", "I cannot help with that.", "0", "{}", "yes and no"])
def test_an_empty_phrase_is_not_an_answer(phrase: str):
    assert [it.id for it in CHORES if it.accepts(phrase)] == []


def test_the_answer_to_another_request_is_hardly_ever_right():
    """Checks that many answers pass would measure luck; "yes" and "port 80" do recur."""
    others = CHORES[::20]
    answers = [right_answer(other.check) for other in others]
    passed = sum(it.accepts(answer) for it in CHORES for answer in answers) - len(others)
    assert passed < 0.01 * len(CHORES) * len(others)


def test_every_group_has_its_share_and_no_text_comes_twice():
    assert len({it.text for it in CHORES}) == len(CHORES) >= 400
    groups = Counter(it.group for it in CHORES)
    assert set(groups) == set(get_args(Group))
    assert min(groups.values()) >= 30


def test_the_models_are_those_of_the_demo():
    assert set(MODELS) == set(MODEL_NAMES)


def test_the_chores_loaded_are_those_that_every_model_was_measured_on():
    assert MEASURED == CHORES
    assert [it.id for it in CHORES if set(it.outcomes) != set(MODELS)] == []


def test_what_was_measured_is_possible():
    counted = [o for it in CHORES for o in it.outcomes.values()]
    assert all(o.input_tokens > 0 and o.latency_ms > 0 for o in counted)
    assert all(0 < o.output_tokens <= TOKENS_MAX for o in counted)
    assert {o.finish_reason for o in counted} == {"stop", "length"}


def test_the_outcomes_are_what_the_checks_say_of_the_answers_kept():
    """After a change of a check, run `bench/measure_chores.py`: it asks no model anew."""
    stale = [
        (it.id, model)
        for it in CHORES
        for model, outcome in it.outcomes.items()
        if it.accepts(outcome.answer) != outcome.is_right
    ]
    assert stale == []


async def test_the_verdicts_are_those_of_the_production_validators():
    """After a change of a validator, run `bench/measure_chores.py`: it asks no model anew."""
    validators = build_validators(ValidationSettings())
    stale = []
    async with AsyncRouter(
        TIERS, env={}, call_with={"fake": FakeProvider({})}, **SECTIONS
    ) as router:
        for chore in CHORES:
            request = build_request(chore.text, {})
            ask = Ask(features=extract(request), decision=router.classify(request))
            for model, outcome in chore.outcomes.items():
                draft = Draft(text=outcome.answer, finish_reason=outcome.finish_reason)
                if judge(validators, draft, ask).validator != outcome.validator:
                    stale.append((chore.id, model))
    assert stale == []


def test_a_file_is_read_as_it_was_written():
    assert parse_chores(format_chores(CHORES)) == CHORES


def test_an_id_that_comes_twice_is_named():
    with pytest.raises(ValueError, match=f'"{CHORES[0].id}" appears twice'):
        parse_chores(format_chores(CHORES[:1] * 2))


def test_a_malformed_line_is_refused():
    with pytest.raises(msgspec.ValidationError, match="group"):
        parse_chores(b'{"id": "a", "text": "b", "group": "c", "check": {"type": "number"}}')
