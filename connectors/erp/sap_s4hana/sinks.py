"""What both sinks share: the wire's form of a payload, one call for many creates, and what an answer means.

A create is one deep insert in a changeset of its own; several go in one `$batch` and are answered one by one. An update
or cancellation is one changeset over all entities that it touches, so that it happens whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from connectors.erp.sap_s4hana.client import SapClient
from connectors.shapes import Shape
from connectors.sinks import Accepted, Refused, Write
from connectors.transport.json_pages import encode
from connectors.transport.odata_v2 import entity_of, json_date, version_of
from connectors.transport.odata_v2_batch import BatchAnswer, BatchRequest
from crm_core.errors import ConnectorError, OutcomeUnknown, ProtocolViolation, StaleVersion, ValidationRejected
from crm_core.ids import ExternalId

SETTLE_TIME = timedelta(minutes=15)
"""A dialogue step of S/4 may run for ten minutes (rdisp/max_wprun_time, default 600 s) although nobody waits for it any
more, and the update task commits behind it: what is not there a quarter of an hour later will not come."""

MOST_CREATES = 10
"""In one batch: S/4 takes a second or more for each, and all of them share one time-out."""

SECONDS_PER_CREATE = 10.0


def refused_locally(message: str, *fields: str) -> Refused:
    """A write that is not sent at all."""
    return Refused(ValidationRejected(message, fields=fields))


def too_long(payload: Mapping[str, Any], shape: Shape, place: str = "") -> Refused | None:
    """The refusal of the first text that is longer than the shape allows, with its field: never cut."""
    for name, value in payload.items():
        word = shape.get(name)
        if isinstance(value, str) and isinstance(word, str) and word.startswith("text("):
            most = int(word[5:-1])
            if len(value) > most:
                return refused_locally(f"{place}{name} has {len(value)} characters, {most} fit", f"{place}{name}")
        if isinstance(value, list | tuple) and isinstance(word, Sequence) and not isinstance(word, str):
            for number, item in enumerate(value):
                found = too_long(item, word[0], f"{place}{name}[{number}].")
                if found is not None:
                    return found
    return None


def on_the_wire(word: str, value: Any) -> Any:
    """A value of a payload in V2 JSON: numbers as texts, days as `/Date(ms)/`."""
    if word == "number" and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return format(Decimal(value), "f")
    if word == "date" and isinstance(value, str):
        try:
            return json_date(date.fromisoformat(value))
        except ValueError:
            return value
    return value


def wire(payload: Mapping[str, Any], shape: Shape, names: Sequence[str]) -> dict[str, Any]:
    """These fields of a payload, those that it has, in V2 JSON."""
    return {name: on_the_wire(str(shape[name]), payload[name]) for name in names if name in payload}


def is_same(word: str, wanted: Any, there: Any) -> bool:
    """Whether a field already has the value; null and empty text are the same to S/4."""
    if word == "number" and wanted is not None and there is not None:
        return bool(Decimal(wanted) == Decimal(there))
    return (wanted or None) == (there or None)


def request(
    method: Any, path: str, body: Mapping[str, Any] | None = None, *, version: str | None = None
) -> BatchRequest:
    """One request of a changeset."""
    headers = {"If-Match": version} if version else {}
    return BatchRequest(method, path, None if body is None else encode(body), headers)


def check_version(write: Write, now: str | None) -> None:
    """Raises StaleVersion when the record is not what the write is based on."""
    if write.version is not None and now is not None and write.version != now:
        raise StaleVersion("somebody changed the record since we read it", operation="compare versions")


def create_all(
    client: SapClient,
    service: str,
    entity_set: str,
    bodies: Sequence[Mapping[str, Any]],
    accepted: Callable[[Mapping[str, Any], str | None], Accepted | Refused],
) -> list[Accepted | Refused]:
    """Deep inserts in one `$batch`, each in a changeset of its own, so that one that is refused stops no other.

    accepted: makes the result of the entity that came back and its version.
    """
    operation = f"POST {entity_set}"
    changesets = [[request("POST", entity_set, body)] for body in bodies]
    seconds = max(client.config.timeout_seconds, SECONDS_PER_CREATE * len(bodies))
    results: list[Accepted | Refused] = []
    for answers in client.change(service, changesets, operation=operation, timeout_seconds=min(seconds, 600)):
        if isinstance(answers, ConnectorError):
            results.append(Refused(answers))
            continue
        try:
            entity = entity_of(answers[0].body, operation=operation)
        except ProtocolViolation as error:
            results.append(Refused(OutcomeUnknown(error.message, operation=operation)))
            continue
        results.append(accepted(entity, version_of(entity) or answers[0].headers.get("ETag")))
    return results


def change_one(
    client: SapClient, service: str, requests: Sequence[BatchRequest], *, operation: str
) -> Sequence[BatchAnswer]:
    """One changeset. Raises the error that it is refused with."""
    (answers,) = client.change(service, [requests], operation=operation)
    if isinstance(answers, ConnectorError):
        raise answers
    return answers


def each_apart(writes: Sequence[Write], do: Callable[[Write], Accepted | Refused]) -> list[Accepted | Refused]:
    """The results of writes that are carried out one after another; what one of them raises is its own refusal."""
    results: list[Accepted | Refused] = []
    for write in writes:
        try:
            results.append(do(write))
        except ConnectorError as error:
            results.append(Refused(error, write.external_id))
    return results


def get_id(write: Write) -> ExternalId:
    """The id of a write that changes something. Raises ValidationRejected without one."""
    if write.external_id is None:
        raise ValidationRejected(f"a write to {write.action} a record needs its id over there")
    return write.external_id
