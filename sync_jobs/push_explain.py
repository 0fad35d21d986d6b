"""Where a field of a write comes from: what the CRM has, the rule, what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from crm_core.errors import ConfigurationFault, UnresolvedReference
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.model.data import values_as_data
from crm_core.store.layout import table_of
from crm_core.store.outbox import Intent
from crm_core.store.page import entity_values, external_ids_of, texts_of_field
from crm_core.store.session import Session
from mappings.compiler import Explanation
from mappings.operations import Refusal
from mappings.outgoing import ADDRESSES
from mappings.paths import parse_path
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import opened
from sync_jobs.push_operations import outgoing_over

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True)
class Explained:
    """mapped: source, rule and result as the mapping makes it now. sent: what stands in the payload that was sent last,
    or that a person edited; None when nothing was.
    """

    mapped: Explanation
    sent: Any
    was_sent: bool


def explain_field(hub: Hub, intent: Intent, path: str) -> Explained:
    """Explain one field of an intent's payload. Raises ConfigurationFault for one that no rule fills."""
    outgoing = outgoing_over(hub, intent.connection, intent.entity)[intent.entity]
    record: dict[str, Any] = _decode(intent.content)
    record |= {"id": intent.crm_id, "client_reference": intent.reference, "idempotency_key": intent.key}
    record["action"] = intent.action
    with opened(hub) as session:
        for name in outgoing.mapping.addresses:
            record[name] = _address(session, record, ADDRESSES[name])

        def resolve(entity: EntityType, crm_id: CrmId, by: str | None) -> str:
            return _resolved(session, intent.connection, entity, crm_id, by)

        try:
            mapped = outgoing.mapping.explain(record, path, resolve)
        except KeyError as error:
            raise ConfigurationFault(str(error.args[0])) from None
    payload = None if intent.payload is None else _decode(intent.payload)
    return Explained(mapped, None if payload is None else parse_path(path).find_in(payload), payload is not None)


def _address(session: Session, record: Mapping[str, Any], field: str) -> Any:
    account_id = record.get("account_id")
    if account_id is None or not record.get(field):
        return None
    values = entity_values(session, table_of(EntityType.ACCOUNT), [account_id]).get(account_id)
    addresses = values_as_data(EntityType.ACCOUNT, values)["addresses"] if values is not None else []
    return next((address for address in addresses if address["code"] == record[field]), None)


def _resolved(session: Session, connection: ConnectionName, entity: EntityType, crm_id: CrmId, by: str | None) -> str:
    if by is not None:
        value = texts_of_field(session, entity, by, [crm_id]).get(crm_id)
        if value is None:
            raise UnresolvedReference(entity.value, str(crm_id))
        return value
    ids = external_ids_of(session, connection, entity, [crm_id]).get(crm_id, [])
    if not ids:
        raise UnresolvedReference(entity.value, str(crm_id))
    if len(ids) > 1:
        raise Refusal(f"{entity.value} {crm_id} is several records over there: {', '.join(ids)}")
    return ids[0]
