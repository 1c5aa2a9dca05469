"""Audits in the report: costs of their own, and what they found, in no other figure."""

import csv
import io
from typing import Any

from tests.contracts.test_ledger_labels import label
from tests.test_report import ROWS, TIERS, TOKENS, M, row

from pointsman.ledger import AuditLabel, Row
from pointsman.report import Report, build_report
from pointsman.report_audits import AuditedGroup
from pointsman.report_views import to_csv, to_text


def audit(request_id: str, **more: Any) -> Row:
    return row(request_id, model="p/large", tier="power", usage=TOKENS, policy="audit", **more)


# 13 thousandths of a USD each, one failed at no cost, and one of which nobody knows.
AUDITS = [
    audit("r1-audit", outcome="audited", cost=13 * M),
    audit("r1-judge-1", outcome="judged", cost=2 * M),
    audit("r2-audit", outcome="failed", cost=0, state="voided"),
    audit("r3-audit", outcome="cancelled", cost=None, state="unknown", worst_case_nanousd=5),
]


def build(rows: list[Row], audits: list[AuditLabel] | None = None) -> Report:
    return build_report(rows, tiers=TIERS, audits=audits or [])


def test_audits_are_no_calls_answers_or_failures_of_clients():
    without, report = build(ROWS), build([*ROWS, *AUDITS])
    for name in ("calls", "answered", "hits", "escalations", "fallbacks", "failures", "cancelled"):
        assert getattr(report, name) == getattr(without, name), name
    assert report.attempts == without.attempts + 4
    assert report.cost_nanousd == without.cost_nanousd + 15 * M
    assert report.audit.calls == 0 and report.audit.attempts == 4
    assert (report.audit.cost_nanousd, report.audit.unknown_attempts) == (15 * M, 1)
    assert report.estimated_alternatives == without.estimated_alternatives


def test_what_audits_cost_is_a_loss_of_its_own_in_the_savings():
    without, report = build(ROWS).estimated_savings, build([*ROWS, *AUDITS]).estimated_savings
    assert without and report
    assert (without.audits_nanousd, report.audits_nanousd) == (0, 15 * M)
    assert report.total_nanousd == without.total_nanousd - 15 * M
    assert (report.routing_nanousd, report.escalations_nanousd, report.failures_nanousd) == (
        without.routing_nanousd,
        without.escalations_nanousd,
        without.failures_nanousd,
    )


def test_audits_are_shown_apart_and_only_where_there_are_any():
    text = to_text(build([*ROWS, *AUDITS]))
    assert "audits           ≥ $0.015 for 4 attempts, in the cost" in text
    assert "lost to audits                                        -$0.015" in text
    assert "audit" not in to_text(build(ROWS)) and "audit" not in to_csv(build(ROWS))


def test_csv_has_the_audits_as_a_part_of_the_total_and_of_the_savings():
    table = list(csv.reader(io.StringIO(to_csv(build([*ROWS, *AUDITS])))))
    assert ["of these", "audits", "0", "0", "4", "4000", "400", "0.015000000", "0", "1"] in table
    assert ["estimated savings", "lost to audits", *[""] * 5, "-0.015000000", "", ""] in table


FOUND = [
    label("r1", regime="old", group="maths", steps_after=1),
    label("r2", quality_routed=1.0),
    label("r3", quality_routed=0.0, steps_after=1),
    label("r4", quality_routed=0.0),  # decided before the step: no label of what came after
    label("r5", steps=1, steps_after=1, quality_routed=1.0),
    label("r6", steps=1, steps_after=1, quality_routed=0.5),
    label("r7", group="chat", quality_routed=0.0, quality_strongest=0.0),
]


def test_what_was_found_is_told_by_group_for_the_configuration_audited_last():
    assert build(ROWS, FOUND).audited == (
        AuditedGroup(
            name="chat",
            judge="validators",
            floor=0.95,
            labels=1,
            steps=0,
            labels_since_step=1,
            quality_kept_estimated=None,
        ),
        AuditedGroup(
            name="code",
            judge="validators",
            floor=0.95,
            labels=5,
            steps=1,
            labels_since_step=2,
            quality_kept_estimated=0.75,
        ),
    )


def test_a_lowered_threshold_is_told_in_words():
    lines = to_text(build(ROWS, FOUND)).splitlines()
    found = [line.split("  ") for line in lines[lines.index("Audits, since they began") + 2 :]]
    told = [[cell.strip() for cell in line if cell.strip()] for line in found]
    assert told == [
        ["chat", "1", "95%", "unknown", "validators", "as it was"],
        ["code", "5", "95%", "75%", "validators", "lowered once: the floor was broken"],
    ]
