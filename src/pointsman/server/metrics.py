"""Metrics: what Prometheus scrapes. Every figure is a sum over the ledger's own bookings."""

from collections.abc import Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pointsman.audit import Standing
from pointsman.ledger import AUDIT, Intent, Settlement

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_NANOUSD_PER_USD = 1e9


class Metrics:
    """Counts attempts as they end; hang `observe` on a pipeline's observers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Looking a child up by its labels takes the library several times as long.
        self._counted, self._timed = cache(Counter.labels), cache(Histogram.labels)
        self._attempts = Counter(
            "pointsman_attempts",
            "Attempts and cache hits, by how they ended",
            ("tier", "model", "outcome"),
            registry=self.registry,
        )
        self._cost = Counter(
            "pointsman_cost_usd", "Spend in USD", ("tier", "model"), registry=self.registry
        )
        self._tokens = Counter(
            "pointsman_tokens", "Tokens booked", ("tier", "model", "kind"), registry=self.registry
        )
        self._unknown = Counter(
            "pointsman_cost_unknown",
            "Attempts whose cost nobody knows",
            ("tier", "model"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "pointsman_attempt_seconds",
            "Time from the call to the answer's end",
            ("tier",),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )

        self._audit_cost = Counter(
            "pointsman_audit_cost_usd",
            "The part of the spend that was for audits, in USD",
            ("tier", "model"),
            registry=self.registry,
        )
        self._audit_labels, self._audit_steps, self._audit_evidence = (
            Gauge(f"pointsman_audit_{name}", text, ("group",), registry=self.registry)
            for name, text in (
                ("labels", "Labels of audits since they began"),
                ("steps", "How often the floor was found broken, and the threshold lowered"),
                ("evidence", "Evidence against the floor since the last step, as an e-value"),
            )
        )

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Count one attempt."""
        place = (intent.tier, intent.deployment)
        self._counted(self._attempts, *place, settlement.outcome).inc()
        if settlement.cost_nanousd is None:
            self._counted(self._unknown, *place).inc()
        else:
            cost_usd = settlement.cost_nanousd / _NANOUSD_PER_USD
            self._counted(self._cost, *place).inc(cost_usd)
            if intent.policy == AUDIT:
                self._counted(self._audit_cost, *place).inc(cost_usd)
        if settlement.outcome == "hit":
            return
        usage = settlement.usage
        self._counted(self._tokens, *place, "input").inc(usage.input_tokens)
        self._counted(self._tokens, *place, "output").inc(usage.output_tokens)
        self._timed(self._latency, intent.tier).observe(settlement.latency_ms / 1000)

    def render(self, standings: Iterable[Standing] = ()) -> bytes:
        """Return the exposition text; `standings` are what the audits have found, by group."""
        for gauge in (self._audit_labels, self._audit_steps, self._audit_evidence):
            gauge.clear()  # a reload may have begun the tests anew
        for found in standings:
            self._audit_labels.labels(found.group).set(found.labels)
            self._audit_steps.labels(found.group).set(found.steps)
            self._audit_evidence.labels(found.group).set(found.evidence)
        return generate_latest(self.registry)
