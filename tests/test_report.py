"""The report: figures computed by hand, a breakdown that adds up, and what people are shown."""

import csv
import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pointsman.core.errors import RequestError
from pointsman.core.prices import Price, cost_nanousd
from pointsman.core.types import Deployment, Tier
from pointsman.core.usage import Usage
from pointsman.ledger import Intent, Outcome, Row, Settlement, State
from pointsman.report import OTHERS, Report, build_report
from pointsman.report_savings import Savings
from pointsman.report_views import to_csv, to_json, to_terminal, to_text

USD = 1_000_000_000
DAY_NS = 86_400 * USD


def price(input_usd: int, output_usd: int) -> Price:
    """USD per million tokens; cached input at a tenth, written input at double the price."""
    return Price(
        input_nanousd_per_mtok=input_usd * USD,
        cached_input_nanousd_per_mtok=input_usd * USD // 10,
        cache_write_nanousd_per_mtok=input_usd * USD * 2,
        output_nanousd_per_mtok=output_usd * USD,
        version="test/1",
    )


def deployment(model: str, rates: Price | None) -> Deployment:
    return Deployment(provider="p", model=model, dialect="openai-chat", base_url="", price=rates)


SMALL, MEDIUM, LARGE, OTHER = (
    deployment("small", price(1, 2)),
    deployment("medium", price(3, 10)),
    deployment("large", price(10, 30)),
    deployment("other", price(8, 30)),
)
TIERS = (
    Tier(name="fast", deployments=(SMALL, MEDIUM)),
    Tier(name="mid", deployments=(MEDIUM, SMALL)),
    Tier(name="power", deployments=(LARGE, OTHER)),
)


def row(
    request_id: str = "r1",
    attempt: int = 1,
    *,
    outcome: Outcome = "answered",
    cost: int | None = 0,
    usage: Usage | None = None,
    state: State = "settled",
    model: str = "p/small",
    tier: str = "fast",
    at_ns: int = 1,
    **more: Any,
) -> Row:
    fields = {"key": "ci", "tags": "{}", "worst_case_nanousd": None, "policy": "signals"} | more
    return Row(
        intent=Intent(
            request_id=request_id,
            attempt=attempt,
            at_ns=at_ns,
            tenant="acme",
            alias="auto",
            tier=tier,
            deployment=model,
            reason="",
            price_version="test/1",
            is_stream=False,
            **fields,
        ),
        settlement=Settlement(
            state=state, outcome=outcome, usage=usage or Usage(), cost_nanousd=cost
        ),
    )


# In thousandths of a USD: 1.2 on small, 4 on medium, 13 on large, 11 on other.
TOKENS = Usage(input_tokens=1_000, output_tokens=100)
# 500 of 1,000 from the prompt cache: 0.75 thousandths on small.
CACHED = Usage(input_tokens=1_000, cached_input_tokens=500, output_tokens=100)
M = USD // 1_000

ROWS = [
    # Answered at once.
    row("r1", cost=1_200_000, usage=TOKENS),
    # A prompt cache took 0.45 off.
    row("r2", cost=750_000, usage=CACHED, key="app"),
    # Rejected, then escalated.
    row("r3", 1, outcome="rejected", cost=1_200_000, usage=TOKENS),
    row("r3", 2, cost=4 * M, usage=TOKENS, model="p/medium", tier="mid"),
    # Failed, then another deployment of the tier.
    row("r4", 1, outcome="failed", cost=100_000, usage=Usage(input_tokens=10)),
    row("r4", 2, cost=4 * M, usage=TOKENS, model="p/medium"),
    # From the cache.
    row("r5", outcome="hit", usage=TOKENS),
    # Without a price, and estimated.
    row(
        "r6",
        cost=None,
        model="p/free",
        usage=Usage(input_tokens=7, output_tokens=3, is_estimated=True),
    ),
    # Nobody knows what these cost.
    row("r7", outcome="lost", state="unknown", cost=None, worst_case_nanousd=900),
    row("r8", outcome="failed", state="unknown", cost=None, worst_case_nanousd=90),
    row("r9", outcome="pending", state="reserved", cost=None),
    row("r10", outcome="cancelled", cost=200_000, usage=Usage(input_tokens=100)),
]


def build(rows: list[Row], by: str | None = None, tiers: tuple[Tier, ...] = TIERS) -> Report:
    return build_report(rows, tiers=tiers, by=by, since_ns=0, until_ns=None)


