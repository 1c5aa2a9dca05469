"""Replay: prompts of a log put to every tier by the production pipeline, judged, written down."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.compare.builders import logged

from pointsman import AsyncRouter, ConfigError, GatewayError, Tier
from pointsman.compare.labelled import read_labelled
from pointsman.compare.records import LeftOut, LoggedRequest
from pointsman.core.errors import UpstreamError
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.training.labels import gather
from pointsman.training.replay import (
    draw_requests,
    estimate_judging_nanousd,
    estimate_nanousd,
    read_done,
)
from pointsman.training.replay_session import Replaying, run_replay

TIERS = (Tier("fast", ["fake/small"]), Tier("power", ["fake/large"]))
SECTIONS: dict[str, object] = {
    "providers": {"fake": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}},
    "prices": {
        "fake/small": {"input": 1.0, "output": 2.0},
        "fake/large": {"input": 10.0, "output": 30.0},
    },
}
PROMPTS = [f"Question number {number}: what is it?" for number in range(8)]
# Says 1 for what "large" answers, and for "small" where the question's number is even.
JUDGE = """
import json, sys
case = json.load(sys.stdin)
number = int(case["prompt"].split()[2].rstrip(":"))
assert case["model"].endswith(case["answer"].split()[0])
print(float(case["tier"] == "power" or number % 2 == 0))
"""


def router(folder: Path, script: dict[str, Sequence[Any]] | None = None) -> AsyncRouter:
    provider = FakeProvider(script or {"small": ["small says"], "large": ["large says"]})
    ledger = {"url": f"sqlite:///{folder}/ledger.db"}
    return AsyncRouter(TIERS, env={}, call_with={"fake": provider}, ledger=ledger, **SECTIONS)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    # With a bound of the answers no estimate hangs on the scorer's weights.
    lines = [
        {"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": it}]}
        for it in PROMPTS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def judge_command(folder: Path, program: str = JUDGE) -> str:
    path = folder / "judge.py"
    path.write_text(program)
    return f"command:{sys.executable} {path}"


class Yes:
    """Says yes to whatever is asked, and keeps it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, text: str) -> bool:
        self.told.append(text)
        return True


def wanted(log: Path, **more: Any) -> Replaying:
    fields: dict[str, Any] = {"judge": "validators", "out": log.parent / "out.jsonl", "limit": 400}
    return Replaying(log, **{**fields, **more})


def written(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (log.parent / "out.jsonl").read_text().splitlines()]


def test_each_prompt_is_put_to_every_tier_and_judged(log, tmp_path):
    yes = Yes()
    done = run_replay(wanted(log, judge=judge_command(tmp_path)), router(tmp_path), yes)
    assert (done.answered, done.failed) == (8, 0)
    rows = written(log)
    scores = {row["request"]["messages"][0]["content"]: row["scores"]["fake/small"] for row in rows}
    assert scores == {prompt: float(place % 2 == 0) for place, prompt in enumerate(PROMPTS)}
    assert {row["scores"]["fake/large"] for row in rows} == {1.0}
    # 10 tokens in and 5 out, at 1 and 2, and at 10 and 30 USD per million.
    assert rows[0]["costs"] == {"fake/small": 20e-6, "fake/large": 250e-6}
    assert done.spent_nanousd == 8 * 270_000
    assert "8 requests go to each of fast, power" in yes.told[0] and "estimated" in yes.told[0]


def test_what_is_written_is_what_training_reads(log, tmp_path):
    made = router(tmp_path)
    snapshot = made.pipeline.routing.snapshot
    run_replay(wanted(log, judge=judge_command(tmp_path)), made, lambda _: True)
    with (tmp_path / "out.jsonl").open("rb") as file:
        left_out = LeftOut()
        labels = gather(read_labelled(file, left_out), snapshot)
    assert (len(labels), left_out.lines) == (8, 0)
    assert labels.quality[:, 0].mean() == 0.5
    assert {it.text for it in labels.features} == set(PROMPTS)


