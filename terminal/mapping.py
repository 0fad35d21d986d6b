"""`counterfoil mapping`: check, test, explain, replay, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crm_core.errors import ConfigurationFault, MappingDocumentFault
from terminal.explain import explain
from terminal.frame import (
    EXIT_PARTIAL,
    Frame,
    SuggestingGroup,
    chosen_connection,
    chosen_job,
    configure_logs,
    emit,
    entity_named,
    json_option,
    pass_frame,
)
from terminal.mapped import Mapped, mappings_of, pushed_mapping, quoted, shortened

if TYPE_CHECKING:
    from crm_core.ids import EntityType
    from sync_jobs.bootstrap import Hub
    from sync_jobs.settings import Settings


@click.group(cls=SuggestingGroup, short_help="How their fields become ours.")
def mapping() -> None:
    """How their fields become ours: check, test, explain, replay, show."""


mapping.add_command(explain)


@mapping.command()
@click.argument("connection", required=False)
@json_option
@pass_frame
def check(frame: Frame, connection: str | None, as_json: bool) -> None:
    """Hold every mapping against the CRM and the connector; tells all faults with file and line."""
    from terminal.tables import printable

    settings = frame.settings()
    results: list[dict[str, Any]] = []

    def tell(label: str, version: str | None, faults: list[str]) -> None:
        verdict = click.style("failed", fg="red") if faults else click.style("ok    ", fg="green")
        click.echo(f"{verdict} {label} {'' if faults else version}".rstrip())
        for text in faults:
            click.echo(f"       {shortened(printable(text))}")

    for mapped in mappings_of(settings, connection):
        try:
            faults, version = mapped.faults(), mapped.document().version
        except (MappingDocumentFault, ConfigurationFault) as fault:
            faults, version = [str(fault)], None
        results.append({**mapped.named(), "version": version, "faults": faults})
        if not as_json:
            tell(mapped.label, version, faults)
    together = _faults_together(settings) if not any(result["faults"] for result in results) else []
    if together:
        results.append({"connection": None, "entity": None, "direction": "push", "version": None, "faults": together})
        if not as_json:
            tell("what goes out", None, together)
    if as_json:
        emit(results)
    if any(result["faults"] for result in results):
        raise SystemExit(ConfigurationFault.exit_code)


def _faults_together(settings: Settings) -> list[str]:
    """What is wrong between the connections although each mapping is right: two that would answer each other."""
    from sync_jobs.outgoing import all_outgoing

    try:
        all_outgoing(settings)
    except (MappingDocumentFault, ConfigurationFault) as fault:
        return [str(fault)]
    return []


@mapping.command()
@click.argument("connection", required=False)
@click.option("--entity", help="Only the mapping of this entity.")
@json_option
@pass_frame
def test(frame: Frame, connection: str | None, entity: str | None, as_json: bool) -> None:
    """Run the examples that stand beside the mappings. Nothing is called and nothing is written."""
    from terminal.tables import plain, printable

    wanted = entity_named(entity) if entity is not None else None
    results: list[dict[str, Any]] = []
    for mapped in mappings_of(frame.settings(), connection):
        if wanted is not None and mapped.entity is not wanted:
            continue
        for result in mapped.results():
            results.append({**mapped.named(), **{k: getattr(result, k) for k in result.__slots__}})
            if as_json:
                continue
            verdict = click.style("ok    ", fg="green") if result.has_passed else click.style("failed", fg="red")
            click.echo(f"{verdict} {mapped.label}: {printable(result.name)}")
            if not result.has_passed:
                click.echo(f"       {shortened(result.place)}")
            if result.error:
                click.echo(f"       {printable(result.error)}")
            for difference in result.differences:
                expected, actual = quoted(difference.expected), quoted(difference.actual)
                click.echo(f"       {difference.field}: expected {expected}, is {actual}")
    failed = sum(not result["has_passed"] for result in results)
    if as_json:
        emit(results)
    else:
        click.echo(f"{plain(len(results))} examples, {failed} failed" if results else "no examples")
    if failed:
        raise SystemExit(EXIT_PARTIAL)


@mapping.command()
@click.argument("job", required=False)
@click.option("--dry-run", is_flag=True, help="Write nothing; show field by field what would be written.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=0), help="Records that a dry run shows."
)
@json_option
@pass_frame
def replay(frame: Frame, job: str | None, dry_run: bool, limit: int, as_json: bool) -> None:
    """Map again every record that an older version of its mapping made. The back office is not called."""
    from sync_jobs import operations
    from terminal.progress import watching
    from terminal.reports import render_run
    from terminal.run_log import logged_run

    hub = frame.hub()
    name = chosen_job(hub.settings, job)
    log = configure_logs(frame.log) if frame.log else None
    with (
        watching(log=log, is_quiet=as_json, wants_changes=dry_run, limit=limit) as watcher,
        logged_run(hub, log, name),
    ):
        report = operations.replay(hub, name, listener=watcher, is_rehearsal=dry_run)
    render_run(report, watcher, log, is_rehearsal=dry_run, as_json=as_json)


@mapping.command("show")
@click.argument("entity", required=False)
@click.option("--connection", help="Only the mappings of this connection.")
@click.option("--push", is_flag=True, help="With ENTITY: the rules of what goes out.")
@json_option
@pass_frame
def show_mappings(frame: Frame, entity: str | None, connection: str | None, push: bool, as_json: bool) -> None:
    """The mappings in force; with ENTITY its rules, field by field."""
    from terminal.tables import show

    hub = frame.hub()
    if entity is None:
        found = _overview(hub, connection)
        if as_json:
            emit(found)
            return
        from terminal.reports import mapping_table

        show(mapping_table(found))
        return
    from terminal.reports import rule_table

    kind = entity_named(entity)
    chosen = hub.settings.get_connection(chosen_connection(hub.settings, connection))
    mapped = pushed_mapping(chosen, kind) if push else Mapped(chosen, kind)
    document = mapped.document()
    unsaid = "crm" if push else "back_office"
    rules = [
        {"field": name, "rule": rule.text, "owner": rule.owner or unsaid, "place": str(rule.place)}
        for name, rule in document.rules.items()
    ]
    if as_json:
        told = {"entity": kind.value, "direction": mapped.direction, "version": document.version}
        emit({**told, "match": document.match, "rules": rules})
        return
    for rule in rules:
        rule["place"] = shortened(rule["place"])
    show(rule_table(f"{mapped.label}, version {document.version}", rules, unsaid))


def _overview(hub: Hub, connection: str | None) -> list[dict[str, Any]]:
    from sync_jobs.operations import outdated_records

    outdated: dict[tuple[str, EntityType], int] = {}
    for job in hub.settings.taking_jobs.values():
        for kind, count in outdated_records(hub, job.name).items():
            outdated[(job.connection, kind)] = count
    made = []
    for mapped in mappings_of(hub.settings, connection):
        document = mapped.document()
        made.append(
            {
                **mapped.named(),
                "version": document.version,
                "rules": len(document.rules),
                "examples": len(document.examples),
                "match": list(document.match),
                "file": shortened(document.place.file) if mapped.is_own else "shipped",
                "outdated_records": 0 if mapped.is_push else outdated.get((mapped.connection.name, mapped.entity), 0),
            }
        )
    return made
