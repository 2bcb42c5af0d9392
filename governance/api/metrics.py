"""Prometheus metrics in a registry of their own. Labels hold route templates, statuses and model versions: no names of persons."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, exposition
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from governance.api.call import Reply, Route
from lineage.errors import GovernError

__all__ = ["Metrics"]

log = logging.getLogger("governance.api")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; from an acknowledgement to a long trace."""

GAUGES = {
    "events": "OpenLineage events taken",
    "entries": "entries of the ledger",
    "lag": "ledger entries not yet in the graph",
    "lag_seconds": "how long the oldest of them waits",
    "rate": "events a second over the last minute",
    "dead_letters": "events that could not be folded",
    "nodes": "nodes of the graph",
    "edges": "edges of the graph",
}


class Metrics:
    """What is counted at the door, and the ingest's state read at each scrape."""

    def __init__(self, system: Any) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("govern_http_requests", "requests answered", ["method", "route", "status"], registry=self.registry)
        self.latency = Histogram(
            "govern_http_request_seconds", "time to the answer", ["method", "route"], buckets=BUCKETS, registry=self.registry
        )
        self.predictions = Counter("govern_predictions", "predictions answered", ["model", "version"], registry=self.registry)
        self.intake = Counter(
            "govern_intake_refused", "requests for erasure that were told to come again", ["limit"], registry=self.registry
        )
        for limit in ("key", "all", "waiting"):
            self.intake.labels(limit)  # an alert needs the zero before the first one
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.registry.register(_Ingest(system))

    def observe(self, route: Route | None, method: str, reply: Reply, seconds: float) -> None:
        """Count one answer; what matched no route counts under one label, so that a stranger cannot make many."""
        key = (method, route.path, reply.status) if route else ("(any)", "(none)", reply.status)
        series = self._series.get(key)
        if series is None:
            counter, histogram = self.requests.labels(key[0], key[1], str(key[2])), self.latency.labels(key[0], key[1])
            series = self._series[key] = (counter, histogram)
        series[0].inc()
        series[1].observe(seconds)
        if reply.served:
            self.predictions.labels(*reply.served).inc()

    def refused(self, limit: str) -> None:
        """Count a request for erasure that a limit kept out for now."""
        self.intake.labels(limit).inc()

    def render(self) -> tuple[bytes, str]:
        """The exposition text and its media type."""
        return exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_PLAIN_0_0_4


class _Ingest(Collector):
    """The ingest's state as gauges; ``govern_up`` is 0 when it cannot be read."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def describe(self) -> Iterator[Metric]:
        """Nothing: so that registering reads no store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The present values."""
        try:
            status = self._system.lineage.status(digest=False)
        except GovernError as error:
            log.warning("metrics: the ingest's state cannot be read: %s", type(error).__name__)
            status = None
        yield GaugeMetricFamily("govern_up", "1 when the ingest's state can be read", value=0.0 if status is None else 1.0)
        for name, about in GAUGES.items():
            if status is not None and status.get(name) is not None:
                yield GaugeMetricFamily(f"govern_lineage_{name}", about, value=float(status[name]))
