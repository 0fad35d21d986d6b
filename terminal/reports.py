"""From runs and changes to tables and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from crm_core.model.differences import Difference, laid_open
from crm_core.model.schema import Kind, schema_of
from crm_core.store.state import PULL_KINDS, PUSH_KIND, REPAIR_KIND
from sync_jobs.decisions import Decision
from terminal.frame import EXIT_PARTIAL, emit, note
from terminal.tables import STATUS_STYLES, Column, Table, moment, plain, printable, seconds, show

if TYPE_CHECKING:
    from crm_core.store.letters import DeadLetter, Deferral
    from crm_core.store.state import Run
    from sync_jobs.report import Change, EntityReport, RunReport
    from terminal.progress import Watcher

# -- changes ----------------------------------------------------------------------------------------------------------


def change_rows(change: Change) -> list[Difference]:
    """(field, before, after) with parts and documents laid open: only what differs, `lines[2].quantity`."""
    fields = schema_of(change.entity).fields
    rows: list[Difference] = []
    for name, (old, new) in change.fields.items():
        if fields[name].kind is Kind.REFERENCE:
            rows.append((name, _crm_id(old), _crm_id(new)))
        else:
            rows += laid_open(fields[name], old, new)
    return rows


def _crm_id(value: Any) -> str | None:
    return None if value is None else f"#{value}"


def change_tables(changes: Sequence[Change]) -> list[Table]:
    """What a dry run would write, field by field: a small table for each record."""
    laid_open = [(change, change_rows(change)) for change in changes]
    longest = max((len(field) for _, rows in laid_open for field, _, _ in rows), default=0)
    made = []
    for change, rows in laid_open:
        is_new = change.decision is Decision.CREATED
        ours = "" if is_new else f" #{change.crm_id}"  # a rehearsal's new ids are not those of the pull
        title = f"{change.entity.value} {printable(change.external_id)}: {change.decision.value}{ours}"
        made.append(difference_table(title, rows, longest, is_new=is_new))
    return made


def difference_table(title: str, rows: Sequence[tuple[str, Any, Any]], longest: int, *, is_new: bool) -> Table:
    """(field, before, after) each; only `after` of what is new. longest: of the fields of all tables, to align them."""
    texts = [
        [f"  {field}".ljust(longest + 2), "" if is_new else _or_none(old), "" if is_new else "→", _or_none(new)]
        for field, old, new in rows
    ]
    columns = (
        Column("field"),
        Column("before", folds=True, leaves_at=2),
        Column("", leaves_at=1),
        Column("after", folds=True),
    )
    return Table(title, columns, texts, has_header=False)


def _or_none(value: Any) -> str:
    return "none" if value is None else plain(value) or '""'


def change_data(change: Change) -> dict[str, Any]:
    """A change for `--json`."""
    return {
        "entity": change.entity,
        "external_id": change.external_id,
        "decision": change.decision,
        "fields": [{"field": field, "before": old, "after": new} for field, old, new in change_rows(change)],
    }


# -- runs -------------------------------------------------------------------------------------------------------------


def report_table(title: str, reports: Iterable[EntityReport]) -> Table:
    """Decision counts, time and speed of each entity. Decisions that did not occur are left out."""
    listed = list(reports)
    occurred = [decision for decision in Decision if any(report.decisions[decision] for report in listed)]
    rows = [
        [
            report.entity.value,
            "full" if report.is_full else "changes",
            f"{report.read:,}",
            *(f"{report.decisions[decision]:,}" if report.decisions[decision] else "" for decision in occurred),
            seconds(report.seconds),
            f"{report.records_per_second:,.0f}",
        ]
        for report in listed
    ]
    columns = (
        Column("entity"),
        Column("read as", leaves_at=2),
        Column("read", align="right"),
        *(Column(decision.value, align="right") for decision in occurred),
        Column("time", align="right", leaves_at=1),
        Column("records/s", align="right", leaves_at=3),
    )
    return Table(title, columns, rows)


def run_table(runs: Sequence[Run]) -> Table:
    """Runs, the newest first; how to let a held one go on."""
    rows, notes = [], []
    waiting = approvable(runs)
    for run in runs:
        counts = run_counts(run)
        rows.append(
            [
                str(run.id),
                printable(run.job),
                run.kind,
                run.status,
                moment(run.started_at),
                seconds((run.finished_at - run.started_at).total_seconds()) if run.finished_at else "",
                f"{counts['sent' if run.kind == PUSH_KIND else 'read']:,}",
                *(f"{counts[key]:,}" if counts[key] else "" for key in _WRITTEN),
                f"{counts['set_aside']:,}" if counts["set_aside"] else "",
            ]
        )
        if run.error:
            notes.append(f"run {run.id} {run.status}: {printable(run.error)}")
        if run.kind == PUSH_KIND:
            notes += _left_by(run)
        if run.id in waiting:
            notes.append(f"  find out why; when it is right: {approval(run)}")
    counted = {"sent" if run.kind == PUSH_KIND else "read" for run in runs}
    columns = (
        Column("run", align="right"),
        Column("job", may_shrink=True),
        Column("kind", leaves_at=1),
        Column("status", styles=STATUS_STYLES),
        Column("started"),
        Column("time", align="right", leaves_at=4),
        Column("records" if len(counted) > 1 else "".join(counted), align="right", leaves_at=1),
        *(Column(key, align="right", leaves_at=leaves_at) for key, leaves_at in _WRITTEN.items()),
        Column("set aside", align="right"),
    )
    return Table("runs", columns, rows, notes)


_WRITTEN = {"created": 2, "updated": 2, "deleted": 2, "cancelled": 3, "adopted": 3}
"""What a run wrote, and when its column leaves: `deleted` a pull only, `cancelled` and `adopted` (found to be there
already) a push only.
"""


def _left_by(run: Run) -> list[str]:
    """What a push has left for a person, or for a later push."""
    words = {"rejected": "rejected", "outcome_unknown": "without an answer", "queued": "queued"}
    left = run.report.get("left") or {}
    told = [f"{left[state]:,} {word}" for state, word in words.items() if left.get(state)]
    return [f"run {run.id} left {', '.join(told)}; see `counterfoil outbox list`"] if told else []


def approvable(runs: Sequence[Run]) -> set[int]:
    """Of runs, the newest first: those that a person can let go on, as `state.find_held_pull` finds them."""
    newest: dict[tuple[str, str], Run] = {}
    for run in runs:
        kind = PULL_KINDS[0] if run.kind in PULL_KINDS else run.kind
        if kind in (PULL_KINDS[0], REPAIR_KIND) and run.status in ("held", "succeeded", "partial"):
            newest.setdefault((run.job, kind), run)
    return {run.id for run in newest.values() if run.status == "held"}


def run_data(run: Run, *, waits_for_approval: bool) -> dict[str, Any]:
    """A stored run for `--json`, its report as `pull --json` or `push --json` gives it."""
    made = {name: getattr(run, name) for name in run.__slots__ if name != "report"}
    approve = approval(run) if waits_for_approval else None
    if run.kind == PUSH_KIND:
        numbers = {name: run.report.get(name, 0) for name in ("sent", "looked_up", "taken_over")}
        return {**made, "entities": _entities(run), **numbers, "left": run.report.get("left", {}), "approval": approve}
    entities = {
        entity: {key: float(value) if key == "seconds" else value for key, value in report.items()}
        for entity, report in _entities(run).items()
    }
    return {**made, "entities": entities, "approval": approve}


def _entities(run: Run) -> Mapping[str, Mapping[str, Any]]:
    """Its counts by entity; nothing yet while it runs, or when it was killed."""
    found: Mapping[str, Mapping[str, Any]] = run.report.get("entities", {}) if run.kind == PUSH_KIND else run.report
    return found


def approval(run: Run) -> str:
    """The command that lets a held run's job go on."""
    command = f"reconcile {run.job} --repair" if run.kind == REPAIR_KIND else f"pull {run.job}"
    return f"counterfoil {command} --approve {run.id}"


