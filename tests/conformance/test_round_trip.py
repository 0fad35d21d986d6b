"""What goes out and what comes back, both engines together: an echo is recognised, a change of ours is not overwritten,
a full read does not bury what was just pushed, and two systems do not answer each other for ever."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance.audit import audit, books_of
from connectors.conformance.rig import CONNECTION, Rig, begin, timing_of
from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.errors import MappingDocumentFault
from crm_core.ids import CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.model.account import Account
from crm_core.model.sales import Order
from crm_core.store import outbox, repository
from crm_core.store.outbox import Intent
from crm_core.store.page import external_ids_of
from simulators.faults import Fault, FaultKind, Rule
from simulators.rehearsal import READ, WRITE
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import save
from sync_jobs.decisions import Decision
from sync_jobs.report import EntityReport, RunReport, SilentListener
from sync_jobs.settings import FILE_NAME

ACCOUNT, ORDER = EntityType.ACCOUNT, EntityType.ORDER


@pytest.fixture
def office() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running


@pytest.fixture
def rig(office: Rehearsal, tmp_path: Path) -> Rig:
    return begin(office, tmp_path / "hub", **timing_of(office))


def intents(hub: Hub, **conditions: Any) -> list[Intent]:
    with operations.opened(hub) as session:
        return outbox.list_intents(session, **conditions)


def decisions(report: RunReport, entity: EntityType) -> dict[str, int]:
    return {what.value: count for what, count in report.entities[entity].decisions.items() if count}


def order_of(rig: Rig, crm_id: CrmId) -> Order:
    found = repository.get_entity(rig.hub.database.engine, ORDER, crm_id)
    assert isinstance(found, Order)
    return found


DEAF = [Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE), Rule(Fault(FaultKind.CUT_BEFORE), kind=READ, times=None)]
"""The write arrives, its answer does not, and neither does any look-up."""


# -- what comes back --------------------------------------------------------------------------------------------------


def test_an_order_that_we_pushed_comes_back_as_itself_before_we_know_its_id(rig: Rig, office: Rehearsal) -> None:
    """The answer was lost and looking fails, and then the nightly pull is first: no second order in the CRM."""
    before = books_of(office)
    saved = rig.save(rig.new_order(1))
    office.http.set_plan(
        [Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE), Rule(Fault(FaultKind.CUT_BEFORE), kind=READ, times=None)]
    )
    rig.push(wait_seconds=0)
    office.http.set_plan([])
    assert [one.state for one in intents(rig.hub)] == [IntentState.OUTCOME_UNKNOWN]
    orders = repository.count_entities(rig.hub.database.engine, ORDER)
    assert decisions(rig.pull(), ORDER)["linked"] == 1
    assert repository.count_entities(rig.hub.database.engine, ORDER) == orders
    assert order_of(rig, saved.crm_id).number is not None, "what the back office knows of it is there"
    rig.push()
    assert audit(rig.hub, office, before).as_data() == {
        "written": 1, "duplicated": 0, "lost": 0, "wrong": 0, "unresolved": 0,
    }  # fmt: skip
    assert intents(rig.hub)[0].state is IntentState.CONFIRMED


def test_status_and_deliveries_land_on_the_order_that_we_pushed(rig: Rig, office: Rehearsal) -> None:
    saved = rig.save(rig.new_order(1))
    rig.push()
    (there,) = [one.external_id for one in office.held("order") if one.reference]
    record = office._books.lists["orders"][there]
    lines = [{**line, "delivered": line["quantity"]} for line in record["lines"]]
    office._books.change("orders", there, {"status": "delivered", "lines": lines}, office._simulator.clock())
    report = rig.pull()
    assert decisions(report, ORDER)["updated"] == 1
    order = order_of(rig, saved.crm_id)
    assert order.status == "processing"
    assert [line.delivered_quantity for line in order.lines] == [line.quantity for line in order.lines]
    assert order.total_amount == sum((line.quantity * line.unit_price for line in order.lines), Decimal(0))
    assert len(intents(rig.hub)) == 1, "nothing of that goes out again"


def test_an_echo_of_our_own_change_changes_nothing(rig: Rig) -> None:
    saved = rig.save(rig.new_order(1))
    rig.push()
    rig.pull()
    rig.save(rig.edited(rig.get(saved), 2))
    rig.push()
    told: list[Any] = []
    rig.pull()
    told = [one.state for one in intents(rig.hub)]
    assert told == [IntentState.CONFIRMED] * 2
    assert decisions(rig.pull(full=True), ORDER) == {"unchanged": 7}


# -- whose change counts ----------------------------------------------------------------------------------------------


def test_a_change_that_is_on_its_way_out_is_not_overwritten_by_a_pull(rig: Rig, office: Rehearsal) -> None:
    """They change the same order meanwhile: what our change carries stays, and goes out on top of theirs."""
    saved = rig.save(rig.new_order(1))
    rig.push()
    rig.pull()
    ours = rig.edited(rig.get(saved), 2)
    assert isinstance(ours, Order)
    rig.save(ours)
    (there,) = [one.external_id for one in office.held("order") if one.reference]
    office._books.change("orders", there, {"wanted": "2027-01-04", "number": "S-NEW"}, office._simulator.clock())
    rig.pull()
    held = order_of(rig, saved.crm_id)
    assert held.requested_date == ours.requested_date, "ours, not theirs"
    assert held.number == "S-NEW", "what we do not send is taken in all the same"
    rig.push()
    (record,) = [one for one in office.held("order") if one.reference]
    assert record.values["requested_date"] == ours.requested_date.isoformat() if ours.requested_date else None
    assert [one.state for one in intents(rig.hub)] == [IntentState.CONFIRMED] * 2
    rig.pull()
    assert order_of(rig, saved.crm_id).requested_date == ours.requested_date


def test_what_a_pull_held_back_is_taken_in_once_our_change_is_given_up(rig: Rig, office: Rehearsal) -> None:
    """Otherwise the CRM would go on showing a date that nobody confirmed, until the record changes again."""
    saved = rig.save(rig.new_order(1))
    rig.push()
    rig.pull()
    rig.save(rig.edited(rig.get(saved), 2))
    (there,) = [one.external_id for one in office.held("order") if one.reference]
    office.touch("order", there)
    rig.pull()
    assert order_of(rig, saved.crm_id).requested_date != office_date(office, there)
    push_operations.cancel(rig.hub, [intents(rig.hub)[-1].id])
    report = rig.pull()
    assert decisions(report, ORDER)["updated"] == 1
    assert str(order_of(rig, saved.crm_id).requested_date) == office_date(office, there) == "2027-01-04"
    assert "updated" not in decisions(rig.pull(), ORDER)


def office_date(office: Rehearsal, external_id: str) -> str:
    (held,) = [one for one in office.held("order") if one.external_id == external_id]
    return str(held.values["requested_date"])


# -- what a full read must not do -------------------------------------------------------------------------------------


class PushesMeanwhile(SilentListener):
    """Pushes an order when the orders' last page has been stored."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.saved = rig, None

    def page_stored(self, report: EntityReport) -> None:
        if report.entity is ORDER and self.saved is None:
            self.saved = self.rig.save(self.rig.new_order(1))
            self.rig.push()


