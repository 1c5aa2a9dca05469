"""Our own ledger, a real file: what it booked becomes records, and nothing is invented."""

import asyncio
from pathlib import Path
from typing import Any

from tests.compare.builders import TIERS

from pointsman.compare import Comparison, LeftOut, LoggedRequest, StrategyRow, compare
from pointsman.compare.own_ledger import read_ledger
from pointsman.core.usage import Usage
from pointsman.ledger import AUDIT, Intent, Outcome, Settlement
from pointsman.ledger.sqlite import SqliteLedger

SECOND = 1_000_000_000
USAGE = Usage(input_tokens=1_000, output_tokens=100)
Attempt = tuple[Intent, Settlement]


def attempt(
    request_id: str,
    tier: str = "fast",
    *,
    number: int = 1,
    outcome: Outcome = "answered",
    latency_ms: int = 200,
    usage: Usage = USAGE,
    **changes: Any,
) -> Attempt:
    model = {"fast": "acme/small", "mid": "acme/middle", "power": "acme/big"}[tier]
    fields: dict[str, Any] = {
        "request_id": request_id,
        "attempt": number,
        "at_ns": int(request_id) * SECOND + number,
        "tenant": "",
        "key": "",
        "tags": "{}",
        "alias": "auto",
        "tier": tier,
        "deployment": model,
        "policy": "signals",
        "reason": f"because of {tier}",
        "price_version": "",
        "worst_case_nanousd": None,
        "is_stream": False,
    }
    end = Settlement(state="settled", outcome=outcome, usage=usage, latency_ms=latency_ms)
    return Intent(**(fields | changes)), end


def read(path: Path, *attempts: Attempt) -> tuple[list[LoggedRequest], LeftOut]:
    left_out = LeftOut()

    async def run() -> list[LoggedRequest]:
        ledger = SqliteLedger(path / "ledger.db")
        try:
            for intent, end in attempts:
                await ledger.reserve(intent)
                await ledger.settle(intent.request_id, intent.attempt, end)
            return list(read_ledger(ledger.rows(), left_out))
        finally:
            await ledger.close()

    return asyncio.run(run()), left_out


STRATEGIES = ("all-power", "all-fast", "all-fast + cache", "signals")


def compared(records: list[LoggedRequest], left_out: LeftOut | None = None) -> Comparison:
    return compare(
        records, snapshot=TIERS, aliases=("auto",), strategies=STRATEGIES, left_out=left_out
    )


def row_of(comparison: Comparison, strategy: str) -> StrategyRow:
    return next(row for row in comparison.rows if row.strategy == strategy)


def test_audits_are_no_requests_of_anybody(tmp_path):
    asked = attempt("1")
    shadow = attempt("2", "power", outcome="audited", policy=AUDIT)
    records, left_out = read(tmp_path, asked, shadow)
    assert [record.model for record in records] == ["acme/small"] and not left_out.attempts


def test_an_answered_attempt_is_a_record_without_its_prompt(tmp_path):
    (record,), left_out = read(tmp_path, attempt("1", "mid"))
    assert (record.request, record.usage, record.model) == (None, USAGE, "acme/middle")
    assert (record.latency_ms, record.at_s, record.is_hit) == (200, 1.000000001, False)
    assert record.booked is not None and record.booked.tier == "mid"
    assert left_out.attempts == {}


def test_an_escalated_request_was_decided_for_the_tier_it_began_on(tmp_path):
    (record,), left_out = read(
        tmp_path,
        attempt("1", "fast", outcome="rejected"),
        attempt("1", "mid", number=2, outcome="failed"),
        attempt("1", "power", number=3),
    )
    assert record.booked is not None and record.booked.tier == "fast"
    assert record.model == "acme/big"
    assert left_out.attempts == {"rejected": 1, "failed": 1}


def test_all_to_one_tier_is_priced_from_the_tokens_and_signals_as_booked(tmp_path):
    records, _ = read(tmp_path, attempt("1", "fast"), attempt("2", "power"))
    comparison = compared(records)
    fast, power = 1_000 * 1_000 + 100 * 2_000, 1_000 * 10_000 + 100 * 30_000
    assert row_of(comparison, "all-fast").cost_nanousd == 2 * fast
    assert row_of(comparison, "all-power").cost_nanousd == 2 * power
    signals = row_of(comparison, "signals")
    assert (signals.cost_nanousd, signals.is_cost_estimated) == (fast + power, False)
    assert any("without their prompts" in note for note in comparison.notes)


def test_hits_are_those_that_were_booked(tmp_path):
    records, _ = read(tmp_path, attempt("1"), attempt("2", outcome="hit", latency_ms=0))
    comparison = compared(records)
    plain, cached = row_of(comparison, "all-fast"), row_of(comparison, "all-fast + cache")
    assert plain.cost_nanousd == 2 * 1_200_000 and cached.cost_nanousd == 1_200_000
    assert (plain.cache_hits, cached.cache_hits) == (0, 1)
    # The hit would have been a call: as long as the other answer of that length.
    assert (plain.latency_mean_ms, plain.is_latency_estimated) == (200, True)
    assert (cached.latency_mean_ms, cached.is_latency_estimated) == (100, False)


def test_what_another_policy_decided_leaves_signals_unknown(tmp_path):
    records, _ = read(tmp_path, attempt("1"), attempt("2", policy="cascade"))
    comparison = compared(records)
    signals = row_of(comparison, "signals")
    assert (signals.cost_nanousd, signals.undecided, signals.latency_mean_ms) == (None, 1, None)
    assert "what signals would have cost against all-power is not known" in comparison.summary
    assert row_of(comparison, "all-fast").cost_nanousd is not None


def test_attempts_without_an_answer_are_counted_by_how_they_ended(tmp_path):
    records, left_out = read(tmp_path, attempt("1", outcome="failed"), attempt("2"))
    comparison = compared(records, left_out)
    assert comparison.log.attempts_left_out == {"failed": 1}
    assert any("gave no answer are left out: 1 failed" in note for note in comparison.notes)
