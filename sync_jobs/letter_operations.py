"""The verbs of dead letters that every face calls: look, edit, choose a match, replay, discard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from crm_core.errors import ConfigurationFault, StepRefused
from crm_core.ids import CrmId
from crm_core.store import letters as letter_store
from crm_core.store.letters import DeadLetter
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import get_letters, opened, replay_dead_letters
from sync_jobs.report import Listener

NEW = "new"
"""The choice that a doubtful match is none: the record is a new one."""


def all_letters(hub: Hub, **conditions: Any) -> list[DeadLetter]:
    """Every letter that fits, whatever their number. conditions: those of `list_letters`."""
    found: list[DeadLetter] = []
    with opened(hub) as session:
        while True:
            some = letter_store.list_letters(session, after_id=found[-1].id if found else 0, **conditions)
            found += some
            if len(some) < 1000:
                return found


def edit_letter(hub: Hub, letter_id: int, *, payload: bytes | None = None, link: str | None = None) -> DeadLetter:
    """Change what will be replayed, or choose the match; the back office is not changed.

    payload: a checked one. link: a CRM id or `new`. Raises RowMissing, StepRefused, ConfigurationFault.
    """
    (letter,) = get_letters(hub, [letter_id])
    chosen = None if link is None else checked_link(hub, letter, link)
    with opened(hub) as session:
        letter_store.edit_letter(session, letter_id, payload=payload, link=chosen)
        return letter_store.get_letter(session, letter_id)


def discard_letter(hub: Hub, letter_id: int) -> DeadLetter:
    """The record is not wanted as it is. Raises RowMissing, StepRefused."""
    with opened(hub) as session:
        letter_store.discard_letter(session, letter_id, hub.clock())
        return letter_store.get_letter(session, letter_id)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of letters that were mapped again, in their order; and how many have no id to be replayed by."""

    letters: tuple[DeadLetter, ...]
    without_id: int

    @property
    def left(self) -> list[DeadLetter]:
        """Those that failed again."""
        return [letter for letter in self.letters if letter.status == "open"]


def replay_letters(hub: Hub, letters: Sequence[DeadLetter], *, listener: Listener | None = None) -> Replayed:
    """Map open letters again; the back office is not asked. Raises StepRefused for one that is not open."""
    for letter in letters:
        if letter.status != "open":
            raise StepRefused(f"dead letter {letter.id} is {letter.status}: there is nothing to replay")
    readable = [letter for letter in letters if not letter.external_id.startswith("?")]
    replay_dead_letters(hub, readable, listener=listener)
    return Replayed(tuple(get_letters(hub, [letter.id for letter in letters])), len(letters) - len(readable))


def checked_payload(text: bytes, what: str) -> bytes:
    """A record as JSON, its numbers digit by digit. Raises ConfigurationFault; `what` names the text in it."""
    try:
        record = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{what} is no JSON: {error}; nothing was changed") from error
    if not isinstance(record, dict):
        raise ConfigurationFault(f"{what} is no JSON object; nothing was changed")
    return msgspec.json.Encoder(decimal_format="number").encode(record)


def checked_link(hub: Hub, letter: DeadLetter, link: str) -> str:
    """The choice for a doubtful match, `12`, `#12` or `new`. Raises ConfigurationFault for another."""
    from crm_core.store.repository import find_entity

    if link == NEW:
        return link
    number = link.removeprefix("#")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ConfigurationFault(f"link {link!r}: a CRM id, or `new`")
    if find_entity(hub.database.engine, letter.entity, CrmId(int(number))) is None:
        offered = f"; it fits {', '.join(map(str, letter.candidates))}" if letter.candidates else ""
        raise ConfigurationFault(f"the CRM has no {letter.entity.value} {number}{offered}")
    return number
