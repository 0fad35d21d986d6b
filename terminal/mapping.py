"""`counterfoil mapping`: check, test, explain, replay, show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from crm_core.errors import ConfigurationFault, MappingDocumentFault, StoreFault, UnresolvedReference
from terminal.frame import (
    EXIT_PARTIAL,
    Frame,
    SuggestingGroup,
    chosen_connection,
    chosen_connections,
    chosen_job,
    configure_logs,
    emit,
    entity_named,
    json_option,
    pass_frame,
)

if TYPE_CHECKING:
    from crm_core.ids import CrmId, EntityType
    from crm_core.store.session import Session
    from mappings.compiler import CompiledMapping
    from sync_jobs.bootstrap import Hub
    from sync_jobs.settings import ConnectionSettings, Settings


@click.group(cls=SuggestingGroup, short_help="How their fields become ours.")
def mapping() -> None:
    """How their fields become ours: check, test, explain, replay, show."""


def _mapped(settings: Settings, connection: str | None) -> Iterator[tuple[ConnectionSettings, EntityType]]:
    from connectors.registry import get_connector

    for name in chosen_connections(settings, connection):
        chosen = settings.get_connection(name)
        for entity in get_connector(chosen.connector).manifest.streams:
            yield chosen, entity


@mapping.command()
@click.argument("connection", required=False)
@json_option
@pass_frame
def check(frame: Frame, connection: str | None, as_json: bool) -> None:
    """Hold every mapping against the CRM and the connector; tells all faults with file and line."""
    from mappings.compiler import check_document
    from sync_jobs.mappings_in_force import document_of, shape_of
    from terminal.tables import printable

    results: list[dict[str, Any]] = []
    for chosen, entity in _mapped(frame.settings(), connection):
        try:
            document = document_of(chosen, entity)
            faults = [str(fault) for fault in check_document(document, shape_of(chosen, entity))]
            version = document.version
        except (MappingDocumentFault, ConfigurationFault) as fault:
            faults, version = [str(fault)], None
        results.append({"connection": chosen.name, "entity": entity.value, "version": version, "faults": faults})
        if not as_json:
            verdict = click.style("failed", fg="red") if faults else click.style("ok    ", fg="green")
            click.echo(f"{verdict} {chosen.name} {entity.value} {'' if faults else version}".rstrip())
            for text in faults:
                click.echo(f"       {shortened(printable(text))}")
    if as_json:
        emit(results)
    if any(result["faults"] for result in results):
        raise SystemExit(ConfigurationFault.exit_code)


@mapping.command()
@click.argument("connection", required=False)
@click.option("--entity", help="Only the mapping of this entity.")
@json_option
@pass_frame
def test(frame: Frame, connection: str | None, entity: str | None, as_json: bool) -> None:
    """Run the examples that stand beside the mappings. Nothing is called and nothing is written."""
    from mappings.workbench import run_examples
    from sync_jobs.mappings_in_force import document_of, shape_of
    from terminal.tables import plain, printable

    wanted = entity_named(entity) if entity is not None else None
    results: list[dict[str, Any]] = []
    for chosen, each in _mapped(frame.settings(), connection):
        if wanted is not None and each is not wanted:
            continue
        for result in run_examples(document_of(chosen, each), shape_of(chosen, each)):
            results.append(
                {"connection": chosen.name, "entity": each.value, **{k: getattr(result, k) for k in result.__slots__}}
            )
            if as_json:
                continue
            verdict = click.style("ok    ", fg="green") if result.has_passed else click.style("failed", fg="red")
            click.echo(f"{verdict} {chosen.name} {each.value}: {printable(result.name)}")
            if not result.has_passed:
                click.echo(f"       {shortened(result.place)}")
            if result.error:
                click.echo(f"       {printable(result.error)}")
            for difference in result.differences:
                expected, actual = _quoted(difference.expected), _quoted(difference.actual)
                click.echo(f"       {difference.field}: expected {expected}, is {actual}")
    failed = sum(not result["has_passed"] for result in results)
    if as_json:
        emit(results)
    else:
        click.echo(f"{plain(len(results))} examples, {failed} failed" if results else "no examples")
    if failed:
        raise SystemExit(EXIT_PARTIAL)


class _Kept(NamedTuple):
    """A record that the store has the payload of, and the entity it became (None for one that was set aside)."""

    external_id: str
    payload: bytes
    crm_id: CrmId | None
    version: str | None
    where: str


@mapping.command()
@click.argument("entity")
@click.argument("record_id", metavar="ID")
@click.argument("field")
@click.option("--connection", help="Needed when there are several.")
@json_option
@pass_frame
def explain(frame: Frame, entity: str, record_id: str, field: str, connection: str | None, as_json: bool) -> None:
    """Where a value of the CRM comes from: source, rule, result.

    ID is the back office's id, or ours as #12. FIELD is one of ours, e.g. list_price, custom.colour, addresses.
    """
    from crm_core.model.data import as_data
    from crm_core.model.schema import schema_of
    from crm_core.store.layout import table_of
    from crm_core.store.page import entity_values
    from sync_jobs.mappings_in_force import document_of, mapping_of
    from sync_jobs.operations import opened

    hub = frame.hub()
    kind = entity_named(entity)
    name = chosen_connection(hub.settings, connection)
    chosen = hub.settings.get_connection(name)
    compiled = mapping_of(chosen, kind)
    with opened(hub) as session:
        kept = _find_kept(session, chosen.name, kind, record_id)
        record = _decoded(kept.payload)
        told = compiled.explain(record, field, _resolver(session, chosen, compiled, record))
        now: Any = None
        if kept.crm_id is not None:
            spec = schema_of(kind)
            values = entity_values(session, table_of(kind), [kept.crm_id]).get(kept.crm_id)
            head, _, key = field.partition(".")
            if values is not None and head in spec.fields:
                now = as_data(values[list(spec.fields).index(head)], spec.fields[head])
                now = now.get(key) if key and isinstance(now, dict) else now
    result = as_data(told.result, schema_of(kind).fields.get(field))
    is_outdated = kept.version is not None and kept.version != told.version
    if as_json:
        emit(
            {
                "connection": chosen.name,
                "entity": kind.value,
                "external_id": kept.external_id,
                "crm_id": kept.crm_id,
                "field": told.field,
                "sources": [{"path": path, "value": value} for path, value in told.sources],
                "rule": told.rule,
                "place": told.place,
                "mapping_version": told.version,
                "stored_by_version": kept.version,
                "result": result,
                "error": told.error,
                "now": now,
            }
        )
        return
    crm = f", CRM id #{kept.crm_id}" if kept.crm_id is not None else ""
    lines = [("record", f"{kind.value} {kept.external_id} of {chosen.name}{crm} ({kept.where})")]
    lines += [("source", f"{path} = {_quoted(value)}") for path, value in told.sources] or [("source", "none")]
    lines.append(("rule", told.rule))
    if told.place:
        lines.append(("", shortened(told.place)))
    overlay = document_of(chosen, kind).place.file if kind in chosen.mappings else "shipped"
    lines.append(("mapping", f"version {told.version}, {shortened(overlay)}"))
    if is_outdated:
        lines.append(("", f"the CRM's value was made by version {kept.version}: `counterfoil mapping replay`"))
    lines.append(("error", told.error) if told.error else ("result", _quoted(result)))
    if kept.crm_id is not None:
        lines.append(("in the CRM", _quoted(now)))
    from terminal.tables import printable

    for title, text in lines:
        click.echo(f"{title:<11} {printable(text)}")


def _find_kept(session: Session, connection: Any, entity: EntityType, record_id: str) -> _Kept:
    """The kept payload of a record. Raises StoreFault when nothing is known of it."""
    from crm_core.store.letters import list_deferrals, list_letters
    from crm_core.store.page import Binding, bindings_of, bindings_of_crm, get_payload
    from crm_core.store.state import stream_id_of

    stream_id = stream_id_of(session, connection, entity)
    if record_id.startswith("#"):
        if not record_id[1:].isdigit():
            raise ConfigurationFault(f"{record_id!r}: a CRM id is a number, e.g. #12")
        bound = next(iter(bindings_of_crm(session, stream_id, [int(record_id[1:])])), None)
    else:
        row = bindings_of(session, stream_id, [record_id]).get(record_id)
        bound = Binding(*row) if row is not None else None
    if bound is not None and bound.payload_page is not None and bound.payload_index is not None:
        payload = get_payload(session, bound.payload_page, bound.payload_index)
        where = "gone from the back office" if bound.deleted_at is not None else "as last taken in"
        return _Kept(bound.external_id, payload, bound.crm_id, bound.mapping, where)
    for letter in list_letters(session, connection=connection, entity=entity, limit=100_000):
        if letter.external_id == record_id:
            return _Kept(letter.external_id, letter.payload, None, None, f"set aside as dead letter {letter.id}")
    for deferral in list_deferrals(session, connection=connection, limit=100_000):
        if deferral.entity is entity and deferral.external_id == record_id:
            waits = f"waits for {deferral.waits_entity} {deferral.waits_for}"
            return _Kept(deferral.external_id, deferral.payload, None, None, waits)
    raise StoreFault(f"nothing was pulled from {connection} that is {entity.value} {record_id!r}")


def _decoded(payload: bytes) -> dict[str, Any]:
    from decimal import Decimal

    import msgspec

    try:
        record = msgspec.json.Decoder(float_hook=Decimal).decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreFault(f"the kept record is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise StoreFault("the kept record is no JSON object")
    return record


def _resolver(session: Session, connection: ConnectionSettings, compiled: CompiledMapping, record: Any) -> Any:
    """As a pull resolves references, for those of this record."""
    from sync_jobs.references import References

    references = References(session, connection.name)
    references.look_up(compiled.references(record))

    def resolve(entity: EntityType, key: str) -> CrmId:
        try:
            return references.resolve(entity, key)
        except UnresolvedReference:
            # `explain` may ask for one that `references` could not name
            references.look_up([(entity, key)])
            return references.resolve(entity, key)

    return resolve


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

    hub = frame.hub()
    name = chosen_job(hub.settings, job)
    log = configure_logs(frame.log) if frame.log else None
    with watching(log=log, is_quiet=as_json, wants_changes=dry_run, limit=limit) as watcher:
        report = operations.replay(hub, name, listener=watcher, is_rehearsal=dry_run)
    render_run(report, watcher, is_rehearsal=dry_run, as_json=as_json)


@mapping.command("show")
@click.argument("entity", required=False)
@click.option("--connection", help="Only the mappings of this connection.")
@json_option
@pass_frame
def show_mappings(frame: Frame, entity: str | None, connection: str | None, as_json: bool) -> None:
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
    from sync_jobs.mappings_in_force import document_of
    from terminal.reports import rule_table

    kind = entity_named(entity)
    document = document_of(hub.settings.get_connection(chosen_connection(hub.settings, connection)), kind)
    rules = [
        {"field": name, "rule": rule.text, "owner": rule.owner or "back_office", "place": str(rule.place)}
        for name, rule in document.rules.items()
    ]
    if as_json:
        emit({"entity": kind.value, "version": document.version, "match": document.match, "rules": rules})
        return
    for rule in rules:
        rule["place"] = shortened(rule["place"])
    show(rule_table(f"{kind.value}, version {document.version}", rules))


def _overview(hub: Hub, connection: str | None) -> list[dict[str, Any]]:
    from sync_jobs.mappings_in_force import document_of
    from sync_jobs.operations import outdated_records

    outdated: dict[tuple[str, EntityType], int] = {}
    for job in hub.settings.taking_jobs.values():
        for kind, count in outdated_records(hub, job.name).items():
            outdated[(job.connection, kind)] = count
    made = []
    for chosen, kind in _mapped(hub.settings, connection):
        document = document_of(chosen, kind)
        made.append(
            {
                "connection": chosen.name,
                "entity": kind.value,
                "version": document.version,
                "rules": len(document.rules),
                "examples": len(document.examples),
                "match": list(document.match),
                "file": shortened(document.place.file) if kind in chosen.mappings else "shipped",
                "outdated_records": outdated.get((chosen.name, kind), 0),
            }
        )
    return made


def shortened(text: str) -> str:
    """A text without the part of a path that is the folder we are in, or that of the shipped mappings."""
    from mappings.documents import DEFAULTS

    return text.replace(f"{Path.cwd()}/", "").replace(f"{DEFAULTS.parent.parent}/", "")


def _quoted(value: Any) -> str:
    """As it would stand in JSON, so that null, "" and 0 are told apart."""
    import msgspec

    return msgspec.json.Encoder(decimal_format="number").encode(value).decode()