def test_every_call_is_booked(log, tmp_path):
    run_replay(wanted(log), router(tmp_path), lambda _: True)

    async def rows() -> list[tuple[str, str]]:
        async with router(tmp_path) as made:
            return [
                (row.intent.deployment, row.intent.tags)
                for row in made.pipeline.stores.ledger.rows()
            ]

    booked = asyncio.run(rows())
    assert len(booked) == 16
    assert {name for name, _ in booked} == {"fake/small", "fake/large"}
    assert all(json.loads(tags)["pointsman"] == "replay" for _, tags in booked)


def test_a_second_run_goes_on_where_the_first_one_stopped(log, tmp_path):
    few = wanted(log, max_usd=0.001)
    first = run_replay(few, router(tmp_path), lambda _: True)
    assert first.is_out_of_money and 0 < first.answered < 8
    with (tmp_path / "out.jsonl").open("ab") as file:
        file.write(b'{"id": "cut')  # as a crash leaves it
    yes = Yes()
    second = run_replay(wanted(log, max_usd=1.0), router(tmp_path), yes)
    assert first.answered + second.answered == 8
    assert len(read_done(tmp_path / "out.jsonl")) == 8
    assert f"{first.answered} more are answered already" in yes.told[0]
    assert run_replay(wanted(log), router(tmp_path), lambda _: False).answered == 0


def test_no_means_that_nothing_is_sent(log, tmp_path):
    provider = FakeProvider({"small": ["x"], "large": ["y"]})
    made = AsyncRouter(
        TIERS, env={}, call_with={"fake": provider}, ledger={"url": "sqlite://"}, **SECTIONS
    )
    with pytest.raises(ConfigError, match="not confirmed"):
        run_replay(wanted(log), made, lambda _: False)
    assert provider.calls == []


def test_a_model_as_judge_compares_with_the_strongest_answer(log, tmp_path):
    script = {"small": ["small says"], "large": ["large says"], "wise": ["TIE"]}
    provider = FakeProvider(script)
    tiers = (*TIERS[:1], Tier("mid", ["fake/wise"]), TIERS[1])
    prices = {**SECTIONS["prices"], "fake/wise": {"input": 1.0, "output": 1.0}}  # type: ignore[dict-item]
    made = AsyncRouter(
        tiers,
        env={},
        call_with={"fake": provider},
        ledger={"url": "sqlite://"},
        **{**SECTIONS, "prices": prices},
    )
    yes = Yes()
    done = run_replay(wanted(log, judge="tier:mid"), made, yes)
    assert done.answered == 8
    assert "judging included" in yes.told[0]
    # A tie in both orders costs nothing: as good as the strongest one, which is 1.
    assert {tuple(row["scores"].values()) for row in written(log)} == {(1.0, 1.0, 1.0)}
    assert provider.calls.count("fake/wise") == 8 + 8 * 4


@pytest.mark.parametrize(
    ("program", "scores"),
    [
        ("raise SystemExit(0)", {1.0}),
        ("raise SystemExit(1)", {0.0}),
        ("print(0.25)", {0.25}),
    ],
    ids=["good", "bad", "a number"],
)
def test_a_program_says_it_by_its_status_or_a_number(log, tmp_path, program, scores):
    spec = judge_command(tmp_path, program)
    run_replay(wanted(log, judge=spec, limit=2), router(tmp_path), lambda _: True)
    assert {score for row in written(log) for score in row["scores"].values()} == scores


def test_a_judge_that_says_nothing_ends_the_replay(log, tmp_path):
    spec = judge_command(tmp_path, "print('perhaps')")
    with pytest.raises(GatewayError, match="no verdict"):
        run_replay(wanted(log, judge=spec), router(tmp_path), lambda _: True)
    assert written(log) == []


def test_models_that_fail_end_the_replay_with_their_reason(log, tmp_path):
    broken = Scripted(error=UpstreamError("no such model"))
    made = router(tmp_path, {"small": [broken], "large": ["large says"]})
    with pytest.raises(GatewayError, match="5 requests in a row"):
        run_replay(wanted(log), made, lambda _: True)