def test_the_counts_are_those_of_the_rows():
    report = build(ROWS)
    found = {name: getattr(report, name) for name in EXPECTED}
    assert found == EXPECTED


EXPECTED = {
    "calls": 10,
    "answered": 6,
    "hits": 1,
    "attempts": 11,
    "escalations": 1,
    "fallbacks": 1,
    "failures": 2,
    "cancelled": 1,
    "orphans": 1,
    "pending": 1,
    "input_tokens": 5_117,
    "cached_input_tokens": 500,
    "output_tokens": 503,
    "cost_nanousd": 11_450_000,
    "unpriced_attempts": 1,
    "unpriced_tokens": 10,
    "unknown_attempts": 2,
    "unknown_bounded_attempts": 2,
    "unknown_at_most_nanousd": 990,
    "estimated_left_out_answers": 1,
    "estimated_usage_attempts": 1,
}


def test_the_savings_are_those_computed_by_hand():
    # Five answers at 13 on large; r6 has no price and counts on neither side.
    assert build(ROWS).estimated_savings == Savings(
        baseline="every request on power (p/large), no cache",
        baseline_nanousd=65 * M,
        spent_nanousd=11_450_000,
        # r1, r2, r5: 13 - 1.2 each; r3, r4: 13 - 4 each.
        routing_nanousd=35_400_000 + 18 * M,
        cache_nanousd=1_200_000,
        prompt_cache_nanousd=450_000,
        escalations_nanousd=1_200_000,
        failures_nanousd=300_000,
    )


def test_the_alternatives_price_the_answered_requests_elsewhere():
    found = [(it.tier, it.deployment, it.cost_nanousd) for it in build(ROWS).estimated_alternatives]
    assert found == [
        ("power", "p/large", 65 * M),
        ("mid", "p/medium", 20 * M),
        ("power", "p/other", 55 * M),
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_tiers_have_no_middle_one(count: int):
    alternatives = build(ROWS, tiers=TIERS[:count]).estimated_alternatives
    strongest = TIERS[count - 1].name
    assert [it.tier for it in alternatives] == [strongest, strongest]


def test_the_middle_tier_is_the_cheaper_one_of_two():
    four = (*TIERS, Tier(name="vast", deployments=(LARGE,)))
    alternatives = build(ROWS, tiers=four).estimated_alternatives
    assert [it.tier for it in alternatives] == ["vast", "mid", "vast"]


def test_without_tiers_nothing_is_compared():
    report = build(ROWS, tiers=())
    assert (report.estimated_alternatives, report.estimated_savings) == ((), None)
    assert report.cost_nanousd == 11_450_000


def test_without_a_price_of_the_strongest_model_savings_are_unknown():
    free = Tier(name="power", deployments=(deployment("free", None), OTHER))
    report = build(ROWS, tiers=(*TIERS[:2], free))
    assert report.estimated_savings is None
    assert [it.cost_nanousd for it in report.estimated_alternatives] == [None, 20 * M, 55 * M]


def test_a_hit_of_a_model_without_a_price_saves_the_whole_baseline():
    savings = build([row(outcome="hit", usage=TOKENS, model="p/gone")]).estimated_savings
    assert savings
    assert (savings.cache_nanousd, savings.routing_nanousd) == (13 * M, 0)


def test_writing_to_a_prompt_cache_that_is_not_read_is_a_loss():
    usage = Usage(input_tokens=1_000, cache_write_tokens=1_000)
    savings = build([row(cost=cost_nanousd(usage, price(1, 2)), usage=usage)]).estimated_savings
    assert savings
    assert savings.prompt_cache_nanousd == -1 * M


def test_writing_for_an_hour_is_a_larger_loss():
    usage = Usage(input_tokens=1_000, cache_write_tokens=1_000, long_cache_write_tokens=600)
    rates = msgspec.structs.replace(price(1, 2), long_cache_write_nanousd_per_mtok=4 * USD)
    tiers = (*TIERS[:-1], Tier(name="power", deployments=(deployment("large", rates),)))
    booked = row(cost=cost_nanousd(usage, rates), usage=usage, model="p/large", tier="power")
    savings = build([booked], tiers=tiers).estimated_savings
    assert savings
    assert savings.prompt_cache_nanousd == -(400 * M + 600 * 3 * M) // 1_000
    assert (savings.routing_nanousd, savings.baseline_nanousd) == (0, 1 * M)


def test_rows_outside_the_period_are_left_out():
    rows = [row(f"r{at}", at_ns=at, cost=at) for at in (1, 2, 3, 4)]
    report = build_report(rows, tiers=TIERS, by=None, since_ns=2, until_ns=4)
    assert (report.calls, report.cost_nanousd) == (2, 5)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("tier", [("mid", 8), ("fast", 7)]),
        ("model", [("p/medium", 8), ("p/small", 7)]),
        ("key", [("app", 9), ("(no key)", 6)]),
        ("tag", [("job=1", 15), ("team=a", 8), ("(no tag)", 0), ("(unreadable tags)", 0)]),
        ("day", [("1970-01-01", 7), ("1970-01-02", 8)]),
    ],
)
def test_groups_sum_what_shares_a_name(by: str, groups: list[tuple[str, int]]):
    rows = [
        row("r1", cost=1, key="app", tags='{"job":1}'),
        row("r2", cost=6, key="", tags='{"job":1}'),
        row("r3", cost=8, key="app", tags='{"job":1,"team":"a"}', tier="mid", model="p/medium"),
        row("r4", tags="[]", key="app"),
        row("r5", tags="", key="app"),
    ]
    rows[2] = msgspec.structs.replace(
        rows[2], intent=msgspec.structs.replace(rows[2].intent, at_ns=DAY_NS)
    )
    assert [(it.name, it.cost_nanousd) for it in build(rows, by).groups] == groups


