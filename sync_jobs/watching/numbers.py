"""The hub's state as numbers, in Prometheus' text format. docs/watching.md lists the names.

Read from the store when it is asked for; nothing is remembered, so that any process may be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm_core.store.state import PUSH_KIND
from crm_core.store.watch import Facts, Pile, count_runs, read_facts
from sync_jobs.bootstrap import Hub
from sync_jobs.settings import Settings
from sync_jobs.watching.alert_settings import alert_settings
from sync_jobs.watching.concerns import ConcernKind, concerns_of

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One gauge: its labels and a value for each set of them."""

    name: str
    help: str
    labels: Labels
    values: Mapping[Labels, float] = field(default_factory=dict)


def hub_numbers(hub: Hub) -> list[Family]:
    """Everything, as it is now. Raises StoreFault, and ConfigurationFault for a table [alerts] that is wrong."""
    facts = read_facts(hub.database, hub.clock())
    with closing(hub.database.open()) as session:
        runs = count_runs(session)
    limits = alert_settings(hub.settings).limits
    concerns = concerns_of(facts, hub.settings.connections, limits)
    counts: dict[Labels, float] = {(name, kind.value): 0 for name in hub.settings.connections for kind in ConcernKind}
    for concern in concerns:
        counts[concern.connection, concern.kind] += 1
    return [
        _connections(hub.settings),
        Family(
            "counterfoil_runs",
            "Runs that are kept, by how they ended",
            ("connection", "kind", "status"),
            {(connection, kind, status): count for connection, kind, status, count in runs},
        ),
        *_run_families(facts),
        Family(
            "counterfoil_concerns",
            "Matters that need a person",
            ("connection", "kind"),
            counts,
        ),
        *_piles(
            facts.letters,
            facts.now,
            ("counterfoil_dead_letters_open", "Records set aside, waiting for a person", "cause"),
            ("counterfoil_dead_letters_oldest_seconds", "Age of the oldest open dead letter", "cause"),
        ),
        *_piles(
            facts.waiting,
            facts.now,
            ("counterfoil_deferred", "Records that wait for another one", "waits_for"),
            ("counterfoil_deferred_oldest_seconds", "Age of the oldest record that waits for another one", "waits_for"),
        ),
        *_intents(facts),
        *_piles(
            facts.drifts,
            facts.now,
            ("counterfoil_drifts_open", "Differences that a reconcile found", "kind"),
            ("counterfoil_drifts_oldest_seconds", "Age of the oldest open difference", "kind"),
        ),
        Family(
            "counterfoil_lease_expires_seconds",
            "Until the lease of whoever uses a connection ends, unless it is renewed",
            ("connection", "host"),
            {(one.name, one.host): (one.expires_at - facts.now).total_seconds() for one in facts.holders},
        ),
        Family(
            "counterfoil_connection_failures",
            "How often in a row jobs could not reach a connection; above 0 it is left alone but for a probe",
            ("connection",),
            {(name,): facts.failures.get(name, 0) for name in hub.settings.connections},
        ),
        Family(
            "counterfoil_job_due_seconds",
            "Until a scheduled job is due; below 0 it is late",
            ("connection", "job"),
            {
                (job.connection, job.job): (job.due_at - facts.now).total_seconds()
                for job in facts.jobs
                if job.due_at is not None and not job.is_paused
            },
        ),
        Family("counterfoil_database_bytes", "Size of the database", (), {(): facts.database_bytes}),
    ]


def as_text(families: Iterable[Family]) -> str:
    """Prometheus' text format, version 0.0.4; a family without values is left out."""
    lines: list[str] = []
    for family in families:
        if not family.values:
            continue
        lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} gauge"]
        for labels, value in family.values.items():
            named = ",".join(f'{name}="{_quoted(one)}"' for name, one in zip(family.labels, labels, strict=True))
            lines.append(f"{family.name}{{{named}}} {_number(value)}" if named else f"{family.name} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")


def _connections(settings: Settings) -> Family:
    return Family(
        "counterfoil_connection_info",
        "Always 1: what a connection is, to be joined by its name",
        ("connection", "connector", "company"),
        {(name, one.connector, one.company or ""): 1 for name, one in settings.connections.items()},
    )


def _run_families(facts: Facts) -> Iterator[Family]:
    yield Family(
        "counterfoil_run_age_seconds",
        "Since the last run of a job ended",
        ("job", "kind", "status"),
        {
            (run.job, run.kind, run.status): (facts.now - run.finished_at).total_seconds()
            for run in facts.last_runs
            if run.finished_at is not None
        },
    )
    yield Family(
        "counterfoil_good_run_age_seconds",
        "Since a job last came to a good end",
        ("connection", "job", "kind"),
        {
            (run.connection, run.job, run.kind): (facts.now - run.finished_at).total_seconds()
            for run in facts.good_runs
            if run.finished_at is not None
        },
    )
    read: dict[tuple[str, str], datetime] = {
        (run.connection, entity): run.finished_at
        for run in sorted(facts.good_runs, key=lambda run: run.id)
        if run.finished_at is not None and run.kind != PUSH_KIND
        for entity in run.report
    }
    read |= {(one.connection, one.entity): one.ended_at for one in facts.streams if one.ended_at is not None}
    yield Family(
        "counterfoil_stream_read_age_seconds",
        "Since an entity of a connection was last read to its end",
        ("connection", "entity"),
        {key: (facts.now - ended).total_seconds() for key, ended in sorted(read.items())},
    )
    records: dict[Labels, float] = {}
    for run in facts.last_runs:
        if run.finished_at is not None:
            for entity, decision, count in _decided(run.kind, run.report):
                records[run.connection, run.job, run.kind, entity, decision] = count
    yield Family(
        "counterfoil_last_run_records",
        "What became of the records of the last run of a job",
        ("connection", "job", "kind", "entity", "decision"),
        records,
    )


_NO_DECISION = frozenset({"full", "resumed", "pages", "seconds", "records_per_second"})


def _decided(kind: str, report: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """(entity, decision, how many); `read` counts what the back office gave."""
    entities = report.get("entities", {}) if kind == PUSH_KIND else report
    for entity, counts in entities.items():
        if isinstance(counts, Mapping):
            for decision, count in counts.items():
                if decision not in _NO_DECISION and isinstance(count, int) and not isinstance(count, bool) and count:
                    yield entity, decision, count


def _intents(facts: Facts) -> Iterator[Family]:
    yield from _piles(
        facts.intents,
        facts.now,
        ("counterfoil_outbox", "Intents that are not at their end, by state", "state"),
        ("counterfoil_outbox_oldest_seconds", "Age of the oldest intent that is not at its end", "state"),
    )


def _piles(
    piles: Iterable[Pile], now: datetime, counted: tuple[str, str, str], aged: tuple[str, str, str]
) -> Iterator[Family]:
    """Two families of the same piles: how many, and how old the oldest is."""
    listed = list(piles)
    name, text, label = counted
    labels = ("connection", "entity", label)
    keys: list[Labels] = [(one.connection, one.entity, one.what.replace(" ", "_")) for one in listed]
    yield Family(name, text, labels, {key: one.count for key, one in zip(keys, listed, strict=True)})
    name, text, _ = aged
    ages = {key: (now - one.since).total_seconds() for key, one in zip(keys, listed, strict=True)}
    yield Family(name, text, labels, ages)
