"""What was fetched live is taken in as a pull would: same mapping, same fingerprint, one short transaction.

There is no lease: it is safe beside a running pull, because whoever writes looks once more at what is there
(`StreamRun.store`), and what was asked for later stays. Records of several askers that come in together are stored
together: whoever is first stores for all that wait. (With SQLite they come one at a time, see `lookups.py`.)
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors.envelopes import SourceRecord
from connectors.ports import StreamSpec
from connectors.registry import get_connector
from crm_core.errors import CounterfoilError, RecordNotFound, RowTaken, StoreBusy, StoreFault
from crm_core.ids import ConnectionName, EntityType
from crm_core.store.page import LIVE_RUN
from crm_core.store.session import Session
from sync_jobs.bootstrap import Hub
from sync_jobs.decisions import PullPolicy
from sync_jobs.mappings_in_force import mapping_of
from sync_jobs.outgoing import OutgoingEntity, all_outgoing
from sync_jobs.pull import Puller
from sync_jobs.report import RunReport, SilentListener
from sync_jobs.stream_run import PulledStream

_TRIES = 5
_AT_ONCE_SECONDS = 0.004
"""Others mostly hold the file for a moment, e.g. to write the audit log."""


class HasToWait(Exception):
    """What was to be done at once would take a while: a thread has to do it."""


class _NothingToAsk:
    """In the place of a stream: what a record refers to is not fetched while a customer waits; no pages are asked."""

    def get(self, external_id: str) -> SourceRecord:
        raise RecordNotFound(f"{external_id[:60]!r} is not fetched here")


@dataclass(slots=True)
class _Waiting:
    """Records that one asker brought. problems: external id -> why it could not be taken in."""

    connection: ConnectionName
    entity: EntityType
    records: Sequence[SourceRecord]
    asked_at: datetime
    is_done: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None


class Intake:
    """Takes in records of any connection. Thread-safe."""

    def __init__(self, hub: Hub, *, patience_seconds: float) -> None:
        self._hub, self._patience_seconds = hub, patience_seconds
        self._session: Session | None = None
        self._pullers: dict[tuple[ConnectionName, EntityType], Puller] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting: list[_Waiting] = []
        self._outgoing: Mapping[ConnectionName, Mapping[EntityType, OutgoingEntity]] | None = None

    def take(
        self, connection: ConnectionName, entity: EntityType, records: Sequence[SourceRecord], asked_at: datetime
    ) -> Mapping[str, str]:
        """Store these records; returns why some of them could not be taken in (they are dead letters, or wait).

        Raises StoreFault, and MappingDocumentFault for a mapping that is wrong.
        """
        mine = _Waiting(connection, entity, records, asked_at)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.is_done:
                with self._lock:
                    together, self._waiting = self._waiting, []
                self._take_all(together)
        if mine.failure is not None:
            raise mine.failure
        return mine.problems

    def take_at_once(
        self, connection: ConnectionName, entity: EntityType, records: Sequence[SourceRecord], asked_at: datetime
    ) -> Mapping[str, str]:
        """The same as `take`. Raises HasToWait, with nothing stored, instead of waiting.

        For whoever else is at it or holds the file, for what is made once for each stream, or for a network.
        """
        if not self._hub.database.is_sqlite or not self._turn.acquire(blocking=False):
            raise HasToWait
        try:
            puller = self._pullers.get((connection, entity))
            if puller is None:
                raise HasToWait
            try:
                return self._stored(puller, entity, _each_once(records), asked_at)
            except StoreBusy:
                raise HasToWait from None
            except StoreFault:
                self._forget()
                raise
        finally:
            self._turn.release()

    def close(self) -> None:
        """Closes what is open."""
        with self._turn:
            self._forget()

    def _take_all(self, together: Sequence[_Waiting]) -> None:
        groups: dict[tuple[ConnectionName, EntityType], list[_Waiting]] = {}
        for one in together:
            groups.setdefault((one.connection, one.entity), []).append(one)
        for (connection, entity), mine in groups.items():
            try:
                puller = self._puller(connection, entity)
                self._wait_for_locks(self._patience_seconds)
                self._take_group(puller, entity, mine)
            except Exception as error:  # noqa: BLE001 - handed over to whoever waits: nobody may take it for stored
                is_ours = isinstance(error, CounterfoilError)
                if not is_ours or (isinstance(error, StoreFault) and not isinstance(error, StoreBusy)):
                    self._forget()
                for one in mine:
                    one.failure = error
            finally:
                for one in mine:
                    one.is_done = True
        try:
            self._wait_for_locks(_AT_ONCE_SECONDS)
        except StoreFault:
            self._forget()

    def _take_group(self, puller: Puller, entity: EntityType, group: Sequence[_Waiting]) -> None:
        """One transaction for all of them; a record that two bring counts as it was asked for last."""
        records: dict[str, tuple[SourceRecord, datetime]] = {}
        for one in sorted(group, key=lambda waiting: waiting.asked_at):
            records |= {record.external_id: (record, one.asked_at) for record in one.records}
        chosen = [record for record, _ in records.values()]
        asked_at = min((moment for _, moment in records.values()), default=self._hub.clock())
        problems = self._stored(puller, entity, chosen, asked_at)
        for one in group:
            mine = {record.external_id for record in one.records}
            one.problems = {key: why for key, why in problems.items() if key in mine}

    def _stored(
        self, puller: Puller, entity: EntityType, records: Sequence[SourceRecord], asked_at: datetime
    ) -> dict[str, str]:
        """Returns why some could not be taken in."""
        puller.look_again(entity)  # other processes may have changed what is there
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                work = puller.take_records(entity, records, asked_at=asked_at)
                break
            except RowTaken as taken:
                if tries_left == 0:
                    raise StoreFault(str(taken)) from taken
        problems = {letter.external_id: f"cannot be mapped: {letter.message}" for letter in work.letters}
        problems |= {
            waits.external_id: f"refers to {waits.waits_entity} {waits.waits_for!r}, which is not here yet"
            for waits in work.deferrals
        }
        return problems

    def _puller(self, connection: ConnectionName, entity: EntityType) -> Puller:
        """Made once: what it compiles takes longer than to take a record in."""
        key = (connection, entity)
        if key not in self._pullers:
            if self._session is None:
                self._session = self._hub.database.open(patience_seconds=self._patience_seconds)
            self._pullers[key] = self._new_puller(self._session, connection, entity)
        return self._pullers[key]

    def _new_puller(self, session: Session, connection: ConnectionName, entity: EntityType) -> Puller:
        settings = self._hub.settings.get_connection(connection)
        spec: StreamSpec = get_connector(settings.connector).manifest.streams[entity]
        if self._outgoing is None:
            self._outgoing = all_outgoing(self._hub.settings)
        pulled = PulledStream(entity, _NothingToAsk(), spec, mapping_of(settings, entity))  # type: ignore[arg-type]
        return Puller(
            session,
            connection,
            {entity: pulled},
            PullPolicy(),
            self._hub.clock,
            SilentListener(),
            None,
            RunReport(LIVE_RUN, "live", connection),
            is_approved=True,
            outgoing=self._outgoing,
        )

    def _wait_for_locks(self, seconds: float) -> None:
        """Between two turns of ours it is for a moment only: see `take_at_once`."""
        if self._session is not None and self._hub.database.is_sqlite:
            self._session.wait_for_locks(seconds)

    def _forget(self) -> None:
        """After a fault of the store: the next one opens it anew."""
        self._pullers.clear()
        if self._session is not None:
            self._session.close()
            self._session = None


def _each_once(records: Sequence[SourceRecord]) -> Sequence[SourceRecord]:
    """A record that comes twice counts as it came last."""
    return records if len(records) == 1 else list({record.external_id: record for record in records}.values())
