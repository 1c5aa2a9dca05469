"""The ledger's SQL for labels: readings, audits, and what can be learned from."""

import sqlite3
from collections.abc import Iterator
from itertools import chain

from pointsman.ledger import AuditLabel, Label
from pointsman.ledger.sqlite_rows import PAGE_ROWS, storable_text, storable_whole
from pointsman.ledger.sqlite_statements import Many, Query, Values, page_of

INSERT_READINGS = Many("INSERT OR IGNORE INTO readings (request_id, reading) VALUES", 2)
_INSERT_AUDIT = """
INSERT OR IGNORE INTO audits (
    request_id, at_ns, regime, "group", steps, steps_after, floor, judge, routed, strongest,
    quality_routed, quality_strongest
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SELECT_AUDITS = """
SELECT request_id, at_ns, regime, "group", steps, steps_after, floor, judge, routed, strongest,
    quality_routed, quality_strongest, id
FROM audits WHERE id > ? ORDER BY id LIMIT ?
"""
# An answer that a model would have compared with itself teaches nothing: nobody has judged it.
# Of a request's attempts one gives the answer; the audit's own ones stand under a request id of
# their own (`audit.calls`).
_SELECT_AUDIT_LABELS = page_of(
    """
SELECT a.request_id, a.at_ns, i.tenant, i.tags, i.tier, a.routed, a.judge, a."group", r.reading,
    a.quality_routed, e.cost_nanousd, a.strongest, a.quality_strongest,
    coalesce(
        (SELECT s.cost_nanousd FROM past_ends AS s
         WHERE s.request_id = a.request_id || '-audit' AND s.outcome = 'audited'),
        (SELECT s.cost_nanousd FROM live AS s
         WHERE s.request_id = a.request_id || '-audit' AND s.outcome = 'audited')),
    a.id
FROM audits AS a
CROSS JOIN {intents} AS i ON i.request_id = a.request_id
CROSS JOIN {ends} AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
LEFT JOIN readings AS r ON r.request_id = a.request_id
WHERE a.id > ?1 AND e.outcome = 'answered'
    AND NOT (a.routed = a.strongest AND a.judge LIKE 'tier:%')""",
    "15",
    "?2",
)
_SELECT_FEEDBACK_LABELS = page_of(
    """
SELECT f.request_id, f.at_ns, i.tenant, i.tags, i.tier, i.deployment, 'feedback', '', r.reading,
    f.score, CASE e.outcome WHEN 'answered' THEN e.cost_nanousd END, NULL, NULL, NULL,
    f.request_id
FROM feedback AS f
CROSS JOIN {intents} AS i ON i.request_id = f.request_id
CROSS JOIN {ends} AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
LEFT JOIN readings AS r ON r.request_id = f.request_id
WHERE f.request_id > ?1 AND e.outcome IN ('answered', 'hit')
    AND f.id = (SELECT max(id) FROM feedback WHERE request_id = f.request_id)""",
    "15",
    "?2",
)


def reading_values(request_id: str, reading: str) -> Values:
    """Return what `insert_reading` wants."""
    return storable_text(request_id), storable_text(reading)


def audit_values(label: AuditLabel) -> Values:
    """Return a label's columns in the table's order, each one storable."""
    return (
        storable_text(label.request_id),
        storable_whole(label.at_ns),
        label.regime,
        storable_text(label.group),
        label.steps,
        label.steps_after,
        label.floor,
        storable_text(label.judge),
        storable_text(label.routed),
        storable_text(label.strongest),
        label.quality_routed,
        label.quality_strongest,
    )


def insert_reading(connection: sqlite3.Connection, values: Values) -> bool:
    """Add a reading; return False when the request has one."""
    return INSERT_READINGS.write(connection, (values,)) > 0


def insert_audit(connection: sqlite3.Connection, values: Values, reading: Values) -> bool:
    """Add a label and its request's reading; return False when the request has a label."""
    insert_reading(connection, reading)
    return connection.execute(_INSERT_AUDIT, values).rowcount > 0


def select_audits(query: Query) -> Iterator[AuditLabel]:
    """Yield the audits' labels in the order of their booking, a page in memory."""
    position = 0
    while page := query(_SELECT_AUDITS, (position, PAGE_ROWS)):
        for found in page:
            (request_id, at_ns, regime, group, steps, steps_after, floor, judge, routed, strongest,
             quality_routed, quality_strongest, position) = found  # fmt: skip
            yield AuditLabel(
                request_id=request_id,
                at_ns=at_ns,
                regime=regime,
                group=group,
                steps=steps,
                steps_after=steps_after,
                floor=floor,
                judge=judge,
                routed=routed,
                strongest=strongest,
                quality_routed=quality_routed,
                quality_strongest=quality_strongest,
            )


def select_labels(query: Query) -> Iterator[Label]:
    """Yield what can be learned from, audits first, a page in memory."""
    return chain(
        _labels(query, _SELECT_AUDIT_LABELS, 0), _labels(query, _SELECT_FEEDBACK_LABELS, "")
    )


def _labels(query: Query, sql: str, position: int | str) -> Iterator[Label]:
    while page := query(sql, (position, PAGE_ROWS)):
        for found in page:
            (request_id, at_ns, tenant, tags, tier, deployment, judge, group, reading,
             quality, cost, strongest, quality_of_it, cost_of_it, position) = found  # fmt: skip
            qualities, costs = {deployment: quality}, {deployment: cost}
            if strongest not in (None, deployment):
                qualities[strongest], costs[strongest] = quality_of_it, cost_of_it
            yield Label(
                request_id=request_id,
                at_ns=at_ns,
                tenant=tenant,
                tags=tags,
                tier=tier,
                deployment=deployment,
                judge=judge,
                group=group,
                reading=reading,
                qualities=qualities,
                costs_nanousd={name: known for name, known in costs.items() if known is not None},
            )
