"""Prompt caches in the report: what was read and written, and what it saved or cost."""

import csv
import io

import msgspec
from tests.test_report import CACHED, ROWS, TIERS, TOKENS, M, row

from pointsman.core.decision import EMBEDDINGS
from pointsman.core.types import Tier
from pointsman.core.usage import Usage
from pointsman.ledger import Row
from pointsman.report import Report, build_report
from pointsman.report_prompt_caches import PromptCacheUse
from pointsman.report_views import to_csv, to_json, to_text

# Written at double the plain price of a thousandth of a USD, which nobody has read.
WRITTEN = Usage(input_tokens=1_000, cache_write_tokens=1_000)


def build(rows: list[Row], tiers: tuple[Tier, ...] = TIERS) -> Report:
    return build_report(rows, tiers=tiers)


def marked(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    return tuple(
        msgspec.structs.replace(
            tier,
            deployments=tuple(
                msgspec.structs.replace(it, has_cache_marks=True) for it in tier.deployments
            ),
        )
        for tier in tiers
    )


def use(deployment: str, **more: int | bool | None) -> PromptCacheUse:
    return msgspec.convert(
        {"deployment": deployment, "has_cache_marks": False} | more, PromptCacheUse
    )


def test_each_deployment_has_what_it_read_and_what_that_saved():
    rows = [
        row("r1", usage=CACHED),
        row("r2", usage=TOKENS),
        row("r3", usage=WRITTEN, outcome="rejected"),
        row("r4", usage=CACHED, model="p/large", tier="power"),
    ]
    assert build(rows).prompt_caches == (
        use(
            "p/large",
            attempts=1,
            input_tokens=1_000,
            cached_input_tokens=500,
            estimated_saved_nanousd=9 * M // 2,
        ),
        use(
            "p/small",
            attempts=3,
            input_tokens=3_000,
            cached_input_tokens=500,
            cache_write_tokens=1_000,
            estimated_saved_nanousd=450_000 - 1 * M,
        ),
    )


def test_hits_embeddings_and_what_has_no_usage_say_nothing_of_prompt_caches():
    rows = [
        row("r1", usage=CACHED, outcome="hit"),
        row("r2", usage=CACHED, policy=EMBEDDINGS),
        row("r3", usage=Usage(), outcome="failed"),
        row("r4", usage=TOKENS),
    ]
    assert build(rows).prompt_caches == ()


def test_marks_that_brought_nothing_are_shown():
    (shown,) = build([row(usage=TOKENS)], marked(TIERS)).prompt_caches
    assert (shown.has_cache_marks, shown.cached_share) == (True, 0)
    assert shown.estimated_saved_nanousd == 0


def test_without_a_price_what_was_saved_is_unknown():
    (shown,) = build([row(usage=CACHED, model="p/gone")]).prompt_caches
    assert shown.estimated_saved_nanousd is None
    assert shown.cached_share == 0.5


def test_an_upstream_that_claims_more_cached_than_sent_has_all_cached():
    odd = Usage(input_tokens=10, cached_input_tokens=20)
    (shown,) = build([row(usage=odd)]).prompt_caches
    assert shown.cached_share == 1


def test_the_saved_sum_is_that_of_the_breakdown_where_all_attempts_answered():
    answers = [it for it in ROWS if it.settlement.outcome == "answered"]
    report = build(answers)
    assert report.estimated_savings
    known = [it.estimated_saved_nanousd or 0 for it in report.prompt_caches]
    assert sum(known) == report.estimated_savings.prompt_cache_nanousd == 450_000


def test_people_and_programs_read_the_same_and_what_is_estimated_says_so():
    report = build([row("r1", usage=CACHED), row("r2", usage=WRITTEN)], marked(TIERS))
    text = to_text(report)
    assert "Prompt caches of providers (against the plain input price)" in text
    (line,) = (it for it in text.splitlines() if "25%" in it)
    assert line.split() == ["p/small", "on", "2,000", "25%", "50%", "-$0.00055"]
    assert "saved (estimated)" in text
    (shown,) = msgspec.json.decode(to_json(report))["prompt_caches"]
    assert shown["estimated_saved_nanousd"] == -550_000
    rows = [it for it in csv.reader(io.StringIO(to_csv(report))) if "prompt cache" in it[0]]
    assert [(it[0], it[5] or it[7]) for it in rows if it[1] == "p/small"] == [
        ("prompt cache: input", "2000"),
        ("prompt cache: cached", "500"),
        ("prompt cache: written", "1000"),
        ("estimated savings of prompt caches", "-0.000550000"),
    ]


def test_where_no_prompt_was_cached_nobody_reads_of_it():
    report = build([row(usage=TOKENS)])
    assert "Prompt caches of providers" not in to_text(report)
    assert "prompt cache: " not in to_csv(report)
