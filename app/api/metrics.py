"""`GET /metrics`: what Prometheus may know of this process. Names and counts only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.store import figures, flags
from app.store.database import Database
from app.store.flags import FLAGS, FlagName

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one app."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Stored(database))
        self._points = Counter(
            "heed_points", "Posted points by what became of them.", ["outcome"], registry=self.registry
        )
        self._requests = Histogram(
            "heed_request_seconds",
            "Time to answer, by route and status.",
            ["method", "route", "status"],
            buckets=SECONDS,
            registry=self.registry,
        )

    def count_points(self, accepted: int, duplicates: int, rejected: int) -> None:
        self._points.labels("accepted").inc(accepted)
        self._points.labels("duplicate").inc(duplicates)
        self._points.labels("rejected").inc(rejected)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, status).observe(seconds)


class _Stored(Collector):
    """Figures that are counted in the database when asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        with self._database.reading() as session:
            yield GaugeMetricFamily("heed_series", "Series known.", figures.count_series(session))
            yield _by_label("heed_alerts", "Alerts by status.", "status", figures.count_alerts_by_status(session))
            yield _by_label(
                "heed_notifications",
                "Notifications by status: pending ones wait to be sent, dead ones were given up.",
                "status",
                figures.count_notifications_by_status(session),
            )
            yield _flags(flags.states(session))


def _flags(states: dict[FlagName, str]) -> Metric:
    family = GaugeMetricFamily(
        "heed_flag", "1 where a flag has this state, 0 where it is as usual.", labels=["flag", "state"]
    )
    for name, kind in FLAGS.items():
        family.add_metric([name, kind.other], float(name in states))
    return family


def _by_label(name: str, meaning: str, label: str, counts: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def answer_metrics(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


class Timed:
    """Counts every request by the pattern of its route, never by its address: addresses hold link tokens."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in KNOWN_METHODS else "other"
            self._metrics.count_request(method, route, status, perf_counter() - started)


KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
