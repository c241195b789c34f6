"""What Prometheus reads: requests, images, seconds, what waits, and how many images were unlike the training images."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from graftwork.serving.answers import About

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters of one service; several in one process do not mix."""

    def __init__(self, about: About, waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "graftwork_requests", "Requests, by address and status.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "graftwork_predict_seconds",
            "Seconds from the first byte of a request for predictions to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.images = Counter("graftwork_images", "Images, by the status of each.", ["status"], registry=registry)
        self.novel = Counter(
            "graftwork_novel_images", "Images that were flagged as unlike the training images.", registry=registry
        )
        self.batches = Histogram(
            "graftwork_batch_images", "Images of a batch.", buckets=(1, 2, 4, 8), registry=registry
        )
        Gauge("graftwork_waiting_images", "Images that wait or are computed.", registry=registry).set_function(waiting)
        served = Gauge("graftwork_model", "What is served.", ["name", "created", "version"], registry=registry)
        served.labels(about.name, about.created, about.version).set(1)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
