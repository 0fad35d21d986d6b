"""What is old goes, in bounded steps; what the hub still works with stays, on both databases."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm_core.errors import ConfigurationFault
from crm_core.intents import IntentEvent, IntentState
from crm_core.model.account import Account
from crm_core.model.schema import Kind
from crm_core.store import outbox, retention, state
from crm_core.store.database import Database
from crm_core.store.page import stamp
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import pull, replay
from sync_jobs.retention import clean, leftovers
from tests.cli.office import ACCOUNT, PRODUCT, Desk
from tests.conftest import TestClock
from tests.support.pushing import PushBench
from tests.watching.conftest import HubMaker


def gone(hub: Hub, *, is_rehearsal: bool = False) -> dict[str, int]:
    """What went, without what did not."""
    return {one.name: one.count for one in clean(hub, is_rehearsal=is_rehearsal) if one.count}


def rows(database: Database, sql: str, *parameters: Any) -> list[Any]:
    with closing(database.open()) as session:
        return [row[0] if len(row) == 1 else tuple(row) for row in session.all(sql, parameters)]


def test_runs_lose_their_details_and_then_go_but_never_the_newest_of_each_end(
    hub_with: HubMaker,
    office: Desk,
    clock: TestClock,
) -> None:
    """A status that forgets the last good run calls everything late; a held run cannot be approved."""
    hub = hub_with("[retention]\nrun_details_days = 10\nrun_days = 20\n")
    for _ in range(3):
        pull(hub, "all")
        clock.advance(days=1)
    source = office.source(PRODUCT)
    source.fails_after_pages = 0
    source.put("p3", code="W-3", name="New", price=Decimal(1), active=True)
    with pytest.raises(ConnectionError):
        pull(hub, "all")
    clock.advance(days=8, hours=1)  # the runs ended 11, 10, 9 and 8 days ago
    assert gone(hub, is_rehearsal=True) == {"details of runs": 2}
    assert gone(hub) == {"details of runs": 2}
    with closing(hub.database.open()) as session:
        kept = {run.id: bool(run.report) for run in state.list_runs(session)}
    assert kept == {1: False, 2: False, 3: True, 4: True}
    clock.advance(days=10)
    assert gone(hub) == {"runs": 2}
    clock.advance(days=1000)
    assert gone(hub) == {}
    assert rows(hub.database, "SELECT id FROM runs ORDER BY id") == [3, 4]


def test_payloads_of_deleted_records_go_and_those_of_the_others_can_still_be_replayed(
    hub_with: HubMaker,
    office: Desk,
    clock: TestClock,
) -> None:
    """A mapping that is mended must not need the back office; a catalogue that was deleted need not be kept for it."""
    hub = hub_with("[retention]\nrun_details_days = 400\n")
    pull(hub, "all")
    pages = rows(hub.database, "SELECT count(*) FROM payload_pages")[0]
    for key in list(office.source(ACCOUNT).rows):
        office.source(ACCOUNT).remove(key, tells=True)
    pull(hub, "all")
    clock.advance(days=89)
    assert gone(hub) == {}
    clock.advance(days=2)
    assert gone(hub) == {"payloads of deleted records": 2}
    assert rows(hub.database, "SELECT count(*) FROM payload_pages") == [pages - 1]
    assert rows(hub.database, "SELECT count(*) FROM payload_bodies") == [pages - 1]
    for name in office.folder.glob("product.yaml"):
        name.write_text(name.read_text(encoding="utf-8").replace("name: name", "name: code"), encoding="utf-8")
    assert replay(hub, "all").status == "succeeded"
    assert rows(hub.database, "SELECT name FROM products ORDER BY id") == ["W-1", "W-2"]
    office.source(ACCOUNT).put("a1", code="10000", name="Back again", tax="DE1", email="mueller@example.com", list="l1")
    pull(hub, "all")
    assert rows(hub.database, "SELECT name FROM accounts WHERE code = '10000' ORDER BY id DESC LIMIT 1") == [
        "Back again"
    ]


def test_resolved_letters_go_and_open_and_discarded_ones_stay(
    hub_with: HubMaker,
    office: Desk,
    clock: TestClock,
) -> None:
    """A record that somebody discarded would come back every night."""
    from crm_core.store.letters import discard_letter

    hub = hub_with("[retention]\nrun_details_days = 400\n")
    for key in ("p7", "p8", "p9"):
        office.source(PRODUCT).put(key, code=key, name="Bad", price="much", active=True)
    pull(hub, "all")
    office.source(PRODUCT).put("p7", code="p7", name="Good", price=Decimal(1), active=True)
    with closing(hub.database.open()) as session:
        discard_letter(session, 2, clock())
    pull(hub, "all")
    clock.advance(days=91)
    assert gone(hub) == {"resolved dead letters": 1}
    assert rows(hub.database, "SELECT id, status FROM dead_letters ORDER BY id") == [(2, "discarded"), (3, "open")]
    pull(hub, "all", full=True)
    assert rows(hub.database, "SELECT id, status FROM dead_letters ORDER BY id") == [(2, "discarded"), (3, "open")]


@pytest.fixture
def pushing(database: Database, clock: TestClock) -> PushBench:
    return PushBench(database, clock)


def test_an_intent_goes_only_when_a_later_one_is_confirmed_and_the_next_key_counts_on(
    pushing: PushBench, clock: TestClock
) -> None:
    """A revision that is used twice is an idempotency key that is used twice: the change would not arrive."""
    crm_id = pushing.put(Account(code="C-1", name="One"), queues=True)
    pushing.push()
    for name in ("Two", "Three"):
        pushing.put(Account(id=crm_id, code="C-1", name=name), queues=True)
        pushing.push()
    other = pushing.put(Account(code="C-2", name="Alone"), queues=True)
    pushing.push()
    clock.advance(days=401)
    with closing(pushing.database.open()) as session:
        assert retention.INTENTS.count(session, clock() - timedelta(days=400)) == 2
        pushing.put(Account(id=crm_id, code="C-1", name="Four"), queues=True)
        assert retention.INTENTS.count(session, clock() - timedelta(days=400)) == 0, "one of the record is open"
    pushing.push()
    with closing(pushing.database.open()) as session:
        assert retention.INTENTS.step(session, clock() - timedelta(days=400)) == 3
        assert retention.INTENTS.step(session, clock() - timedelta(days=400)) == 0
        kept = outbox.list_intents(session, connection="erp")
        assert [(one.crm_id, one.revision, one.state) for one in kept] == [
            (other, 1, IntentState.CONFIRMED),
            (crm_id, 4, IntentState.CONFIRMED),
        ]
        known = {one.id for one in kept}
        assert {row[0] for row in session.all("SELECT intent_id FROM outbox_events")} <= known
    pushing.put(Account(id=crm_id, code="C-1", name="Four"), queues=True)
    assert pushing.push().sent == 0, "the same content is not sent again"
    pushing.put(Account(id=crm_id, code="C-1", name="Five"), queues=True)
    with closing(pushing.database.open()) as session:
        (queued,) = outbox.list_intents(session, connection="erp", states=[IntentState.QUEUED])
    assert (queued.revision, queued.action) == (5, "update")


def test_a_cancelled_intent_that_came_last_keeps_the_confirmed_one_before_it(
    pushing: PushBench, clock: TestClock
) -> None:
    """Otherwise the next change of a record that is over there would be sent as a new one."""
    crm_id = pushing.put(Account(code="C-1", name="One"), queues=True)
    pushing.push()
    pushing.put(Account(id=crm_id, code="C-1", name="Two"), queues=True)
    with closing(pushing.database.open()) as session:
        with session.transaction():
            outbox.decide(session, 2, IntentEvent.CANCEL, clock(), message="given up")
        clock.advance(days=401)
        assert retention.INTENTS.step(session, clock()) == 0


def test_reservations_notices_and_audit_entries_go_by_their_own_times(
    hub_with: HubMaker,
    clock: TestClock,
) -> None:
    """What is still promised, still to be looked at, or still to be accounted for must stay."""
    hub = hub_with("[http]\naudit_days = 10\n")
    with closing(hub.database.open()) as session, session.transaction():
        old, young = (stamp(session, clock() - timedelta(days=days)) for days in (40, 5))
        encode = session.encode(Kind.NUMBER)
        one = Decimal(1) if encode is None else encode(Decimal(1))
        soon = stamp(session, clock() + timedelta(hours=1))
        for number, expires in ((1, old), (2, soon)):
            session.run(
                "INSERT INTO credit_reservations (id, account_id, currency, amount, created_at, expires_at)"
                " VALUES (?, 1, 'EUR', ?, ?, ?)",
                (number, one, old, expires),
            )
        for key, what, at in (("a", "done", old), ("b", "waiting", old), ("c", "failed", young)):
            session.run(
                "INSERT INTO notices (id, connection, entity, external_id, state, received_at)"
                " VALUES (?, 'erp', 'product', '1', ?, ?)",
                (key, what, at),
            )
        for key, at in (("a", old), ("b", young)):
            session.run("INSERT INTO audit_log (id, at, who, action) VALUES (?, ?, 'key:1', 'GET /')", (key, at))
    expected = {"expired reservations": 1, "settled notices": 1, "audit entries": 1}
    assert gone(hub, is_rehearsal=True) == expected
    assert gone(hub) == expected
    assert gone(hub) == {}
    assert rows(hub.database, "SELECT id FROM notices ORDER BY id") == ["b", "c"]
    assert rows(hub.database, "SELECT id FROM audit_log") == ["b"]
    assert rows(hub.database, "SELECT id FROM credit_reservations") == [2]


def test_it_works_in_bounded_steps(hub_with: HubMaker, clock: TestClock) -> None:
    """One transaction over a year of audit entries would hold every push up."""
    hub = hub_with("")
    with closing(hub.database.open()) as session:
        old = stamp(session, clock() - timedelta(days=500))
        with session.transaction():
            session.run_many(
                "INSERT INTO audit_log (id, at, who, action) VALUES (?, ?, 'key:1', 'GET /')",
                [(f"{n:05}", old) for n in range(1200)],
            )
        steps = []
        while done := retention.AUDIT.step(session, clock()):
            steps.append(done)
    assert steps == [500, 500, 200]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("run_day = 3", "unknown key 'run_day'; did you mean 'run_days'?"),
        ("run_days = 0", "`run_days` must be a whole number of days from 1 up, not 0"),
        ("letter_days = 1.5", "`letter_days` must be a whole number of days from 1 up, not 1.5"),
        ("run_days = 10", "`run_days` cannot be less than `run_details_days`"),
    ],
)
def test_a_slip_in_the_table_lets_nothing_go(hub_with: HubMaker, lines: str, said: str) -> None:
    """What has gone cannot be had back."""
    with pytest.raises(ConfigurationFault) as caught:
        leftovers(hub_with(f"[retention]\n{lines}").settings)
    assert said in str(caught.value)
