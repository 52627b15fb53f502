"""What Prometheus can ask of a server: requests by route and status, their seconds, and what is computed."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from cnlrn.server.workers import Workers

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """Of one server."""

    def __init__(self, workers: Workers) -> None:
        """Nothing is counted yet."""
        self._registry = CollectorRegistry()
        self._requests = Counter("cnlrn_requests", "Requests.", ("method", "route", "status"), registry=self._registry)
        self._seconds = Histogram(
            "cnlrn_request_seconds",
            "From a request's head to its end.",
            ("route",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        for name, help_, read in (
            ("cnlrn_pictures_running", "Pictures that are computed.", lambda: workers.running),
            ("cnlrn_pictures_waiting", "Pictures that wait.", lambda: workers.waiting),
        ):
            Gauge(name, help_, registry=self._registry).set_function(read)

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """One more request has been answered."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        return generate_latest(self._registry)
