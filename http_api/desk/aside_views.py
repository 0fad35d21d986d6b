"""What was set aside, as the pages show it: groups by cause, and the forms of one record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from crm_core.errors import StoreFault
from crm_core.ids import EntityType
from crm_core.intents import IntentState
from crm_core.store import page as page_store
from crm_core.store import state
from crm_core.store.letters import DeadLetter
from crm_core.store.outbox import Intent
from crm_core.store.session import Session
from http_api.desk.differences import Difference, differences, read_record

NEEDS_A_PERSON = (IntentState.REJECTED, IntentState.OUTCOME_UNKNOWN)
"""The intents that are shown as set aside."""


@dataclass(frozen=True, slots=True)
class Group:
    """So many alike."""

    cause: str
    connection: str
    entity: str
    count: int
    can_go_on: bool = True

    @property
    def keys(self) -> dict[str, str]:
        """What names the group in a form and in an address."""
        return {"connection": self.connection, "entity": self.entity, "cause": self.cause}

    @property
    def query(self) -> str:
        """The same as the query of an address."""
        return urlencode(self.keys)


@dataclass(frozen=True, slots=True)
class AsideRow:
    """One of a group."""

    href: str
    code: str
    message: str


def letter_groups(counts: Iterable[tuple[str, str, str, int]], connection: str | None) -> list[Group]:
    """Groups of open letters, the largest first. counts: (connection, entity, cause, how many)."""
    groups = [Group(cause, name, entity, count) for name, entity, cause, count in counts]
    return _largest_first(groups, connection)


def intent_groups(counts: Iterable[tuple[str, str, str, str | None, int]], connection: str | None) -> list[Group]:
    """Groups of refused and lost intents. counts: (connection, entity, state, cause, how many)."""
    named = {waiting.value for waiting in NEEDS_A_PERSON}
    groups = [
        Group(cause or where, name, entity, count, can_go_on=where == IntentState.REJECTED.value)
        for name, entity, where, cause, count in counts
        if where in named
    ]
    return _largest_first(groups, connection)


def _largest_first(groups: Iterable[Group], connection: str | None) -> list[Group]:
    chosen = [group for group in groups if connection is None or group.connection == connection]
    return sorted(chosen, key=lambda group: (-group.count, group.connection, group.entity, group.cause))


def letter_rows(letters: Sequence[DeadLetter]) -> list[AsideRow]:
    """Letters one by one."""
    return [AsideRow(f"/desk/letters/{one.id}", one.external_id, one.message) for one in letters]


def intent_rows(intents: Sequence[Intent]) -> list[AsideRow]:
    """Intents one by one, each by the reference that it has over there."""
    return [AsideRow(f"/desk/intents/{one.id}", str(one.reference), one.message or "") for one in intents]


def against_taken_in(session: Session, letter: DeadLetter) -> list[Difference] | None:
    """What the letter's record has otherwise than the one that was taken in last; None when there is none."""
    stream_id = state.stream_id_of(session, letter.connection, letter.entity)
    try:
        before = page_store.find_payload(session, stream_id, letter.external_id)
        return None if before is None else differences(read_record(before), read_record(letter.payload))
    except (msgspec.DecodeError, UnicodeDecodeError, StoreFault):
        return None  # one of them is no JSON, or is kept no longer: there is nothing to compare


def entity_of(name: str) -> EntityType | None:
    """An entity by its name in an address; None for no name."""
    return EntityType(name) if name in {entity.value for entity in EntityType} else None
