"""Metrics: what Prometheus scrapes. Every figure is a sum over the ledger's own bookings."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from pointsman.ledger import Intent, Settlement

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_NANOUSD_PER_USD = 1e9


class Metrics:
    """Counts attempts as they end; hang `observe` on a pipeline's observers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Count one attempt."""
        tier, model = intent.tier, intent.deployment
        self._attempts.labels(tier, model, settlement.outcome).inc()
        if settlement.cost_nanousd is None:
            self._unknown.labels(tier, model).inc()
        else:
            self._cost.labels(tier, model).inc(settlement.cost_nanousd / _NANOUSD_PER_USD)
        if settlement.outcome == "hit":
            return
        usage = settlement.usage
        self._tokens.labels(tier, model, "input").inc(usage.input_tokens)
        self._tokens.labels(tier, model, "output").inc(usage.output_tokens)
        self._latency.labels(tier).observe(settlement.latency_ms / 1000)

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