def run_counts(run: Run) -> dict[str, int]:
    """A stored run's counts over all of its entities."""
    entities = list(_entities(run).values())
    names = ("read", *(decision.value for decision in Decision), "cancelled", "adopted", "rejected")
    made = {name: sum(int(report.get(name) or 0) for report in entities) for name in names}
    made["sent"] = int(run.report.get("sent", 0)) if run.kind == PUSH_KIND else 0
    made["set_aside"] = made[Decision.DEAD.value] + made[Decision.DEFERRED.value] + made["rejected"]
    return made


def render_changes(watcher: Watcher) -> None:
    """What a dry run has found, field by field."""
    for table in change_tables(watcher.changes):
        show(table)
    if watcher.left_out:
        click.echo(f"{watcher.left_out:,} more records would be written; --limit shows more")


def render_run(report: RunReport, watcher: Watcher, log: Any, *, is_rehearsal: bool, as_json: bool) -> None:
    """The end of a run for a person or a program. Leaves with EXIT_PARTIAL when records were set aside."""
    if as_json:
        made: dict[str, Any] = {
            "run": None if is_rehearsal else report.run_id,
            "job": report.job,
            "connection": report.connection,
            "status": report.status,
            "is_dry_run": is_rehearsal,
            "entities": report.as_data(),
        }
        if is_rehearsal:
            made["changes"] = [change_data(change) for change in watcher.changes]
            made["changes_left_out"] = watcher.left_out
        emit(made)
    else:
        if is_rehearsal:
            render_changes(watcher)
            if gone := report.total(Decision.DELETED):
                click.echo(
                    f"{gone:,} records would be taken out or become inactive: the back office has them no longer"
                )
        title = f"run {report.run_id} of {report.job}: {report.status}"
        if is_rehearsal:
            title = f"dry run of {report.job}: nothing was written"
        show(report_table(title, report.entities.values()))
        if report.status == "partial":
            note(log, "some records were set aside: `counterfoil dead-letters list` says why")
    if report.status == "partial":
        raise SystemExit(EXIT_PARTIAL)


# -- letters ----------------------------------------------------------------------------------------------------------


def cause_table(causes: Mapping[tuple[str, str, str], int]) -> Table:
    """(cause, entity, field) -> how many, the most frequent first."""
    rows = [
        [f"{count:,}", *(printable(text) for text in key)]
        for key, count in sorted(causes.items(), key=lambda item: -item[1])
    ]
    columns = (Column("letters", align="right"), Column("cause"), Column("entity"), Column("field", may_shrink=True))
    return Table("dead letters by cause", columns, rows)


def letter_table(letters: Sequence[DeadLetter], total: int) -> Table:
    """Letters one by one."""
    rows = [
        [
            str(letter.id),
            letter.entity.value,
            printable(letter.external_id),
            letter.cause,
            printable(letter.message),
            str(letter.attempts),
        ]
        for letter in letters
    ]
    columns = (
        Column("id", align="right"),
        Column("entity", leaves_at=2),
        Column("external id", may_shrink=True),
        Column("cause", leaves_at=1),
        Column("message", folds=True),
        Column("tries", align="right", leaves_at=3),
    )
    return Table("dead letters", columns, rows, _left_out(len(letters), total))


def waiting_table(waiting: Sequence[Deferral], total: int) -> Table:
    """Records that wait for one that they refer to."""
    rows = [
        [
            one.entity.value,
            printable(one.external_id),
            printable(one.field or ""),
            f"{one.waits_entity} {printable(one.waits_for)}",
            moment(one.since),
        ]
        for one in waiting
    ]
    columns = (
        Column("entity"),
        Column("external id", may_shrink=True),
        Column("field", leaves_at=1),
        Column("waits for", may_shrink=True),
        Column("since", leaves_at=2),
    )
    return Table("waiting", columns, rows, _left_out(len(waiting), total))


def _left_out(shown: int, total: int) -> list[str]:
    return [f"{shown:,} of {total:,}; --limit shows more"] if shown < total else []


# -- mappings ---------------------------------------------------------------------------------------------------------


def mapping_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """The mappings in force."""
    rows = [
        [
            plain(one["connection"]),
            one["entity"],
            one["direction"],
            one["version"],
            str(one["rules"]),
            str(one["examples"]),
            plain(one["match"]),
            plain(one["file"]),
            f"{one['outdated_records']:,}" if one["outdated_records"] else "",
        ]
        for one in found
    ]
    columns = (
        Column("connection", may_shrink=True),
        Column("entity"),
        Column("of"),
        Column("version"),
        Column("rules", align="right"),
        Column("examples", align="right", leaves_at=3),
        Column("match", may_shrink=True, leaves_at=4),
        Column("file", may_shrink=True, leaves_at=1),
        Column("outdated", align="right"),
    )
    is_outdated = any(one["outdated_records"] for one in found)
    notes = ["outdated: made by an older version; `counterfoil mapping replay` brings them up to date"]
    return Table("mappings", columns, rows, notes if is_outdated else [])


def rule_table(title: str, rules: Sequence[Mapping[str, str]], unsaid: str) -> Table:
    """The rules of one mapping. unsaid: the owner of a field whose rule names none."""
    owners = {"crm": "CRM", "shared": "shared", "back_office": "back office", unsaid: ""}
    rows = [[rule["field"], printable(rule["rule"]), owners[rule["owner"]], printable(rule["place"])] for rule in rules]
    columns = (
        Column("field"),
        Column("rule", folds=True),
        Column("owner", leaves_at=1),
        Column("stands in", leaves_at=2),
    )
    return Table(title, columns, rows)
