"""What look-ups brought is stored, or whoever asked is told that it is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.envelopes import SourceRecord
from crm_core.errors import StoreBusy, StoreFault
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.store.page import find_payload
from crm_core.store.state import stream_id_of
from sync_jobs.live.intake import HasToWait, Intake, _Waiting
from sync_jobs.operations import opened
from sync_jobs.pull import Puller
from tests.live.conftest import Office

BOOKS = ConnectionName("books")


@pytest.fixture
def intake(office: Office) -> Iterator[Intake]:
    with closing(Intake(office.hub, patience_seconds=0.1)) as made:
        yield made


def brought(office: Office, number: int, limit: int) -> tuple[SourceRecord, CrmId]:
    """The credit of a customer as it may come now, with another limit; and whose it is."""
    account = office.account_of(office.simulator.rows("customers")[number])
    kept = office.credit_of(account)
    assert kept.id is not None
    key = office.external_id(EntityType.CREDIT, kept.id)
    with opened(office.hub) as session:
        payload = find_payload(session, stream_id_of(session, BOOKS, EntityType.CREDIT), key)
    assert payload is not None
    document: dict[str, Any] = msgspec.json.decode(payload)
    document["creditLimit"] = limit
    document.pop("@as_of")
    moment = {"@as_of": (kept.as_of + timedelta(seconds=5)).isoformat()}
    return SourceRecord(key, msgspec.json.encode(document | moment)), account


def take(intake: Intake, record: SourceRecord, office: Office, *, at_once: bool = False) -> Any:
    verb = intake.take_at_once if at_once else intake.take
    return verb(BOOKS, EntityType.CREDIT, [record], office.hub.clock())


def test_what_is_taken_at_once_is_stored_as_any_other(office: Office, intake: Intake) -> None:
    """A limit that was told to a customer would not be the one that the order is checked by."""
    first, one = brought(office, 0, 111)
    with pytest.raises(HasToWait):  # what is made once for a stream takes a while
        take(intake, first, office, at_once=True)
    assert office.credit_of(one).limit != 111
    assert take(intake, first, office) == {}
    second, other = brought(office, 1, 222)
    if office.hub.database.is_sqlite:
        assert take(intake, second, office, at_once=True) == {}
    else:
        with pytest.raises(HasToWait):  # its answers cross a network
            take(intake, second, office, at_once=True)
        assert take(intake, second, office) == {}
    assert (office.credit_of(one).limit, office.credit_of(other).limit) == (Decimal(111), Decimal(222))


def test_nothing_is_taken_at_once_while_others_hold_the_store(office: Office, intake: Intake) -> None:
    """Everybody who asks would wait behind a backup; or the new limit would be told and not be kept."""
    record, account = brought(office, 0, 333)
    before = office.credit_of(account)
    assert take(intake, brought(office, 1, 1)[0], office) == {}
    holder = office.hub.database.open()
    with closing(holder), holder.transaction():
        holder.run("UPDATE credits SET is_on_hold = is_on_hold")
        with pytest.raises(HasToWait):
            take(intake, record, office, at_once=True)
        with pytest.raises(StoreBusy, match=r"locked by another process \(waited 0\.1 s\)"):
            take(intake, record, office)
    assert office.credit_of(account) == before
    assert take(intake, record, office, at_once=office.hub.database.is_sqlite) == {}  # by the same session
    assert office.credit_of(account).limit == 333


def test_nothing_is_taken_at_once_while_another_one_is_at_it(office: Office, intake: Intake) -> None:
    """Two would write by one session."""
    record, account = brought(office, 0, 444)
    assert take(intake, record, office) == {}
    with intake._turn:
        refused: list[bool] = []

        def at_once() -> None:
            try:
                take(intake, record, office, at_once=True)
            except HasToWait:
                refused.append(True)

        thread = threading.Thread(target=at_once)
        thread.start()
        thread.join(10)
    assert refused == [True]
    assert office.credit_of(account).limit == 444


@pytest.mark.parametrize("fault", [ValueError("a bug"), StoreFault("the disk is full")])
def test_whoever_shares_a_failed_transaction_is_told(
    office: Office, intake: Intake, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two askers would be told that a limit was taken over which nobody has stored."""
    record, account = brought(office, 0, 555)
    before = office.credit_of(account).limit

    def fails(*arguments: Any, **options: Any) -> Any:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(Puller, "take_records", fails)
        waiting = [_Waiting(BOOKS, EntityType.CREDIT, [record], office.hub.clock()) for _ in range(2)]
        intake._take_all(waiting)
    assert [(one.is_done, one.failure) for one in waiting] == [(True, fault)] * 2
    assert office.credit_of(account).limit == before
    assert take(intake, record, office) == {}
    assert office.credit_of(account).limit == 555
