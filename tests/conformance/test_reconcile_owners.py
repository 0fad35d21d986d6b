"""Reconcile with a push: what the CRM owns goes out again, what is on its way out is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.ids import CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.model.account import Account
from crm_core.store import outbox, repository
from crm_core.store.drifts import Drift, list_drifts
from crm_core.store.outbox import Intent
from crm_core.store.page import external_ids_of
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import save
from sync_jobs.reconcile_operations import reconcile
from sync_jobs.settings import FILE_NAME

ACCOUNT = EntityType.ACCOUNT

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
def office() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running


@pytest.fixture
def hub(office: Rehearsal, tmp_path: Path) -> Hub:
    """A connection over which accounts go out; the CRM owns their names."""
    text = '[connections.erp]\nconnector = "acme"\npush = ["account"]\n'
    text += "".join(f'{key} = "{value}"\n' for key, value in office.options().items())
    text += '[connections.erp.mappings]\naccount = "account.yaml"\n'
    (tmp_path / "account.yaml").write_text(CRM_OWNS)
    (tmp_path / FILE_NAME).write_text(text)
    made = open_hub(tmp_path / FILE_NAME)
    operations.pull(made, "erp")
    return made


def pushed(hub: Hub) -> CrmId:
    """An account that is known on both sides."""
    made = save(hub, Account(code="NEW-1", name="First name", email="a@customer.example"))
    push_operations.push(hub, "erp")
    operations.pull(hub, "erp")
    return made.crm_id


def there(hub: Hub, crm_id: CrmId) -> str:
    with operations.opened(hub) as session:
        (external_id,) = external_ids_of(session, "erp", ACCOUNT, [crm_id])[crm_id]
    return external_id


def intents(hub: Hub) -> list[Intent]:
    with operations.opened(hub) as session:
        return outbox.list_intents(session)


def drifts(hub: Hub, **conditions: Any) -> list[Drift]:
    with operations.opened(hub) as session:
        return list_drifts(session, "erp", **conditions)


def name_there(office: Rehearsal, external_id: str) -> str:
    (held,) = [one for one in office.held("account") if one.external_id == external_id]
    return str(held.values["name"])


def test_what_the_crm_owns_and_somebody_changed_there_goes_out_again(hub: Hub, office: Rehearsal) -> None:
    """A pull leaves such a field alone, so that nobody would ever notice that the other side says something else."""
    crm_id = pushed(hub)
    assert reconcile(hub, "erp").status == "succeeded"
    key = there(hub, crm_id)
    office._books.change("customers", key, {"name": "Renamed there"}, office._simulator.clock())
    operations.pull(hub, "erp")
    assert reconcile(hub, "erp").status == "partial"
    (drift,) = drifts(hub)
    assert (drift.kind, drift.record, drift.field) == ("not_taken", key, "name")
    assert (drift.here, drift.there) == ('"First name"', '"Renamed there"')
    assert len(intents(hub)) == 1, "nothing is queued unasked"

    assert reconcile(hub, "erp", repairs=True).status == "succeeded"
    assert [one.state for one in intents(hub)] == [IntentState.CONFIRMED, IntentState.QUEUED]
    assert reconcile(hub, "erp").unrepaired == 0, "it is on its way"
    push_operations.push(hub, "erp")
    assert name_there(office, key) == "First name"
    operations.pull(hub, "erp")
    assert reconcile(hub, "erp").status == "succeeded"
    assert [drift.state for drift in drifts(hub)] == ["repaired"]


def test_a_change_that_is_on_its_way_out_is_no_difference(hub: Hub) -> None:
    """The queue knows of it already; a repair must not send it twice, nor overwrite it."""
    crm_id = pushed(hub)
    account = repository.get_entity(hub.database.engine, ACCOUNT, crm_id)
    save(hub, account.model_copy(update={"name": "Second name"}))
    report = reconcile(hub, "erp", repairs=True)
    assert report.status == "succeeded"
    assert drifts(hub) == []
    assert len(intents(hub)) == 2
    after = repository.get_entity(hub.database.engine, ACCOUNT, crm_id)
    assert isinstance(after, Account)
    assert after.name == "Second name"


def test_a_customer_that_nobody_queued_is_found_and_queued(hub: Hub, office: Rehearsal) -> None:
    """Rows that were written past the hub never leave it otherwise; a prospect may stay."""
    with operations.opened(hub) as session, session.transaction():
        for crm_id, relationship in ((9001, "customer"), (9002, "prospect")):
            session.run(
                "INSERT INTO accounts (id, custom, code, name, kind, relationship, status)"
                " VALUES (?, '{}', ?, 'Written past the hub', 'organisation', ?, 'active')",
                (crm_id, f"PAST-{crm_id}", relationship),
            )
    reconcile(hub, "erp")
    assert [(drift.kind, drift.record) for drift in drifts(hub)] == [("not_sent", "#9001")]
    assert intents(hub) == []
    assert reconcile(hub, "erp", repairs=True).status == "succeeded"
    push_operations.push(hub, "erp")
    assert [(one.crm_id, one.state) for one in intents(hub)] == [(9001, IntentState.CONFIRMED)]
    assert name_there(office, there(hub, CrmId(9001))) == "Written past the hub"
    operations.pull(hub, "erp")
    assert reconcile(hub, "erp").status == "succeeded"