def test_an_unknown_grouping_is_refused_with_those_there_are():
    with pytest.raises(RequestError, match=r'by "moon": unknown; choose one of tier, model'):
        build(ROWS, "moon")


def test_more_names_than_anyone_reads_are_summed_as_others():
    report = build([row(f"r{n}", key=f"k{n}", cost=1) for n in range(1_500)], "key")
    assert len(report.groups) == 1_001
    assert {it.name: it.cost_nanousd for it in report.groups}[OTHERS] == 500


def test_a_retry_is_no_fallback_and_a_rejected_draft_within_a_tier_no_escalation():
    report = build(
        [
            row("r1", 1, outcome="failed"),
            row("r2", 1, outcome="rejected"),
            row("r1", 2, outcome="answered"),
            row("r2", 2, outcome="answered", model="p/medium"),
        ]
    )
    assert (report.fallbacks, report.escalations) == (0, 0)


COSTS = st.none() | st.integers(0, 10**12)
TOKEN_COUNTS = st.integers(0, 10**6)
USAGES = st.builds(
    Usage,
    input_tokens=TOKEN_COUNTS,
    cached_input_tokens=TOKEN_COUNTS,
    cache_write_tokens=TOKEN_COUNTS,
    long_cache_write_tokens=TOKEN_COUNTS,
    output_tokens=TOKEN_COUNTS,
    reasoning_tokens=TOKEN_COUNTS,
)
MODELS = ["p/small", "p/medium", "p/large", "p/other", "p/gone"]
CLIENTS_OUTCOMES = ["pending", "answered", "rejected", "failed", "cancelled", "hit", "lost"]
AUDITS_OUTCOMES = ["pending", "audited", "judged", "failed", "cancelled", "lost"]


def rows_of(policy: str, outcomes: list[str]) -> st.SearchStrategy[Row]:
    return st.builds(
        row,
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 3),
        outcome=st.sampled_from(outcomes),
        cost=COSTS,
        usage=USAGES,
        state=st.sampled_from(["reserved", "settled", "voided", "unknown"]),
        model=st.sampled_from(MODELS),
        tier=st.sampled_from(["fast", "mid", "power", "gone"]),
        policy=st.just(policy),
    )


ALL_ROWS = rows_of("signals", CLIENTS_OUTCOMES) | rows_of("audit", AUDITS_OUTCOMES)
RATES = st.integers(0, 10**11)
PRICES = st.builds(
    Price,
    input_nanousd_per_mtok=RATES,
    cached_input_nanousd_per_mtok=RATES,
    cache_write_nanousd_per_mtok=RATES,
    output_nanousd_per_mtok=RATES,
    reasoning_nanousd_per_mtok=st.none() | RATES,
    long_cache_write_nanousd_per_mtok=st.none() | RATES,
    per_request_nanousd=RATES,
    version=st.just("test/2"),
)


