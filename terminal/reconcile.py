"""`counterfoil reconcile`: both sides laid beside each other, what differs told, repaired, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from crm_core.errors import MassChangeHeld
from terminal.frame import (
    EXIT_PARTIAL,
    Frame,
    chosen_job,
    configure_logs,
    emit,
    entity_named,
    json_option,
    pass_frame,
)

if TYPE_CHECKING:
    from crm_core.store.drifts import Drift
    from crm_core.store.state import Run
    from sync_jobs.bootstrap import Hub
    from sync_jobs.report import RunReport
    from terminal.tables import Table

KINDS = {
    "changed_here": "changed here",
    "changed_there": "changed there, not pulled yet",
    "changed_on_both": "changed on both sides",
    "outdated": "made by an older mapping",
    "missing_here": "missing here",
    "gone_there": "gone there",
    "not_bound": "no record stands behind it",
    "not_taken": "ours, and otherwise there",
    "not_sent": "never sent",
}
"""The kinds of difference in words."""


@click.command(short_help="Compare both sides value by value; repair what differs.")
@click.argument("job", required=False)
@click.option("--entity", "entities", multiple=True, metavar="ENTITY", help="Only this entity; may be given again.")
@click.option("--repair", is_flag=True, help="Take theirs in, and queue what the CRM owns.")
@click.option("--approve", type=int, metavar="RUN", help="Let a held repair go on: this once without its guards.")
@click.option("--history", is_flag=True, help="What was found before and is still open; the back office is not asked.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="Differences that are shown.")
@json_option
@pass_frame
def reconcile(
    frame: Frame,
    job: str | None,
    entities: Sequence[str],
    repair: bool,
    approve: int | None,
    history: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Compare both sides of a job value by value.

    Ends with 1 when something differs that was not repaired. JOB may be left out when there is only one.
    """
    from sync_jobs import reconcile_operations
    from terminal.progress import watching

    if history and (repair or approve is not None):
        raise click.UsageError("--history only looks back; it does not go with --repair or --approve")
    if approve is not None and not repair:
        raise click.UsageError("--approve lets a held repair go on: give --repair, too")
    hub = frame.hub()
    name = chosen_job(hub.settings, job)
    chosen = [entity_named(entity) for entity in entities] if entities else None
    if history:
        found, total, runs = reconcile_operations.open_drifts(hub, name, entities=chosen, limit=limit)
        _show_history(found, total, runs, as_json=as_json)
        return
    log = configure_logs(frame.log) if frame.log else None
    with watching(log=log, is_quiet=as_json) as watcher:
        try:
            report = reconcile_operations.reconcile(
                hub, name, entities=chosen, repairs=repair, approves=approve, listener=watcher
            )
        except MassChangeHeld:
            _tell_hold(hub, name)
            raise
    if log is not None:
        log.info("run_finished", run=report.run_id, job=name, status=report.status)
    found, total = reconcile_operations.drifts_of_run(hub, report, limit=limit)
    _render(report, found, total, is_repair=repair, as_json=as_json)


def _tell_hold(hub: Hub, job: str) -> None:
    from sync_jobs.reconcile_operations import find_held_repair
    from terminal.reports import approval

    run = find_held_repair(hub, job)
    if run is not None:
        click.echo(f"run {run.id} is held. `counterfoil reconcile {job} --history` shows what was found;", err=True)
        click.echo(f"when it is right: {approval(run)}", err=True)


def _render(report: RunReport, found: Sequence[Drift], total: int, *, is_repair: bool, as_json: bool) -> None:
    from terminal.tables import show

    if as_json:
        emit(
            {
                "run": report.run_id,
                "job": report.job,
                "connection": report.connection,
                "status": report.status,
                "is_repair": is_repair,
                "entities": report.as_data(),
                "drifts": [drift_data(drift) for drift in found],
                "drifts_left_out": total - len(found),
            }
        )
    else:
        for table in drift_tables(found):
            show(table)
        if total > len(found):
            click.echo(f"{total - len(found):,} more differences; --limit shows more")
        show(summary_table(report))
        if report.unrepaired and not is_repair:
            click.echo(f"repair: counterfoil reconcile {report.job} --repair", err=True)
        elif report.unrepaired:
            click.echo("some records could not be repaired; `counterfoil dead-letters list` may say why", err=True)
    if report.status == "partial":
        raise SystemExit(EXIT_PARTIAL)


def _show_history(found: Sequence[Drift], total: int, runs: Sequence[Run], *, as_json: bool) -> None:
    from terminal.reports import run_data
    from terminal.tables import show

    if as_json:
        emit(
            {
                "drifts": [drift_data(drift) for drift in found],
                "drifts_left_out": total - len(found),
                "runs": [run_data(run, waits_for_approval=False) for run in runs],
            }
        )
        return
    for table in drift_tables(found):
        show(table)
    if total > len(found):
        click.echo(f"{total - len(found):,} more differences; --limit shows more")
    if not total:
        click.echo("nothing is known to differ" if runs else "no reconciles yet; `counterfoil reconcile` makes one")
    if runs:
        show(runs_table(runs))


