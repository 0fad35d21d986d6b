"""What Prometheus is told: requests as they are answered, and the state of the hub when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from crm_core.store import outbox
from crm_core.store.letters import count_open_letters
from crm_core.store.session import Session
from crm_core.store.state import last_runs

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
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def refused(self, cause: str) -> None:
        """Somebody was not let in."""
        self._refused.labels(cause).inc()

    def unaudited(self, count: int) -> None:
        """Audit entries of readings were given up."""
        self._unaudited.inc(count)

    def text(self, session: Session, now: datetime) -> bytes:
        """Everything in Prometheus' text format, with the state of the hub as it is now."""
        hub = CollectorRegistry()
        hub.register(_HubState(session, now))
        return generate_latest(self._registry) + generate_latest(hub)


class _HubState(Collector):
    """Read when it is asked for; nothing is remembered."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session, self._now = session, now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families."""
        letters = GaugeMetricFamily(
            "counterfoil_dead_letters_open",
            "Records set aside, waiting for a person",
            labels=("connection", "entity", "cause"),
        )
        for connection, entity, cause, count in count_open_letters(self._session):
            letters.add_metric((connection, entity, cause), count)
        yield letters
        intents = GaugeMetricFamily("counterfoil_outbox", "Intents by state", labels=("connection", "entity", "state"))
        totals: dict[tuple[str, str, str], int] = {}
        for connection, entity, state, _, count in outbox.count_intents(self._session):
            totals[connection, entity, state] = totals.get((connection, entity, state), 0) + count
        for labels, count in totals.items():
            intents.add_metric(labels, count)
        yield intents
        ages = GaugeMetricFamily(
            "counterfoil_run_age_seconds", "Since the last run of a job ended", labels=("job", "kind", "status")
        )
        for run in last_runs(self._session):
            if run.finished_at is not None:
                ages.add_metric((run.job, run.kind, run.status), (self._now - run.finished_at).total_seconds())
        yield ages
