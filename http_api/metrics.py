"""What Prometheus is told: requests as they are answered, and the state of the hub when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import BreakerReport, BreakerState
from sync_jobs.watching.numbers import Family, as_text, hub_numbers

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The numbers of one running face."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "counterfoil_http_request_seconds",
            "Time to answer, by route",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._refused = Counter(
            "counterfoil_http_refused_total", "Requests that were not let in", ("cause",), registry=self._registry
        )
        self._unaudited = Counter(
            "counterfoil_audit_lost_total",
            "Readings whose audit entry could not be kept",
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request is done. route: its template, never the path: a path holds ids."""
        key = method, route, status
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._seconds.labels(method, route, str(status))
        series.observe(seconds)

    def refused(self, cause: str) -> None:
        """Somebody was not let in."""
        self._refused.labels(cause).inc()

    def unaudited(self, count: int) -> None:
        """Audit entries of readings were given up."""
        self._unaudited.inc(count)

    def text(self, hub: Hub, breakers: Iterable[BreakerReport]) -> bytes:
        """Everything in Prometheus' text format, with the state of the hub as it is now."""
        families = [*hub_numbers(hub), _breakers(breakers)]
        return generate_latest(self._registry) + as_text(families).encode()


_BREAKER_NUMBERS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


def _breakers(reports: Iterable[BreakerReport]) -> Family:
    return Family(
        "counterfoil_breaker_state",
        "Whether this process asks a back office: 0 = yes, 1 = one probe, 2 = not now",
        ("connection",),
        {(one.connection,): _BREAKER_NUMBERS[one.state] for one in reports},
    )
