"""The sinks: writes of a batch in at most two calls, `upsert` for new records and `update` for known ones.

A new record is upserted under our reference as its externalId, so that a second one cannot come about. A known one is
read first: to refuse what somebody changed meanwhile, and because lines and addresses are known by keys. A call is sent
once; what its answer does not tell of a record is OutcomeUnknown, and is found out by `find`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.erp.netsuite import accounts, orders
from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.client import MOST_WRITES, NetSuiteClient
from connectors.erp.netsuite.lookups import Lookups
from connectors.erp.netsuite.streams import version_of
from connectors.erp.netsuite.writing import Tools, Translation, check_texts, refused
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from crm_core.errors import ConnectionBlocked, ConnectorError, RecordNotFound, StaleVersion, Transient
from crm_core.ids import EntityType, ExternalId

REFERENCE_LENGTH = 100

FINDING_OUT = FindingOut(
    Resolution.UPSERT,
    settle_time=timedelta(minutes=15),
    reference_field="externalId",
    reference_length=REFERENCE_LENGTH,
)

SINKS: Mapping[EntityType, SinkSpec] = {
    EntityType.ACCOUNT: SinkSpec(
        accounts.ACCOUNT,
        frozenset({Action.CREATE, Action.UPDATE}),
        FINDING_OUT,
        max_batch=MOST_WRITES,
        note=accounts.NOTE,
    ),
    EntityType.ORDER: SinkSpec(
        orders.ORDER,
        frozenset(Action),
        FINDING_OUT,
        required=("entity", "itemList"),
        max_batch=MOST_WRITES,
        note=orders.NOTE,
    ),
}

Answer = Accepted | Refused


class NetSuiteSink:
    """One writable entity of an account."""

    def __init__(self, client: NetSuiteClient, translation: Translation) -> None:
        self._client, self._translation = client, translation

    def push(self, writes: Sequence[Write]) -> Sequence[Answer]:
        """See `Sink.push`."""
        answers: dict[int, Answer] = {}
        known = self._known(writes, answers)
        places = [place for place in range(len(writes)) if place not in answers]
        self._translation.prepare([(writes[place], known.get(place)) for place in places])
        new: list[tuple[int, Any]] = []
        changed: list[tuple[int, Any]] = []
        for place in places:
            write = writes[place]
            try:
                check_texts(write.payload)
                record = self._record(write, known.get(place))
            except ConnectorError as error:
                answers[place] = Refused(error)
                continue
            if record is None:
                assert write.external_id is not None
                answers[place] = Accepted(write.external_id)
            else:
                (new if write.action is Action.CREATE else changed).append((place, record))
        ended = self._send("upsert", new, answers)
        if ended is None:
            self._send("update", changed, answers)
        else:
            answers.update((place, Refused(ended)) for place, _ in changed)
        return [answers[place] for place in range(len(writes))]

    def find(self, write: Write) -> Found | None:
        """See `Sink.find`."""
        kind = self._translation.kind
        if write.external_id is not None:
            row = self._client.find(kind, internal_id=write.external_id)
        else:
            row = self._client.find(kind, external_id=write.reference)
        if row is None:
            return None
        return Found(
            ExternalId(str(row["internalId"])),
            version_of(row),
            self._translation.values(row, write.payload),
            is_complete=write.action is not Action.CANCEL or self._translation.is_cancelled(row),
        )

    def _known(self, writes: Sequence[Write], answers: dict[int, Answer]) -> dict[int, Row]:
        """The records of updates and cancellations as they are now; refuses those that are not as they should be."""
        asked: list[tuple[int, ExternalId]] = []
        for place, write in enumerate(writes):
            if write.action is Action.CREATE:
                if len(write.reference) > REFERENCE_LENGTH:
                    answers[place] = Refused(refused("externalId", f"is longer than {REFERENCE_LENGTH} characters"))
            elif write.external_id is None:
                answers[place] = Refused(RecordNotFound("a record without an id cannot be changed"))
            else:
                asked.append((place, write.external_id))
        rows = self._client.get_list(self._translation.kind, [key for _, key in asked])
        known: dict[int, Row] = {}
        for (place, _), row in zip(asked, rows, strict=True):
            if isinstance(row, ConnectorError):
                answers[place] = Refused(row)
                continue
            version = version_of(row)
            if writes[place].version is not None and version is not None and version != writes[place].version:
                stale = StaleVersion(f"changed {version}, after the {writes[place].version} that this is based on")
                answers[place] = Refused(stale, writes[place].external_id, version)
                continue
            known[place] = row
        return known

    def _record(self, write: Write, known: Row | None) -> Any | None:
        """What is sent for a write; None when there is nothing to do. Raises RecordRejected."""
        if write.action is Action.CREATE:
            return self._translation.created(write)
        assert known is not None
        change: Callable[[Write, Row], Any | None] = (
            self._translation.cancelled if write.action is Action.CANCEL else self._translation.updated
        )
        return change(write, known)

    def _send(
        self, operation: str, batch: Sequence[tuple[int, Any]], answers: dict[int, Answer]
    ) -> ConnectorError | None:
        """One call. An error that holds for all of it is the answer of each, and is returned when it is of no use to
        send another call after it: nothing was carried out, and nothing would be."""
        try:
            said = self._client.write(operation, [record for _, record in batch], self._translation.names)
        except ConnectorError as error:
            answers.update((place, Refused(error)) for place, _ in batch)
            return error if isinstance(error, ConnectionBlocked | Transient) else None
        for (place, _), one in zip(batch, said, strict=True):
            answers[place] = Refused(one) if isinstance(one, ConnectorError) else Accepted(one)
        return None


def sink_of(entity: EntityType, client: NetSuiteClient, lookups: Lookups) -> NetSuiteSink:
    """The sink of an entity. Raises KeyError for one that has none."""
    tools = Tools(client, lookups, ZoneInfo(client.config.time_zone))
    made: Mapping[EntityType, Callable[[Tools], Translation]] = {
        EntityType.ACCOUNT: accounts.AccountTranslation,
        EntityType.ORDER: orders.OrderTranslation,
    }
    return NetSuiteSink(client, made[entity](tools))