def test_a_full_read_does_not_bury_an_order_that_was_pushed_while_it_went_on(rig: Rig) -> None:
    """It is not in the pages that were read before it came about: that is no reason to take it for deleted."""
    listener = PushesMeanwhile(rig)
    report = operations.pull(rig.hub, CONNECTION, full=True, listener=listener)
    assert listener.saved is not None
    assert "deleted" not in decisions(report, ORDER)
    with operations.opened(rig.hub) as session:
        assert external_ids_of(session, CONNECTION, ORDER, [listener.saved.crm_id])
    assert "deleted" not in decisions(rig.pull(full=True), ORDER)


# -- two back offices -------------------------------------------------------------------------------------------------

CRM_OWNS = """
entity: account
connector: acme
extends: default
fields:
  name: {from: name, owner: crm}
  email: {from: email, owner: crm}
  phone: {from: phone, owner: crm}
"""


@pytest.fixture
def books() -> Iterator[Rehearsal]:
    """A second back office."""
    with Rehearsal() as running:
        yield running


def hub_of_two(folder: Path, erp: Rehearsal, accounting: Rehearsal, *, mapped: str | None = CRM_OWNS) -> Hub:
    text = ""
    for name, office in (("erp", erp), ("books", accounting)):
        text += f'[connections.{name}]\nconnector = "acme"\npush = ["account"]\n'
        text += "".join(f'{key} = "{value}"\n' for key, value in office.options().items())
    if mapped is not None:
        (folder / "account.yaml").write_text(mapped)
        text += '[connections.books.mappings]\naccount = "account.yaml"\n'
    (folder / FILE_NAME).write_text(text)
    return open_hub(folder / FILE_NAME)


