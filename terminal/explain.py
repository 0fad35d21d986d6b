"""`counterfoil mapping explain`: where one value comes from, in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from crm_core.errors import ConfigurationFault, StoreFault, UnresolvedReference
from terminal.frame import Frame, chosen_connection, emit, entity_named, json_option, pass_frame
from terminal.mapped import pushed_mapping, quoted, shortened

if TYPE_CHECKING:
    from crm_core.ids import CrmId, EntityType
    from crm_core.store.outbox import Intent
    from crm_core.store.session import Session
    from mappings.compiler import CompiledMapping
    from sync_jobs.settings import ConnectionSettings


class _Kept(NamedTuple):
    """A record that the store has the payload of, and the entity it became (None for one that was set aside)."""

    external_id: str
    payload: bytes
    crm_id: CrmId | None
    version: str | None
    where: str


@click.command()
@click.argument("entity")
@click.argument("record_id", metavar="ID")
@click.argument("field")
@click.option("--connection", help="Needed when there are several.")
@click.option("--push", is_flag=True, help="Of what goes out: FIELD is one of theirs, the source is ours.")
@json_option
@pass_frame
def explain(
    frame: Frame, entity: str, record_id: str, field: str, connection: str | None, push: bool, as_json: bool
) -> None:
    """Where a value of the CRM comes from: source, rule, result.

    ID is the back office's id, or ours as #12. FIELD is one of ours, e.g. list_price, custom.colour, addresses.
    """
    if push:
        _explain_push(frame, entity, record_id, field, connection, as_json)
        return
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
    lines += [("source", f"{path} = {quoted(value)}") for path, value in told.sources] or [("source", "none")]
    lines.append(("rule", told.rule))
    if told.place:
        lines.append(("", shortened(told.place)))
    overlay = document_of(chosen, kind).place.file if kind in chosen.mappings else "shipped"
    lines.append(("mapping", f"version {told.version}, {shortened(overlay)}"))
    if is_outdated:
        lines.append(("", f"the CRM's value was made by version {kept.version}: `counterfoil mapping replay`"))
    lines.append(("error", told.error) if told.error else ("result", quoted(result)))
    if kept.crm_id is not None:
        lines.append(("in the CRM", quoted(now)))
    from terminal.tables import printable

    for title, text in lines:
        click.echo(f"{title:<11} {printable(text)}")


def _explain_push(frame: Frame, entity: str, record_id: str, field: str, connection: str | None, as_json: bool) -> None:
    """The same of a field that goes out, by the newest intent of the record."""
    from sync_jobs.operations import opened
    from sync_jobs.push_operations import explain as explained
    from terminal.tables import printable

    hub = frame.hub()
    kind = entity_named(entity)
    chosen = hub.settings.get_connection(chosen_connection(hub.settings, connection))
    mapped = pushed_mapping(chosen, kind)
    with opened(hub) as session:
        intent = _newest_intent(session, chosen, kind, record_id)
    told = explained(hub, intent, field)
    if as_json:
        emit(
            {
                **mapped.named(),
                "external_id": intent.external_id,
                "crm_id": intent.crm_id,
                "intent": intent.id,
                "state": intent.state,
                "is_edited": intent.is_edited,
                "field": told.field,
                "sources": [{"path": path, "value": value} for path, value in told.sources],
                "rule": told.rule,
                "place": told.place,
                "mapping_version": told.version,
                "result": told.result,
                "error": told.error,
            }
        )
        return
    there = f", there {intent.external_id}" if intent.external_id else ""
    state = intent.state.replace("_", " ")
    lines = [("record", f"{kind.value} #{intent.crm_id}{there} (intent {intent.id} of {chosen.name}, {state})")]
    lines += [("source", f"{path} = {quoted(value)}") for path, value in told.sources] or [("source", "none")]
    lines += [("rule", told.rule), ("", shortened(told.place))]
    where = shortened(mapped.document().place.file) if mapped.is_own else "shipped"
    lines.append(("mapping", f"version {told.version}, {where}"))
    lines.append(("error", told.error) if told.error else ("result", quoted(told.result)))
    if intent.is_edited:
        lines.append(("", "somebody edited what this intent sends: it does not go by the mapping"))
    for title, text in lines:
        click.echo(f"{title:<11} {printable(text)}")


def _newest_intent(session: Session, connection: ConnectionSettings, entity: EntityType, record_id: str) -> Intent:
    """Raises StoreFault when nothing of the record was ever queued."""
    from crm_core.store.outbox import list_intents
    from crm_core.store.page import Binding, bindings_of
    from crm_core.store.state import stream_id_of

    crm_id: int | None = None
    if record_id.startswith("#"):
        crm_id = _crm_id(record_id)
    else:
        row = bindings_of(session, stream_id_of(session, connection.name, entity), [record_id]).get(record_id)
        crm_id = Binding(*row).crm_id if row is not None else None
    found = list_intents(session, connection=connection.name, entity=entity, crm_id=crm_id) if crm_id else []
    if not found:
        raise StoreFault(f"nothing of {entity.value} {record_id!r} was queued for {connection.name}")
    return found[-1]


def _crm_id(record_id: str) -> int:
    if not record_id[1:].isdigit():
        raise ConfigurationFault(f"{record_id!r}: a CRM id is a number, e.g. #12")
    return int(record_id[1:])


def _find_kept(session: Session, connection: Any, entity: EntityType, record_id: str) -> _Kept:
    """The kept payload of a record. Raises StoreFault when nothing is known of it."""
    from crm_core.store.letters import list_deferrals, list_letters
    from crm_core.store.page import Binding, bindings_of, bindings_of_crm, get_payload
    from crm_core.store.state import stream_id_of

    stream_id = stream_id_of(session, connection, entity)
    if record_id.startswith("#"):
        bound = next(iter(bindings_of_crm(session, stream_id, [_crm_id(record_id)])), None)
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
