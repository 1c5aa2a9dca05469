import json

import numpy as np
import pytest
from bench.cache_table import BEGIN, END, PICTURE, main
from bench.semantic import faq
from bench.semantic.policies import ByForm, Likeness, timed
from bench.semantic.streams import (
    Pair,
    Row,
    answered,
    ceiling,
    read_streams,
    replay,
    shuffled,
)
from tests.cache.semantic.tiny_model import tiny_files

VECTORS = {
    "north": np.array([1, 0], np.float32),
    "northish": np.array([0.96, 0.28], np.float32),
    "east": np.array([0, 1], np.float32),
}
ROWS = [Row("north", "n"), Row("northish", "m"), Row("north", "n"), Row("East!", "e")]


def embed(text: str) -> tuple[np.ndarray, float]:
    return VECTORS.get(text.casefold(), VECTORS["east"]), 0.5


def by_likeness() -> Likeness:
    return Likeness(embed, 0.95)


def test_a_replay_counts_hits_and_those_that_are_anothers_answer():
    """Right ones are the second "north" and, in another form, "east"; "northish" is wrong twice."""
    found = replay(by_likeness, [*ROWS, Row("east", "e"), Row("northish", "m")])
    assert (found.requests, found.hits, found.false) == (6, 4, 2)
    assert (found.beyond, found.false_beyond) == (1, 1)
    assert found.false_per_hit == 0.5
    assert found.false_per_beyond == 1


def test_a_lookup_lasts_as_long_as_its_vector_took_and_a_normal_form_needs_none():
    took = replay(by_likeness, ROWS).took_ms
    assert [ms > 500 for ms in took] == [True, True, False, True]


def test_the_bound_of_no_wrong_answers_among_three_is_the_exact_one():
    three = replay(lambda: ByForm(str), [Row("a", "a")] * 4)
    assert (three.hits, three.false) == (3, 0)
    assert three.false_per_hit_at_most == pytest.approx(1 - 0.05 ** (1 / 3))


def test_without_hits_nothing_is_known():
    assert replay(lambda: ByForm(str), [Row("a", "a")]).false_per_hit_at_most == 1


def test_pairs_are_counted_by_whether_they_may_be_answered():
    pairs = [Pair("north", "northish", 0, "x"), Pair("north", "east", 1, "x")]
    assert answered(by_likeness, pairs) == {True: (0, 1), False: (1, 1)}


def test_the_ceiling_is_what_has_come_before():
    assert ceiling(ROWS) == 0.25


def test_an_order_is_the_seeds_and_has_every_row():
    assert shuffled(ROWS, 1) == shuffled(ROWS, 1)
    assert sorted(row.prompt for row in shuffled(ROWS, 1)) == sorted(row.prompt for row in ROWS)
    assert any(shuffled(ROWS, seed) != ROWS for seed in range(5))


def test_a_vector_is_made_once():
    made: list[str] = []

    def make(text: str) -> np.ndarray:
        made.append(text)
        return VECTORS[text]

    once = timed(make)
    assert once("north") is once("north")
    assert made == ["north"]


def test_a_folder_without_streams_is_told(tmp_path):
    (tmp_path / "pairs_x.jsonl").write_text("")
    with pytest.raises(SystemExit, match=r"no \*\.jsonl"):
        read_streams(tmp_path)


def test_an_faq_is_compared_with_the_best_threshold_of_the_same_order():
    rows = [Row("north", "n"), Row("east", "e"), Row("northish", "m")] * 40
    (run,) = faq.runs(rows, embed, 0.3, seeds=1)
    assert run.requests == 120
    assert run.false <= 0.3 * 120
    # The best one tells northish from north, which is as far above as a threshold can be.
    assert run.oracle_hits == 117
    assert 0 < run.hits <= 117


def test_the_command_writes_tables_and_picture(tmp_path, capsys):
    files = tiny_files(tmp_path)
    for name in ("compass", "banking_faq"):
        lines = [json.dumps({"prompt": row.prompt, "answer_id": row.answer_id}) for row in ROWS]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    pair = {"cached": "north", "probe": "south", "same": 0, "category": "opposites"}
    (tmp_path / "pairs_few.jsonl").write_text(json.dumps(pair))
    page = tmp_path / "cache.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    main(
        [
            *("--data", str(tmp_path), "--model", str(files.model), "--docs", str(page)),
            *("--tokenizer", str(files.tokenizer), "--tokenizer-sha256", files.tokenizer_sha256),
            *("--model-sha256", files.model_sha256, "--orders", "1", "--faq-orders", "2"),
        ]
    )
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "| exact | 0.250 / 0 | 0.250 / 0 |" in written
    assert "| cosine ≥ 0.99 | 0 of 1 | 0 of 0 |" in written
    assert "2 of 2" in written
    assert written.count("| compass, 4 |") >= 6
    assert (tmp_path / PICTURE).read_text().startswith("<?xml")
    assert "cosine" in capsys.readouterr().out