def test_two_connections_that_both_pull_and_push_a_field_are_refused(
    office: Rehearsal, books: Rehearsal, tmp_path: Path
) -> None:
    """Each would answer the other for ever: a change here would go there, come back, and go out again."""
    hub = hub_of_two(tmp_path, office, books, mapped=None)
    with pytest.raises(MappingDocumentFault) as caught:
        push_operations.push(hub, "erp")
    assert "name of account is pulled and pushed by both 'erp' and 'books'" in str(caught.value)
    assert "owner: crm" in str(caught.value)
    assert office.http.log == [], "nothing was sent"


def test_a_change_in_one_back_office_reaches_the_other_once_and_comes_to_rest(
    office: Rehearsal, books: Rehearsal, tmp_path: Path
) -> None:
    """Round after round of pulls and pushes: each change goes out once, and then nothing more."""
    hub = hub_of_two(tmp_path, office, books)
    pull_both, push_both = rounds(hub)
    pull_both()
    assert intents(hub) == [], "a first pull of one does not fill the other"
    made = save(hub, Account(code="NEW-1", name="First name", email="a@customer.example"))
    push_both()
    pull_both()
    assert names(office, made.crm_id, hub, "erp") == names(books, made.crm_id, hub, "books") == ["First name"]
    with operations.opened(hub) as session:
        (there,) = external_ids_of(session, "erp", ACCOUNT, [made.crm_id])[made.crm_id]
    for change in range(1, 4):
        office._books.change("customers", there, {"name": f"Name {change}"}, office._simulator.clock())
        for _ in range(3):
            pull_both()
            push_both()
        assert names(books, made.crm_id, hub, "books") == [f"Name {change}"]
        assert len(intents(hub)) == 2 + change, "one write for each change"
    assert {one.state for one in intents(hub)} == {IntentState.CONFIRMED}
    assert [one.connection for one in intents(hub)[2:]] == ["books"] * 3


def rounds(hub: Hub) -> tuple[Any, Any]:
    def pull_both() -> None:
        for name in ("erp", "books"):
            assert operations.pull(hub, name).status == "succeeded"

    def push_both() -> None:
        for name in ("erp", "books"):
            push_operations.push(hub, name)

    return pull_both, push_both


def names(office: Rehearsal, crm_id: CrmId, hub: Hub, connection: str) -> list[str]:
    with operations.opened(hub) as session:
        ids = external_ids_of(session, connection, ACCOUNT, [crm_id]).get(crm_id, [])
    return [str(one.values["name"]) for one in office.held("account") if one.external_id in ids]


def test_a_record_of_one_back_office_that_the_other_does_not_know_stays_where_it_is(
    office: Rehearsal, books: Rehearsal, tmp_path: Path
) -> None:
    hub = hub_of_two(tmp_path, office, books)
    pull_both, push_both = rounds(hub)
    pull_both()
    before = books.ids("account")
    added = office.add("account")
    office._books.change("customers", added, {"email": "only@erp.example"}, office._simulator.clock())
    pull_both()
    office.touch("account", added)
    pull_both()
    push_both()
    assert intents(hub) == []
    assert books.ids("account") == before


def test_a_page_is_decided_anew_when_a_push_has_just_bound_a_record_of_it(
    rig: Rig, office: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and writing, the other process was faster: no second order, and no run that fails."""
    from sync_jobs.pull import Puller

    saved = rig.save(rig.new_order(1))
    office.http.set_plan(
        [Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE), Rule(Fault(FaultKind.CUT_BEFORE), kind=READ, times=None)]
    )
    rig.push(wait_seconds=0)
    office.http.set_plan([])
    prepared, pushed = Puller._prepared, []

    def overtaken(self: Puller, stream: Any, *arguments: Any, **options: Any) -> Any:
        work = prepared(self, stream, *arguments, **options)
        if stream.pulled.entity is ORDER and not pushed:
            pushed.append(rig.push())
        return work

    monkeypatch.setattr(Puller, "_prepared", overtaken)
    orders = repository.count_entities(rig.hub.database.engine, ORDER)
    report = rig.pull()
    assert report.status == "succeeded"
    assert pushed[0].total("adopted") == 1
    assert Decision.CREATED.value not in decisions(report, ORDER)
    assert repository.count_entities(rig.hub.database.engine, ORDER) == orders
    with operations.opened(rig.hub) as session:
        assert len(external_ids_of(session, CONNECTION, ORDER, [saved.crm_id])[saved.crm_id]) == 1
