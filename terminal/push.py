"""`counterfoil push`: what is queued goes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from crm_core.errors import ConfigurationFault, CounterfoilError, StoreFault, Transient
from terminal.frame import (
    EXIT_PARTIAL,
    EXIT_SUCCEEDED,
    Frame,
    complain,
    configure_logs,
    emit,
    json_option,
    note,
    pass_frame,
)

if TYPE_CHECKING:
    from crm_core.ids import EntityType
    from sync_jobs.bootstrap import Hub
    from sync_jobs.push_report import PushReport
    from terminal.push_progress import PushWatcher

EXIT_LATER = Transient.exit_code
"""Something is left that a later push goes on with by itself."""


@dataclass(slots=True)
class Pushed:
    """How the push of one connection ended. report: None when it did not come so far. open_work: what is left."""

    connection: str
    report: PushReport | None = None
    open_work: Mapping[EntityType, Counter[str]] = field(default_factory=dict)
    failure: CounterfoilError | None = None

    def left(self, *standings: str) -> int:
        """How many intents are left that stand so."""
        return sum(counts[one] for counts in self.open_work.values() for one in standings)

    @property
    def exit_code(self) -> int:
        """What stopped it; else whether a later push, or a person, has something left to do."""
        from sync_jobs.push_operations import MOVES_BY_ITSELF

        if self.failure is not None:
            return self.failure.exit_code
        if self.left(*MOVES_BY_ITSELF):
            return EXIT_LATER
        return EXIT_PARTIAL if self.open_work else EXIT_SUCCEEDED


@click.command(short_help="Send what is queued.")
@click.argument("connection", required=False)
@click.option("--dry-run", is_flag=True, help="Send nothing; show field by field what would be sent.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="Writes that a dry run shows.")
@click.option(
    "--wait",
    "wait_seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for back-offs and settle times while nothing moves.",
)
@json_option
@pass_frame
def push(frame: Frame, connection: str | None, dry_run: bool, limit: int, wait_seconds: float, as_json: bool) -> None:
    """Send what is queued for a connection, or for all that push something.

    What got no answer is looked up, and sent again only when it is surely absent. Several pushes may run at once.
    """
    from sync_jobs.push_operations import pushing_connections

    hub = frame.hub()
    names = pushing_connections(hub, connection)
    if not names:
        raise ConfigurationFault(
            f'{hub.settings.file.name}: no connection pushes anything; name it there, e.g. push = ["order"]'
        )
    if dry_run:
        _rehearse(hub, names, limit=limit, as_json=as_json)
        return
    from terminal.push_progress import watching_push
    from terminal.tables import show

    log = configure_logs(frame.log) if frame.log else None
    done = []
    for place, name in enumerate(names):
        with watching_push(log=log, is_quiet=as_json) as watcher:
            pushed = _push(hub, name, watcher, wait_seconds)
        done.append(pushed)
        if pushed.failure is not None and len(names) > 1 and log is None:
            complain(f"{name}: {pushed.failure}")
        if log is not None:
            _log_end(hub, log, pushed)
        if not as_json and pushed.report is not None:
            if place:
                click.echo()
            show(push_table(pushed))
    if as_json:
        emit({"is_dry_run": False, "connections": [pushed_data(one) for one in done]})
    _leave(done, log)


def _push(hub: Hub, name: str, watcher: PushWatcher, wait_seconds: float) -> Pushed:
    """One connection; what stops it is kept, so that the others go on."""
    from sync_jobs.push_operations import open_work, push

    pushed = Pushed(name)
    try:
        push(hub, name, listener=watcher, wait_seconds=wait_seconds)
    except CounterfoilError as failure:
        pushed.failure = failure
    pushed.report = watcher.report
    try:
        pushed.open_work = open_work(hub, name)
    except CounterfoilError as failure:
        pushed.failure = pushed.failure or failure
    return pushed


def _log_end(hub: Hub, log: Any, pushed: Pushed) -> None:
    """What the database keeps of it; what stopped it when it was not begun, or cannot be read any more."""
    from crm_core.store.state import find_run
    from sync_jobs.operations import opened
    from terminal.run_log import log_end

    run = None
    if pushed.report is not None:
        with suppress(StoreFault), opened(hub) as session:
            run = find_run(session, pushed.report.run_id)
    if run is not None:
        log_end(log, run)
    elif pushed.failure is not None:
        log.error("run_failed", connection=pushed.connection, error=str(pushed.failure))


def _leave(done: Sequence[Pushed], log: Any) -> None:
    """With the worst exit code; a single failure is told by the frame, like that of any command."""
    if len(done) == 1 and done[0].failure is not None:
        raise done[0].failure
    code = worst(one.exit_code for one in done)
    if any(one.left("rejected", "to be told") for one in done):
        note(log, "some wait for a person: `counterfoil outbox list` says why")
    if code == EXIT_LATER:
        note(log, "some are left for later: the next push goes on with them")
    if code:
        raise SystemExit(code)


def worst(codes: Iterable[int]) -> int:
    """Of exit codes: whatever needs a person at once before `later`, that before `some were set aside`."""
    gentle = (EXIT_SUCCEEDED, EXIT_PARTIAL, EXIT_LATER)
    return max(codes, key=lambda code: (code not in gentle, code))


# -- the end of a push ------------------------------------------------------------------------------------------------


def push_table(pushed: Pushed) -> Any:
    """Per entity: what became of the intents, what is left, how fast it went."""
    from terminal.tables import Column, Table, printable, seconds

    report = pushed.report
    assert report is not None
    entities = list(dict.fromkeys([*report.done, *pushed.open_work]))
    rows = []
    for entity in entities:
        done, left = report.done.get(entity, Counter()), pushed.open_work.get(entity, Counter())
        there = sum(done[what] for what in ("created", "updated", "cancelled", "adopted"))
        counts = [done["created"], done["updated"], done["cancelled"], done["adopted"], left["rejected"]]
        counts += [left["unknown"] + left["to be told"], left["waiting"] + left["blocked"]]
        rows.append(
            [
                entity.value,
                *(f"{count:,}" if count else "" for count in counts),
                _rate(there, report.seconds),
            ]
        )
    columns = (
        Column("entity"),
        Column("created", align="right", leaves_at=1),
        Column("updated", align="right", leaves_at=1),
        Column("cancelled", align="right", leaves_at=1),
        Column("adopted", align="right", leaves_at=1),
        Column("rejected", align="right", leaves_at=1),
        Column("unknown", align="right", leaves_at=1),
        Column("waiting", align="right", leaves_at=1),
        Column("writes/s", align="right", leaves_at=3),
    )
    title = f"run {report.run_id}, push to {printable(pushed.connection)}: {report.status}, {seconds(report.seconds)}"
    return Table(title, columns, rows, _notes(pushed) if rows else ["nothing was queued"])


def _notes(pushed: Pushed) -> list[str]:
    notes = []
    for standing, text in (
        ("rejected", "rejected: a person mends them, see `counterfoil outbox list --state rejected`"),
        ("to be told", "of the unknown ones, only a person can find out: `counterfoil outbox resolve`"),
        ("blocked", "of the waiting ones, go out once another record is known over there"),
    ):
        count = pushed.left(standing)
        if count:
            notes.append(f"{count:,} {text}")
    return notes


def _rate(count: int, seconds: float) -> str:
    if not count or seconds <= 0:
        return ""
    rate = count / seconds
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def pushed_data(pushed: Pushed) -> dict[str, Any]:
    """For `--json`."""
    report = pushed.report
    return {
        "connection": pushed.connection,
        "run": report.run_id if report is not None else None,
        "status": report.status if report is not None else "failed",
        "error": str(pushed.failure) if pushed.failure is not None else None,
        "exit_code": pushed.exit_code,
        **(report.as_data() if report is not None else {}),
        "left": {entity.value: {what: n for what, n in left.items() if n} for entity, left in pushed.open_work.items()},
    }


# -- a dry run --------------------------------------------------------------------------------------------------------


def _rehearse(hub: Hub, names: Sequence[str], *, limit: int, as_json: bool) -> None:
    """What would go out now. One of several connections that cannot be asked does not hide the others."""
    from sync_jobs.push_operations import rehearse_push
    from terminal.intents import count_of, record_names

    told: list[dict[str, Any]] = []
    codes = []
    for name in names:
        try:
            changes = rehearse_push(hub, name, limit=limit)
        except CounterfoilError as failure:
            if len(names) == 1:
                raise
            complain(f"{name}: {failure}")
            codes.append(failure.exit_code)
            told.append({"connection": name, "error": str(failure), "changes": [], "changes_left_out": 0})
            continue
        codes.append(EXIT_PARTIAL if any(change.error for change in changes) else EXIT_SUCCEEDED)
        left_out = count_of(hub, connection=name, states=("queued",)) - len(changes)
        names_of = record_names(hub, [change.intent for change in changes])
        if as_json:
            found = [change_data(change, names_of[change.intent.id]) for change in changes]
            told.append({"connection": name, "error": None, "changes": found, "changes_left_out": left_out})
        else:
            _show_changes(name, changes, names_of, left_out)
    if as_json:
        emit({"is_dry_run": True, "connections": told})
    code = worst(codes)
    if code:
        raise SystemExit(code)


def _show_changes(name: str, changes: Sequence[Any], names_of: Mapping[int, str], left_out: int) -> None:
    from terminal.reports import difference_table
    from terminal.tables import Table, printable, show

    laid_open = [(change, difference_rows(change.fields)) for change in changes]
    longest = max((len(path) for _, rows in laid_open for path, _, _ in rows), default=0)
    for change, rows in laid_open:
        is_new = change.action == "create"
        title = f"{change.intent.entity.value} {printable(names_of[change.intent.id])}: {change.action}"
        table = difference_table(title, rows, longest, is_new=is_new)
        if not rows:
            table = Table(title, table.columns, [], [f"  {printable(_said(change))}"])
        show(table)
    if left_out > 0:
        click.echo(f"{left_out:,} more are queued; --limit shows more")
    bad = sum(1 for change in changes if change.error)
    cannot = f", {bad:,} cannot go out" if bad else ""
    click.echo(f"dry run of the push to {printable(name)}: {len(changes):,} looked at{cannot}; nothing was sent")


def _said(change: Any) -> str:
    """Of a change without fields."""
    if change.error:
        return f"cannot go out: {change.error}"
    return change.waits or ("it is cancelled over there" if change.action == "cancel" else "nothing differs over there")


def difference_rows(fields: Mapping[str, tuple[Any, Any]]) -> list[tuple[str, Any, Any]]:
    """(path, there, sent) with objects and lists laid open: only what differs, `lines[2].quantity`."""
    return [row for name, (old, new) in fields.items() for row in _rows(name, old, new)]


def _rows(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        # what cannot be read back over there is not known to differ
        return [row for key, value in new.items() if key in old for row in _rows(f"{path}.{key}", old[key], value)]
    if isinstance(new, list) and isinstance(old, list | None):
        there = old or []
        return [
            row
            for place in range(max(len(there), len(new)))
            for row in _rows(f"{path}[{place}]", _item(there, place), _item(new, place))
        ]
    return [] if old == new else [(path, old, new)]


def _item(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def change_data(change: Any, record: str) -> dict[str, Any]:
    """A change for `--json`."""
    return {
        "intent": change.intent.id,
        "entity": change.intent.entity.value,
        "crm_id": change.intent.crm_id,
        "record": record,
        "action": change.action,
        "error": change.error,
        "waits": change.waits,
        "fields": [{"field": path, "before": old, "after": new} for path, old, new in difference_rows(change.fields)],
    }