def test_the_same_requests_are_drawn_every_time():
    records = [logged(f"question {number}") for number in range(50)]
    some = draw_requests(records, 10)
    assert draw_requests(reversed(records), 10) == some
    assert len({it.id for it in some}) == 10


def test_a_prompt_that_was_asked_often_is_drawn_as_often():
    often, once = logged("asked all the time"), [logged(f"question {n}") for n in range(300)]
    log = [one for it in once for one in (it, often)]
    drawn = draw_requests(log, 200)
    assert len({it.id for it in drawn}) == 200
    assert 70 < sum(it.request == often.request for it in drawn) < 130
    whole = {it.id for it in draw_requests(log, 600)}
    assert {it.id for it in draw_requests([*once, often], 600)} <= whole


def test_copies_of_a_prompt_are_answered_anew_each_and_once_only(log, tmp_path):
    log.write_text(log.read_text().splitlines(keepends=True)[0] * 3)
    assert run_replay(wanted(log), router(tmp_path), lambda _: True).answered == 3
    assert len({row["id"] for row in written(log)}) == 3
    assert run_replay(wanted(log), router(tmp_path), lambda _: True).answered == 0


def test_a_log_without_prompts_cannot_be_replayed():
    bare = LoggedRequest(features=logged("x").features)
    with pytest.raises(ConfigError, match="holds no prompt"):
        draw_requests([bare], 10)


def test_the_estimate_goes_by_the_logged_answers():
    made = AsyncRouter(
        TIERS,
        env={},
        call_with={"fake": FakeProvider({})},
        ledger={"url": "sqlite://"},
        **SECTIONS,
    )
    drawn = draw_requests([logged("x" * 4_000)], 1)
    # About 900 tokens in, 10 out: 1 and 10, 2 and 30 USD per million.
    assert estimate_nanousd(drawn, made.pipeline.routing.snapshot) == pytest.approx(
        904 * 11_000 + 10 * 32_000, rel=0.01
    )


def test_the_estimate_of_judging_counts_both_orders_of_each_pair():
    made = AsyncRouter(
        TIERS,
        env={},
        call_with={"fake": FakeProvider({})},
        ledger={"url": "sqlite://"},
        **SECTIONS,
    )
    drawn = draw_requests([logged("x" * 4_000)], 1)
    # Twice: about 904 tokens of request, 20 of answers, 200 around them; 10 out at 30 USD.
    judging = estimate_judging_nanousd(drawn, made.pipeline.routing.snapshot, "power")
    assert judging == pytest.approx(2 * (1_124 * 10_000 + 10 * 30_000), rel=0.01)


def test_a_judge_that_there_is_not_is_refused_before_anything_is_asked(log, tmp_path):
    yes = Yes()
    with pytest.raises(ConfigError, match=r'--judge "tier:nix": no tier has the name'):
        run_replay(wanted(log, judge="tier:nix"), router(tmp_path), yes)
    assert yes.told == []


@pytest.mark.parametrize("max_usd", [0, -1, 1e6 + 1, 1e308, float("inf"), float("nan")])
def test_a_sum_that_cannot_be_spent_is_refused_before_anything_is_asked(log, tmp_path, max_usd):
    yes = Yes()
    with pytest.raises(ConfigError, match=r"--max-usd .*: give a sum above 0 and of at most 1,000"):
        run_replay(wanted(log, max_usd=max_usd), router(tmp_path), yes)
    assert yes.told == []


def test_a_place_for_outcomes_that_is_a_folder_is_named(log, tmp_path):
    with pytest.raises(ConfigError, match=r'--out ".*": cannot be read: Is a directory; name a'):
        run_replay(wanted(log, out=tmp_path), router(tmp_path), lambda _: True)


def test_what_is_done_is_read_from_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    assert read_done(path) == frozenset()
    path.write_bytes(b'{"id":"a","scores":{}}\n{"id":"b"}\n{"id":"c')
    assert read_done(path) == {"a", "b"}
