"""The hub's database file is lost and a backup of it comes back, while the back office has gone on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors.conformance.audit import audit, books_of
from connectors.conformance.rig import CONNECTION, Rig, begin, timing_of
from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.errors import ConfigurationFault, StoreFault
from crm_core.ids import EntityType
from crm_core.intents import IntentState
from crm_core.store import outbox, outbox_steps
from sync_jobs import operations, push_operations
from terminal.frame import Frame
from terminal.recheck import recheck


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rehearsal() as office:
        yield begin(office, tmp_path / "hub", **timing_of(office))


def restore(rig: Rig, backup: Rig) -> None:
    """Put the file of the backup in the place of the database."""
    path = rig.hub.database.path
    rig.hub.database.engine.dispose()
    for tail in ("", "-wal", "-shm"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
    shutil.copy(backup.hub.database.path, path)


def test_after_a_backup_came_back_each_record_is_there_exactly_once(rig: Rig, tmp_path: Path) -> None:
    """Without looking first, every order that went out between the backup and the loss would be delivered twice."""
    before = books_of(rig.rehearsal)
    account = rig.save(rig.new_account(1))
    orders = [rig.save(rig.new_order(number)) for number in range(4)]
    orders.append(rig.save(rig.new_order(4, account.crm_id)))
    with operations.opened(rig.hub) as session, session.transaction():
        now = rig.hub.clock()
        outbox_steps.claim(session, CONNECTION, "elsewhere:17:4711", now - timedelta(minutes=1), now, 2)
    backup = rig.copied(tmp_path / "backup")
    rig.push()
    edited = rig.edited(rig.get(orders[1]), 1)
    rig.save(edited)
    rig.push()
    assert audit(rig.hub, rig.rehearsal, before).is_clean
    restore(rig, backup)
    # those that were entered since the backup's last order and had not been sent yet are not in anybody's books
    later = rig.save(rig.new_order(5))
    assert push_operations.recheck(rig.hub, CONNECTION) == 7
    report = rig.push()
    found = audit(rig.hub, rig.rehearsal, before)
    assert found.faults == []
    assert (found.is_clean, found.written) == (True, 7)
    assert (report.total("adopted"), report.total("updated"), report.total("created")) == (5, 1, 1)
    with operations.opened(rig.hub) as session:
        events = {one.crm_id: outbox.events_of(session, one.id) for one in outbox.list_intents(session)}
        (newest,) = outbox.list_intents(session, entity=EntityType.ORDER, crm_id=later.crm_id)
    assert newest.state is IntentState.CONFIRMED
    assert [event.event for event in events[orders[0].crm_id]] == ["doubt", "adopt"]


def test_without_looking_first_what_went_out_since_the_backup_is_in_danger(rig: Rig, tmp_path: Path) -> None:
    """The reason why there is a command at all: this back office takes the same reference twice."""
    before = books_of(rig.rehearsal)
    rig.save(rig.new_order(0))
    backup = rig.copied(tmp_path / "backup")
    rig.push()
    restore(rig, backup)
    rig.push()
    assert audit(rig.hub, rig.rehearsal, before).duplicated == 1


def test_the_command_says_how_many_and_names_what_is_wrong(rig: Rig) -> None:
    frame = Frame(config=rig.hub.settings.file)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(recheck, arguments, obj=frame)
        if result.exception is not None:
            raise result.exception
        return result.stdout

    assert run(CONNECTION) == "nothing is queued for rehearsed\n"
    rig.save(rig.new_order(0))
    assert run(CONNECTION) == "1 intents of rehearsed are looked up before they are sent, by the next push\n"
    rig.save(rig.new_order(1))
    assert json.loads(run(CONNECTION, "--json")) == {"connection": "rehearsed", "in_doubt": 1}
    with pytest.raises(ConfigurationFault, match="did you mean 'rehearsed'"):
        run("rehearsd")
    rig.save(rig.new_order(2))
    with operations.opened(rig.hub) as session, session.transaction():
        now = rig.hub.clock()
        outbox_steps.claim(session, CONNECTION, "elsewhere:17:4711", now, now + timedelta(minutes=1), 9)
    with pytest.raises(StoreFault, match="a worker has intents of rehearsed"):
        run(CONNECTION)
