"""`counterfoil status`: one screen that says what is healthy, what is late and what is stuck."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from terminal.frame import EXIT_PARTIAL, Frame, emit, json_option, pass_frame

if TYPE_CHECKING:
    from crm_core.store.alerts import Concern
    from crm_core.store.state import Run
    from sync_jobs.watching.standing import ConnectionStanding, Standing
    from terminal.tables import Table

_STYLES = {"healthy": "green", "working": "cyan", "late": "yellow", "stuck": "bold red", "new": "dim"}
_MOST_CONCERNS = 12
_MOST_CONNECTIONS = 40


@click.command(short_help="What is healthy, late and stuck.")
@click.option("--company", help="Only the connections that belong to this company.")
@click.option("--all", "shows_all", is_flag=True, help="Every connection and every concern, however many there are.")
@json_option
@pass_frame
def status(frame: Frame, company: str | None, shows_all: bool, as_json: bool) -> None:
    """One screen that says what is healthy, late and stuck. Ends with 1 when something needs a person."""
    from sync_jobs.watching.standing import standing_of
    from terminal.tables import show

    found = standing_of(frame.hub(), company=company)
    if as_json:
        emit(standing_data(found))
    else:
        for place, table in enumerate(status_tables(found, shows_all=shows_all)):
            if place:
                click.echo()
            show(table)
    if found.needs_a_person:
        raise SystemExit(EXIT_PARTIAL)


def status_tables(found: Standing, *, shows_all: bool = False) -> list[Table]:
    """The connections, those that need somebody first; then what is wrong and how to go on."""
    from terminal.tables import Table

    words = Counter(one.word for one in found.connections)
    counted = ", ".join(f"{words[word]} {word}" for word in _STYLES if words[word])
    title = f"{_counted(len(found.connections), 'connection')}: {counted}" if counted else "no connection yet"
    ordered = sorted(found.connections, key=lambda one: ("stuck", "late", "working", "new", "healthy").index(one.word))
    shown = ordered if shows_all else ordered[:_MOST_CONNECTIONS]
    notes = [] if len(shown) == len(ordered) else [f"{len(ordered) - len(shown):,} more; --all shows them"]
    notes.append(f"database: schema {found.schema or 'none'}, {size(found.database_bytes)}")
    tables = [_connection_table(found, shown, title, notes)]
    if found.concerns:
        tables.append(_concern_table(found, found.concerns if shows_all else found.concerns[:_MOST_CONCERNS]))
    else:
        tables.append(Table("nothing needs a person", (), []))
    return tables


def _connection_table(found: Standing, shown: list[ConnectionStanding], title: str, notes: list[str]) -> Table:
    from terminal.tables import Column, Table, printable

    rows = [
        [
            printable(one.name),
            printable(one.company or ""),
            one.word,
            _ran(one.last_pull, found.now),
            _ran(one.last_push, found.now),
            *(f"{count:,}" if count else "" for count in (one.letters, one.deferred)),
            *(f"{count:,}" if count else "" for count in (one.waiting, one.rejected, one.unknown)),
            one.holder.host if one.holder is not None else "",
        ]
        for one in shown
    ]
    columns = (
        Column("connection", may_shrink=True),
        Column("company", may_shrink=True, leaves_at=4),
        Column("is", styles=_STYLES),
        Column("pulled", leaves_at=1),
        Column("pushed", leaves_at=2),
        Column("letters", align="right"),
        Column("deferred", align="right", leaves_at=5),
        Column("to send", align="right", leaves_at=3),
        Column("rejected", align="right"),
        Column("unknown", align="right", leaves_at=1),
        Column("used by", may_shrink=True, leaves_at=6),
    )
    return Table(title, columns, rows, notes)


def _concern_table(found: Standing, shown: tuple[Concern, ...] | list[Concern]) -> Table:
    from terminal.tables import Column, Table, printable

    rows = [
        row
        for one in shown
        for row in (
            [age(found.now - one.since), printable(one.connection), printable(one.text)],
            ["", "", printable(f"→ {one.hint}")],  # a row of its own, so that it can be copied
        )
    ]
    columns = (
        Column("for", align="right"),
        Column("connection", may_shrink=True, leaves_at=1),
        Column("needs a person", folds=True),
    )
    left_out = len(found.concerns) - len(shown)
    notes = [f"{left_out:,} more; --all shows them"] if left_out else []
    return Table(f"{_counted(len(found.concerns), 'matter')} for a person", columns, rows, notes)


def _ran(run: Run | None, now: datetime) -> str:
    """`3 min ago`; how it ended when that is not the usual."""
    if run is None:
        return ""
    if run.status == "running":
        return f"since {age(now - run.started_at)}"
    ended = run.finished_at or run.started_at
    said = "" if run.status == "succeeded" else f" {run.status}"
    return f"{age(now - ended)} ago{said}"


def age(value: Any) -> str:
    """`40 s`, `12 min`, `5 h`, `3 d`: the largest unit that says something."""
    seconds = max(0, int(value.total_seconds()))
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit or (seconds >= unit and unit > 60):
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def size(value: int) -> str:
    """`812 KB`, `3.4 GB`."""
    amount = float(value)
    for name in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {name}" if amount >= 10 or name == "B" else f"{amount:.1f} {name}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def standing_data(found: Standing) -> dict[str, Any]:
    """For `--json`."""
    return {
        "at": found.now,
        "needs_a_person": found.needs_a_person,
        "database": {"schema": found.schema, "bytes": found.database_bytes},
        "connections": [
            {
                "name": one.name,
                "connector": one.connector,
                "company": one.company,
                "is": one.word,
                "last_pull": _run_data(one.last_pull),
                "last_push": _run_data(one.last_push),
                "dead_letters": one.letters,
                "deferred": one.deferred,
                "outbox": {"waiting": one.waiting, "rejected": one.rejected, "unknown": one.unknown},
                "oldest_since": one.oldest_since,
                "used_by": one.holder.owner if one.holder is not None else None,
            }
            for one in found.connections
        ],
        "concerns": [
            {
                "kind": one.kind,
                "connection": one.connection,
                "since": one.since,
                "text": one.text,
                "hint": one.hint,
            }
            for one in found.concerns
        ],
    }


def _run_data(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "run": run.id,
        "job": run.job,
        "kind": run.kind,
        "status": run.status,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }
