"""`counterfoil jobs`, and the processes that run them: `run`, `scheduler`, `worker`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from terminal.frame import (
    EXIT_PARTIAL,
    Frame,
    SuggestingGroup,
    configure_logs,
    emit,
    entity_named,
    json_option,
    pass_frame,
)

if TYPE_CHECKING:
    from sync_jobs.jobs.backfill import Step
    from sync_jobs.jobs.house import House
    from sync_jobs.jobs.verbs import ListedJob


@click.group("jobs", cls=SuggestingGroup, short_help="Jobs that run by themselves.")
def jobs() -> None:
    """Jobs that run by themselves: list, add, pause, run; docs/jobs.md says what a job may be told."""


@jobs.command("list")
@json_option
@pass_frame
def list_(frame: Frame, as_json: bool) -> None:
    """Every job: what it does, when it is due, how it ended last. Those that cannot run say why."""
    from sync_jobs.jobs.verbs import list_jobs
    from terminal.tables import Column, Table, moment, show

    found = list_jobs(_hub(frame))
    if as_json:
        emit([_job_data(one) for one in found])
        return
    if not found:
        click.echo("no jobs yet; `counterfoil jobs add` or [jobs.NAME] in counterfoil.toml makes one")
        return
    columns = (
        *(Column("job"), Column("what"), Column("connection", may_shrink=True), Column("when", may_shrink=True)),
        *(Column("state"), Column("next"), Column("last", may_shrink=True)),
    )
    rows, notes = [], []
    for one in found:
        job, kept = one.settings, one.state
        due = kept.next_due if kept is not None and kept.paused_at is None else None
        last = "" if kept is None or kept.finished_at is None else f"{kept.outcome} {moment(kept.finished_at)}"
        what, connection = ("", "") if job is None else (job.what.value, job.connection)
        rows.append([one.name, what, connection, _when(one), _state(one), "" if due is None else moment(due), last])
        message = one.fault or (kept.message if kept is not None else None)
        if message:
            notes.append(f"{one.name}: {message}")
    show(Table("", columns, rows, notes))


def _when(one: ListedJob) -> str:
    if one.settings is None:
        return ""
    times = [one.settings.timing] if one.settings.timing else []
    return ", ".join([*times, *(["on change"] if one.settings.on_change else [])]) or "when asked"


def _state(one: ListedJob) -> str:
    if one.fault is not None:
        return "faulty"
    if one.state is None:
        return "new"
    if one.state.paused_at is not None and one.state.state != "running":
        return "paused"
    if one.state.state == "wanted":
        return "closed" if one.closed_by else "waiting"
    return "waiting" if one.state.state == "handed_over" else one.state.state


def _job_data(one: ListedJob) -> dict[str, Any]:
    job, kept = one.settings, one.state
    return {
        "name": one.name,
        "what": None if job is None else job.what,
        "connection": None if job is None else job.connection,
        "entities": None if job is None or job.entities is None else list(job.entities),
        "when": _when(one),
        "priority": None if job is None else job.priority,
        "is_added": one.is_added,
        "state": _state(one),
        "fault": one.fault,
        "next_due": None if kept is None else kept.next_due,
        "started_at": None if kept is None else kept.started_at,
        "finished_at": None if kept is None else kept.finished_at,
        "outcome": None if kept is None else kept.outcome,
        "message": None if kept is None else kept.message,
        "failures": None if kept is None else kept.failures,
    }


@jobs.command()
@click.argument("name")
@click.option("--connection", required=True, metavar="CONNECTION", help="Whose back office it asks.")
@click.option("--what", metavar="WHAT", help="pull, push, sweep, credit or reconcile.  [default: pull]")
@click.option("--entity", "entities", multiple=True, metavar="ENTITY", help="Only this one; may be given again.")
@click.option("--every", metavar="DURATION", help="90s, 5m, 2h, 1d.")
@click.option("--schedule", metavar="LINE", help='"minute hour day month weekday zone", as cron has it.')
@click.option("--on-change", is_flag=True, help="Also when there is something to push, or their news says so.")
@click.option("--closed", multiple=True, metavar="WINDOW", help='"mon-fri 08:00-18:00 UTC"; may be given again.')
@click.option("--priority", type=int, help="Among the jobs of its connection.  [default: 0]")
@click.option("--time-limit", metavar="DURATION", help="Ends at its last page after that, and goes on when it is due.")
@click.option("--notify", multiple=True, metavar="ADDRESS", help="mailto: or https:; may be given again.")
@pass_frame
def add(
    frame: Frame,
    name: str,
    connection: str,
    what: str | None,
    entities: Sequence[str],
    every: str | None,
    schedule: str | None,
    on_change: bool,
    closed: Sequence[str],
    priority: int | None,
    time_limit: str | None,
    notify: Sequence[str],
) -> None:
    """Keep a job in the database, beside those of counterfoil.toml; a running engine sees it at once."""
    from sync_jobs.jobs.verbs import add_job, notes_of

    told: dict[str, Any] = {
        "what": what,
        "connection": connection,
        "entities": [entity_named(entity).value for entity in entities] or None,
        "every": every,
        "schedule": schedule,
        "on_change": on_change or None,
        "closed": list(closed) or None,
        "priority": priority,
        "time_limit": time_limit,
        "notify": list(notify) or None,
    }
    hub = _hub(frame)
    job = add_job(hub, name, {key: value for key, value in told.items() if value is not None})
    click.echo(f"added {name}: {job.what} of {job.connection}")
    for note in notes_of(job, hub):
        click.echo(note, err=True)


@jobs.command()
@click.argument("name")
@pass_frame
def remove(frame: Frame, name: str) -> None:
    """Forget a job that was added; what it brought in stays."""
    from sync_jobs.jobs.verbs import remove_job

    remove_job(_hub(frame), name)
    click.echo(f"removed {name}")


@jobs.command()
@click.argument("name")
@pass_frame
def pause(frame: Frame, name: str) -> None:
    """Let a job begin no more; a run that is under way goes on to its end."""
    from sync_jobs.jobs.verbs import pause_job

    pause_job(_hub(frame), name)
    click.echo(f"paused {name}")


@jobs.command()
@click.argument("name")
@pass_frame
def resume(frame: Frame, name: str) -> None:
    """Let a paused job begin again; what it missed is made up for by one run."""
    from sync_jobs.jobs.verbs import resume_job

    resume_job(_hub(frame), name)
    click.echo(f"resumed {name}")


@jobs.command()
@click.argument("name")
@pass_frame
def run(frame: Frame, name: str) -> None:
    """Have a job run as soon as it can, whatever its schedule says."""
    from sync_jobs.jobs.verbs import run_job

    is_heard = run_job(_hub(frame), name)
    click.echo(f"{name} runs as soon as it can")
    if not is_heard:
        click.echo("no engine is at work: `counterfoil run` starts one", err=True)


@jobs.command()
@click.argument("name")
@click.option("--entity", "entities", multiple=True, metavar="ENTITY", help="Only this one; may be given again.")
@click.option("--again", is_flag=True, help="Also what is done already.")
@json_option
@pass_frame
def backfill(frame: Frame, name: str, entities: Sequence[str], again: bool, as_json: bool) -> None:
    """Read everything of a job from the beginning, entity by entity, in the order that the records need.

    What is done stays done: after a failure or a stop the same call makes only what is left, and goes on in the middle
    of an entity.
    """
    from sync_jobs.jobs.backfill import backfill as make
    from terminal.progress import watching

    chosen = [entity_named(entity) for entity in entities] or None
    log = configure_logs(frame.log) if frame.log else None
    with watching(log=log, is_quiet=as_json, wants_changes=False, limit=0) as watcher:
        steps = make(_hub(frame), name, entities=chosen, again=again, listener=watcher)
    _show_steps(steps, as_json)
    if any(step.state != "done" for step in steps):
        raise SystemExit(EXIT_PARTIAL)


def _show_steps(steps: Sequence[Step], as_json: bool) -> None:
    from terminal.tables import Column, Table, show

    if as_json:
        emit(
            [{name: getattr(step, name) for name in ("entity", "state", "read", "run_id", "message")} for step in steps]
        )
        return
    columns = (Column("entity"), Column("state"), Column("read", align="right"), Column("run", align="right"))
    rows = [
        [step.entity.value, step.state, str(step.read), "" if step.run_id is None else str(step.run_id)]
        for step in steps
    ]
    show(Table("", columns, rows, [f"{step.entity.value}: {step.message}" for step in steps if step.message]))


# -- processes --------------------------------------------------------------------------------------------------------

_at_once = click.option(
    "--at-once", default=4, show_default=True, type=click.IntRange(1, 64), help="Jobs that may run at once."
)


@click.command("run", short_help="Run all jobs in one process.")
@_at_once
@pass_frame
def run_all(frame: Frame, at_once: int) -> None:
    """Run all jobs in this process until it is stopped: on SQLite, or wherever one machine is enough."""
    from sync_jobs.jobs.engines import run_embedded
    from sync_jobs.watching.alerts import alerting

    house = _house(frame)
    with alerting(house.now):
        run_embedded(house, _stopped_by_signal(), jobs_at_once=at_once)


@click.command(short_help="Hand out the jobs of a fleet.")
@pass_frame
def scheduler(frame: Frame) -> None:
    """Hand the jobs that are due to workers until it is stopped. A second one stands by for when the first is gone."""
    from sync_jobs.watching.alerts import alerting

    fleet, house = _fleet(), _house(frame)
    with alerting(house.now):
        fleet.run_scheduler(house, _stopped_by_signal())


@click.command(short_help="Run jobs of a fleet.")
@_at_once
@pass_frame
def worker(frame: Frame, at_once: int) -> None:
    """Run jobs until it is stopped; any number of workers on any number of machines, over one PostgreSQL."""
    _fleet().run_worker(_house(frame), threading.Event(), jobs_at_once=at_once)


def _fleet() -> Any:
    from crm_core.errors import ConfigurationFault

    try:
        from sync_jobs.jobs import fleet
    except ModuleNotFoundError as error:
        raise ConfigurationFault(f"`pip install counterfoil[fleet]` brings what is missing: {error.name}") from error
    return fleet


def _house(frame: Frame) -> House:
    import logging

    from sync_jobs.jobs.engines import SESSION_OPTIONS
    from sync_jobs.jobs.house import House

    os.environ.setdefault("PGOPTIONS", SESSION_OPTIONS)  # for every session of this process that says nothing else
    configure_logs(frame.log or "text")
    logging.getLogger("counterfoil.jobs").setLevel(logging.INFO)
    return House(frame.file())


def _hub(frame: Frame) -> Any:
    from sync_jobs.bootstrap import open_hub

    return open_hub(frame.file(), skips_faulty_jobs=True)


def _stopped_by_signal() -> threading.Event:
    """Set by SIGTERM and Ctrl-C: what is under way ends at its next page."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
