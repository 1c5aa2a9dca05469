"""Tiers of the cache over a log: what they find, what that saves, and which hits were wrong."""

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compare.builders import TIERS, deployment, logged, request

from pointsman.compare import Comparison, LeftOut, LoggedRequest, StrategyRow, compare
from pointsman.compare.answer_keys import AnswerKeys
from pointsman.compare.labelled import read_labelled
from pointsman.compare.openai_jsonl import read_openai_jsonl
from pointsman.compare.simulate import Job, conclude, play
from pointsman.compare.told_answers import ToldAnswer
from pointsman.compare.views import plain_text
from pointsman.core.cache_key import answer_keys
from pointsman.core.decision import Target, decide
from pointsman.core.types import CacheTier, Caller, Snapshot, Tier
from pointsman.kept_answers import normal_key
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy

EXACT, NORMALISED = "all-fast + cache", "all-fast + normalised cache"
CANONICAL = "all-fast + canonical cache"
WORDINGS = ["What is a monad", "what is a monad?", "  What is a  MONAD ", "What are tides", "why"]


def rows_of(records: list[LoggedRequest], **options: Any) -> tuple[StrategyRow, StrategyRow]:
    """Return the rows of the exact cache and of the one that reads other wordings."""
    exact, normalised = compared(records, **options).rows
    return exact, normalised


def compared(records: list[LoggedRequest], **options: Any) -> Comparison:
    job = Job(snapshot=TIERS, aliases=("auto",), strategies=(EXACT, NORMALISED), **options)
    return conclude(play(records, job), job)


def told(text: str, *, label: str = "", words: str = "", **more: Any) -> LoggedRequest:
    answer = ToldAnswer.of_label(label) if label else ToldAnswer.of_words(words)
    return msgspec.structs.replace(logged(text, **more), answer=answer)


def judged(row: StrategyRow) -> tuple[int, int, int, bool]:
    return row.cache_hits, row.judged_hits, row.wrong_hits, row.is_wrong_estimated


def test_other_wordings_are_found_by_the_tier_that_reads_them_alone():
    exact, normalised = rows_of([logged(text) for text in WORDINGS])
    assert (exact.cache, exact.cache_hits) == ("exact", 0)
    assert (normalised.cache, normalised.cache_hits) == ("normalised", 2)
    # 100 tokens in and 10 out at 1 and 2 USD per million, for each hit.
    assert (exact.saved_nanousd, normalised.saved_nanousd) == (0, 2 * 120_000)
    assert exact.cost_nanousd == 5 * 120_000


def test_a_hit_with_another_label_is_wrong_and_nothing_of_it_is_estimated():
    records = [
        told("What is a monad", label="m"),
        told("what is a monad?", label="m"),
        told("What is a monad", label="other"),
        logged("What is a monad"),
    ]
    exact, normalised = rows_of(records)
    assert judged(exact) == (2, 1, 1, False)
    assert judged(normalised) == (3, 2, 1, False)
    text = plain_text(compared(records))
    assert "1 of 2 judged (50.00%)" in text and "at most" not in text
    assert "the kept answer has another `answer_id` than the request" in " ".join(text.split())


def test_recorded_answers_bound_what_was_wrong():
    records = [
        told("What is a monad", words="A burrito."),
        told("what is a monad?", words="a  BURRITO"),
        told("what is a monad?", words="A monoid."),
    ]
    exact, normalised = rows_of(records)
    assert judged(exact) == (1, 1, 1, True)
    assert judged(normalised) == (2, 2, 1, True)
    text = plain_text(compared(records))
    assert "~ at most 1 of 2 judged (50.00%)" in text
    assert "an estimate that is too high" in " ".join(text.split())


def test_a_label_and_a_recorded_answer_tell_nothing_of_each_other():
    records = [told("a b c", label="x"), told("a b c", words="x")]
    assert judged(rows_of(records)[0]) == (1, 0, 0, False)
    text = plain_text(compared(records))
    assert "not known" in text and "Whether a hit was the right answer is not known" in text


def test_the_answer_that_is_served_is_the_one_that_was_kept_first():
    records = [told("a b c", label=label) for label in ("x", "y", "y")]
    assert judged(rows_of(records)[0]) == (2, 2, 2, False)


def canonical_hits(*records: LoggedRequest, ttl_s: float | None = None) -> int:
    job = Job(snapshot=TIERS, aliases=("auto",), strategies=(CANONICAL,), ttl_s=ttl_s)
    return conclude(play(records, job), job).rows[0].cache_hits


def test_the_canonical_tier_finds_what_asks_the_same_in_other_words():
    first, second = "what is the capital of France?", "tell me the capital of France"
    assert canonical_hits(logged(first), logged(second)) == 1
    text = plain_text(compare([logged(first)], snapshot=TIERS, strategies=[CANONICAL]))
    assert "without the rules that it would learn" in " ".join(text.split())
    assert canonical_hits(logged(first), logged("what is the capital of Spain?")) == 0
    assert canonical_hits(logged(first), logged(first), logged(f"Please, {first}")) == 2
    assert [row.cache_hits for row in rows_of([logged(first), logged(second)])] == [0, 0]


