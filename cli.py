"""The command line: parse, call one operation, render. Nothing imports this file but its siblings' tests.

Only click is imported at the top: `counterfoil --help` answers at once. Everything heavier is imported by the command
that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crm_core.errors import ConfigurationFault, MassChangeHeld, RunStopped
from terminal.alerts import alerts
from terminal.chaos import chaos
from terminal.clean import clean
from terminal.enter import enter
from terminal.frame import (
    EXIT_PARTIAL,
    Frame,
    GuardedGroup,
    chosen_job,
    configure_logs,
    emit,
    entity_named,
    json_option,
    note,
    pass_frame,
)
from terminal.jobs import jobs, run_all, scheduler, worker
from terminal.keys import keys
from terminal.letters import dead_letters
from terminal.mapping import mapping
from terminal.metrics import metrics
from terminal.outbox import outbox
from terminal.push import push
from terminal.reconcile import reconcile
from terminal.scaffold import connector
from terminal.status import status

if TYPE_CHECKING:
    from sync_jobs.bootstrap import Hub

NOUNS = (
    *("products", "prices", "stock", "accounts", "contacts", "credit"),
    *("orders", "invoices", "payments", "units", "price-lists", "warehouses"),
)
LOG_STYLES = ("text", "json")


@click.group(
    cls=GuardedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 some records were set aside, others: docs/cli.md",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file.  [default: COUNTERFOIL_CONFIG, or counterfoil.toml here or in a folder above]",
)
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.option(
    "--log",
    type=click.Choice(LOG_STYLES),
    envvar="COUNTERFOIL_LOG",
    help="Tell of a run in log lines on stderr instead of bars.  [env: COUNTERFOIL_LOG]",
)
@click.version_option(package_name="counterfoil", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, config: Path | None, debug: bool, log: str | None) -> None:
    """Keeps a CRM and the back office (ERP, accounting) telling the same story."""
    # pydantic would look through every installed distribution for plug-ins: a quarter of the start of a small pull
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    ctx.obj = Frame(config, debug, log)


main.add_command(alerts)
main.add_command(chaos)
main.add_command(clean)
main.add_command(connector)
main.add_command(dead_letters)
main.add_command(enter)
main.add_command(jobs)
main.add_command(keys)
main.add_command(mapping)
main.add_command(metrics)
main.add_command(outbox)
main.add_command(push)
main.add_command(reconcile)
main.add_command(run_all)
main.add_command(scheduler)
main.add_command(status)
main.add_command(worker)


# -- set-up -----------------------------------------------------------------------------------------------------------


@main.command(short_help="Write a commented counterfoil.toml; create the database.")
@pass_frame
def init(frame: Frame) -> None:
    """Write a commented counterfoil.toml here and create the database.

    A file that is there already is kept as it is; its database is created or brought up to date.
    """
    from connectors.registry import BUILT_IN, get_connector
    from sync_jobs.settings import FILE_NAME

    file = frame.config or Path(FILE_NAME)
    from terminal.setup import starting_text

    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(starting_text([get_connector(name).manifest for name in BUILT_IN]))
        click.echo(f"wrote {file}")
    except FileExistsError:
        click.echo(f"kept {file}: it is there already")
    except OSError as error:
        raise ConfigurationFault(f"{file} cannot be written: {error.strerror}") from error
    Frame(file).hub()
    click.echo("the database is ready; next: fill in a connection, then `counterfoil check`")


@main.command(short_help="Prove that settings, mappings and connections work.")
@click.argument("connection", required=False)
@json_option
@pass_frame
def check(frame: Frame, connection: str | None, as_json: bool) -> None:
    """Prove that settings, mappings and connections work, one step after the other."""
    from terminal.checks import steps_of

    steps = []
    for step in steps_of(frame, connection):
        steps.append(step)
        if not as_json:
            _tell("ok" if step.is_ok else "failed", step.step, step.text)
    if as_json:
        emit(steps)
    elif steps[0].is_ok and not frame.settings().connections:
        _tell("warning", "connections", f"{frame.file().name} has none yet; see `counterfoil connectors`")
    failed = [step.exit_code for step in steps if not step.is_ok]
    if failed:
        raise SystemExit(failed[0])


_MARKS = {"ok": "green", "warning": "yellow", "failed": "red"}


def _tell(verdict: str, name: str, text: str) -> None:
    from terminal.tables import printable

    click.echo(f"{click.style(f'{verdict:<8}', fg=_MARKS[verdict])} {name:<28} {printable(text)}".rstrip())


@main.command(short_help="Look at the installation.")
@json_option
@pass_frame
def doctor(frame: Frame, as_json: bool) -> None:
    """Look at the installation: versions, names, database, folder, clock, extras."""
    from terminal.setup import examine

    findings = []
    for finding in examine(frame.file):
        findings.append(finding)
        if not as_json:
            _tell(finding.verdict, finding.name, finding.text)
    if as_json:
        emit(findings)
    if any(finding.verdict == "failed" for finding in findings):
        raise SystemExit(EXIT_PARTIAL)


@main.command()
@json_option
def connectors(as_json: bool) -> None:
    """The connectors that are installed."""
    from connectors.registry import connector_names, get_connector
    from terminal.manifest import connector_data, connector_table
    from terminal.tables import show

    manifests = [get_connector(name).manifest for name in connector_names()]
    if as_json:
        emit([connector_data(manifest) for manifest in manifests])
    else:
        show(connector_table(manifests))


@main.command()
@click.argument("connector")
@json_option
def describe(connector: str, as_json: bool) -> None:
    """What a connector reads and writes, and what it must be told."""
    from connectors.registry import get_connector
    from terminal.manifest import manifest_data, manifest_tables
    from terminal.tables import show

    manifest = get_connector(connector).manifest
    if as_json:
        emit(manifest_data(manifest))
        return
    click.echo(f'{manifest.title} ({manifest.category}, connector = "{manifest.name}")')
    for table in manifest_tables(manifest):
        click.echo()
        show(table)


# -- pull -------------------------------------------------------------------------------------------------------------


@main.command(short_help="Pull what changed.")
@click.argument("job", required=False)
@click.option("--full", is_flag=True, help="Read everything, not only what changed.")
@click.option("--dry-run", is_flag=True, help="Write nothing; show field by field what would be written.")
@click.option("--entity", "entities", multiple=True, metavar="ENTITY", help="Only this entity; may be given again.")
@click.option("--approve", type=int, metavar="RUN", help="Let a held run's job go on: this once without its guards.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=0), help="Records that a dry run shows."
)
@json_option
@pass_frame
def pull(
    frame: Frame,
    job: str | None,
    full: bool,
    dry_run: bool,
    entities: Sequence[str],
    approve: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Pull a job: what changed since the last time, or where a stopped run left off.

    JOB may be left out when there is only one.
    """
    from sync_jobs import operations
    from terminal.progress import watching
    from terminal.reports import render_changes, render_run
    from terminal.run_log import logged_run

    hub = frame.hub()
    name = chosen_job(hub.settings, job)
    chosen = [entity_named(entity) for entity in entities] if entities else None
    if approve is not None and dry_run:
        raise click.UsageError("--approve and --dry-run do not go together: a rehearsal decides nothing")
    log = configure_logs(frame.log) if frame.log else None
    with (
        watching(log=log, is_quiet=as_json, wants_changes=dry_run, limit=limit) as watcher,
        logged_run(hub, log, name),
    ):
        try:
            report = operations.pull(
                hub, name, entities=chosen, full=full, is_rehearsal=dry_run, approves=approve, listener=watcher
            )
        except RunStopped as stop:
            if dry_run and not as_json:
                render_changes(watcher)
            _tell_stop(hub, name, stop, dry_run, log)
            raise
    render_run(report, watcher, log, is_rehearsal=dry_run, as_json=as_json)


