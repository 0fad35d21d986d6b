"""Taking records in again from what is kept: after a mapping changed, or from dead letters. No back office needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from connectors.envelopes import SourceRecord
from crm_core.errors import ConfigurationFault
from crm_core.ids import EntityType, ExternalId
from crm_core.store.letters import DeadLetter
from crm_core.store.page import get_payload_body
from crm_core.store.session import Session
from crm_core.store.state import stream_id_of
from sync_jobs.deletions import FINISHED
from sync_jobs.pull import Puller

_ROWS_AT_ONCE = 10_000
_RECORDS_AT_ONCE = 1_000


def replay_payloads(puller: Puller, entity: EntityType) -> int:
    """Map again every kept record that an older version of the mapping made; returns how many there were.

    Interrupted, it goes on where it was: what is done carries the new version.
    """
    session, version = puller.session, puller.streams[entity].mapping.version
    stream_id = stream_id_of(session, puller.connection, entity)
    taken = 0
    with puller.watched(entity) as stored:
        for records, fingerprints in _outdated(session, stream_id, version):
            work = puller.take_records(entity, records, fingerprints=fingerprints)
            stored()
            taken += len(work.arrivals)
        puller.release(entity)
    return taken


def _outdated(session: Session, stream_id: int, version: str) -> Iterator[tuple[list[SourceRecord], list[bytes]]]:
    """Kept records of other mapping versions, in the order of their pages, with their bindings' fingerprints.

    What was kept may be what a person made of the record, so the fingerprint is not taken from it again.
    """
    after = (-1, -1)
    body_id = -1
    body: list[msgspec.Raw] = []
    while True:
        rows = session.all(
            "SELECT payload_page, payload_index, external_id, version, fingerprint FROM bindings"
            " WHERE stream_id = ? AND mapping NOT IN (?, ?) AND deleted_at IS NULL AND payload_page IS NOT NULL"
            " AND (payload_page > ? OR (payload_page = ? AND payload_index > ?))"
            " ORDER BY payload_page, payload_index LIMIT ?",
            (stream_id, version, FINISHED, after[0], after[0], after[1], _ROWS_AT_ONCE),
        )
        if not rows:
            return
        records: list[SourceRecord] = []
        prints: list[bytes] = []
        for page_id, index, external_id, record_version, fingerprint in rows:
            if page_id != body_id:
                body_id, body = page_id, get_payload_body(session, page_id)
            records.append(SourceRecord(external_id, body[index], record_version))
            prints.append(bytes(fingerprint))
            if len(records) == _RECORDS_AT_ONCE:
                yield records, prints
                records, prints = [], []
                body_id = -1  # the page just stored may have released this one
        if records:
            yield records, prints
        after = (rows[-1][0], rows[-1][1])


def replay_letters(puller: Puller, letters: Sequence[DeadLetter]) -> None:
    """Map the payloads of dead letters again, edited or not; those that succeed are resolved by it.

    Raises ConfigurationFault for a letter without an id and for an entity that the puller does not have.
    """
    refuse_without_id(letters)
    for entity in dict.fromkeys(letter.entity for letter in letters):
        if entity not in puller.streams:
            raise ConfigurationFault(
                f"job {puller.report.job!r} does not pull {entity.value}, so it cannot be replayed"
            )
        chosen = [letter for letter in letters if letter.entity is entity]
        with puller.watched(entity) as stored:
            for start in range(0, len(chosen), _RECORDS_AT_ONCE):
                part = chosen[start : start + _RECORDS_AT_ONCE]
                puller.take_records(
                    entity,
                    [SourceRecord(ExternalId(letter.external_id), letter.payload, letter.version) for letter in part],
                    fingerprints=[letter.fingerprint for letter in part],
                    links={letter.external_id: letter.link for letter in part if letter.link},
                    is_edited=True,
                )
                stored()
            puller.release(entity)


def refuse_without_id(letters: Sequence[DeadLetter]) -> None:
    """Raises ConfigurationFault for a letter whose record has no id: nothing could tell its binding again."""
    for letter in letters:
        if letter.external_id.startswith("?"):
            raise ConfigurationFault(
                f"dead letter {letter.id} is of a record without an id, so it cannot be replayed:"
                " mend it in the back office and discard the letter"
            )