def test_no_tier_finds_an_answer_that_is_old_or_was_given_in_another_context():
    first, second = "what is the capital of France?", "tell me the capital of France"
    aged = (logged(first, at_s=0.0), logged(second, at_s=100.0))
    assert canonical_hits(*aged, ttl_s=101) == 1
    assert canonical_hits(*aged, ttl_s=99) == 0
    cooler = LoggedRequest.of(request(second, temperature=0.1), None, "", None)
    assert canonical_hits(logged(first), cooler) == 0
    other = logged(second, caller=Caller(tenant="other"))
    assert canonical_hits(logged(first), other) == 0


def test_what_the_cache_would_not_keep_is_found_by_no_tier():
    dated, secret = "what is the weather today", "my password is hunter2hunter2"
    for text in (dated, secret):
        assert [row.cache_hits for row in rows_of([logged(text), logged(text)])] == [0, 0]
    hot = request("a b c", temperature=0.9)
    records = [LoggedRequest.of(hot, None, "", None)] * 2
    assert [row.cache_hits for row in rows_of(records)] == [0, 0]
    assert [row.cache_hits for row in rows_of(records, also_keep=("varied",))] == [1, 1]
    assert [row.cache_hits for row in rows_of([logged(dated)] * 2, also_keep=("dated",))] == [1, 1]


def test_without_a_price_what_a_hit_saves_is_unknown():
    free = Tier(name="fast", deployments=(deployment("small", None),))
    snapshot = Snapshot(tiers=(free, *TIERS.tiers[1:]), default_tier="mid")
    comparison = compare([logged("a")] * 2, snapshot=snapshot, strategies=[EXACT])
    assert comparison.rows[0].saved_nanousd is None
    assert "unknown" in plain_text(comparison)


def test_a_saving_on_a_model_that_did_not_answer_is_an_estimate():
    exact, _ = rows_of([logged("a", model="acme/big")] * 2)
    own, _ = rows_of([logged("a", model="acme/small")] * 2)
    assert (exact.is_saved_estimated, own.is_saved_estimated) == (True, False)


@given(
    st.lists(st.builds(told, st.sampled_from(WORDINGS), label=st.sampled_from("xyz")), max_size=20),
    st.integers(0, 20),
)
def test_a_log_in_parts_has_no_more_hits_and_judges_no_more_than_it_finds(
    records: list[LoggedRequest], cut: int
):
    job = Job(snapshot=TIERS, aliases=("auto",), strategies=(EXACT, NORMALISED))
    parts = play(records[:cut], job)
    parts.merge(play(records[cut:], job))
    at_once = conclude(play(records, job), job)
    for whole, part in zip(at_once.rows, conclude(parts, job).rows, strict=True):
        assert part.cache_hits <= whole.cache_hits
        for row in (whole, part):
            assert 0 <= row.wrong_hits <= row.judged_hits == row.cache_hits
            assert row.cost_nanousd is not None and row.saved_nanousd is not None
            assert row.cost_nanousd + row.saved_nanousd == len(records) * 120_000


@given(
    st.sampled_from(WORDINGS), st.sampled_from(WORDINGS), st.sampled_from(["exact", "normalised"])
)
def test_keys_are_equal_where_those_of_the_router_are(one: str, other: str, tier: CacheTier):
    made, real = AnswerKeys(), []
    ours = []
    for text in (one, other):
        record = logged(text)
        assert record.request is not None
        decision = decide(
            record.features, Target(), TIERS, build_policy("fixed:fast", PolicySettings())
        )
        keys = answer_keys(record.request, decision, TIERS)
        real.append(keys.exact if tier == "exact" else normal_key(keys))
        asked = made.asked(record)
        assert asked is not None
        ours.append(made.key(asked.exact if tier == "exact" else asked.normal, decision))
    assert (ours[0] == ours[1]) == (real[0] == real[1])


def test_a_labelled_row_needs_no_scores_to_say_what_a_cache_would_serve():
    lines = [
        {"prompt": "What is a monad", "answer_id": "m", "group": "g"},
        {"prompt": "What is a monad?", "answer_id": "m"},
        {"prompt": "nothing is told of this"},
    ]
    left_out = LeftOut()
    file = io.BytesIO(b"\n".join(json.dumps(line).encode() for line in lines))
    records = list(read_labelled(file, left_out))
    assert [record.answer for record in records] == [ToldAnswer.of_label("m")] * 2
    assert left_out.named == ["line 3: has no score and no answer_id"]


@pytest.mark.parametrize(
    ("beside", "answer"),
    [
        ({"response": "Hi."}, ToldAnswer.of_words("hi")),
        ({"response": "Hi.", "answer_id": "greeting"}, ToldAnswer.of_label("greeting")),
        ({"response": " "}, None),
        ({}, None),
    ],
)
def test_a_logs_answer_is_told_by_its_label_else_by_its_words(
    beside: dict[str, str], answer: ToldAnswer | None
):
    line = {"messages": [{"role": "user", "content": "hi"}], **beside}
    (record,) = read_openai_jsonl(io.BytesIO(json.dumps(line).encode()), LeftOut())
    assert record.answer == answer


def test_a_refusal_is_not_kept():
    line = {"messages": [{"role": "user", "content": "hi"}], "response": "I can't help with that."}
    (record,) = read_openai_jsonl(io.BytesIO(json.dumps(line).encode()), LeftOut())
    assert not record.is_keepable