@given(rows=st.lists(ALL_ROWS, max_size=30), prices=st.lists(PRICES, min_size=3, max_size=3))
def test_the_breakdown_adds_up_to_the_last_nano_usd(rows: list[Row], prices: list[Price]):
    models = ("small", "medium", "large")
    tiers = tuple(
        Tier(name=model, deployments=(deployment(model, rates), OTHER))
        for model, rates in zip(models, prices, strict=True)
    )
    report = build(rows, tiers=tiers)
    savings = report.estimated_savings
    if savings is None:
        assert report.estimated_left_out_answers == report.answered > 0
        return
    assert savings.total_nanousd == savings.baseline_nanousd - savings.spent_nanousd
    assert savings.total_nanousd == (
        savings.routing_nanousd
        + savings.cache_nanousd
        + savings.prompt_cache_nanousd
        - savings.escalations_nanousd
        - savings.failures_nanousd
        - savings.audits_nanousd
    )
    assert savings.spent_nanousd == report.cost_nanousd
    assert savings.baseline_nanousd == report.estimated_alternatives[0].cost_nanousd


FIGURES = (
    "calls", "hits", "attempts", "input_tokens", "output_tokens",
    "unpriced_attempts", "unknown_attempts",
)  # fmt: skip


@given(rows=st.lists(ALL_ROWS, max_size=30), by=st.sampled_from(["tier", "model", "key", "day"]))
def test_groups_add_up_to_the_total(rows: list[Row], by: str):
    report = build(rows, by)
    for groups in (report.groups, report.tiers):
        for figure in FIGURES:
            assert sum(getattr(it, figure) for it in groups) == getattr(report, figure)
        assert sum(it.cost_nanousd for it in groups) == report.cost_nanousd


def on_terminal(report: Report) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    to_terminal(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "render",
    [to_text, on_terminal, lambda report: to_json(report).decode(), to_csv],
    ids=["text", "terminal", "json", "csv"],
)
def test_every_rendering_says_what_is_estimated(render):
    shown = render(build(ROWS, "model"))
    assert "estimated" in shown
    assert "p/medium" in shown


def test_the_plain_text_is_what_a_person_expects():
    assert to_text(build(ROWS, "key")) == PLAIN.strip("\n")


PLAIN = """
Report until now
  cost             ≥ $0.0114
  calls            10 (6 answered)
  cache hits       1
  attempts         11
  input tokens     5,117 (500 cached)
  output tokens    503 (0 reasoning)
  escalations      1
  fallbacks        1
  failures         2
  cancelled        1
  lost in a crash  1
  still under way  1
  usage estimated  1
  without a price  1 attempts with 10 tokens, not in the cost
  cost unknown     2 attempts, not in the cost; at most $0.00000099

By tier
         calls  hits  attempts  input tokens  output tokens        cost
  fast      10     1        10         4,117            403  ≥ $0.00745
  mid        0     0         1         1,000            100      $0.004
  power      0     0         0             0              0       $0.00

By key
       calls  hits  attempts  input tokens  output tokens       cost
  ci       9     1        10         4,117            403  ≥ $0.0107
  app      1     0         1         1,000            100   $0.00075

The same requests elsewhere (estimated: another model would have written another number of tokens)
  strongest tier: power (p/large)                                         $0.065
  middle tier: mid (p/medium)                                             $0.02
  best single model: the cheapest of the strongest tier: power (p/other)  $0.055
  answers left out, for their own cost is not known                       1

Savings (estimated: another model would have written another number of tokens)
  baseline: every request on power (p/large), no cache  $0.065
  spent                                                 $0.0114
  saved                                                 $0.0536
  saved by routing                                      $0.0534
  saved by the cache                                    $0.0012
  saved by prompt caches                                $0.00045
  lost to escalations                                   -$0.0012
  lost to failures                                      -$0.0003
  quality kept                                          prior, not certified on your traffic

Prompt caches of providers (against the plain input price)
           marks  input tokens  cached  written  saved (estimated)
  p/small    off         3,110     16%       0%           $0.00045
"""


