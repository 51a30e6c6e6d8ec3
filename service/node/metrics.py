"""The node's metrics: what happened in the receiving process, and the queue as it stands."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from service.node.queue import Queue

REGISTRY = CollectorRegistry()

RECEIVED = Counter(
    "cxr_node_received",
    "Instances that arrived, by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)
REJECTED = Counter(
    "cxr_node_rejected",
    "Connections and associations turned away, by the reason.",
    ["reason"],
    registry=REGISTRY,
)


class QueueMetrics:
    """Reads the queue when it is asked; no name of a patient, a file or a UID is in it."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """The gauges, as prometheus-client asks for them."""
        instances = GaugeMetricFamily("cxr_node_instances", "Instances by state.", labels=["state"])
        counts = self._queue.counts()
        for state in ("received", "scored", "refused", "dead"):
            instances.add_metric([state], counts.get(state, 0))
        deliveries = GaugeMetricFamily(
            "cxr_node_deliveries", "Deliveries by state.", labels=["destination", "state"]
        )
        for (destination, state), count in self._queue.delivery_counts().items():
            deliveries.add_metric([destination, state], count)
        oldest = GaugeMetricFamily(
            "cxr_node_oldest_seconds", "How long the oldest has waited.", labels=["stage"]
        )
        for stage, seconds in self._queue.oldest().items():
            oldest.add_metric([stage], seconds)
        free = GaugeMetricFamily("cxr_node_free_bytes", "Free on the disk of the queue.")
        free.add_metric([], self._queue.free_bytes())
        yield from (instances, deliveries, oldest, free)


def exposition(queue: Queue) -> bytes:
    """All metrics of the node as Prometheus reads them."""
    gauges = CollectorRegistry()
    gauges.register(QueueMetrics(queue))
    return generate_latest(REGISTRY) + generate_latest(gauges)
