"""What a monitoring system may read: which index serves, how old it is, and whether one was refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from rag.serve.live import LiveIndex


class IndexCollector(Collector):
    """Reads the index in service at each scrape, so nothing is counted twice."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        status = self._live.status
        told = {"index_id": status.index.index_id, "encoder": status.index.encoder}
        yield InfoMetricFamily("citewell_index", "The index that serves.", value=told)
        built = datetime.fromisoformat(status.index.built_at).timestamp()
        yield GaugeMetricFamily("citewell_index_built_timestamp_seconds", "When it was built.", value=built)
        yield GaugeMetricFamily(
            "citewell_index_refused",
            "1 while the version that 'current' names is refused and an earlier one serves.",
            value=int(status.refusal is not None),
        )
        reloads = CounterMetricFamily(
            "citewell_index_reloads", "Attempts to change over to another version.", labels=["outcome"]
        )
        reloads.add_metric(["served"], status.reloads)
        reloads.add_metric(["refused"], status.refusals)
        yield reloads


def metrics_of(live: LiveIndex) -> CollectorRegistry:
    """The metrics of one application; no global registry."""
    registry = CollectorRegistry()
    registry.register(IndexCollector(live))
    return registry


def exposition(registry: CollectorRegistry) -> Response:
    """The metrics in the text format of Prometheus."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