def test_away_from_a_terminal_the_text_is_plain_and_whole():
    console = Console(file=io.StringIO(), width=40)
    to_terminal(build(ROWS), console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == to_text(build(ROWS)) + "\n"


def test_names_cannot_steer_a_terminal():
    evil = "\x1b[31mred\x07\n[bold]x[/]"
    for shown in (
        to_text(build([row(key=evil)], "key")),
        on_terminal(build([row(key=evil)], "key")),
    ):
        assert "�[31mred��[bold]x[/]" in shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(start: str):
    name = f'{start}HYPERLINK("http://x"),1'
    table = list(csv.reader(io.StringIO(to_csv(build([row(key=name)], "key")), newline="")))
    assert [line[1] for line in table if line[0] == "key"] == [f"'{name}"]
    assert {len(line) for line in table} == {10}


def test_amounts_in_csv_are_exact_numbers():
    table = list(csv.DictReader(io.StringIO(to_csv(build(ROWS)))))
    amounts = {(it["section"], it["name"]): it["cost_usd"] for it in table}
    assert amounts["total", "total"] == "0.011450000"
    assert amounts["tier", "mid"] == "0.004000000"
    assert amounts["estimated savings", "lost to failures"] == "-0.000300000"


def test_savings_never_stand_without_what_is_proven_of_the_quality():
    report = msgspec.structs.replace(build(ROWS), quality_proof="certified in chat: at least 95%")
    assert "certified in chat: at least 95%" in to_text(report).split("Savings")[1]


UNPRICED = row("r1", cost=None, usage=TOKENS)
UNKNOWN = row("r2", outcome="lost", state="unknown", cost=None, tier="mid")
BOUNDED = row("r3", outcome="lost", state="unknown", cost=None, worst_case_nanousd=5 * M)


@pytest.mark.parametrize("render", [to_text, on_terminal], ids=["text", "terminal"])
def test_a_cost_that_nobody_knows_is_not_shown_as_nothing(render):
    lines = [line.split() for line in render(build([UNPRICED, UNKNOWN])).splitlines()]
    costs = {line[0]: line[-1] for line in lines if len(line) in {2, 7}}
    assert {name: costs[name] for name in ("cost", "fast", "mid", "power")} == {
        "cost": "unknown",
        "fast": "unknown",
        "mid": "unknown",
        "power": "$0.00",
    }
    assert ["cost", "≥", "$0.004"] in [
        line.split() for line in render(build([UNPRICED, row("r4", cost=4 * M)])).splitlines()
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([UNKNOWN], "; no bound known"),
        ([BOUNDED], "; at most $0.005\n"),
        ([UNKNOWN, BOUNDED], "; at most $0.005 where a bound is known\n"),
    ],
    ids=["none", "all", "some"],
)
def test_a_bound_is_named_only_where_one_is_known(rows: list[Row], words: str):
    assert words in to_text(build(rows))


def test_answers_of_unknown_cost_are_not_said_to_be_free_elsewhere():
    report = build([UNPRICED])
    assert {it.cost_nanousd for it in report.estimated_alternatives} == {None}
    assert report.estimated_savings is None
    assert "$0.00" not in to_text(report).partition("elsewhere")[2]


def test_csv_counts_what_is_not_in_the_cost_and_what_went_wrong():
    table = list(csv.DictReader(io.StringIO(to_csv(build([*ROWS, UNKNOWN])))))
    lines = {(it["section"], it["name"]): it for it in table}
    doubts = ("cost_usd", "unpriced_attempts", "unknown_attempts")
    assert [lines["total", "total"][it] for it in doubts] == ["0.011450000", "1", "3"]
    assert [lines["tier", "fast"][it] for it in doubts] == ["0.007450000", "1", "2"]
    counts = {it["name"]: it["attempts"] for it in table if it["section"] == "of these"}
    assert counts == {
        "escalations": "1",
        "fallbacks": "1",
        "failures": "2",
        "cancelled": "1",
        "lost in a crash": "2",
        "still under way": "1",
        "usage estimated": "1",
        "cost unknown, at most": "",
    }
    assert lines["of these", "cost unknown, at most"]["cost_usd"] == "0.000000990"


def test_an_unknown_cost_is_an_empty_cell_in_csv():
    table = csv.DictReader(io.StringIO(to_csv(build([UNPRICED, UNKNOWN]))))
    costs = {it["name"]: it["cost_usd"] for it in table}
    assert (costs["total"], costs["fast"], costs["mid"]) == ("", "", "")
    assert (costs["cost unknown, at most"], costs["power"]) == ("", "0.000000000")


def test_an_unknown_alternative_is_an_empty_cell_and_said_to_be_unknown():
    free = (Tier(name="free", deployments=(deployment("free", None),)),)
    report = build(ROWS, tiers=free)
    table = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert {it["cost_usd"] for it in table if it["section"].startswith("estimated")} == {""}
    assert "strongest tier: free (p/free)" in to_text(report)
    assert "unknown" in to_text(report)


def test_the_json_is_the_report_itself():
    report = build(ROWS, "day")
    assert msgspec.json.decode(to_json(report), type=Report) == report
