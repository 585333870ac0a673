"""Figures of a running server for Prometheus: how many, how fast, how full; none about a client or a face."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PATHS = ("/", "/predict", "/login", "/health", "/metrics")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30)


class Figures:
    """The counters of one server; a registry of its own, so that tests can have several."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        kept = self._registry
        self._requests = Counter(
            "mien_requests", "Requests by path and status.", ("path", "status"), registry=kept
        )
        self._pictures = Counter(
            "mien_pictures", "Pictures by outcome: face, no_face, unreadable.", ("outcome",), registry=kept
        )
        self._seconds = Histogram(
            "mien_answer_seconds", "From the whole upload to the answer.", buckets=SECONDS, registry=kept
        )
        self._batch = Histogram(
            "mien_batch_pictures",
            "Pictures in the batch that a picture was in.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=kept,
        )
        self._taken = Gauge("mien_waiting_pictures", "Pictures that wait or are worked on.", registry=kept)

    def request(self, path: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(path if path in PATHS else "other", str(status)).inc()

    def picture(self, outcome: str, seconds: float, batch: int) -> None:
        """Count a picture that the model has seen."""
        self._pictures.labels(outcome).inc()
        self._seconds.observe(seconds)
        self._batch.observe(batch)

    def text(self, waiting: int) -> bytes:
        """All of them as Prometheus reads them."""
        self._taken.set(waiting)
        return generate_latest(self._registry)