def _tell_stop(hub: Hub, job: str, stop: RunStopped, is_rehearsal: bool, log: Any) -> None:
    """After a stop that a person can lift: how."""
    from crm_core.errors import ErrorBudgetExceeded

    if not isinstance(stop, MassChangeHeld | ErrorBudgetExceeded):
        return
    if is_rehearsal:
        note(log, "a pull would be held here, and wait for a person")
        return
    from crm_core.store.state import find_held_pull
    from sync_jobs.operations import opened
    from terminal.reports import approval

    with opened(hub) as session:
        run = find_held_pull(session, job)
    if run is None:  # the database could not keep the end of the run
        return
    note(log, f"run {run.id} is held. `counterfoil pull {job} --dry-run` shows what it would")
    note(log, f"write; when that is right: {approval(run)}")


# -- reading ----------------------------------------------------------------------------------------------------------


@main.command("show", short_help="Look at what the CRM knows.")
@click.argument("noun", type=click.Choice(NOUNS), metavar="|".join(NOUNS))
@click.argument("query", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@json_option
@pass_frame
def show_entities(frame: Frame, noun: str, query: str | None, limit: int, as_json: bool) -> None:
    """Look at what the CRM knows; QUERY is a part of a code, a name or another telling field."""
    from crm_core.store.repository import count_entities, list_entities, newest_writes
    from terminal.entities import entity_data, entity_table, labels_for
    from terminal.tables import show
    from terminal.views import VIEWS

    entity = VIEWS[noun].entity
    engine = frame.hub().database.engine
    found = list_entities(engine, entity, query=query, limit=limit)
    labels = labels_for(engine, entity, found)
    writes = newest_writes(engine, entity, [one.id for one in found])
    if as_json:
        emit([entity_data(entity, one, labels, writes) for one in found])
        return
    total = count_entities(engine, entity, query=query) if len(found) == limit else len(found)
    if not found:
        click.echo(f"no {noun.replace('-', ' ')}" + (f" for {query!r}" if query else " yet"))
        return
    show(entity_table(noun, found, labels, total=total, writes=writes))


@main.command(short_help="The last runs, the newest first.")
@click.option("--job", help="Only the runs of this job; pushes go by their connection.")
@click.option("--company", help="Only the runs of connections that belong to this company.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@json_option
@pass_frame
def runs(frame: Frame, job: str | None, company: str | None, limit: int, as_json: bool) -> None:
    """The last runs, the newest first; held ones with how to let them go on."""
    from crm_core.store.state import list_runs
    from sync_jobs.operations import opened
    from terminal.reports import approvable, run_data, run_table
    from terminal.tables import show

    hub = frame.hub()
    if job is not None and job not in hub.settings.connections:  # a push is a run of its connection
        hub.settings.get_job(job)
    theirs = None if company is None else hub.settings.connections_of(company)
    with opened(hub) as session:
        found = list_runs(session, job=job, connections=theirs, limit=limit)
    if as_json:
        waiting = approvable(found)
        emit([run_data(run, waits_for_approval=run.id in waiting) for run in found])
    elif found:
        show(run_table(found))
    else:
        click.echo("no runs yet; `counterfoil pull` makes the first one")


@main.command(short_help="Answer over HTTP: sales' questions, and the operations of integrators.")
@click.option("--host", metavar="ADDRESS", help="Listen here instead of [http] host.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [default: [http] port, or 8321]")
@pass_frame
def serve(frame: Frame, host: str | None, port: int | None) -> None:
    """Answer over HTTP until it is stopped; `docs/api.md` has the routes, `docs/security.md` who is let in."""
    try:
        from http_api.server import serve as answer
        from http_api.settings import http_settings
    except ModuleNotFoundError as error:
        raise ConfigurationFault(f"`pip install counterfoil[http]` brings what is missing: {error.name}") from error
    configure_logs(frame.log or "text", is_quiet=not frame.log)
    from sync_jobs.jobs.house import House
    from sync_jobs.watching.alerts import alerting

    hub = frame.hub()
    http = http_settings(hub.settings, host=host, port=port)
    with closing(House(frame.file())) as house, alerting(house.now):
        answer(hub, http, told=lambda url: click.echo(f"listening on {url}"))


@main.command(short_help="Boot a real ERP, pull it, compare both sides.")
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Boot a real ERP, pull it, change it, pull again, and compare both sides."""
    try:
        story = import_module("terminal.demo")
    except ModuleNotFoundError as error:
        if error.name != "terminal.demo":
            raise
        raise ConfigurationFault("the demo is part of the source tree: run `make demo` there") from error
    ctx.exit(story.run() or 0)


if __name__ == "__main__":
    main(prog_name="counterfoil")