# -- tables -----------------------------------------------------------------------------------------------------------


def summary_table(report: RunReport) -> Table:
    """What was compared of each entity, and what came of it."""
    from terminal.tables import Column, Table, seconds

    rows = [
        [
            one.entity.value,
            f"{one.read:,}",
            f"{one.drift.get('differing', 0):,}",
            f"{one.drift['repaired']:,}" if one.drift.get("repaired") else "",
            f"{one.drift['uncomparable']:,}" if one.drift.get("uncomparable") else "",
            seconds(one.seconds),
            f"{one.records_per_second:,.0f}",
        ]
        for one in report.entities.values()
    ]
    columns = (
        Column("entity"),
        Column("read", align="right"),
        Column("differ", align="right"),
        Column("repaired", align="right"),
        Column("set aside", align="right", leaves_at=1),
        Column("time", align="right", leaves_at=2),
        Column("records/s", align="right", leaves_at=3),
    )
    notes = []
    if any(one.drift.get("uncomparable") for one in report.entities.values()):
        notes.append("set aside: cannot be mapped, so their sides cannot be compared")
    return Table(f"run {report.run_id} of {report.job}: {_verdict(report)}", columns, rows, notes)


def _verdict(report: RunReport) -> str:
    found = sum(one.drift.get("differing", 0) for one in report.entities.values())
    left = report.unrepaired
    if not found:
        return "both sides agree"
    if left == 0:
        return f"{found:,} {_records(found)} repaired"
    return f"{left:,} {_records(left)} differ" + (f", {found - left:,} repaired" if left < found else "")


def _records(count: int) -> str:
    return "record" if count == 1 else "records"


def runs_table(runs: Sequence[Run]) -> Table:
    """The last reconciles, the newest first."""
    from terminal.tables import STATUS_STYLES, Column, Table, moment

    rows = []
    for run in runs:
        parts = [part for part in run.report.values() if isinstance(part, dict)]
        counts = [sum(int(part.get(key) or 0) for part in parts) for key in ("read", "differing", "repaired")]
        texts = [f"{count:,}" if count or place == 0 else "" for place, count in enumerate(counts)]
        rows.append([str(run.id), run.kind, run.status, moment(run.started_at), *texts])
    columns = (
        Column("run", align="right"),
        Column("kind", leaves_at=2),
        Column("status", styles=STATUS_STYLES),
        Column("started", leaves_at=1),
        Column("read", align="right"),
        Column("differ", align="right"),
        Column("repaired", align="right"),
    )
    return Table("reconciles", columns, rows)


def drift_tables(drifts: Sequence[Drift]) -> list[Table]:
    """A small table for each record: field by field our value, and theirs below it."""
    from terminal.tables import Column, Table, printable

    longest = max((len(drift.field) for drift in drifts), default=0)
    made = []
    for _, group in groupby(drifts, key=lambda one: (one.entity, one.record, one.kind, one.state)):
        same = list(group)
        first = same[0]
        ours = f" #{first.crm_id}" if first.crm_id is not None and not first.record.startswith("#") else ""
        state = f", {first.state}" if first.state != "open" else ""
        rows = [
            row
            for one in same
            for row in (
                [f"  {one.field}".ljust(longest + 2 if one.field else 1), "here", _value(one.here, one.field)],
                ["", "there", _value(one.there, one.field)],
            )
        ]
        columns = (Column("field"), Column("side"), Column("value", folds=True))
        title = f"{first.entity.value} {printable(first.record)}{ours}: {KINDS[first.kind]}{state}{_age(first)}"
        made.append(Table(title, columns, rows, has_header=False))
    return made


def _age(drift: Drift) -> str:
    seconds = (drift.last_seen_at - drift.first_seen_at).total_seconds()
    if seconds < 1:
        return ""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f", known for {seconds // size:.0f} {unit}"
    return f", known for {seconds:.0f} seconds"


def _value(text: str | None, field: str) -> str:
    from terminal.tables import plain

    value = _decoded(text)
    if value is None:
        return "none" if field else "nothing"
    return plain(value) or '""'


def _decoded(text: str | None) -> Any:
    import msgspec

    return None if text is None else msgspec.json.Decoder(float_hook=Decimal).decode(text)


def drift_data(drift: Drift) -> dict[str, Any]:
    """A difference for `--json`."""
    made = {name: getattr(drift, name) for name in drift.__slots__}
    return {**made, "here": _decoded(drift.here), "there": _decoded(drift.there)}
